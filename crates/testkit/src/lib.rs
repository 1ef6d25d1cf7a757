//! For tests alone: a registry that misbehaves on demand, temporary stores.

pub mod registry;
mod temporary;

pub use registry::FakeRegistry;
pub use temporary::{TempStore, store};
