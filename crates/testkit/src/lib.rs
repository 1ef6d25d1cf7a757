//! For tests alone: a registry that misbehaves on demand, temporary stores.

mod git;
pub mod registry;
mod temporary;

pub use git::{GitHttpServer, GitServer, Repository};
pub use registry::FakeRegistry;
pub use temporary::{TempStore, store};
