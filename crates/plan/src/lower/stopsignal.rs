//! `STOPSIGNAL`: what a container is told to end with.

use dockerfile::Word;

use super::scope::Scope;

/// Linux's signals without `SIG`; those of real time are reckoned from both ends.
const NAMES: [&str; 35] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN",
];

pub(super) fn lower(scope: &mut Scope<'_, '_>, word: &Word) -> Option<()> {
    let signal = scope.expand(word)?;
    if !is_signal(&signal) {
        scope.error(word.span, format!("invalid signal: {signal}"));
        return None;
    }
    scope.note(format!("STOPSIGNAL {signal}"));
    scope.config().stop_signal = signal;
    Some(())
}

fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number > 0;
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |prefix, most: u32| {
        let digits: Option<&str> = name.strip_prefix(prefix);
        digits.and_then(|digits| digits.parse().ok()).is_some_and(|number: u32| (1..=most).contains(&number))
    };
    NAMES.contains(&name) || name == "RTMAX" || offset("RTMIN+", 15) || offset("RTMAX-", 14)
}

#[cfg(test)]
mod tests {
    use super::is_signal;

    #[test]
    fn numbers_and_names() {
        for signal in ["9", "64", "1000", "SIGTERM", "TERM", "sigusr1", "SIGRTMIN", "RTMIN+3", "SIGRTMAX-14", "RTMAX"] {
            assert!(is_signal(signal), "{signal}");
        }
        for text in ["", "0", "-9", "SIG", "TERMINATE", "RTMIN+16", "RTMAX-15", "RTMIN+", "9x", "SIGSIGTERM"] {
            assert!(!is_signal(text), "{text}");
        }
    }
}
