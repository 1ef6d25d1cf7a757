//! `kiln lint`: what works in a Dockerfile but is not meant. Builds nothing and asks nobody.
//!
//! Exit codes: 0 if nothing was found, or warnings alone; 1 for errors, and with `--error` for warnings too (so does
//! `# check=error=true` in a file); 2 for a wrong command line or a file that cannot be read.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use dockerfile::ignore::Ignore;
use dockerfile::lint::Checks;
use dockerfile::{Diagnostic, Diagnostics, Sources};
use store::Store;

use super::build::input;
use crate::error::Failure;
use crate::lint::report::{self, Format};
use crate::lint::{self, violation};
use crate::settings::open_store;
use crate::terminal;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Dockerfiles, directories that hold one, or `-` for stdin
    #[arg(default_value = "Dockerfile", value_name = "FILE")]
    files: Vec<String>,
    /// How findings are written to stdout
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Exit with 1 for warnings too
    #[arg(long)]
    error: bool,
    /// Mend in the files what can be mended without a change of meaning, then show what is left
    #[arg(long)]
    fix: bool,
}

impl Arguments {
    pub(crate) fn run(self, root: Option<PathBuf>) -> Result<ExitCode, Failure> {
        // Without a store base images are unknown, which a note says.
        let store = open_store(root).ok();
        let mut sources = Sources::default();
        let mut all: Vec<Diagnostic> = Vec::new();
        let mut failed = false;
        for file in &self.files {
            if self.fix {
                mend(file).map_err(|failure| failure.code(2))?;
            }
            let (findings, strict) = check(file, store.as_ref(), &mut sources).map_err(|failure| failure.code(2))?;
            failed |= findings.has_errors() || (strict || self.error) && violation(&findings.items).is_some();
            findings.notes.iter().for_each(|note| terminal::note(&format!("note: {note}")));
            all.extend(findings.items);
        }
        let color = io::stdout().is_terminal() && terminal::color();
        let text = report::write(self.format, &all, &sources, color);
        if !text.is_empty() {
            terminal::result(&text);
        }
        if self.format == Format::Text && !all.is_empty() {
            terminal::note(&report::count(&all));
        }
        Ok(ExitCode::from(u8::from(failed)))
    }
}

/// Mends a file: written beside it under another name, then renamed, so that it is whole at any time.
fn mend(file: &str) -> Result<(), Failure> {
    if file == "-" {
        return Err(Failure::new("--fix needs a file: what is read from stdin cannot be written back"));
    }
    let (name, text, _) = read(file)?;
    let (fixed, count) = dockerfile::lint::fix(&text);
    if count == 0 {
        return Ok(());
    }
    // The file a link points to, not the link.
    let path = std::fs::canonicalize(&name)?;
    let temporary = input::append(&path, &format!(".kiln-{}", std::process::id()));
    let written = std::fs::write(&temporary, fixed)
        .and_then(|()| std::fs::set_permissions(&temporary, std::fs::metadata(&path)?.permissions()))
        .and_then(|()| std::fs::rename(&temporary, &path));
    if let Err(error) = written {
        // What is not there need not be removed.
        let _ = std::fs::remove_file(&temporary);
        return Err(Failure::from_error(&error).context(format!("failed to write {name}")));
    }
    terminal::note(&format!("{name}: {count} mended"));
    Ok(())
}

/// Checks one file; tells too whether it wants its warnings to be errors.
fn check(file: &str, store: Option<&Store>, sources: &mut Sources) -> Result<(lint::Findings, bool), Failure> {
    let (name, text, ignore) = read(file)?;
    let source = sources.add(name, text);
    let mut diagnostics = Diagnostics::default();
    let dockerfile = dockerfile::parse(&source, &mut diagnostics);
    let strict = Checks::of(&dockerfile.directives).is_ok_and(|checks| checks.error);
    let findings = lint::check(&dockerfile, diagnostics, sources, &lint::options(), store, ignore.as_ref());
    Ok((findings, strict))
}

/// Returns the name and text of a file, and the ignore patterns of its directory.
fn read(file: &str) -> Result<(String, String, Option<Ignore>), Failure> {
    if file == "-" {
        return Ok(("<stdin>".to_owned(), input::text(io::stdin().lock(), "stdin")?, None));
    }
    let mut path = PathBuf::from(file);
    if path.is_dir() {
        path = input::default_dockerfile(&path)?;
    }
    let opened = File::open(&path).map_err(|error| input::missing(&path, error))?;
    let name = path.display().to_string();
    let text = input::text(opened, &name)?;
    let own = input::append(&path, ".dockerignore");
    let shared = path.parent().unwrap_or(Path::new("")).join(".dockerignore");
    let ignore = input::ignore_file(if own.is_file() { &own } else { &shared })?;
    Ok((name.strip_prefix("./").unwrap_or(&name).to_owned(), text, Some(ignore)))
}
