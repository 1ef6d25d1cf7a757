//! `cargo xtask conformance`: every case of `testdata/build` by kiln and by the builders Debian has, compared.

mod compare;
mod kiln;
mod oracle;
mod saved;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::setup;
use xtask::case::{self, Case, Image};
use xtask::shell::{say, target_dir, title, workspace};

use oracle::Oracle;

/// What a builder made of a case: an image, or what it said when it failed.
pub(crate) type Outcome = Result<Image, String>;

const PACKAGES: &[(&str, &str)] = &[("busybox", "busybox-static"), ("dockerd", "docker.io"), ("buildah", "buildah")];

pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    setup::packages(PACKAGES)?;
    let filter = arguments.first().copied().unwrap_or("");
    let cases: Vec<Case> = case::all()?.into_iter().filter(|case| case.name.contains(filter)).collect();
    let place = Place::new()?;
    let tar = place.0.join("busybox.tar");
    xtask::rootfs::busybox(&tar)?;
    let kiln = kiln::Kiln::new(&place.0, &tar)?;
    let oracles: Vec<Box<dyn Oracle>> =
        vec![Box::new(oracle::Docker::new(&place.0, &tar)?), Box::new(oracle::Buildah::new(&place.0, &tar)?)];
    let known = Known::read(&workspace().join("testdata/build/differences.toml"))?;
    let mut table = Table::default();
    for case in &cases {
        let copy = place.0.join("cases").join(&case.name);
        case.prepare(&copy)?;
        let ours = kiln.build(case, &copy)?;
        for oracle in &oracles {
            let theirs = oracle.build(case, &copy)?;
            let mut differences = compare::outcomes(&ours, &theirs);
            if oracle.tells_history() {
                differences.extend(compare::history(&ours, &theirs));
            }
            table.add(case, oracle.name(), &differences, known.reason(&case.name, oracle.name()));
        }
    }
    drop(oracles);
    table.print()
}

/// A directory that is removed in the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Result<Self> {
        // Sockets have short names, and layers need a filesystem that overlays can stand on.
        let path = target_dir().join("xtask").join(format!("conformance-{}", std::process::id()));
        fs::create_dir_all(path.join("cases"))?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What a daemon left mounted shows as an error here, and stays for whoever looks.
        if let Err(error) = fs::remove_dir_all(&self.0) {
            say(&format!("warning: {}: {error}", self.0.display()));
        }
    }
}

/// Differences that are meant, with their reasons.
struct Known(BTreeMap<(String, String), String>);

impl Known {
    fn read(file: &Path) -> Result<Self> {
        let list: toml::Table = toml::from_str(&fs::read_to_string(file)?).context("differences.toml")?;
        let field = |item: &toml::Value, name: &str| {
            item.get(name).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
        };
        let items = list.get("difference").and_then(toml::Value::as_array).into_iter().flatten();
        Ok(Self(items.map(|item| ((field(item, "case"), field(item, "oracle")), field(item, "why"))).collect()))
    }

    fn reason(&self, case: &str, oracle: &str) -> Option<&str> {
        self.0.get(&(case.to_owned(), oracle.to_owned())).map(String::as_str).filter(|why| !why.is_empty())
    }
}

/// What came out, counted per oracle.
#[derive(Default)]
struct Table(BTreeMap<String, Counts>);

#[derive(Default)]
struct Counts {
    same: usize,
    explained: usize,
    unexplained: usize,
}

impl Table {
    fn add(&mut self, case: &Case, oracle: &str, differences: &[String], reason: Option<&str>) {
        let counts = self.0.entry(oracle.to_owned()).or_default();
        if differences.is_empty() {
            counts.same += 1;
            if reason.is_some() {
                say(&format!("{} {oracle}: listed as different, and is the same", case.name));
            }
        } else if let Some(reason) = reason {
            counts.explained += 1;
            say(&format!("{} {oracle}: {reason}", case.name));
        } else {
            counts.unexplained += 1;
            say(&format!("{} {oracle}: UNEXPLAINED\n    {}", case.name, differences.join("\n    ")));
        }
    }

    fn print(&self) -> Result<()> {
        title("conformance");
        say("oracle      same  explained  unexplained");
        for (oracle, counts) in &self.0 {
            say(&format!("{oracle:<10} {:>5} {:>10} {:>12}", counts.same, counts.explained, counts.unexplained));
        }
        let unexplained: usize = self.0.values().map(|counts| counts.unexplained).sum();
        anyhow::ensure!(
            unexplained == 0,
            "{unexplained} differences have no reason in testdata/build/differences.toml"
        );
        Ok(())
    }
}
