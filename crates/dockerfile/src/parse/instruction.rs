//! One logical line to one instruction.

use crate::ast::{Heredoc, Instruction, Kind, Onbuild, Run, RunFlags, Stage};
use crate::diagnostic::{Diagnostic, Diagnostics, nearest};
use crate::lines::{Fragment, Line, Lines};
use crate::source::Span;
use crate::word::Word;

use super::flags::{self, Flags, Known};
use super::form::{self, Item};
use super::head::Head;
use super::{copy, from, healthcheck, heredoc, json, names};

/// The instructions by name.
const KEYWORDS: &[&str] = &[
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What a line says.
#[derive(Debug)]
pub(super) enum Parsed {
    Stage(Box<Stage>),
    Instruction(Box<Instruction>),
}

/// Reads instructions; heredoc bodies come from `lines`.
#[derive(Debug)]
pub(super) struct Reader<'a, 'l> {
    pub(super) lines: &'a mut Lines<'l>,
    pub(super) diagnostics: &'a mut Diagnostics,
}

/// Where an instruction stands.
#[derive(Debug)]
enum Place {
    Line,
    /// In a text of its own.
    Trigger,
    /// Behind `ONBUILD`, whose heredocs are read already.
    Nested(Vec<Heredoc>),
}

impl Reader<'_, '_> {
    /// Reads a logical line.
    pub(super) fn line(&mut self, line: &Line<'_>) -> Option<Parsed> {
        let mut parsed = self.instruction(line.all(), Place::Line)?;
        match &mut parsed {
            Parsed::Stage(stage) => stage.comments.clone_from(&line.comments),
            Parsed::Instruction(instruction) => instruction.comments.clone_from(&line.comments),
        }
        Some(parsed)
    }

    /// Reads a trigger that is a text of its own.
    pub(super) fn trigger(&mut self, line: &Line<'_>) -> Option<Instruction> {
        self.triggered(line.all(), Place::Trigger)
    }

    fn triggered(&mut self, fragment: Fragment<'_>, place: Place) -> Option<Instruction> {
        match self.instruction(fragment, place)? {
            Parsed::Instruction(instruction) => Some(*instruction),
            Parsed::Stage(_) => None,
        }
    }

    fn instruction(&mut self, fragment: Fragment<'_>, place: Place) -> Option<Parsed> {
        let head = Head::split(fragment);
        let Some(&name) = KEYWORDS.iter().find(|name| head.keyword.text().eq_ignore_ascii_case(name)) else {
            self.error(unknown(&head, fragment.line));
            return None;
        };
        let heredocs = match place {
            Place::Line => self.heredocs(name, &head)?,
            _ if !self.may_be_trigger(name, &head) => return None,
            Place::Trigger => self.heredocs(name, &head)?,
            Place::Nested(heredocs) => heredocs,
        };
        let span = if heredocs.is_empty() {
            fragment.trim().span()
        } else {
            Span { end: u32::try_from(self.lines.end()).unwrap_or(u32::MAX), ..fragment.trim().span() }
        };
        if name == "FROM" {
            let flags = Flags::check(head.flags, flags::FROM, head.keyword, self.diagnostics);
            let stage = from::read(head.keyword, head.rest, &flags, span, self.diagnostics);
            return Some(Parsed::Stage(Box::new(stage)));
        }
        let (keyword, text) = (head.keyword.spanned(), head.all.display());
        let kind = self.kind(name, head, heredocs)?;
        let instruction = Instruction { span, keyword, text, comments: Vec::new(), kind };
        Some(Parsed::Instruction(Box::new(instruction)))
    }

    fn kind(&mut self, name: &'static str, head: Head<'_>, heredocs: Vec<Heredoc>) -> Option<Kind> {
        let (keyword, rest) = (head.keyword, head.rest);
        let flags = Flags::check(head.flags, known_flags(name), keyword, self.diagnostics);
        let is_optional = matches!(name, "ADD" | "COPY" | "RUN" | "CMD" | "ENTRYPOINT");
        if !is_optional && rest.text().is_empty() {
            self.error(missing(name, keyword));
            return None;
        }
        Some(match name {
            "ADD" => Kind::Add(copy::read(name, keyword, rest, &flags, &heredocs, self.diagnostics)?),
            "ARG" => Kind::Arg(names::arguments(keyword, rest, self.diagnostics)),
            "CMD" => Kind::Cmd(form::command(rest, self.diagnostics)?),
            "COPY" => Kind::Copy(copy::read(name, keyword, rest, &flags, &heredocs, self.diagnostics)?),
            "ENTRYPOINT" => Kind::Entrypoint(form::command(rest, self.diagnostics)?),
            "ENV" => Kind::Env(names::pairs(name, keyword, rest, self.diagnostics)?),
            "EXPOSE" => Kind::Expose(form::words(rest).into_iter().map(Fragment::word).collect()),
            "HEALTHCHECK" => Kind::Healthcheck(healthcheck::read(rest, &flags, self.diagnostics)?),
            "LABEL" => Kind::Label(names::pairs(name, keyword, rest, self.diagnostics)?),
            "MAINTAINER" => Kind::Maintainer(rest.spanned()),
            "ONBUILD" => self.onbuild(rest, heredocs)?,
            "RUN" => Kind::Run(self.run(rest, &flags, heredocs)?),
            "SHELL" => self.shell(keyword, rest)?,
            "STOPSIGNAL" => Kind::Stopsignal(rest.word()),
            "USER" => Kind::User(rest.word()),
            "VOLUME" => self.volume(keyword, rest)?,
            _ => Kind::Workdir(rest.word()),
        })
    }

    /// Reads the bodies of the heredocs that the line announces, if the instruction can have any. Nothing if one does
    /// not end: the instruction is lost, and the rest of the file with it.
    fn heredocs(&mut self, name: &str, head: &Head<'_>) -> Option<Vec<Heredoc>> {
        let nested = (name == "ONBUILD").then(|| Head::split(head.rest));
        let inner = nested.as_ref().unwrap_or(head);
        let takes = |keyword: &str| inner.keyword.text().eq_ignore_ascii_case(keyword);
        let possible = ["RUN", "COPY", "ADD"].into_iter().any(takes);
        if !possible || !matches!(json::read(inner.rest), json::Json::No) {
            return Some(Vec::new());
        }
        heredoc::read(heredoc::of_line(head.keyword.line.all()), self.lines, self.diagnostics)
    }

    fn run(&mut self, rest: Fragment<'_>, flags: &Flags, heredocs: Vec<Heredoc>) -> Option<Run> {
        let flags = RunFlags {
            mounts: flags.texts("mount"),
            network: flags.text("network"),
            security: flags.text("security"),
            devices: flags.texts("device"),
        };
        let command = form::command(rest, self.diagnostics)?;
        let script = !heredocs.is_empty() && heredoc::announced(rest).is_some();
        Some(Run { flags, command, heredocs, script })
    }

    fn shell(&mut self, keyword: Fragment<'_>, rest: Fragment<'_>) -> Option<Kind> {
        match json::read(rest) {
            json::Json::Strings(arguments) if arguments.is_empty() => self.error(missing("SHELL", keyword)),
            json::Json::Strings(arguments) => return Some(Kind::Shell(arguments)),
            json::Json::Other => self.error(json::not_strings(rest)),
            json::Json::No => {
                let error = Diagnostic::error(rest.span(), "SHELL requires the arguments to be in JSON form");
                self.error(error.help("write `SHELL [\"/bin/bash\", \"-c\"]`"));
            }
        }
        None
    }

    fn volume(&mut self, keyword: Fragment<'_>, rest: Fragment<'_>) -> Option<Kind> {
        let items = form::list(rest, self.diagnostics)?;
        if items.is_empty() {
            self.error(missing("VOLUME", keyword));
            return None;
        }
        let mut words = Vec::with_capacity(items.len());
        for item in items {
            let word = match item {
                // White space that does not part words may still stand around them.
                Item::Written(fragment) => fragment.trim().word(),
                Item::Decoded(text) => Word::parse(text.value.trim(), text.span, rest.line.escape),
            };
            if word.text.is_empty() {
                self.error(Diagnostic::error(word.span, "VOLUME specified can not be an empty string"));
            }
            words.push(word);
        }
        Some(Kind::Volume(words))
    }

    /// Reads a trigger. The image keeps its text as joined from its lines, with the heredocs behind it.
    fn onbuild(&mut self, rest: Fragment<'_>, heredocs: Vec<Heredoc>) -> Option<Kind> {
        let mut trigger = rest.to_end_of_line().text().to_owned();
        for heredoc in &heredocs {
            trigger.push('\n');
            trigger.push_str(&heredoc.raw);
            trigger.push_str(&heredoc.name);
        }
        let instruction = self.triggered(rest, Place::Nested(heredocs))?;
        Some(Kind::Onbuild(Onbuild { trigger, instruction: Box::new(instruction) }))
    }

    fn may_be_trigger(&mut self, name: &str, head: &Head<'_>) -> bool {
        let message = match name {
            "ONBUILD" => "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned(),
            "FROM" | "MAINTAINER" => format!("{name} isn't allowed as an ONBUILD trigger"),
            _ => return true,
        };
        self.error(Diagnostic::error(head.keyword.span(), message));
        false
    }

    fn error(&mut self, error: Diagnostic) {
        self.diagnostics.push(error);
    }
}

fn known_flags(name: &str) -> Known {
    match name {
        "ADD" => flags::ADD,
        "COPY" => flags::COPY,
        "RUN" => flags::RUN,
        "HEALTHCHECK" => flags::HEALTHCHECK,
        _ => flags::NONE,
    }
}

/// An instruction says nothing. What is written after it may be an escape alone, which means nothing where a line ends.
pub(super) fn missing(name: &str, keyword: Fragment<'_>) -> Diagnostic {
    let count = match name {
        "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR" => "exactly one argument",
        _ => "at least one argument",
    };
    Diagnostic::error(keyword.span(), format!("{name} requires {count}"))
}

fn unknown(head: &Head<'_>, line: &Line<'_>) -> Diagnostic {
    let written = head.keyword.text();
    let shown: String = written.chars().take(100).collect();
    let near = nearest(written, KEYWORDS.iter().copied()).map(|near| match_case(near, written));
    let suggestion = near.as_ref().map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    let message = format!("dockerfile parse error on line {}: unknown instruction: {shown}{suggestion}", line.number);
    let error = Diagnostic::error(head.keyword.span(), message);
    match near {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error.help(format!("if it belongs to the line above, that must end in `{}`", line.escape)),
    }
}

/// Returns `name`, which is in upper case, in lower case if `written` is.
fn match_case(name: &str, written: &str) -> String {
    if written.chars().any(char::is_uppercase) { name.to_owned() } else { name.to_lowercase() }
}
