//! `JSONArgsRecommended`: a shell as the first process keeps signals from the program.

use std::collections::HashSet;

use super::Report;
use crate::ast::{Command, Dockerfile, Kind};
use crate::diagnostic::Diagnostic;

const RULE: &str = "JSONArgsRecommended";

pub(super) fn check(dockerfile: &Dockerfile, report: &mut Report<'_>) {
    // Who chose a shell means it; and so does who builds on that.
    let mut with_shell: HashSet<String> = HashSet::new();
    for stage in &dockerfile.stages {
        let mut chosen = with_shell.contains(&stage.from.image.text.to_lowercase());
        for instruction in &stage.instructions {
            match &instruction.kind {
                Kind::Shell(_) => chosen = true,
                Kind::Cmd(Command::Shell(_)) | Kind::Entrypoint(Command::Shell(_)) if !chosen => {
                    let keyword = instruction.keyword.value.to_uppercase();
                    let message = format!(
                        "JSON arguments recommended for {keyword} to prevent unintended behavior related to OS signals"
                    );
                    let help = format!("write `{keyword} [\"program\", \"argument\"]`");
                    report.warn(&instruction.comments, Diagnostic::warning(RULE, instruction.span, message).help(help));
                }
                _ => {}
            }
        }
        if let Some(name) = &stage.from.name {
            let name = name.value.to_lowercase();
            if chosen {
                with_shell.insert(name);
            } else {
                with_shell.remove(&name);
            }
        }
    }
}
