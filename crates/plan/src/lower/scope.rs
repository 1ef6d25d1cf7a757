//! What one instruction sees of the stage it is in, and what it may do to it.

use std::borrow::Cow;
use std::fmt::Write as _;

use dockerfile::ast::{Command, Instruction, Kind};
use dockerfile::word::{Expanded, Variables as _};
use dockerfile::{Diagnostic, Span, Word};
use image::Platform;
use image::config::ContainerConfig;

use super::stage::Stages;
use crate::env::Env;
use crate::op::{Op, Source};
use crate::remote::redact;
use crate::state::State;
use crate::{HistoryLine, Input, VertexId, lint};

/// What a command is given to if nobody says anything else.
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// `MAX_ARG_STRLEN`, the zero at the end included: a longer `NAME=value` no command can be given.
const MAX_VARIABLE: usize = 128 << 10;

#[derive(Debug)]
pub(super) struct Scope<'s, 'a> {
    pub(super) stages: &'s mut Stages<'a>,
    pub(super) state: State,
    pub(super) index: usize,
    /// A `CMD` stands in this stage: `ENTRYPOINT` leaves it alone.
    pub(super) has_command: bool,
    steps: Steps,
    history: Vec<HistoryLine>,
}

impl<'s, 'a> Scope<'s, 'a> {
    pub(super) fn new(
        stages: &'s mut Stages<'a>,
        state: State,
        index: usize,
        steps: Steps,
        history: Vec<HistoryLine>,
    ) -> Self {
        Self { stages, state, index, has_command: false, steps, history }
    }

    pub(super) fn finish(self) -> (State, Vec<HistoryLine>) {
        (self.state, self.history)
    }

    pub(super) fn config(&mut self) -> &mut ContainerConfig {
        &mut self.state.config.config
    }

    /// Reports a mistake.
    pub(super) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.stages.findings.error(span, message);
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.stages.findings.push(diagnostic);
    }

    /// Refuses what parses but does not work yet.
    pub(super) fn unsupported(&mut self, span: Span, what: &str) {
        self.error(span, format!("{what} is not supported yet"));
    }

    /// Expands a word with the variables of the stage; `None` if that fails, which has been reported.
    pub(super) fn expand(&mut self, word: &Word) -> Option<String> {
        let expanded = self.stages.findings.expand(word, &self.state.env)?;
        self.warn_undefined(&expanded, word.span);
        Some(expanded.value)
    }

    /// Refuses a variable with which no command could be run; `None` if it is one.
    pub(super) fn check_variable(&mut self, name: &str, value: &str, span: Span) -> Option<()> {
        let length = name.len() + "=".len() + value.len();
        if length < MAX_VARIABLE {
            return Some(());
        }
        let message =
            format!("the variable is {length} bytes long: a command can be given {} at most", MAX_VARIABLE - 1);
        self.error(span, message);
        None
    }

    fn warn_undefined(&mut self, expanded: &Expanded, span: Span) {
        for (name, _) in expanded.used.iter().filter(|(_, unset)| *unset) {
            if !self.state.arguments.contains(name) {
                lint::undefined_variable(name, span, &self.state.env, self.stages.findings);
            }
        }
    }

    /// Returns the escape character of the text an instruction stands in: triggers have no directives.
    pub(super) fn escape(&self, span: Span) -> char {
        let dockerfile = self.stages.dockerfile;
        let own = span.source == dockerfile.source;
        dockerfile.directives.escape.as_ref().filter(|_| own).map_or('\\', |escape| escape.value)
    }

    /// Returns `command` as what is executed: the shell form is given to the shell.
    pub(super) fn arguments(&self, command: &Command) -> Vec<String> {
        match command {
            Command::Exec(words) => words.iter().map(|word| word.value.clone()).collect(),
            Command::Shell(text) => self.with_shell(&text.value),
        }
    }

    /// Notes that a command is run by a shell that was chosen.
    pub(super) fn note_shell(&mut self, instruction: &Instruction, command: &Command) {
        if matches!(command, Command::Shell(_)) && self.shell().is_some() {
            self.stages.builder.chosen_shells.push(instruction.span);
        }
    }

    /// Returns the shell that `SHELL` or the base image names.
    fn shell(&self) -> Option<&Vec<String>> {
        self.state.config.config.shell.as_ref().filter(|shell| !shell.is_empty())
    }

    pub(super) fn with_shell(&self, text: &str) -> Vec<String> {
        let shell = self.shell();
        let mut words = Vec::with_capacity(shell.map_or(DEFAULT_SHELL.len(), Vec::len) + 1);
        match shell {
            Some(shell) => words.extend_from_slice(shell),
            None => words.extend(DEFAULT_SHELL.map(str::to_owned)),
        }
        words.push(text.to_owned());
        words
    }

    /// Adds a line of history without a layer.
    pub(super) fn note(&mut self, created_by: impl Into<String>) {
        self.history.push(HistoryLine { created_by: created_by.into(), layer: None });
    }

    /// Counts a step that makes no layer.
    pub(super) fn skip_step(&mut self, instruction: &Instruction) {
        self.step_name(instruction);
    }

    /// Puts a layer on the stage, with its line of history.
    pub(super) fn layer(
        &mut self,
        instruction: &Instruction,
        op: Op,
        inputs: Vec<Input>,
        created_by: String,
    ) -> Option<()> {
        self.stages.findings.charge(op.size() + created_by.len(), instruction.span)?;
        let name = self.step_name(instruction);
        let origin = self.stages.origin(self.index, instruction.span, name);
        let id: VertexId = self.stages.builder.add(op, self.state.root, inputs, origin);
        self.state.root = Some(id);
        self.history.push(HistoryLine { created_by, layer: Some(id) });
        Some(())
    }

    /// Makes the vertex of something that is fetched; equal ones of one place are one.
    pub(super) fn source(&mut self, source: Source, span: Span, name: String) -> Option<VertexId> {
        let op = Op::Source(source);
        self.stages.findings.charge(op.size() + name.len(), span)?;
        let origin = self.stages.origin(self.index, span, name);
        Some(self.stages.builder.add(op, None, Vec::new(), origin))
    }

    fn step_name(&mut self, instruction: &Instruction) -> String {
        let text = match instruction.kind {
            Kind::Add(_) => redact(&instruction.text),
            _ => Cow::Borrowed(instruction.text.as_str()),
        };
        self.steps.next(&self.state.env, &instruction.keyword.value, &text)
    }
}

/// Numbers the steps of a stage as they are shown: `[build  3/12] RUN make`, and in a build for several platforms
/// `[linux/amd64->arm64 build  3/12] RUN make`.
#[derive(Debug)]
pub(super) struct Steps {
    /// Of the stage; `None` if the build has but one.
    platform: Option<Platform>,
    stage: String,
    done: usize,
    total: usize,
}

impl Steps {
    pub(super) fn new(platform: Option<Platform>, stage: String, total: usize) -> Self {
        Self { platform, stage, done: 0, total }
    }

    pub(super) fn next(&mut self, env: &Env, keyword: &str, text: &str) -> String {
        self.done += 1;
        let width = self.total.max(1).ilog10() as usize + 1;
        let platform = self.platform.as_ref().map(|platform| format!("{platform}{} ", made_for(platform, env)));
        let platform = platform.unwrap_or_default();
        // Two numbers of ten digits at most, and what is around them.
        let mut name = String::with_capacity(platform.len() + self.stage.len() + keyword.len() + text.len() + 25);
        name.extend(["[", &platform, &self.stage]);
        let _ = write!(name, "{:>width$}/{}] ", self.done, self.total);
        name.extend(keyword.chars().map(|letter| letter.to_ascii_uppercase()));
        name.extend([" ", text]);
        name
    }
}

/// Says what a stage that asked for its target (`ARG TARGETARCH`) works for, if that is something else than it is itself.
fn made_for(platform: &Platform, env: &Env) -> String {
    let whole = env.get("TARGETPLATFORM").and_then(|text| text.parse::<Platform>().ok());
    let target = whole.or_else(|| {
        let os = env.get("TARGETOS").unwrap_or(&platform.os);
        Some(Platform::normalized(os, env.get("TARGETARCH")?, env.get("TARGETVARIANT")))
    });
    match target.filter(|target| target != platform) {
        None => String::new(),
        Some(target) if target.os != platform.os => format!("->{target}"),
        Some(target) => {
            let variant = target.variant.map(|variant| format!("/{variant}")).unwrap_or_default();
            format!("->{}{variant}", target.architecture)
        }
    }
}
