//! `HEALTHCHECK`.

use crate::ast::{Command, Healthcheck};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::lines::Fragment;
use crate::word::quote;

use super::flags::Flags;
use super::{duration, form};

/// Nanoseconds; less is an error, 0 stands for the default.
const MIN_DURATION: i64 = 1_000_000;

/// Reads `NONE` or `CMD command`.
pub(super) fn read(rest: Fragment<'_>, flags: &Flags, diagnostics: &mut Diagnostics) -> Option<Healthcheck> {
    let text = rest.text();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, arguments) = (rest.slice(0..end), rest.from(end).trim());
    let mut healthcheck = Healthcheck {
        interval: time(flags, "interval", diagnostics),
        timeout: time(flags, "timeout", diagnostics),
        start_period: time(flags, "start-period", diagnostics),
        start_interval: time(flags, "start-interval", diagnostics),
        retries: retries(flags, diagnostics),
        command: None,
    };
    match word.text().to_uppercase().as_str() {
        "NONE" if arguments.text().is_empty() => Some(healthcheck),
        "NONE" => fail(Diagnostic::error(arguments.span(), "HEALTHCHECK NONE takes no arguments"), diagnostics),
        "CMD" => {
            let command = form::command(arguments, diagnostics)?;
            if is_empty(&command) {
                let error = Diagnostic::error(word.span(), "Missing command after HEALTHCHECK CMD");
                return fail(error, diagnostics);
            }
            healthcheck.command = Some(command);
            Some(healthcheck)
        }
        other => {
            let shown: String = other.chars().take(100).collect();
            let message = format!("Unknown type {} in HEALTHCHECK (try CMD)", quote(&shown));
            fail(Diagnostic::error(word.span(), message), diagnostics)
        }
    }
}

fn is_empty(command: &Command) -> bool {
    match command {
        Command::Exec(arguments) => arguments.is_empty(),
        Command::Shell(text) => text.value.is_empty(),
    }
}

fn fail<T>(error: Diagnostic, diagnostics: &mut Diagnostics) -> Option<T> {
    diagnostics.push(error);
    None
}

/// Returns the nanoseconds that a flag gives.
fn time(flags: &Flags, name: &str, diagnostics: &mut Diagnostics) -> i64 {
    let Some(text) = flags.text(name).filter(|text| !text.value.is_empty()) else { return 0 };
    let wrong = match duration::parse(&text.value) {
        Ok(0) => return 0,
        Ok(nanoseconds) if nanoseconds >= MIN_DURATION => return nanoseconds,
        Ok(_) => format!("Interval {} cannot be less than 1ms", quote(name)),
        Err(reason) => reason,
    };
    diagnostics.push(Diagnostic::error(text.span, wrong).help("a duration is written as `30s`, `1m30s` or `500ms`"));
    0
}

fn retries(flags: &Flags, diagnostics: &mut Diagnostics) -> i64 {
    let Some(text) = flags.text("retries").filter(|text| !text.value.is_empty()) else { return 0 };
    let number = &text.value;
    let wrong = match number.parse::<i32>() {
        Ok(retries) if retries >= 0 => return i64::from(retries),
        Ok(retries) => format!("--retries cannot be negative ({retries})"),
        Err(error) => {
            use std::num::IntErrorKind::{NegOverflow, PosOverflow};
            let range = matches!(error.kind(), NegOverflow | PosOverflow);
            let reason = if range { "value out of range" } else { "invalid syntax" };
            format!("strconv.ParseInt: parsing {}: {reason}", quote(number))
        }
    };
    diagnostics.push(Diagnostic::error(text.span, wrong));
    0
}
