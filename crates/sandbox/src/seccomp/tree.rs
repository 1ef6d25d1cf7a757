//! From ranges of numbers to a balanced tree of classic BPF.

use std::collections::BTreeMap;

use super::Action;
use crate::sys::Instruction;

/// Instructions that end in a return on every path.
pub(super) type Code = Vec<Instruction>;

/// Loads the 32-bit word at `offset` of `struct seccomp_data`.
pub(super) fn load(offset: u32) -> Instruction {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

/// Ends the program with a `SECCOMP_RET_*` value.
pub(super) fn ret(value: u32) -> Instruction {
    instruction(libc::BPF_RET | libc::BPF_K, value)
}

/// Goes on with the next instruction if the comparison holds, and after `length` of them if not.
pub(super) fn jump(comparison: u32, value: u32, length: usize) -> Code {
    let code = libc::BPF_JMP | comparison | libc::BPF_K;
    match u8::try_from(length) {
        Ok(short) => vec![Instruction { jt: 0, jf: short, ..instruction(code, value) }],
        // Conditional jumps reach 255 instructions; an unconditional one reaches them all.
        Err(_) => vec![
            Instruction { jt: 1, jf: 0, ..instruction(code, value) },
            instruction(libc::BPF_JMP | libc::BPF_JA, length as u32),
        ],
    }
}

fn instruction(code: u32, k: u32) -> Instruction {
    Instruction { code: code as u16, jt: 0, jf: 0, k }
}

/// All 32-bit numbers, cut where the action changes: each part goes from its number to the next part's.
#[derive(Debug)]
pub(super) struct Ranges(Vec<(u32, Action)>);

impl Ranges {
    /// Cuts the numbers by `actions`; the others have the action that `default_of` gives, which changes only where known
    /// numbers end.
    pub(super) fn new(actions: &BTreeMap<u32, Action>, default_of: fn(u32) -> Action) -> Self {
        let mut ranges: Vec<(u32, Action)> = Vec::new();
        let action_at = |number: u32| actions.get(&number).copied().unwrap_or_else(|| default_of(number));
        let mut starts: Vec<u32> =
            actions.keys().flat_map(|number| [*number, number + 1]).chain([0, super::LAST_KNOWN + 1]).collect();
        starts.sort_unstable();
        for start in starts {
            let action = action_at(start);
            if ranges.last().is_none_or(|(_, last)| *last != action) {
                ranges.push((start, action));
            }
        }
        Self(ranges)
    }
}

/// Returns code that takes a number in the accumulator to its action.
pub(super) fn compile(ranges: &Ranges, expand: &dyn Fn(Action) -> Code) -> Code {
    halve(&ranges.0, expand)
}

fn halve(ranges: &[(u32, Action)], expand: &dyn Fn(Action) -> Code) -> Code {
    let (below, above) = ranges.split_at(ranges.len() / 2);
    let (Some(_), Some((middle, action))) = (below.first(), above.first()) else {
        return ranges.first().map_or_else(Code::new, |(_, action)| expand(*action));
    };
    let _ = action;
    let above_code = halve(above, expand);
    let mut code = jump(libc::BPF_JGE, *middle, above_code.len());
    code.extend(above_code);
    code.extend(halve(below, expand));
    code
}
