//! One container, and where it is kept.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use image::ImageConfig;
use sandbox::{Rootfs, Spec};
use store::{LayerId, Store};

use crate::command::{self, Options};
use crate::state::{State, Status};
use crate::{Error, Result};

/// Version of `state.json`.
const VERSION: u32 = 1;

/// A container on disk.
#[derive(Debug)]
pub struct Container {
    directory: PathBuf,
    state: State,
}

/// A container that was just made and is about to run: nobody else can remove it.
#[derive(Debug)]
pub struct Running {
    container: Container,
    spec: Spec,
    _lock: File,
}

impl Running {
    /// Makes a container. `layers`: lowest first.
    pub fn create(
        store: &Store,
        image_name: &str,
        image: &ImageConfig,
        layers: &[LayerId],
        options: &Options,
    ) -> Result<Self> {
        let argv = command::argv(image, options)?;
        if let Some(name) = &options.name
            && Container::list(store)?.iter().any(|c| c.state.name.as_ref() == Some(name))
        {
            return Err(Error::NameTaken(name.clone()));
        }
        let id = new_id()?;
        let directory = store.containers().join(&id);
        for part in [directory.clone(), directory.join("upper"), directory.join("work")] {
            fs::create_dir_all(&part).map_err(io_error("create", &part))?;
        }
        let lock = open_lock(&directory)?;
        lock.lock().map_err(io_error("lock", &directory))?;
        let state = State {
            version: VERSION,
            id: id.clone(),
            name: options.name.clone(),
            image: image_name.to_owned(),
            layers: layers.iter().map(|l| l.as_str().to_owned()).collect(),
            command: argv,
            created: now(),
            exit_code: None,
        };
        let container = Container { directory, state };
        container.save()?;
        let mut lowers = store.lowers(layers)?;
        lowers.push(store.mount_points(&sandbox::MOUNT_POINTS)?);
        let rootfs = Rootfs::Overlay {
            lowers,
            upper: container.directory.join("upper"),
            work: container.directory.join("work"),
            read_only: options.read_only,
        };
        let spec = command::spec(&id, rootfs, image, options)?;
        Ok(Self { container, spec, _lock: lock })
    }

    /// Returns what the sandbox needs.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Returns the container's id.
    pub fn id(&self) -> &str {
        &self.container.state.id
    }

    /// Writes down how it ended; it stays until it is removed.
    pub fn exited(mut self, code: i32) -> Result<()> {
        self.container.state.exit_code = Some(code);
        self.container.save()
    }

    /// Removes everything of it (`--rm`).
    pub fn discard(self) -> Result<()> {
        self.container.delete()
    }
}

impl Container {
    /// Returns all containers, newest first. One whose state cannot be read is left out, with a warning.
    pub fn list(store: &Store) -> Result<Vec<Self>> {
        let root = store.containers();
        let entries = match fs::read_dir(&root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("read", &root)(error)),
        };
        let mut containers = Vec::new();
        for entry in entries {
            let directory = entry.map_err(io_error("read", &root))?.path();
            match Self::read(&directory) {
                Ok(container) => containers.push(container),
                Err(error) => tracing::warn!(%error, directory = %directory.display(), "container left out"),
            }
        }
        containers.sort_by(|a, b| (b.state.created, &b.state.id).cmp(&(a.state.created, &a.state.id)));
        Ok(containers)
    }

    /// Finds a container by name or the start of its id.
    pub fn find(store: &Store, text: &str) -> Result<Self> {
        let mut found = None;
        for container in Self::list(store)? {
            if container.state.name.as_deref() == Some(text) {
                return Ok(container);
            }
            if !text.is_empty() && container.state.id.starts_with(text) {
                if found.is_some() {
                    return Err(Error::Ambiguous(text.to_owned()));
                }
                found = Some(container);
            }
        }
        found.ok_or_else(|| Error::Unknown(text.to_owned()))
    }

    /// Returns what is known of it.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Tells whether it runs, by its lock.
    pub fn status(&self) -> Result<Status> {
        let lock = open_lock(&self.directory)?;
        Ok(match (lock.try_lock(), self.state.exit_code) {
            (Err(_), _) => Status::Running,
            (Ok(()), Some(code)) => Status::Exited(code),
            (Ok(()), None) => Status::Dead,
        })
    }

    /// Removes it, unless it runs.
    pub fn remove(self) -> Result<()> {
        let lock = open_lock(&self.directory)?;
        if lock.try_lock().is_err() {
            return Err(Error::Running(self.state.id));
        }
        self.delete()
    }

    fn delete(&self) -> Result<()> {
        match fs::remove_dir_all(&self.directory) {
            // A collector was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(io_error("remove", &self.directory)),
        }
    }

    fn read(directory: &Path) -> Result<Self> {
        let path = directory.join("state.json");
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        let state: State = serde_json::from_slice(&bytes)
            .map_err(|source| Error::State { id: directory.display().to_string(), source })?;
        Ok(Self { directory: directory.to_owned(), state })
    }

    /// Writes beside, then renames.
    fn save(&self) -> Result<()> {
        let path = self.directory.join("state.json");
        let temporary = self.directory.join("state.json.new");
        let bytes =
            serde_json::to_vec(&self.state).map_err(|source| Error::State { id: self.state.id.clone(), source })?;
        fs::write(&temporary, bytes).map_err(io_error("write", &temporary))?;
        fs::rename(&temporary, &path).map_err(io_error("write", &path))
    }
}

fn open_lock(directory: &Path) -> Result<File> {
    let path = directory.join("lock");
    File::options().create(true).truncate(false).write(true).open(&path).map_err(io_error("open", &path))
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

fn new_id() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::Io {
        action: "read random bytes for",
        path: "a container id".into(),
        source: io::Error::other(error),
    })?;
    Ok(image::digest::hex(&bytes))
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
