//! What the rules are called, and what each is about.

/// A rule of the lint, of whichever pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rule {
    pub name: &'static str,
    pub description: &'static str,
}

impl Rule {
    /// Returns where the rule is explained at length.
    pub fn url(&self) -> String {
        let mut words = String::new();
        let name: Vec<char> = self.name.chars().collect();
        for (index, character) in name.iter().enumerate() {
            let begins = character.is_uppercase()
                && index > 0
                && (name[index - 1].is_lowercase() || name.get(index + 1).is_some_and(|next| next.is_lowercase()));
            if begins {
                words.push('-');
            }
            words.extend(character.to_lowercase());
        }
        format!("https://docs.docker.com/go/dockerfile/rule/{words}/")
    }
}

/// Returns the rule of that name.
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

const fn new(name: &'static str, description: &'static str) -> Rule {
    Rule { name, description }
}

/// All rules of the reference, section 15.
const RULES: &[Rule] = &[
    new("StageNameCasing", "Stage names should be lowercase"),
    new("FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword"),
    new("NoEmptyContinuation", "Empty continuation lines will become errors in a future release"),
    new(
        "ConsistentInstructionCasing",
        "All commands within the Dockerfile should use the same casing (either upper or lower)",
    ),
    new("DuplicateStageName", "Stage names should be unique"),
    new("ReservedStageName", "Reserved words should not be used as stage names"),
    new(
        "JSONArgsRecommended",
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    ),
    new(
        "MaintainerDeprecated",
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    ),
    new("UndefinedArgInFrom", "FROM command must use declared ARGs"),
    new(
        "WorkdirRelativePath",
        "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
    ),
    new("UndefinedVar", "Variables should be defined before their use"),
    new(
        "MultipleInstructionsDisallowed",
        "Multiple instructions of the same type should not be used in the same stage",
    ),
    new("LegacyKeyValueFormat", "Legacy key/value format with whitespace separator should not be used"),
    new("InvalidBaseImagePlatform", "Base image platform does not match expected target platform"),
    new(
        "RedundantTargetPlatform",
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    ),
    new("SecretsUsedInArgOrEnv", "Sensitive data should not be used in the ARG or ENV commands"),
    new("InvalidDefaultArgInFrom", "Default value for global ARG results in an empty or invalid base image name"),
    new("FromPlatformFlagConstDisallowed", "FROM --platform flag should not use a constant value"),
    new("CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore"),
    new("ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase"),
    new("ExposeInvalidFormat", "IP address and host-port mapping should not be used in EXPOSE instruction"),
    new(
        "InvalidDefinitionDescription",
        "Comment for build stage or argument should begin with its name: `# <arg/stage name> <description>`",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_made_of_the_words_of_a_name() {
        let url = |name| rule(name).unwrap().url();
        assert!(url("JSONArgsRecommended").ends_with("/json-args-recommended/"));
        assert!(url("SecretsUsedInArgOrEnv").ends_with("/secrets-used-in-arg-or-env/"));
        assert_eq!(RULES.len(), 22);
    }
}
