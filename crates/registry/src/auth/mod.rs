//! Who we are to a registry: challenges, credentials, tokens.

pub(crate) mod challenge;
pub(crate) mod credentials;
pub(crate) mod helper;
pub(crate) mod scope;
pub(crate) mod token;
