//! `WORKDIR`: where the following instructions are; a layer if the directory may have to be made.

use dockerfile::Word;
use dockerfile::ast::Instruction;

use super::scope::Scope;
use crate::lint;
use crate::op::{Op, Workdir};

/// `PATH_MAX`, the zero at the end included: no system call takes more.
const MAX_PATH: usize = 4096;

pub(super) fn lower(scope: &mut Scope<'_, '_>, instruction: &Instruction, word: &Word) -> Option<()> {
    let text = scope.expand(word)?;
    if !scope.state.has_workdir && !text.starts_with('/') {
        lint::relative_workdir(&text, word.span, scope.stages.findings);
    }
    scope.state.has_workdir = true;
    scope.state.enter(&text);
    if scope.config().working_dir.len() >= MAX_PATH {
        scope.error(word.span, format!("the working directory is longer than {} bytes", MAX_PATH - 1));
        // What follows starts anew, so as not to be as wrong.
        scope.state.enter("/");
        return None;
    }
    let created_by = format!("WORKDIR {}", scope.config().working_dir);
    // As written: `//` makes a layer, if an empty one.
    if matches!(scope.config().working_dir.as_str(), "" | "/") {
        scope.skip_step(instruction);
        scope.note(created_by);
        return Some(());
    }
    let op = Op::Workdir(Workdir { path: scope.state.directory().to_owned(), user: scope.config().user.clone() });
    scope.layer(instruction, op, Vec::new(), created_by)
}
