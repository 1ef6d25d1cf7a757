//! What is written of a container.

use serde::{Deserialize, Serialize};

/// The state of a container on disk. Whether it runs is not written: its lock says so.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct State {
    pub version: u32,
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of the image as the caller gave it.
    pub image: String,
    /// The layers it stands on, lowest first: they must not be collected.
    pub layers: Vec<String>,
    pub command: Vec<String>,
    /// Seconds since 1970.
    pub created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    Running,
    Exited(i32),
    /// It was never started, or the program that ran it died.
    Dead,
}
