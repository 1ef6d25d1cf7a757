//! For tests alone: servers of images, files and repositories that misbehave on demand, temporary stores.

mod file_server;
mod git;
pub mod registry;
mod temporary;

pub use file_server::{Asked, FileServer, Page};
pub use git::{GitHttpServer, GitServer, Repository};
pub use registry::FakeRegistry;
pub use temporary::{TempStore, store};
