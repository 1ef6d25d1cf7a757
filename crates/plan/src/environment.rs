//! The variables of a command. Most steps see what the step before them saw, and of a thousand steps that each add one,
//! the last sees a thousand: so they share.

use std::fmt;
use std::sync::{Arc, OnceLock};

/// How many variables are shared or copied together.
const BLOCK: usize = 16;

type Variable = (String, String);

/// Names and values in the order they were defined last. A clone is cheap, and so is a change of one of two clones: what it does
/// not touch stays common.
#[derive(Clone, Default)]
pub struct Environment {
    /// All but the last are full.
    blocks: Vec<Arc<Block>>,
    /// How many places there are, those of variables that were removed included.
    places: usize,
    len: usize,
    size: usize,
}

/// Neighboring variables.
#[derive(Default)]
struct Block {
    variables: Vec<Option<Arc<Variable>>>,
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
        self.blocks.iter().flat_map(|block| block.variables.iter().flatten()).map(|variable| &**variable)
    }

    /// Returns about how many bytes the names and values take.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns the value at a position that [`push`](Self::push) gave.
    pub(crate) fn value(&self, position: usize) -> &str {
        self.blocks[position / BLOCK].variables[position % BLOCK].as_ref().map_or("", |variable| &variable.1)
    }

    /// Adds a variable that is not there yet; returns its position.
    pub(crate) fn push(&mut self, name: String, value: String) -> usize {
        if self.places.is_multiple_of(BLOCK) {
            self.blocks.push(Arc::default());
        }
        self.size += size(&name, &value);
        self.len += 1;
        let position = self.places;
        self.places += 1;
        self.block(position).variables.push(Some(Arc::new((name, value))));
        position
    }

    /// Removes the variable at a position. The others keep theirs.
    pub(crate) fn remove(&mut self, position: usize) {
        if let Some(variable) = self.block(position).variables[position % BLOCK].take() {
            self.size -= size(&variable.0, &variable.1);
            self.len -= 1;
        }
    }

    /// True if most places are empty, and there is more than a block of them.
    pub(crate) fn is_sparse(&self) -> bool {
        self.places > BLOCK + 2 * self.len
    }

    /// Returns the block that a position is in, to be changed.
    fn block(&mut self, position: usize) -> &mut Block {
        let block = Arc::make_mut(&mut self.blocks[position / BLOCK]);
        block.encoded.take();
        block
    }

    /// Appends what `encode` appends for each variable. It is asked once for those that several share, so it must always be
    /// the same.
    pub(crate) fn encode(&self, encode: impl Fn(&(String, String), &mut Vec<u8>), encoded: &mut Vec<u8>) {
        for block in &self.blocks {
            encoded.extend_from_slice(block.encoded.get_or_init(|| {
                let variables = block.variables.iter().flatten();
                let mut encoded = Vec::with_capacity(variables.clone().map(|v| size(&v.0, &v.1)).sum());
                variables.for_each(|variable| encode(variable, &mut encoded));
                encoded
            }));
        }
    }
}

fn size(name: &str, value: &str) -> usize {
    size_of::<Variable>() + name.len() + value.len()
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables that are each called by their value.
    fn environment(values: impl IntoIterator<Item = usize>) -> Environment {
        let mut environment = Environment::default();
        for value in values {
            environment.push(value.to_string(), value.to_string());
        }
        environment
    }

    #[track_caller]
    fn check(environment: &Environment, values: impl IntoIterator<Item = usize>) {
        let expected: Vec<_> = values.into_iter().map(|value| (value.to_string(), value.to_string())).collect();
        assert_eq!(environment.iter().cloned().collect::<Vec<_>>(), expected);
        assert_eq!(environment.len(), expected.len());
        assert_eq!(environment.size(), expected.iter().map(|(name, value)| size(name, value)).sum::<usize>());
        let encode = |variable: &Variable, encoded: &mut Vec<u8>| encoded.extend(format!("{variable:?}").bytes());
        let (mut encoded, mut whole) = (Vec::new(), Vec::new());
        environment.encode(encode, &mut encoded);
        expected.iter().for_each(|variable| encode(variable, &mut whole));
        assert_eq!(encoded, whole, "where blocks begin must not show");
    }

    #[test]
    fn clones_do_not_see_what_is_changed_in_one() {
        let first = environment(0..40);
        let mut second = first.clone();
        check(&first, 0..40);
        for position in [0, 17, 39] {
            second.remove(position);
        }
        assert_eq!(second.push("40".to_owned(), "40".to_owned()), 40);
        check(&second, (0..41).filter(|value| ![0, 17, 39].contains(value)));
        assert_eq!((second.value(16), second.value(40)), ("16", "40"));
        check(&first, 0..40);
        second.remove(17);
        check(&second, (0..41).filter(|value| ![0, 17, 39].contains(value)));
    }

    #[test]
    fn blocks_without_a_change_stay_common() {
        let first = environment(0..BLOCK * 3);
        let mut second = first.clone();
        second.remove(BLOCK);
        let common: Vec<_> = first.blocks.iter().zip(&second.blocks).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(common, [true, false, true]);
    }

    #[test]
    fn there_may_be_none() {
        check(&Environment::default(), []);
        assert!(Environment::default().is_empty() && !environment([1]).is_empty());
    }
}
