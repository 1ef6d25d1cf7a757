//! The variables of a command. Most steps see what the step before them saw, and of a thousand steps that each add one,
//! the last sees a thousand: so they share.

use std::fmt;
use std::sync::{Arc, OnceLock};

/// How many variables are shared or copied together.
const BLOCK: usize = 16;

type Variable = (String, String);

/// Names and values in the order they were defined. A clone is cheap, and so is a change of one of two clones: what it does
/// not touch stays common.
#[derive(Clone, Default)]
pub struct Environment {
    /// All but the last are full.
    blocks: Vec<Arc<Block>>,
    len: usize,
    size: usize,
}

/// Neighboring variables.
#[derive(Default)]
struct Block {
    variables: Vec<Arc<Variable>>,
    /// What [`Environment::encode`] was told of them.
    encoded: OnceLock<Vec<u8>>,
}

impl Clone for Block {
    /// A copy is made to be changed.
    fn clone(&self) -> Self {
        let mut variables = Vec::with_capacity(BLOCK);
        variables.extend_from_slice(&self.variables);
        Self { variables, encoded: OnceLock::new() }
    }
}

impl Environment {
    /// Returns the number of variables.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = &(String, String)> {
        self.blocks.iter().flat_map(|block| &block.variables).map(|variable| &**variable)
    }

    /// Returns about how many bytes the names and values take.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns the value at a position, which must be below [`len`](Self::len).
    pub(crate) fn value(&self, position: usize) -> &str {
        &self.blocks[position / BLOCK].variables[position % BLOCK].1
    }

    pub(crate) fn push(&mut self, name: String, value: String) {
        if self.len.is_multiple_of(BLOCK) {
            self.blocks.push(Arc::default());
        }
        self.size += size_of::<Variable>() + name.len() + value.len();
        let position = self.len;
        self.len += 1;
        self.block(position).variables.push(Arc::new((name, value)));
    }

    pub(crate) fn replace(&mut self, position: usize, value: String) {
        self.size = self.size - self.value(position).len() + value.len();
        let variable = &mut self.block(position).variables[position % BLOCK];
        *variable = Arc::new((variable.0.clone(), value));
    }

    /// Returns the block that a position is in, to be changed.
    fn block(&mut self, position: usize) -> &mut Block {
        let block = Arc::make_mut(&mut self.blocks[position / BLOCK]);
        block.encoded.take();
        block
    }

    /// Appends what `encode` makes of all variables to `encoded`. It is asked once for those that several share, so it must
    /// always be the same.
    pub(crate) fn encode(&self, encode: impl Fn(&[Arc<Variable>]) -> Vec<u8>, encoded: &mut Vec<u8>) {
        for block in &self.blocks {
            encoded.extend_from_slice(block.encoded.get_or_init(|| encode(&block.variables)));
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of variables that are each called by their position.
    fn environment(values: impl IntoIterator<Item = usize>) -> Environment {
        let mut environment = Environment::default();
        values.into_iter().enumerate().for_each(|(name, value)| environment.push(name.to_string(), value.to_string()));
        environment
    }

    #[track_caller]
    fn check(environment: &Environment, values: impl IntoIterator<Item = usize>) {
        let expected: Vec<_> = values.into_iter().enumerate().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        assert_eq!(environment.iter().cloned().collect::<Vec<_>>(), expected);
        assert_eq!(environment.len(), expected.len());
        let size: usize = expected.iter().map(|(name, value)| size_of::<Variable>() + name.len() + value.len()).sum();
        assert_eq!(environment.size(), size);
        let encode = |variables: &[Arc<Variable>]| format!("{variables:?}").into_bytes();
        let mut encoded = Vec::new();
        environment.encode(encode, &mut encoded);
        let expected: Vec<_> = expected.into_iter().map(Arc::new).collect();
        assert_eq!(encoded, expected.chunks(BLOCK).flat_map(encode).collect::<Vec<_>>());
    }

    #[test]
    fn clones_do_not_see_what_is_changed_in_one() {
        let first = environment(0..40);
        let mut second = first.clone();
        check(&first, 0..40);
        for position in [0, 17, 39] {
            second.replace(position, "100".to_owned());
        }
        second.push("40".to_owned(), "40".to_owned());
        let changed = |value: usize| if [0, 17, 39].contains(&value) { 100 } else { value };
        check(&second, (0..41).map(changed));
        check(&first, 0..40);
        second.replace(17, "17".to_owned());
        check(&second, (0..41).map(|value| if value == 17 { 17 } else { changed(value) }));
    }

    #[test]
    fn blocks_without_a_change_stay_common() {
        let first = environment(0..BLOCK * 3);
        let mut second = first.clone();
        second.replace(BLOCK, "other".to_owned());
        let common: Vec<_> = first.blocks.iter().zip(&second.blocks).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(common, [true, false, true]);
    }

    #[test]
    fn there_may_be_none() {
        check(&Environment::default(), []);
        assert!(Environment::default().is_empty() && !environment([1]).is_empty());
    }
}
