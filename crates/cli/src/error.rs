//! What went wrong, for people: one line that says it, the chain of causes, and what helps.

use std::error::Error;
use std::fmt;

/// A command that failed. Libraries' errors become the chain; spans are drawn beforehand into `excerpt`.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    causes: Vec<String>,
    excerpt: Option<String>,
    help: Vec<String>,
    /// What the process exits with.
    pub(crate) code: u8,
}

impl Failure {
    /// Returns a failure with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), excerpt: None, help: Vec::new(), code: 1 }
    }

    /// Wraps an error: its own text and the texts of its sources.
    pub(crate) fn from_error(error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(error.to_string());
        failure.help.extend(help_of(error));
        let mut source = error.source();
        while let Some(cause) = source {
            // Who hands an error on hands on what it says would help.
            failure.help.extend(help_of(cause).filter(|help| !failure.help.contains(help)));
            let text = cause.to_string();
            // Some libraries repeat their source in their own text.
            if !failure.message.contains(&text) && !failure.causes.iter().any(|c| c.contains(&text)) {
                failure.causes.push(text);
            }
            source = cause.source();
        }
        failure
    }

    /// Returns what went wrong, without its causes.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Sets what was being done when this happened.
    #[must_use]
    pub(crate) fn context(mut self, doing: impl Into<String>) -> Self {
        let cause = std::mem::replace(&mut self.message, doing.into());
        self.causes.insert(0, cause);
        self
    }

    /// Adds a line that says what helps.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Puts drawn diagnostics before the message.
    #[must_use]
    pub(crate) fn excerpt(mut self, excerpt: impl Into<String>) -> Self {
        self.excerpt = Some(excerpt.into());
        self
    }

    /// Sets the exit code.
    #[must_use]
    pub(crate) fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

/// What the crate that failed says would help.
fn help_of(error: &(dyn Error + 'static)) -> Option<String> {
    let of_git = || error.downcast_ref::<registry::git::GitError>().and_then(registry::git::GitError::help);
    // The source of an error that holds its cause in a box is the box.
    let boxed = || error.downcast_ref::<Box<registry::Error>>().map(|error| &**error);
    error.downcast_ref::<registry::Error>().or_else(boxed).and_then(registry::Error::help).or_else(of_git)
}

/// The lines as they go to stderr.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(excerpt) = &self.excerpt {
            writeln!(f, "{}", excerpt.trim_end_matches('\n'))?;
        }
        write!(f, "error: {}", self.message)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        for help in &self.help {
            write!(f, "\n  = help: {help}")?;
        }
        Ok(())
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::from_error(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_helps_is_said_of_boxed_causes_too() {
        let cause =
            registry::Error::NoCertificates { host: "registry.example".into(), doing: "resolve an image".into() };
        let help = cause.help();
        let failure = Failure::from_error(&solver::SolveErrorKind::Base(Box::new(cause)));
        assert_eq!(failure.help, Vec::from_iter(help));
    }
}
