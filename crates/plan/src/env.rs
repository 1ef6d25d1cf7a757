//! Variables in the order they were defined last.

use std::collections::HashMap;

use dockerfile::word::Variables;

use crate::environment::Environment;

/// Declared for the attestation scanner alone: never variables, and never missed.
pub(crate) const NOT_IN_ENV: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// One map for `ENV` and `ARG`. A variable that is defined again moves to the end, as in BuildKit (`llb.AddEnv`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Env {
    variables: Environment,
    positions: HashMap<String, usize>,
}

impl Env {
    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        if let Some(position) = self.positions.remove(key) {
            self.variables.remove(position);
            if self.variables.is_sparse() {
                self.close_gaps();
            }
        }
        let position = self.variables.push(key.to_owned(), value.into());
        self.positions.insert(key.to_owned(), position);
    }

    fn close_gaps(&mut self) {
        let sparse = std::mem::take(&mut self.variables);
        for (name, value) in sparse.iter() {
            let position = self.variables.push(name.clone(), value.clone());
            self.positions.insert(name.clone(), position);
        }
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.positions.contains_key(key)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|(key, _)| key.as_str())
    }

    /// Returns the variables as they are now.
    pub(crate) fn variables(&self) -> &Environment {
        &self.variables
    }
}

impl Variables for Env {
    fn get(&self, name: &str) -> Option<&str> {
        self.positions.get(name).map(|position| self.variables.value(*position))
    }
}

/// The `ARG`s so far, as the history has them: in the order they were first declared, each with what it has come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    pairs: Vec<(String, String)>,
    positions: HashMap<String, usize>,
    /// `A=1 B=2 `, until a value changes: most steps have the same as the one before.
    text: Option<String>,
}

impl Arguments {
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.positions.contains_key(name)
    }

    /// Declares an argument, unless it is declared, and gives it a value.
    pub(crate) fn declare(&mut self, name: &str, value: &str) {
        if self.contains(name) {
            return self.assign(name, value);
        }
        self.positions.insert(name.to_owned(), self.pairs.len());
        self.pairs.push((name.to_owned(), value.to_owned()));
        if let Some(text) = &mut self.text {
            push_pair(name, value, text);
        }
    }

    /// Gives an argument another value, if it is one.
    pub(crate) fn assign(&mut self, name: &str, value: &str) {
        let Some(position) = self.positions.get(name) else { return };
        value.clone_into(&mut self.pairs[*position].1);
        self.text = None;
    }

    /// Returns about how many bytes the names and values take.
    pub(crate) fn size(&self) -> usize {
        self.pairs.iter().map(|(name, value)| size_of::<(String, String)>() + name.len() + value.len()).sum()
    }

    /// Returns `|2 A=1 B=2 `, nothing if there are none.
    pub(crate) fn text(&mut self) -> String {
        if self.pairs.is_empty() {
            return String::new();
        }
        let text = self.text.get_or_insert_with(|| {
            let mut text = String::new();
            self.pairs.iter().for_each(|(name, value)| push_pair(name, value, &mut text));
            text
        });
        format!("|{} {text}", self.pairs.len())
    }
}

fn push_pair(name: &str, value: &str, text: &mut String) {
    [name, "=", value, " "].into_iter().for_each(|part| text.push_str(part));
}

/// The `k=v` list of an image configuration. What a base has that is no such pair stays as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct List {
    items: Vec<String>,
    positions: HashMap<String, usize>,
}

impl List {
    pub(crate) fn new(items: Vec<String>) -> Self {
        let keys = items.iter().enumerate().rev().map(|(position, item)| (split(item).0.to_owned(), position));
        let positions = keys.collect();
        Self { items, positions }
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.positions.contains_key(key)
    }

    /// Replaces the value of `key`, or appends it.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let pair = [key, "=", value].concat();
        if let Some(position) = self.positions.get(key) {
            self.items[*position] = pair;
        } else {
            self.positions.insert(key.to_owned(), self.items.len());
            self.items.push(pair);
        }
    }

    /// Returns about how many bytes the pairs take.
    pub(crate) fn size(&self) -> usize {
        self.items.iter().map(|item| size_of::<String>() + item.len()).sum()
    }

    pub(crate) fn items(&self) -> &[String] {
        &self.items
    }
}

/// Splits `k=v`; what has no `=` is a name with an empty value.
pub(crate) fn split(pair: &str) -> (&str, &str) {
    pair.split_once('=').unwrap_or((pair, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_definition_moves_to_the_end() {
        let mut env = Env::default();
        env.set("A", "1");
        env.set("B", "2");
        for number in 3..100 {
            env.set("A", number.to_string());
        }
        let pairs: Vec<_> = env.variables().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("B", "2"), ("A", "99")]);
        assert_eq!((env.get("A"), env.get("B"), env.get("C")), (Some("99"), Some("2"), None));
        assert!(!env.variables().is_sparse());
    }

    #[test]
    fn a_list_compares_whole_names() {
        let mut list = List::new(vec!["PATH=/bin".to_owned(), "ODD".to_owned(), "STAYS".to_owned()]);
        list.set("PAT", "x");
        list.set("PATH", "/usr/bin");
        list.set("ODD", "1=2");
        assert_eq!(list.items(), ["PATH=/usr/bin", "ODD=1=2", "STAYS", "PAT=x"]);
        assert!(list.contains("PAT") && !list.contains("PA"));
    }

    #[test]
    fn of_two_equal_names_in_a_list_the_first_is_replaced() {
        let mut list = List::new(vec!["A=1".to_owned(), "A=2".to_owned()]);
        list.set("A", "3");
        assert_eq!(list.items(), ["A=3", "A=2"]);
    }
}
