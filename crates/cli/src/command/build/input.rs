//! What a build reads: the Dockerfile and the contexts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use dockerfile::diagnostic::nearest;
use dockerfile::ignore::Ignore;
use dockerfile::{Source, Sources};
use image::Reference;
use plan::{ContextName, Epoch, GitSource, HttpSource, Input as PlanInput, Plan};
use solver::{Context, Contexts, HttpFile, Servers};
use store::{Scratch, Store};

use super::archive::{self, Arrived};
use super::arguments::{ContextValue, Options};
use super::git;
use super::http;
use crate::error::Failure;
use crate::progress::Mode;
use crate::resolve::LAYOUT_HOST;
use crate::terminal;

/// Larger Dockerfiles are refused before they are parsed.
const DOCKERFILE_LIMIT: u64 = 16 << 20;
/// So are larger ignore files.
const IGNORE_LIMIT: u64 = 16 << 20;

/// The Dockerfile, and where the contexts are.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) dockerfile: Source,
    /// `None` for an empty context.
    main: Option<Place>,
    /// The Dockerfile's own ignore file, if there is one.
    own_ignore: Option<PathBuf>,
    named: BTreeMap<String, Named>,
    /// When the files of the main context were made, if its source says so: an archive, a commit or a server does, a
    /// directory does not.
    time: Option<i64>,
    mode: Mode,
}

/// Where the files of the main context are.
#[derive(Debug)]
enum Place {
    /// A directory of the caller.
    Directory(PathBuf),
    /// Files from elsewhere: paths are meant within it, and no link in it leads out of it.
    Closed { root: PathBuf, _unpacked: Option<Scratch> },
}

/// A named context that is read when the plan needs it.
#[derive(Debug)]
enum Named {
    Directory(PathBuf),
    Git(GitSource),
    /// One file, which is not unpacked.
    Http(HttpSource),
    /// What an address gave.
    Fetched(HttpFile),
}

/// Reads the Dockerfile, checks that the contexts exist, and imports OCI layouts that serve as contexts.
pub(crate) fn read(
    options: &Options,
    store: &Store,
    servers: Servers<'_>,
    sources: &mut Sources,
) -> Result<Input, Failure> {
    Reading { options, store, servers, sources }.input()
}

/// What reading takes.
struct Reading<'a> {
    options: &'a Options,
    store: &'a Store,
    servers: Servers<'a>,
    sources: &'a mut Sources,
}

impl Reading<'_> {
    fn input(&mut self) -> Result<Input, Failure> {
        let (context, file) = (self.options.context.as_str(), self.options.file.as_deref());
        if (context, file) == ("-", Some("-")) {
            return Err(Failure::new("stdin cannot be both the Dockerfile and the build context"));
        }
        if context == "-" {
            let arrived = archive::receive(io::stdin(), "stdin", self.store)?;
            return self.arrived(arrived, "stdin");
        }
        if let Some(source) = git::context(self.options)? {
            let tree = git::tree(&source, self.store, self.servers, self.options.progress)?;
            let place = Place::Closed { root: tree.directory, _unpacked: None };
            let input = self.closed(place, &source.url)?;
            return Ok(Input { time: Some(tree.time), ..input });
        }
        if let Some(source) = http::context(context)? {
            let file = http::fetch(&source, self.store, self.servers, self.options.progress)?;
            let input = archive::receive(File::open(&file.path)?, &source.url, self.store)?;
            let input = self.arrived(input, &source.url)?;
            return Ok(Input { time: file.modified.or(input.time), ..input });
        }
        self.directory()
    }

    fn directory(&mut self) -> Result<Input, Failure> {
        let root = directory_context(&self.options.context)?;
        if let Some(dockerfile) = self.dockerfile_from_elsewhere()? {
            return self.finish(dockerfile, Some(Place::Directory(root)), None);
        }
        let path = self.options.file.as_ref().map_or_else(|| default_dockerfile(&root), |file| Ok(file.into()))?;
        let file = File::open(&path).map_err(|error| missing(&path, error))?;
        let name = path.display().to_string();
        let text = text(file, &name)?;
        let dockerfile = self.sources.add(name.strip_prefix("./").unwrap_or(&name), text);
        let own_ignore = Some(append(&path, ".dockerignore")).filter(|path| path.is_file());
        self.finish(dockerfile, Some(Place::Directory(root)), own_ignore)
    }

    /// An archive is the context, and has the Dockerfile in it; anything else is the Dockerfile.
    fn arrived<R: Read>(&mut self, arrived: Arrived<R>, what: &str) -> Result<Input, Failure> {
        match arrived {
            Arrived::Text(_) if self.options.file.is_some() => Err(Failure::new(format!("{what} is not an archive"))
                .help("with --file, it has to hold the build context as a tar")),
            Arrived::Text(input) => {
                let name = if what == "stdin" { "Dockerfile" } else { what };
                let dockerfile = self.sources.add(name, text(input, what)?);
                self.finish(dockerfile, None, None)
            }
            Arrived::Archive(scratch, newest) => {
                let place = Place::Closed { root: scratch.path().to_owned(), _unpacked: Some(scratch) };
                let input = self.closed(place, what)?;
                Ok(Input { time: newest, ..input })
            }
        }
    }

    /// Reads the Dockerfile of a context that came from elsewhere; it is in there, too, unless it comes from stdin or an
    /// address.
    fn closed(&mut self, place: Place, what: &str) -> Result<Input, Failure> {
        if let Some(dockerfile) = self.dockerfile_from_elsewhere()? {
            return self.finish(dockerfile, Some(place), None);
        }
        let (Place::Closed { root, .. } | Place::Directory(root)) = &place;
        let file = self.options.file.as_deref();
        let name = file.unwrap_or("Dockerfile");
        let path = archive::within(name);
        let lower = file.is_none().then(|| Path::new("dockerfile"));
        let mut opened = archive::open(root, &path);
        if let (Err(_), Some(lower)) = (&opened, lower) {
            opened = archive::open(root, lower).or(opened);
        }
        let file = opened.map_err(|e| Failure::from_error(&e).context(format!("failed to read {name} of {what}")))?;
        let dockerfile = self.sources.add(name, text(file, name)?);
        self.finish(dockerfile, Some(place), Some(append(&path, ".dockerignore")))
    }

    /// Reads a Dockerfile that is no file of this machine or of the context.
    fn dockerfile_from_elsewhere(&mut self) -> Result<Option<Source>, Failure> {
        let file = self.options.file.as_deref().unwrap_or_default();
        if file == "-" {
            return Ok(Some(self.sources.add("Dockerfile", text(io::stdin().lock(), "stdin")?)));
        }
        let Some(source) = http::dockerfile(file)? else { return Ok(None) };
        let file = http::fetch(&source, self.store, self.servers, self.options.progress)?;
        Ok(Some(self.sources.add(source.url.as_str(), text(File::open(&file.path)?, &source.url)?)))
    }

    fn finish(&self, dockerfile: Source, main: Option<Place>, own_ignore: Option<PathBuf>) -> Result<Input, Failure> {
        let named = named_contexts(self.options, self.store)?;
        Ok(Input { dockerfile, main, own_ignore, named, time: None, mode: self.options.progress })
    }
}

fn named_contexts(options: &Options, store: &Store) -> Result<BTreeMap<String, Named>, Failure> {
    let mut named = BTreeMap::new();
    for (context, value) in &options.contexts {
        match value {
            ContextValue::Directory(path) => {
                check_directory(path).map_err(|f| f.context(format!("build context `{context}`")))?;
                named.insert(context.clone(), Named::Directory(path.clone()));
            }
            ContextValue::Git(source) => drop(named.insert(context.clone(), Named::Git((**source).clone()))),
            ContextValue::Http(source) => drop(named.insert(context.clone(), Named::Http((**source).clone()))),
            ContextValue::Image(_) => {}
            ContextValue::Layout { path, selector } => import_layout(store, context, path, selector.as_deref())?,
        }
    }
    Ok(named)
}

impl Input {
    /// Opens the contexts that the plan reads, no others.
    pub(crate) fn contexts(&mut self, plan: &Plan, store: &Store, servers: Servers<'_>) -> Result<Contexts, Failure> {
        let mut contexts = Contexts::default();
        let names = plan.vertices.iter().flat_map(|v| &v.inputs).filter_map(|input| match input {
            PlanInput::Context(name) => Some(name),
            _ => None,
        });
        for name in names {
            if contexts.contains(name) {
                continue;
            }
            let context = match name {
                ContextName::Main => self.open_main(store)?,
                ContextName::Named(key) => self
                    .open_named(key, store, servers)
                    .map_err(|failure| failure.context(format!("build context `{key}`")))?,
            };
            contexts.insert(name.clone(), context);
        }
        Ok(contexts)
    }

    fn open_named(&mut self, name: &str, store: &Store, servers: Servers<'_>) -> Result<Context, Failure> {
        self.fetch(name, store, servers)?;
        match self.named.get(name) {
            Some(Named::Directory(path)) => Ok(Context::open(path, ignore_file(&path.join(".dockerignore"))?, store)?),
            Some(Named::Git(source)) => {
                let tree = git::tree(source, store, servers, self.mode)?;
                Ok(Context::transient(&tree.directory, ignore_within(&tree.directory, None)?, store)?)
            }
            Some(Named::Fetched(fetched)) => {
                Ok(Context::transient(&fetched.directory, Ignore::from_patterns([])?, store)?)
            }
            Some(Named::Http(_)) | None => Err(Failure::new("there is none of this name")),
        }
    }

    /// Fetches a named context that is behind an address, unless it is here.
    fn fetch(&mut self, name: &str, store: &Store, servers: Servers<'_>) -> Result<(), Failure> {
        let Some(Named::Http(source)) = self.named.get(name) else { return Ok(()) };
        let fetched = http::fetch(source, store, servers, self.mode)?;
        self.named.insert(name.to_owned(), Named::Fetched(fetched));
        Ok(())
    }

    /// Returns the time that the arguments name, if there is one: what is not here is fetched for it.
    pub(crate) fn time(&mut self, epoch: &Epoch, store: &Store, servers: Servers<'_>) -> Result<Option<i64>, Failure> {
        match epoch {
            Epoch::Seconds(seconds) => Ok(Some(*seconds)),
            Epoch::Context(ContextName::Main) => Ok(self.time),
            Epoch::Context(ContextName::Named(name)) => self
                .time_of_named(name, store, servers)
                .map_err(|failure| failure.context(format!("build context `{name}`"))),
            Epoch::Source(plan::Source::Git(source)) => Ok(Some(git::tree(source, store, servers, self.mode)?.time)),
            Epoch::Source(plan::Source::Http(source)) => http::time(&http::fetch(source, store, servers, self.mode)?),
        }
    }

    fn time_of_named(&mut self, name: &str, store: &Store, servers: Servers<'_>) -> Result<Option<i64>, Failure> {
        self.fetch(name, store, servers)?;
        match self.named.get(name) {
            Some(Named::Git(source)) => Ok(Some(git::tree(source, store, servers, self.mode)?.time)),
            Some(Named::Fetched(fetched)) => http::time(fetched),
            _ => Ok(None),
        }
    }

    /// Reads the patterns that hide paths of the build context; `None` for an empty context.
    pub(crate) fn ignore(&self) -> Result<Option<Ignore>, Failure> {
        match &self.main {
            None => Ok(None),
            Some(Place::Closed { root, .. }) => ignore_within(root, self.own_ignore.as_deref()).map(Some),
            Some(Place::Directory(root)) => {
                let file = self.own_ignore.clone().unwrap_or_else(|| root.join(".dockerignore"));
                ignore_file(&file).map(Some)
            }
        }
    }

    fn open_main(&self, store: &Store) -> Result<Context, Failure> {
        let Some(ignore) = self.ignore()? else { return Ok(Context::empty()) };
        match &self.main {
            Some(Place::Closed { root, .. }) => Ok(Context::transient(root, ignore, store)?),
            Some(Place::Directory(root)) => Ok(Context::open(root, ignore, store)?),
            None => Ok(Context::empty()),
        }
    }
}

/// Reads the ignore file of a context that came from elsewhere: the Dockerfile's own, or the common one.
fn ignore_within(root: &Path, own: Option<&Path>) -> Result<Ignore, Failure> {
    let files = [own, Some(Path::new(".dockerignore"))];
    match files.into_iter().flatten().find_map(|path| archive::open(root, path).ok()) {
        Some(file) => read_ignore(file, ".dockerignore"),
        None => Ok(Ignore::from_patterns([])?),
    }
}

fn directory_context(text: &str) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(text);
    let checked = check_directory(&path).map_err(|f| f.context(format!("build context `{}`", plan::redact(text))));
    checked.map_err(|f| {
        if text.contains("://") { f.help("an address begins with http://, https://, git:// or ssh://") } else { f }
    })?;
    Ok(path)
}

fn check_directory(path: &Path) -> Result<(), Failure> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Ok(());
    }
    Err(Failure::new("not a directory").help("the build context is a directory; the Dockerfile is given with --file"))
}

pub(crate) fn default_dockerfile(root: &Path) -> Result<PathBuf, Failure> {
    let found = ["Dockerfile", "dockerfile"].map(|name| root.join(name)).into_iter().find(|p| p.exists());
    found.ok_or_else(|| {
        let failure = Failure::new(format!("no Dockerfile in {}", root.display()));
        let names: Vec<String> = names_in(root);
        let similar = nearest("Dockerfile", names.iter().map(String::as_str))
            .or_else(|| names.iter().map(String::as_str).find(|n| n.ends_with("ockerfile") || *n == "Containerfile"));
        match similar {
            Some(name) => failure.help(format!("a similar file exists: use --file {}", root.join(name).display())),
            None => failure.help("say which file with --file"),
        }
    })
}

pub(crate) fn missing(path: &Path, error: io::Error) -> Failure {
    let failure = Failure::from_error(&error).context(format!("failed to read {}", path.display()));
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return failure;
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let names = names_in(directory);
    match nearest(name, names.iter().map(String::as_str)) {
        Some(similar) if error.kind() == io::ErrorKind::NotFound => {
            failure.help(format!("a similar file exists: `{}`", directory.join(similar).display()))
        }
        _ => failure,
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Reads a bounded text.
pub(crate) fn text(reader: impl Read, name: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    reader
        .take(DOCKERFILE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::from_error(&e).context(format!("failed to read {name}")))?;
    if bytes.len() as u64 > DOCKERFILE_LIMIT {
        return Err(Failure::new(format!("{name} is larger than {} MiB: is it a Dockerfile?", DOCKERFILE_LIMIT >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
        Failure::new(format!("{name} is not UTF-8 text: line {line} has other bytes"))
    })
}

pub(crate) fn ignore_file(path: &Path) -> Result<Ignore, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ignore::from_patterns([])?),
        Err(error) => return Err(Failure::from_error(&error).context(format!("failed to read {}", path.display()))),
    };
    read_ignore(file, &path.display().to_string())
}

fn read_ignore(file: File, name: &str) -> Result<Ignore, Failure> {
    let mut bytes = Vec::new();
    let read = file.take(IGNORE_LIMIT + 1).read_to_end(&mut bytes);
    let read = read.map_err(|error| Failure::from_error(&error).context(format!("failed to read {name}")))?;
    if read as u64 > IGNORE_LIMIT {
        return Err(Failure::new(format!("the ignore file {name} is larger than {} MiB", IGNORE_LIMIT >> 20)));
    }
    Ignore::parse(&bytes).map_err(|invalid| {
        let mut sources = Sources::default();
        let source = sources.add(name, String::from_utf8_lossy(&bytes));
        let drawn = invalid.diagnostic(&source).render(&sources, terminal::color());
        Failure::new(format!("the ignore file {name} cannot be used")).excerpt(drawn)
    })
}

pub(crate) fn append(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The name in the store of an image read from an OCI layout for a named context.
pub(super) fn layout_name(context: &str) -> Reference {
    let repository: String = context
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .collect::<String>()
        .trim_matches('-')
        .to_owned();
    let tag = &image::digest::hex(image::Digest::of(context.as_bytes()).as_bytes())[..16];
    Reference {
        registry: LAYOUT_HOST.to_owned(),
        repository: if repository.is_empty() { "context".to_owned() } else { repository },
        tag: Some(tag.to_owned()),
        digest: None,
    }
}

fn import_layout(store: &Store, context: &str, path: &Path, selector: Option<&str>) -> Result<(), Failure> {
    let describe = |f: Failure| f.context(format!("build context `{context}` (oci-layout://{})", path.display()));
    let loaded = if path.is_dir() {
        image::layout::read_dir(path, selector, store)
    } else {
        let file = File::open(path).map_err(|e| describe(Failure::from_error(&e)))?;
        image::archive::load(file, store)
    };
    let loaded = loaded.map_err(|e| describe(Failure::from_error(&e)))?;
    let chosen = image::layout::choose(&loaded, selector).map_err(|e| describe(Failure::from_error(&e)))?;
    store.tag(&layout_name(context), &chosen.manifest)?;
    Ok(())
}
