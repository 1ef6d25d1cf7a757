//! Who asks for a file or a repository.

use base64::Engine as _;
use reqwest::header::HeaderValue;

use crate::secret::Secret;

/// What the server of an address is told of who asks, and no other server is. It can be sent, not shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authorization(pub(crate) Kind);

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A token may stand in the place of the user.
    Login { user: Secret, password: Secret },
    /// The value of the header.
    Header(Secret),
}

impl Authorization {
    /// Returns that of a user with a password or token.
    pub fn login(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self(Kind::Login { user: Secret::new(user), password: Secret::new(password) })
    }

    /// Returns that of somebody who knows the value of the header `Authorization`.
    pub fn header(value: impl Into<String>) -> Self {
        Self(Kind::Header(Secret::new(value)))
    }

    /// Returns the header; `None` if there is no way to send that.
    pub(crate) fn to_header(&self) -> Option<HeaderValue> {
        let text = match &self.0 {
            Kind::Login { user, password } => {
                let pair = format!("{}:{}", user.expose(), password.expose());
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
            }
            Kind::Header(value) => value.expose().to_owned(),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sent_and_not_shown() {
        for (authorization, sent) in [
            (Authorization::login("me", "hunter2"), "Basic bWU6aHVudGVyMg=="),
            (Authorization::header("Bearer hunter2"), "Bearer hunter2"),
        ] {
            let header = authorization.to_header().unwrap();
            assert_eq!(header, sent);
            let shown = format!("{authorization:?} {header:?}");
            assert!(!shown.contains("hunter2") && !shown.contains("me\"") && !shown.contains("bWU6"), "{shown}");
        }
        assert_eq!(Authorization::header("a\nb").to_header(), None);
    }
}
