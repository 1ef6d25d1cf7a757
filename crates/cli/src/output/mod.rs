//! Outputs: `--output` of a build, and the archives of `kiln save`.

mod compression;
pub(crate) mod table;
pub(crate) mod tree;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image::descriptor::digest_of;
use image::layer::Compression;
use image::{Descriptor, Named, Reference};
use plan::ResolvedBase;
use registry::Registry;
use rustix::fs::Access;
use store::Store;

use crate::error::Failure;
use crate::progress::Transfer;
use crate::resolve;

/// What kind of thing is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum OutputKind {
    Oci,
    Docker,
    Tar,
    Local,
    Image,
    Push,
    CacheOnly,
}

/// One `--output`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Output {
    pub(crate) kind: OutputKind,
    dest: Option<PathBuf>,
    names: Vec<Reference>,
    /// What was typed.
    text: String,
    /// `tar=false`: an OCI layout directory instead of an archive.
    archive: bool,
    /// `platform-split`: a directory for each platform; unset, if there are several.
    split: Option<bool>,
    /// `push-by-digest`: the names are repositories, in which nothing is tagged.
    by_digest: bool,
    /// `rewrite-timestamp`: clamp the times of files in new layers to `SOURCE_DATE_EPOCH`.
    pub(crate) rewrite_timestamp: Option<bool>,
    /// `compression`, `compression-level`: of new layers.
    pub(crate) compression: Option<Compression>,
}

/// What an output is described with.
const KEYS: [&str; 13] = [
    "type",
    "dest",
    "name",
    "tar",
    "push",
    "push-by-digest",
    "name-canonical",
    "platform-split",
    "rewrite-timestamp",
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
];

impl Output {
    fn new(kind: OutputKind, dest: Option<PathBuf>, text: String) -> Self {
        Self {
            kind,
            dest,
            names: Vec::new(),
            text,
            archive: true,
            split: None,
            by_digest: false,
            rewrite_timestamp: None,
            compression: None,
        }
    }

    /// `--push`.
    pub(crate) fn push() -> Self {
        Self::new(OutputKind::Push, None, "--push".to_owned())
    }

    /// Reads `type=…,dest=…`, a directory, or `-`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let typed = format!("--output {text}");
        let wrong = |why: String| Failure::new(format!("--output {text}: {why}")).code(2);
        if text == "-" {
            return Ok(Self::new(OutputKind::Tar, None, typed));
        }
        if !text.contains('=') {
            return Ok(Self::new(OutputKind::Local, Some(text.into()), typed));
        }
        let mut output = Self::new(OutputKind::CacheOnly, None, typed);
        let mut kind = None;
        let mut push = None;
        let mut compression = compression::Fields::default();
        let mut names = Vec::new();
        for field in fields(text) {
            let (key, value) = field.split_once('=').ok_or_else(|| wrong(format!("`{field}` is not KEY=VALUE")))?;
            match key.to_ascii_lowercase().as_str() {
                "type" => kind = Some(value.to_owned()),
                "dest" => output.dest = Some(value.into()),
                "name" => names.extend(value.split(',').filter(|name| !name.is_empty()).map(str::to_owned)),
                "push-by-digest" => output.by_digest = boolean(&field, value).map_err(wrong)?,
                // What has a name is found by its digest, too.
                "name-canonical" => {
                    boolean(&field, value).map_err(wrong)?;
                }
                "tar" => output.archive = boolean(&field, value).map_err(wrong)?,
                "push" => push = Some(boolean(&field, value).map_err(wrong)?),
                "platform-split" => output.split = Some(boolean(&field, value).map_err(wrong)?),
                "rewrite-timestamp" => output.rewrite_timestamp = Some(boolean(&field, value).map_err(wrong)?),
                "compression" => compression.kind = Some(value.to_owned()),
                "compression-level" => compression.level = Some(value.to_owned()),
                "force-compression" if boolean(&field, value) == Ok(true) => {
                    return Err(wrong("force-compression: layers of base images stay as they are".to_owned()));
                }
                "force-compression" => {
                    boolean(&field, value).map_err(wrong)?;
                }
                "oci-mediatypes" if value == "true" => {}
                other => {
                    let failure = wrong(format!("`{other}` is not supported"));
                    return Err(match dockerfile::diagnostic::nearest(other, KEYS) {
                        Some(near) if near != other => failure.help(format!("did you mean `{near}`?")),
                        _ => failure,
                    });
                }
            }
        }
        let kind = kind.ok_or_else(|| wrong("type is missing".to_owned()))?;
        output.kind = match kind.as_str() {
            "oci" => OutputKind::Oci,
            "docker" => OutputKind::Docker,
            "tar" => OutputKind::Tar,
            "local" => OutputKind::Local,
            "image" if push == Some(true) => OutputKind::Push,
            // A registry is an image that is pushed, unless it says otherwise.
            "registry" if push != Some(false) => OutputKind::Push,
            "image" | "registry" => OutputKind::Image,
            "cacheonly" => OutputKind::CacheOnly,
            other => {
                let known = ["oci", "docker", "tar", "local", "image", "registry", "cacheonly"];
                let failure = wrong(format!("unknown type `{other}`"));
                return Err(match dockerfile::diagnostic::nearest(other, known) {
                    Some(similar) => failure.help(format!("did you mean `{similar}`?")),
                    None => failure.help(format!("known types: {}", known.join(", "))),
                });
            }
        };
        let read = if output.by_digest { resolve::repository } else { resolve::tag_name };
        let names = names.iter().map(|name| read(name).map_err(|f| f.context(output.text.clone()).code(2)));
        output.names = names.collect::<Result<_, _>>()?;
        if output.by_digest && output.kind != OutputKind::Push {
            return Err(wrong("push-by-digest is for what is pushed".to_owned()));
        }
        if output.kind == OutputKind::Local && output.dest.is_none() {
            return Err(wrong("dest is missing: which directory?".to_owned()));
        }
        let is_image = matches!(output.kind, OutputKind::Image | OutputKind::Push);
        if push.is_some() && !is_image {
            return Err(wrong("push is for type=image and type=registry".to_owned()));
        }
        if output.dest.is_some() && (is_image || output.kind == OutputKind::CacheOnly) {
            let failure = wrong(format!("type={kind} writes no file: dest is not for it"));
            return Err(failure.help("type=oci, docker, tar and local write files"));
        }
        if !output.archive && output.kind == OutputKind::Docker {
            return Err(wrong("type=docker is always an archive: leave tar=false away".to_owned()));
        }
        if output.split.is_some() && !matches!(output.kind, OutputKind::Local | OutputKind::Tar) {
            return Err(wrong("platform-split is for files: type=local and type=tar".to_owned()));
        }
        output.compression = compression.compression().map_err(wrong)?;
        if matches!(output.kind, OutputKind::Local | OutputKind::Tar) {
            let given = [
                ("rewrite-timestamp", output.rewrite_timestamp.is_some()),
                ("compression", output.compression.is_some()),
            ];
            if let Some((option, _)) = given.into_iter().find(|(_, given)| *given) {
                return Err(wrong(format!("{option} is for images")));
            }
        }
        if !output.archive && output.dest.is_none() {
            return Err(wrong("tar=false needs dest: a directory".to_owned()));
        }
        if output.dest.as_deref() == Some(Path::new("-")) {
            output.dest = None;
        }
        Ok(output)
    }

    /// Returns the destination, which some kinds must have.
    pub(crate) fn path(&self) -> Result<&Path, Failure> {
        self.dest.as_deref().ok_or_else(|| Failure::new("the output needs dest"))
    }

    /// True if the files of each of `count` platforms go into a directory of their own.
    pub(crate) fn splits(&self, count: usize) -> bool {
        self.split.unwrap_or(count > 1)
    }

    /// Returns the names of the output itself, else those of the build.
    pub(crate) fn names<'a>(&'a self, of_build: &'a [Reference]) -> &'a [Reference] {
        if self.names.is_empty() { of_build } else { &self.names }
    }

    /// Finds before a build what would keep its result from being written: a name to push to is missing, or a place for files
    /// cannot be written to. `names`: those of the build.
    pub(crate) fn check(&self, names: &[Reference]) -> Result<(), Failure> {
        if self.by_digest && self.names.is_empty() {
            let failure = Failure::new(format!("{} needs a repository to push to", self.text)).code(2);
            return Err(failure.help("give one with name=: a --tag has a tag, which is not pushed by digest"));
        }
        if self.kind == OutputKind::Push && self.names(names).is_empty() {
            let failure = Failure::new(format!("{} needs a name to push to", self.text)).code(2);
            return Err(failure.help(if self.text == "--push" {
                "give one with --tag"
            } else {
                "give one with --tag or name="
            }));
        }
        match &self.dest {
            Some(dest) if self.kind == OutputKind::Local || !self.archive => check_directory(&self.text, dest),
            Some(dest) => check_file(&self.text, dest),
            None => Ok(()),
        }
    }

    /// Says where it went.
    pub(crate) fn describe(&self) -> String {
        match (&self.dest, self.kind) {
            (Some(path), _) => format!("wrote {}", path.display()),
            (None, OutputKind::Push) => "pushed".to_owned(),
            (None, OutputKind::Image | OutputKind::CacheOnly) => "kept in the store".to_owned(),
            (None, _) => "wrote to stdout".to_owned(),
        }
    }

    /// Opens the destination for an archive: a temporary file renamed when all is written, or stdout.
    pub(crate) fn write(&self, fill: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
        write_to(self.dest.as_deref(), fill)
    }
}

/// Reads a boolean as docker does (Go, `strconv.ParseBool`).
fn boolean(field: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("`{field}`: expected true or false")),
    }
}

/// Fails if a file cannot be made at `path`; `flag` asks for it.
pub(crate) fn check_file(flag: &str, path: &Path) -> Result<(), Failure> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            return Err(
                Failure::new(format!("{flag}: {} is a directory", path.display())).help("give the name of a file")
            );
        }
        // A pipe or a device is written to as it is.
        Ok(found) if !found.is_file() => return Ok(()),
        _ => {}
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    writable(flag, parent)
}

/// Fails if a directory cannot be made at `path`, with all above it that is not there yet.
fn check_directory(flag: &str, path: &Path) -> Result<(), Failure> {
    let there = path.ancestors().find(|path| path.exists()).filter(|path| !path.as_os_str().is_empty());
    writable(flag, there.unwrap_or(Path::new(".")))
}

fn writable(flag: &str, directory: &Path) -> Result<(), Failure> {
    let what = format!("{flag}: {} cannot be written to", directory.display());
    let found = std::fs::metadata(directory).map_err(|error| Failure::from_error(&error).context(what.clone()))?;
    if !found.is_dir() {
        return Err(Failure::new(format!("{flag}: {} is not a directory", directory.display())));
    }
    let access = rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK);
    access.map_err(|error| Failure::from_error(&io::Error::from(error)).context(what))
}

/// Splits at commas; a field may be quoted with `"`.
fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            _ => {
                if let Some(field) = fields.last_mut() {
                    field.push(c);
                }
            }
        }
    }
    fields
}

fn write_to(dest: Option<&Path>, fill: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    let Some(path) = dest else {
        let stdout = io::stdout();
        if io::IsTerminal::is_terminal(&stdout) {
            return Err(Failure::new("refusing to write an archive to the terminal")
                .help("redirect stdout, or say where with dest= or --output"));
        }
        let mut out = io::BufWriter::with_capacity(1 << 20, stdout.lock());
        fill(&mut out)?;
        return Ok(out.flush()?);
    };
    write_file(path, fill)
}

/// Writes a file beside its place and renames it: a reader never sees half of it, and a failure leaves what was there. What
/// is no regular file (a pipe, a device) is written to as it is.
pub(crate) fn write_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    let describe = |e: io::Error| Failure::from_error(&e).context(format!("failed to write {}", path.display()));
    // As much as is written at once: only what is shorter is copied first.
    let buffered = |file| io::BufWriter::with_capacity(128 << 10, file);
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let mut out = buffered(File::options().write(true).open(path).map_err(describe)?);
        fill(&mut out)?;
        return out.flush().map_err(describe);
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let mut out = buffered(File::create(&temporary).map_err(describe)?);
    let written = fill(&mut out)
        .and_then(|()| out.flush().map_err(describe))
        .and_then(|()| std::fs::rename(&temporary, path).map_err(describe));
    if written.is_err() {
        // Half a file must not stay behind; the error that counts is the first one.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// What was just built, for outputs.
#[derive(Debug)]
pub(crate) struct Built<'a> {
    /// What its names stand for: a manifest, or the index of one for each platform.
    pub(crate) target: &'a Descriptor,
    /// What the images were made from.
    pub(crate) bases: Vec<&'a ResolvedBase>,
    pub(crate) names: &'a [Reference],
}

/// `type=registry`.
pub(crate) fn push(output: &Output, built: &Built<'_>, store: &Store, registry: &Registry) -> Result<(), Failure> {
    // What the destination can take from a base's repository does not travel through here.
    let sources: Vec<Reference> = built.bases.iter().map(|base| base.reference.clone()).collect();
    let digest = digest_of(built.target)?;
    for name in output.names(built.names) {
        let transfer = Transfer::new("pushing", false);
        let name = if output.by_digest { name.clone().with_digest(digest) } else { name.clone() };
        registry.push_from(&name, built.target, &sources, store, &transfer)?;
        transfer.finish();
    }
    Ok(())
}

/// `type=oci` and `type=docker`.
pub(crate) fn built_archive(
    output: &Output,
    built: &Built<'_>,
    store: &Store,
    registry: &Registry,
) -> Result<(), Failure> {
    fetch_bases(store, registry, &built.bases)?;
    let names = output.names(built.names).to_vec();
    let image = [Named { target: built.target.clone(), names }];
    match (output.kind, output.archive) {
        (OutputKind::Oci, false) => Ok(image::layout::write_dir(output.path()?, store, &image)?),
        (OutputKind::Oci, true) => output.write(|out| Ok(image::layout::write_tar(out, store, &image)?)),
        (_, _) => output.write(|out| Ok(image::archive::write(out, store, &image)?)),
    }
}

/// The two archive formats of `kiln save`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ArchiveKind {
    Docker,
    Oci,
}

/// Writes images of the store to one archive; several names of one image share it.
pub(crate) fn archive(
    store: &Store,
    kind: ArchiveKind,
    images: &[(Reference, Descriptor)],
    dest: Option<&Path>,
) -> Result<(), Failure> {
    let mut named: Vec<Named> = Vec::new();
    for (name, target) in images {
        match named.iter_mut().find(|n| n.target.digest() == target.digest()) {
            Some(known) if known.names.contains(name) => {}
            Some(known) => known.names.push(name.clone()),
            None => named.push(Named { target: target.clone(), names: vec![name.clone()] }),
        }
    }
    write_to(dest, |out| {
        match kind {
            ArchiveKind::Docker => image::archive::write(out, store, &named)?,
            ArchiveKind::Oci => image::layout::write_tar(out, store, &named)?,
        }
        Ok(())
    })
}

/// Pulls blobs of layers of an image, or of an index's that are here, that were left in the registry.
pub(crate) fn fetch_missing(
    store: &Store,
    registry: &Registry,
    name: &Reference,
    target: &Descriptor,
) -> Result<(), Failure> {
    let images = resolve::images_of(store, name, target)?;
    images.iter().try_for_each(|image| fetch(store, registry, name, image.manifest.layers()))
}

fn fetch_bases(store: &Store, registry: &Registry, bases: &[&ResolvedBase]) -> Result<(), Failure> {
    bases.iter().try_for_each(|base| fetch(store, registry, &base.reference, base.manifest.layers()))
}

fn fetch(store: &Store, registry: &Registry, name: &Reference, layers: &[Descriptor]) -> Result<(), Failure> {
    let transfer = Transfer::new("pulling", !crate::terminal::is_terminal());
    for layer in layers {
        let digest = digest_of(layer)?;
        if !store.has_blob(&digest) {
            let origin = resolve::origin(store, &digest)?;
            registry.fetch_layer(origin.as_ref().unwrap_or(name), layer, store, &transfer)?;
        }
    }
    transfer.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_read_as_buildx_reads_them() {
        let parse = |text| Output::parse(text).expect("an output");
        assert_eq!(parse("out").kind, OutputKind::Local);
        assert_eq!(parse("-").kind, OutputKind::Tar);
        let oci = parse("type=oci,dest=a.tar");
        assert_eq!((oci.kind, oci.dest), (OutputKind::Oci, Some("a.tar".into())));
        assert_eq!(parse("type=image,push=true,name=a").kind, OutputKind::Push);
        let names = parse("\"type=image\",\"name=a,b\"").names;
        assert_eq!(names.iter().map(Reference::familiar).collect::<Vec<_>>(), ["a:latest", "b:latest"]);
        for (text, kind) in [
            ("type=image,push=1", OutputKind::Push),
            ("type=image,push=F", OutputKind::Image),
            ("type=registry,push=false", OutputKind::Image),
            ("type=registry", OutputKind::Push),
        ] {
            assert_eq!(parse(text).kind, kind, "{text}");
        }
        assert!(!parse("type=oci,tar=0,dest=a").archive);
        let names = parse("type=image,push=true,name=a/b,push-by-digest=true,name-canonical=true").names;
        assert_eq!(names.iter().map(Reference::familiar).collect::<Vec<_>>(), ["a/b"]);
        assert_eq!(parse("type=tar,dest=-").dest, None);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "type=zip",
            "dest=a",
            "type=oci,color=red",
            "type=local",
            "type=oci,tar=false",
            "type=oci,tar=no",
            "type=image,push=yes",
            "type=oci,push=true",
            "type=image,dest=a",
            "type=registry,dest=a",
            "type=cacheonly,dest=a",
            "type=docker,tar=false,dest=a",
            "type=oci,compression=lz4",
            "type=registry,name=a:b,push-by-digest=true",
            "type=image,name=a,push-by-digest=true",
            "type=oci,force-compression=maybe",
            "type=image,name=A:B:C",
        ] {
            assert!(Output::parse(text).is_err(), "{text}");
        }
    }
}
