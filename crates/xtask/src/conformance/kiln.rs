//! Builds by the binary of this workspace.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Outcome;
use xtask::case::{Case, Image};
use xtask::shell::{cargo, command, run, target_dir};
use xtask::tree::Tree;

pub(crate) struct Kiln {
    binary: PathBuf,
    store: PathBuf,
}

impl Kiln {
    pub(crate) fn new(place: &Path, base: &Path) -> Result<Self> {
        run(&mut cargo(&["build", "--quiet", "-p", "cli"]))?;
        let kiln = Self { binary: target_dir().join("debug/kiln"), store: place.join("kiln") };
        run(command(&kiln.binary, ["import"]).arg(base).arg("busybox").env("KILN_ROOT", &kiln.store))?;
        Ok(kiln)
    }

    pub(crate) fn build(&self, case: &Case, copy: &Path) -> Result<Outcome> {
        let (tar, layout) = (copy.join("kiln.tar"), copy.join("layout"));
        let mut build = command(&self.binary, ["build", "--progress=quiet", "-f", "Dockerfile"]);
        build.arg("-o").arg(format!("type=tar,dest={}", tar.display()));
        build.arg("-o").arg(format!("type=oci,tar=false,dest={}", layout.display()));
        build.args(case.flags()).arg("context").current_dir(copy).env("KILN_ROOT", &self.store);
        let output = build.output()?;
        if !output.status.success() {
            return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let blob = |descriptor: &Value| -> Result<Value> {
            let digest = descriptor["digest"].as_str().context("a digest")?.replace(':', "/");
            Ok(serde_json::from_slice(&fs::read(layout.join("blobs").join(digest))?)?)
        };
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json"))?)?;
        let manifest = blob(&index["manifests"][0])?;
        Ok(Ok(Image::new(&blob(&manifest["config"])?, Tree::read(File::open(tar)?)?)))
    }
}
