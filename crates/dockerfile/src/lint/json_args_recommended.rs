//! `JSONArgsRecommended`: a shell as the first process keeps signals from the program.

use std::collections::HashMap;

use super::{Report, plain_command};
use crate::ast::{Command, Dockerfile, Instruction, Kind, Stage};
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;

const RULE: &str = "JSONArgsRecommended";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    let lines = lines(&dockerfile.stages);
    for (stage, line) in dockerfile.stages.iter().zip(&lines) {
        // Who chose a shell means it; and so does who builds on that.
        let mut chosen = line.parent.is_some_and(|parent| lines[parent].shell);
        for instruction in &stage.instructions {
            match &instruction.kind {
                Kind::Shell(_) => chosen = true,
                Kind::Cmd(Command::Shell(text)) if !chosen => {
                    let in_the_way = line.entrypoint.then_some("ENTRYPOINT is given the shell too");
                    report.warn(&instruction.comments, warning(instruction, text, in_the_way));
                }
                Kind::Entrypoint(Command::Shell(text)) if !chosen => {
                    let in_the_way = line.command.then_some("CMD, which the shell ignores, would be given to it");
                    report.warn(&instruction.comments, warning(instruction, text, in_the_way));
                }
                _ => {}
            }
        }
    }
}

/// What a stage has to do with others, as far as the file shows.
struct Line {
    /// The stage it is made from.
    parent: Option<usize>,
    /// It or one it is made from has `SHELL`.
    shell: bool,
    /// It or one it is made from has `ENTRYPOINT`, which `CMD` is given to.
    entrypoint: bool,
    /// It or one made from it has `CMD`.
    command: bool,
}

fn lines(stages: &[Stage]) -> Vec<Line> {
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut lines: Vec<Line> = Vec::with_capacity(stages.len());
    for (index, stage) in stages.iter().enumerate() {
        let parent = names.get(&stage.from.image.text.to_lowercase()).copied();
        let has = |wanted: fn(&Kind) -> bool| stage.instructions.iter().any(|instruction| wanted(&instruction.kind));
        let above = |wanted: fn(&Line) -> bool| parent.is_some_and(|parent| wanted(&lines[parent]));
        let line = Line {
            parent,
            shell: above(|line| line.shell) || has(|kind| matches!(kind, Kind::Shell(_))),
            entrypoint: above(|line| line.entrypoint) || has(|kind| matches!(kind, Kind::Entrypoint(_))),
            command: has(|kind| matches!(kind, Kind::Cmd(_))),
        };
        lines.push(line);
        names.extend(stage.from.name.as_ref().map(|name| (name.value.to_lowercase(), index)));
    }
    for index in (0..lines.len()).rev() {
        if let Some(parent) = lines[index].parent {
            lines[parent].command |= lines[index].command;
        }
    }
    lines
}

/// Returns the finding, with a fix if the command needs no shell and nothing is `in_the_way`.
fn warning(instruction: &Instruction, text: &Spanned<String>, in_the_way: Option<&str>) -> Diagnostic {
    let keyword = instruction.keyword.value.to_uppercase();
    let message =
        format!("JSON arguments recommended for {keyword} to prevent unintended behavior related to OS signals");
    let warning = Diagnostic::warning(RULE, instruction.span, message);
    let left = |reason: &str| format!("`--fix` leaves it to you: {reason}");
    match (plain_command::words(&text.value), in_the_way) {
        (Ok(words), None) => {
            let array = array(&words);
            warning.help(format!("write `{keyword} {array}`")).fix(text.span, array)
        }
        (Ok(words), Some(reason)) => warning.help(format!("write `{keyword} {}`", array(&words))).help(left(reason)),
        (Err(reason), _) => warning.help(format!("write `{keyword} [\"program\", \"argument\"]`")).help(left(&reason)),
    }
}

/// Returns a JSON array.
fn array(words: &[String]) -> String {
    let mut array = String::from("[");
    for (index, word) in words.iter().enumerate() {
        array.push_str(if index == 0 { "\"" } else { ", \"" });
        for character in word.chars() {
            match character {
                '"' | '\\' => array.extend(['\\', character]),
                control if control < ' ' => array.push_str(&format!("\\u{:04x}", u32::from(control))),
                other => array.push(other),
            }
        }
        array.push('"');
    }
    array + "]"
}
