//! From ranges of numbers to a balanced tree of classic BPF.
//!
//! Jumps only lead forward, so the program is written from its end: where a jump leads is there before the jump. Equal
//! answers are shared, which leaves one instruction for every place where the answer changes.

use std::collections::{BTreeMap, HashMap};

use super::Action;
use crate::sys::Instruction;

/// An instruction, counted from the end of the program.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Label(usize);

/// How far a conditional jump reaches.
const REACH: usize = 255;

/// A program that grows towards its beginning.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    /// Where each answer has been given last.
    answers: HashMap<u32, Label>,
    actions: HashMap<Action, Label>,
}

impl Assembler {
    /// Goes on at `then` if the comparison with the accumulator holds, and at `otherwise` if not.
    pub(super) fn branch(&mut self, comparison: u32, value: u32, then: Label, otherwise: Label) -> Label {
        // Whichever of them is made nearer lies between this and the other: room for that is left.
        let (then, otherwise) = (self.near(then), self.near(otherwise));
        let distance = |to: Label, from: usize| (from - to.0 - 1) as u8;
        let here = self.reversed.len();
        let (jt, jf) = (distance(then, here), distance(otherwise, here));
        self.push(Instruction { jt, jf, ..instruction(libc::BPF_JMP | comparison | libc::BPF_K, value) })
    }

    /// Loads the 32-bit word at `offset` of `struct seccomp_data` and goes on with what was written last.
    pub(super) fn load(&mut self, offset: u32) -> Label {
        self.push(instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset))
    }

    /// Ends the program with a `SECCOMP_RET_*` value.
    pub(super) fn answer(&mut self, value: u32) -> Label {
        match self.answers.get(&value) {
            Some(label) if self.reaches(*label) => *label,
            _ => {
                let label = self.push(instruction(libc::BPF_RET | libc::BPF_K, value));
                self.answers.insert(value, label);
                label
            }
        }
    }

    /// Takes a number in the accumulator to its action.
    pub(super) fn tree(&mut self, ranges: &[(u32, Action)], expand: fn(&mut Self, Action) -> Label) -> Label {
        let (below, above) = ranges.split_at(ranges.len() / 2);
        match (below.first(), above.first()) {
            (Some(_), Some((middle, _))) => {
                let above = self.tree(above, expand);
                let below = self.tree(below, expand);
                self.branch(libc::BPF_JGE, *middle, above, below)
            }
            (_, Some((_, Action::Return(value)))) => self.answer(*value),
            (_, Some((_, action))) => match self.actions.get(action) {
                Some(label) if self.reaches(*label) => *label,
                _ => {
                    let label = expand(self, *action);
                    self.actions.insert(*action, label);
                    label
                }
            },
            _ => self.answer(libc::SECCOMP_RET_ALLOW),
        }
    }

    /// Returns the program, from its beginning.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    /// Whether a branch that is written next, or after one more instruction, gets there.
    fn reaches(&self, label: Label) -> bool {
        self.reversed.len() - label.0 < REACH
    }

    /// The same place, or a jump to it that is within reach.
    fn near(&mut self, label: Label) -> Label {
        if self.reaches(label) {
            return label;
        }
        let distance = self.reversed.len() - label.0 - 1;
        self.push(instruction(libc::BPF_JMP | libc::BPF_JA, distance as u32))
    }

    fn push(&mut self, instruction: Instruction) -> Label {
        self.reversed.push(instruction);
        Label(self.reversed.len() - 1)
    }
}

fn instruction(code: u32, k: u32) -> Instruction {
    Instruction { code: code as u16, jt: 0, jf: 0, k }
}

/// Cuts all 32-bit numbers where the action changes: each part goes from its number to the next part's. Numbers without an
/// action have the one that `default_of` gives, which changes only where known numbers end.
pub(super) fn ranges(actions: &BTreeMap<u32, Action>, default_of: fn(u32) -> Action) -> Vec<(u32, Action)> {
    let mut ranges: Vec<(u32, Action)> = Vec::new();
    let edges = actions.keys().flat_map(|number| [*number, number + 1]);
    let mut edges: Vec<u32> = edges.chain([0, super::LAST_KNOWN + 1]).collect();
    edges.sort_unstable();
    for edge in edges {
        let action = actions.get(&edge).copied().unwrap_or_else(|| default_of(edge));
        if ranges.last().is_none_or(|(_, last)| *last != action) {
            ranges.push((edge, action));
        }
    }
    ranges
}
