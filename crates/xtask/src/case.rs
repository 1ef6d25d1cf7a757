//! The cases of `testdata/build`: a folder each, with what goes into a build and what must come out.
//!
//! `Dockerfile`, and where needed `context/`, `flags` (one a line), `setup.sh` (what git cannot hold; run in a copy).
//! `expect` has configuration, history and the files added to the base; `expect.err` what a failing build says.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use crate::shell::workspace;
use crate::tree::Tree;

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub folder: PathBuf,
}

/// What a builder made of a case.
#[derive(Clone, Debug)]
pub struct Image {
    /// The `config` part of the image's configuration, without what is empty.
    pub config: Value,
    pub history: Vec<String>,
    /// The comment of each item of the history.
    pub comments: Vec<String>,
    pub tree: Tree,
}

/// Returns all cases, sorted by name. `KILN_TESTDATA` says where `testdata` is when it is not in the workspace.
pub fn all() -> Result<Vec<Case>> {
    let testdata = std::env::var_os("KILN_TESTDATA").map_or_else(|| workspace().join("testdata"), PathBuf::from);
    let folder = testdata.join("build");
    let mut cases = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let folder = entry?.path();
        if folder.join("Dockerfile").exists() {
            let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            cases.push(Case { name, folder });
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

impl Case {
    /// Returns the flags of the build.
    pub fn flags(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("flags")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Copies the case to `to`, with modes that do not depend on the checkout, and runs its `setup.sh` there.
    pub fn prepare(&self, to: &Path) -> Result<()> {
        copy(&self.folder, to)?;
        let context = to.join("context");
        if !context.exists() {
            fs::create_dir(&context)?;
            fs::set_permissions(&context, fs::Permissions::from_mode(0o755))?;
        }
        if to.join("setup.sh").exists() {
            let output =
                Command::new("sh").args(["-euc", "umask 022; . ../setup.sh"]).current_dir(&context).output()?;
            if !output.status.success() {
                bail!("{}: setup.sh: {}", self.name, String::from_utf8_lossy(&output.stderr));
            }
        }
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            let mode = if entry.metadata()?.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
            fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

impl Image {
    /// Reads an image's configuration file; `tree` is its files.
    pub fn new(file: &Value, tree: Tree) -> Self {
        let config = file["config"].as_object().cloned().unwrap_or_default();
        let config: Map<String, Value> = config.into_iter().filter(|(_, value)| !empty(value)).collect();
        let items: Vec<&Value> = file["history"].as_array().into_iter().flatten().collect();
        let comment = |item: &&Value| item["comment"].as_str().unwrap_or_default().to_owned();
        let (history, comments) = (items.iter().map(|item| line(item)).collect(), items.iter().map(comment).collect());
        Self { config: Value::Object(config), history, comments, tree }
    }

    /// Returns the text of `expect`.
    pub fn expectation(&self, base: &Tree) -> Result<String> {
        let mut text = format!("config {}\n\nhistory\n", serde_json::to_string_pretty(&self.config)?);
        for line in &self.history {
            let _ = writeln!(text, "{line}");
        }
        text.push_str("\nfiles\n");
        // An image from scratch has nothing of the base.
        let nothing = Tree::default();
        let base = if self.tree.0.contains_key("bin/busybox") { base } else { &nothing };
        for line in self.tree.added(base) {
            let _ = writeln!(text, "{line}");
        }
        Ok(text)
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn line(item: &Value) -> String {
    let mark = if item["empty_layer"].as_bool() == Some(true) { "-" } else { "+" };
    format!("{mark} {}", item["created_by"].as_str().unwrap_or_default().replace('\n', "\\n"))
}
