//! Flags of a subcommand that are described when it is the one that was asked for.

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// The flags of one subcommand. To describe those of all twenty took a third of the instructions of an empty command, and 100 KiB.
#[derive(Debug)]
pub(super) struct Deferred<T>(pub(super) Box<T>);

impl<T: Args> Args for Deferred<T> {
    fn augment_args(command: Command) -> Command {
        command.defer(augment::<T>)
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(augment::<T>)
    }
}

/// Adds the flags; what the command is for has been said before, and flags have a description of their own.
fn augment<T: Args>(command: Command) -> Command {
    let about = command.get_about().cloned().unwrap_or_default();
    T::augment_args(command).about(about).long_about(None)
}

impl<T: FromArgMatches> FromArgMatches for Deferred<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Box::new).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Arguments;

    #[test]
    fn a_subcommand_says_what_the_list_of_them_does_and_has_its_flags() {
        let mut kiln = Arguments::command();
        let listed: Vec<_> = kiln.get_subcommands().map(|sub| sub.get_about().map(ToString::to_string)).collect();
        assert!(
            listed.iter().all(Option::is_some) && !kiln.get_subcommands().any(|sub| sub.get_arguments().count() > 0)
        );

        kiln.build();

        let built: Vec<_> = kiln.get_subcommands().map(|sub| sub.get_about().map(ToString::to_string)).collect();
        assert_eq!(built[..listed.len()], listed);
        let build = kiln.find_subcommand("build").unwrap();
        assert!(build.get_arguments().any(|argument| argument.get_long() == Some("tag")));
        assert!(build.get_arguments().any(|argument| argument.get_long() == Some("root")));
    }
}
