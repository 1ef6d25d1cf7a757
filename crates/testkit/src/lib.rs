//! For tests alone: a registry and a server of files that misbehave on demand, temporary stores.

mod git;
pub mod registry;
mod temporary;

pub use git::{GitHttpServer, GitServer, Repository};
mod file_server;
pub mod registry;
mod temporary;

pub use file_server::{Asked, FileServer, Page};
pub use registry::FakeRegistry;
pub use temporary::{TempStore, store};
