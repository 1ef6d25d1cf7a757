//! A registry as its callers see it: against one that misbehaves on demand, and against a real one.

mod auth;
mod mirrors;
mod pull;
mod push;
mod real;
mod retry;
mod support;
mod tls;
