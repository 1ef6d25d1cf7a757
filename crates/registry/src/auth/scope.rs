//! What a token is for (distribution, *Token Scope Documentation*).

use std::collections::{BTreeMap, BTreeSet};

/// A set of resources with the actions wanted on each.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Scope(BTreeMap<String, BTreeSet<String>>);

impl Scope {
    /// Returns the scope to read a repository.
    pub(crate) fn pull(repository: &str) -> Self {
        Self::default().and(repository, &["pull"])
    }

    /// Returns the scope to write a repository.
    pub(crate) fn push(repository: &str) -> Self {
        Self::default().and(repository, &["pull", "push"])
    }

    /// Adds actions on a repository.
    #[must_use]
    pub(crate) fn and(mut self, repository: &str, actions: &[&str]) -> Self {
        self.add(format!("repository:{repository}"), actions.iter().copied());
        self
    }

    /// Adds what a challenge asks for: one scope or several, separated by spaces.
    #[must_use]
    pub(crate) fn merged(mut self, text: &str) -> Self {
        for scope in text.split_ascii_whitespace() {
            if let Some((resource, actions)) = scope.rsplit_once(':') {
                self.add(resource.to_owned(), actions.split(','));
            }
        }
        self
    }

    /// Returns each resource as a `scope` parameter has it.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(resource, actions)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
    }

    fn add<'a>(&mut self, resource: String, actions: impl Iterator<Item = &'a str>) {
        let known = self.0.entry(resource).or_default();
        known.extend(actions.filter(|action| !action.is_empty()).map(str::to_owned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_united_by_resource() {
        let scope = Scope::push("a/b").and("base", &["pull"]).merged("repository:a/b:pull registry:catalog:*");
        let parameters: Vec<_> = scope.parameters().collect();
        assert_eq!(parameters, ["registry:catalog:*", "repository:a/b:pull,push", "repository:base:pull"]);
    }
}
