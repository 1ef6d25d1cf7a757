//! Logical lines to instructions, instructions to stages.

mod copy;
mod directive;
mod duration;
mod flags;
mod form;
mod from;
mod head;
mod healthcheck;
mod heredoc;
mod instruction;
mod json;
mod names;

use crate::ast::{Dockerfile, Instruction, Kind, Stage};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::lines::Lines;
use crate::source::{Source, Span};
use instruction::{Parsed, Reader};

/// After so many errors the rest of the file is not read.
const MAX_ERRORS: usize = 100;

/// Reads a whole file.
pub(crate) fn dockerfile(source: &Source, diagnostics: &mut Diagnostics) -> Dockerfile {
    let mut dockerfile = Dockerfile { source: source.id, ..Dockerfile::default() };
    if source.text.is_empty() {
        diagnostics.push(Diagnostic::error(Span::new(source.id, 0, 0), "the Dockerfile cannot be empty"));
        return dockerfile;
    }
    if too_large(source, diagnostics) {
        return dockerfile;
    }
    let mut lines = Lines::new(source);
    dockerfile.directives = directive::read(&mut lines, source, diagnostics);
    let mut file = File { dockerfile, last: None, misplaced: false };
    let known = diagnostics.errors();
    while let Some(line) = lines.logical(diagnostics) {
        file.dockerfile.empty_continuations.extend(line.empty);
        let span = line.all().trim().span();
        if diagnostics.errors() - known >= MAX_ERRORS {
            diagnostics.push(Diagnostic::error(span, "too many errors; the rest of the file was not read"));
            break;
        }
        file.last = Some(span);
        let parsed = Reader { lines: &mut lines, diagnostics }.line(&line);
        if let Some(parsed) = parsed {
            file.add(parsed, diagnostics);
        }
    }
    file.end(source, diagnostics)
}

/// Reads a text that must hold one instruction other than `FROM`.
pub(crate) fn trigger(source: &Source, diagnostics: &mut Diagnostics) -> Option<Instruction> {
    if too_large(source, diagnostics) {
        return None;
    }
    let mut lines = Lines::new(source);
    directive::read(&mut lines, source, diagnostics);
    let Some(line) = lines.logical(diagnostics) else {
        diagnostics.push(Diagnostic::error(Span::new(source.id, 0, 0), "the ONBUILD trigger is empty"));
        return None;
    };
    let parsed = Reader { lines: &mut lines, diagnostics }.trigger(&line);
    if let Some(next) = lines.logical(diagnostics) {
        let message = "onbuild trigger should be a single expression";
        diagnostics.push(Diagnostic::error(next.all().trim().span(), message));
    }
    parsed
}

fn too_large(source: &Source, diagnostics: &mut Diagnostics) -> bool {
    let large = source.text.len() > crate::MAX_SOURCE;
    if large {
        let message = format!("the Dockerfile is larger than {} MiB", crate::MAX_SOURCE >> 20);
        diagnostics.push(Diagnostic::error(Span::new(source.id, 0, 0), message));
    }
    large
}

/// The file as far as it is read.
struct File {
    dockerfile: Dockerfile,
    /// Where the last instruction is.
    last: Option<Span>,
    /// An instruction before the first `FROM` was reported.
    misplaced: bool,
}

impl File {
    fn add(&mut self, parsed: Parsed, diagnostics: &mut Diagnostics) {
        match parsed {
            Parsed::Stage(stage) => self.dockerfile.stages.push(*stage),
            Parsed::Instruction(instruction) => match self.dockerfile.stages.last_mut() {
                Some(Stage { instructions, .. }) => instructions.push(*instruction),
                None => self.add_global(*instruction, diagnostics),
            },
        }
    }

    fn add_global(&mut self, instruction: Instruction, diagnostics: &mut Diagnostics) {
        if matches!(instruction.kind, Kind::Arg(_)) {
            self.dockerfile.globals.push(instruction);
        } else if !self.misplaced {
            self.misplaced = true;
            let help = "a Dockerfile begins with FROM; only ARG may come before it";
            let error = Diagnostic::error(instruction.keyword.span, "no build stage in current context");
            diagnostics.push(error.help(help));
        }
    }

    fn end(self, source: &Source, diagnostics: &mut Diagnostics) -> Dockerfile {
        let Some(last) = self.last else {
            if !diagnostics.has_errors() {
                let span = Span::new(source.id, 0, source.text.trim_end().len());
                diagnostics.push(Diagnostic::error(span, "file with no instructions"));
            }
            return self.dockerfile;
        };
        if self.dockerfile.stages.is_empty() && !self.misplaced && !diagnostics.has_errors() {
            let error = Diagnostic::error(last, "dockerfile contains no stages to build");
            diagnostics.push(error.help("begin a stage with FROM"));
        }
        self.dockerfile
    }
}

#[cfg(test)]
mod tests;
