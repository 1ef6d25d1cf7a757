//! Reading what statx(2) does not tell: data, link targets, attributes.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use image::layer::Xattrs;
use image::{Entry, LayerPath};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::node::{Fact, Node, NodeKind};
use super::{Directory, beneath, fail, text};
use crate::error::{Result, SolveErrorKind};

impl Directory {
    pub(super) fn learn_all(&self, unknown: &[&(LayerPath, Arc<Node>)]) -> Result<()> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut buffer = Vec::new();
            while let Some((path, node)) = unknown.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.learn_with(path, node, &mut buffer) {
                    next.store(unknown.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
            Ok(())
        };
        let bytes: u64 = unknown.iter().map(|(_, node)| node.size).sum();
        let threads = if bytes > 1 << 20 || unknown.len() > 32 { crate::cores().min(unknown.len()) } else { 1 };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut result = work();
            for other in others {
                result = result.and(other.join().unwrap_or(Err(SolveErrorKind::Canceled)));
            }
            result
        })
    }

    /// Reads what only reading tells of a node.
    pub(super) fn learn(&self, path: &LayerPath, node: &Node) -> Result<()> {
        self.learn_with(path, node, &mut Vec::new())
    }

    fn learn_with(&self, path: &LayerPath, node: &Node, buffer: &mut Vec<u8>) -> Result<()> {
        if node.fact.get().is_some() {
            return Ok(());
        }
        let mut fact = Fact::default();
        match node.kind {
            NodeKind::File => {
                let file = self.open_file(path, false)?;
                fact.xattrs = xattrs(&file).map_err(fail("read the attributes of", path))?;
                let (size, content) = crate::write::copy_and_hash(&mut &file, None, buffer).map_err(|source| {
                    SolveErrorKind::Context { action: "read", path: text(path).into_owned(), source }
                })?;
                (fact.size, fact.content) = (size, content.0);
            }
            NodeKind::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let directory = beneath::open(&self.fd, path, flags).map_err(fail("open", path))?;
                fact.xattrs = xattrs(&directory).map_err(fail("read the attributes of", path))?;
            }
            NodeKind::Symlink => {
                let parent = path.parent().unwrap_or_default();
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                let parent = beneath::open(&self.fd, &parent, flags).map_err(fail("open", path))?;
                let target = rustix::fs::readlinkat(&parent, path.file_name(), Vec::new());
                fact.target = target.map_err(fail("read the link", path))?.into_bytes().into();
            }
            NodeKind::CharDevice | NodeKind::BlockDevice | NodeKind::Fifo | NodeKind::Socket => {}
        }
        // Another thread may have been faster; then its fact stands.
        let _ = node.fact.set(fact);
        Ok(())
    }

    pub(super) fn open_file(&self, path: &LayerPath, socket: bool) -> Result<File> {
        if socket {
            return rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty())
                .map(File::from)
                .map_err(fail("open", path));
        }
        // Not to wait for a writer, should a fifo stand there by now.
        let fd = beneath::open(&self.fd, path, OFlags::RDONLY | OFlags::NONBLOCK).map_err(fail("open", path))?;
        Ok(File::from(fd))
    }

    /// Returns the root of the context; the name and the place of it are the caller's.
    pub(super) fn root_entry(&self) -> Result<Entry> {
        let root = LayerPath::root();
        let mut node =
            beneath::node(&self.fd, b".".as_slice().into()).map_err(|(error, _)| fail("stat", &root)(error))?;
        let xattrs = xattrs(&self.fd).map_err(fail("read the attributes of", &root))?;
        node.know(Fact { xattrs, ..Fact::default() }, false);
        Ok(node.entry(root))
    }
}

/// Returns the attributes that are worth copying: not those of the machine's own security policy, of its overlays or of
/// a desktop.
fn xattrs(fd: impl AsFd) -> Result<Xattrs, Errno> {
    let mut list = [0u8; 4096];
    let mut large = Vec::new();
    let names = match rustix::fs::flistxattr(&fd, &mut list[..]) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(len) => &list[..len],
        Err(Errno::RANGE) => {
            large.resize(64 << 10, 0);
            let len = rustix::fs::flistxattr(&fd, &mut large[..])?;
            &large[..len]
        }
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for name in names.split(|&b| b == 0).filter(|name| is_copied(name)) {
        let mut value = vec![0; 64 << 10];
        match rustix::fs::fgetxattr(&fd, name, &mut value[..]) {
            Ok(len) => found.push((Box::from(name), Box::from(&value[..len]))),
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn is_copied(name: &[u8]) -> bool {
    let own =
        name.starts_with(b"user.") && !name.starts_with(b"user.overlay.") && !name.starts_with(b"user.com.apple.");
    own || name == b"security.capability"
}
