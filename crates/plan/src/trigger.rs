//! `ONBUILD` triggers: instructions that a base hands to the stages made from it.

use dockerfile::ast::{Instruction, Kind, Stage};
use dockerfile::{Diagnostics, Source, SourceId, Sources};

use crate::base::ResolvedBase;
use crate::findings::Findings;

/// Returns the triggers of an image, each read from a source of its own.
pub(crate) fn of_image(base: &ResolvedBase, sources: &mut Sources, findings: &mut Findings) -> Vec<Instruction> {
    let mut instructions = Vec::new();
    for (index, text) in base.config.config.on_build.iter().enumerate() {
        let name = format!("ONBUILD trigger {} of {}", index + 1, base.reference.familiar());
        let mut diagnostics = Diagnostics::default();
        let instruction = dockerfile::parse_trigger(&source(sources, name, text), &mut diagnostics);
        findings.extend(&diagnostics);
        instructions.extend(instruction);
    }
    instructions
}

/// Returns the triggers that a stage defines: they are in the file already.
pub(crate) fn of_stage(stage: &Stage) -> Vec<Instruction> {
    let triggers = stage.instructions.iter().filter_map(|instruction| match &instruction.kind {
        Kind::Onbuild(onbuild) => Some((*onbuild.instruction).clone()),
        _ => None,
    });
    triggers.collect()
}

/// Returns the source with that name and text, adding it if it is new: passes are repeated.
fn source(sources: &mut Sources, name: String, text: &str) -> Source {
    let known = (0..).map_while(|id| sources.get(SourceId(id))).find(|s| s.name == name && &*s.text == text);
    known.cloned().unwrap_or_else(|| sources.add(name, text))
}
