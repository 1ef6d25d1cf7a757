//! Variables in the order they were defined.

use std::collections::HashMap;

use dockerfile::word::Variables;

/// One map for `ENV` and `ARG`: a later definition takes the place of an earlier one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env {
    pairs: Vec<(String, String)>,
    positions: HashMap<String, usize>,
}

impl Env {
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        if let Some(position) = self.positions.get(key) {
            value.clone_into(&mut self.pairs[*position].1);
        } else {
            self.positions.insert(key.to_owned(), self.pairs.len());
            self.pairs.push((key.to_owned(), value.to_owned()));
        }
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.positions.contains_key(key)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(key, _)| key.as_str())
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }
}

impl Variables for Env {
    fn get(&self, name: &str) -> Option<&str> {
        self.positions.get(name).map(|position| self.pairs[*position].1.as_str())
    }
}

/// Replaces `key` in the `k=v` list of an image configuration, or appends it.
pub(crate) fn upsert(list: &mut Vec<String>, key: &str, value: &str) {
    let pair = format!("{key}={value}");
    match list.iter_mut().find(|item| split(item).0 == key) {
        Some(item) => *item = pair,
        None => list.push(pair),
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
    fn a_later_definition_keeps_the_place() {
        let mut env = Env::default();
        env.set("A", "1");
        env.set("B", "2");
        env.set("A", "3");
        let pairs: Vec<_> = env.pairs().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("A", "3"), ("B", "2")]);
        assert_eq!(env.get("A"), Some("3"));
        assert_eq!(env.get("C"), None);
    }

    #[test]
    fn upsert_compares_whole_names() {
        let mut list = vec!["PATH=/bin".to_owned(), "ODD".to_owned()];
        upsert(&mut list, "PAT", "x");
        upsert(&mut list, "PATH", "/usr/bin");
        upsert(&mut list, "ODD", "1=2");
        assert_eq!(list, ["PATH=/usr/bin", "ODD=1=2", "PAT=x"]);
    }
}
