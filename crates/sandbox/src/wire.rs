//! How a [`Spec`] travels to the box, and an [`Error`] back: fields in order, lengths before bytes.
//!
//! Both ends are the same program, so there is no version. A malformed message can only be a defect; it gives `None`.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::spec::{Mount, MountKind, Network, Rlimit, Rootfs, Security, Spec, TerminalSize};
use crate::{Error, Status};

/// Appends fields to a message.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.u32(value.cast_unsigned());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    fn path(&mut self, path: &Path) {
        self.bytes(path.as_os_str().as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.u64(items.len() as u64);
        for item in items {
            write(self, item);
        }
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Takes fields off a message.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.u32().map(u32::cast_signed)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u64()?).ok()?;
        self.take(length)
    }

    fn bool(&mut self) -> Option<bool> {
        self.u8().map(|value| value != 0)
    }

    pub(crate) fn string(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn path(&mut self) -> Option<PathBuf> {
        Some(OsString::from_vec(self.bytes()?.to_vec()).into())
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u64()?;
        (0..count).map(|_| read(self)).collect()
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.bool()? { read(self).map(Some) } else { Some(None) }
    }
}

pub(crate) fn write_spec(spec: &Spec) -> Vec<u8> {
    let mut out = Writer::default();
    match &spec.rootfs {
        Rootfs::Overlay { lowers, upper, work, read_only } => {
            out.u8(0);
            out.list(lowers, |out, lower| out.path(lower));
            out.path(upper);
            out.path(work);
            out.bool(*read_only);
        }
        Rootfs::Directory { path, read_only } => {
            out.u8(1);
            out.path(path);
            out.bool(*read_only);
        }
    }
    out.list(&spec.mounts, write_mount);
    out.list(&spec.argv, |out, word| out.bytes(word.as_bytes()));
    out.list(&spec.env, |out, (name, value)| {
        out.bytes(name.as_bytes());
        out.bytes(value.as_bytes());
    });
    out.bytes(spec.cwd.as_bytes());
    out.bytes(spec.user.as_bytes());
    out.list(&spec.extra_groups, |out, group| out.u32(*group));
    out.bytes(spec.hostname.as_bytes());
    out.u8(match spec.network {
        Network::Host => 0,
        Network::None => 1,
        Network::Private => 2,
    });
    out.u8(match spec.security {
        Security::Default { no_new_privs: false } => 0,
        Security::Default { no_new_privs: true } => 1,
        Security::Insecure => 2,
    });
    out.list(&spec.rlimits, |out, limit| {
        out.u32(limit.resource);
        out.u64(limit.soft);
        out.u64(limit.hard);
    });
    out.option(spec.hosts.as_deref(), Writer::bytes);
    out.option(spec.resolv_conf.as_deref(), Writer::bytes);
    out.u64(spec.shm_size);
    out.option(spec.terminal, |out, size| {
        out.u32(size.rows.into());
        out.u32(size.columns.into());
    });
    out.bool(spec.init);
    out.0
}

fn write_mount(out: &mut Writer, mount: &Mount) {
    out.bytes(mount.target.as_bytes());
    out.bool(mount.read_only);
    match &mount.kind {
        MountKind::Bind { source, recursive } => {
            out.u8(0);
            out.path(source);
            out.bool(*recursive);
        }
        MountKind::Snapshot { lowers, subpath } => {
            out.u8(1);
            out.list(lowers, |out, lower| out.path(lower));
            out.bytes(subpath.as_bytes());
        }
        MountKind::Tmpfs { size, mode } => {
            out.u8(2);
            out.option(*size, Writer::u64);
            out.u32(*mode);
        }
        MountKind::Data { bytes, mode, uid, gid } => {
            out.u8(3);
            out.bytes(bytes);
            out.u32(*mode);
            out.u32(*uid);
            out.u32(*gid);
        }
        MountKind::Beneath { directory, subpath } => {
            out.u8(4);
            out.path(directory);
            out.bytes(subpath.as_bytes());
        }
    }
}

fn terminal_size(from: &mut Reader<'_>) -> Option<TerminalSize> {
    Some(TerminalSize { rows: from.u32()?.try_into().ok()?, columns: from.u32()?.try_into().ok()? })
}

pub(crate) fn read_spec(bytes: &[u8]) -> Option<Spec> {
    let from = &mut Reader(bytes);
    let rootfs = match from.u8()? {
        0 => Rootfs::Overlay {
            lowers: from.list(Reader::path)?,
            upper: from.path()?,
            work: from.path()?,
            read_only: from.bool()?,
        },
        1 => Rootfs::Directory { path: from.path()?, read_only: from.bool()? },
        _ => return None,
    };
    Some(Spec {
        rootfs,
        mounts: from.list(read_mount)?,
        argv: from.list(Reader::string)?,
        env: from.list(|from| Some((from.string()?, from.string()?)))?,
        cwd: from.string()?,
        user: from.string()?,
        extra_groups: from.list(Reader::u32)?,
        hostname: from.string()?,
        network: match from.u8()? {
            0 => Network::Host,
            1 => Network::None,
            2 => Network::Private,
            _ => return None,
        },
        security: match from.u8()? {
            0 => Security::Default { no_new_privs: false },
            1 => Security::Default { no_new_privs: true },
            2 => Security::Insecure,
            _ => return None,
        },
        rlimits: from.list(|from| Some(Rlimit { resource: from.u32()?, soft: from.u64()?, hard: from.u64()? }))?,
        hosts: from.option(|from| from.bytes().map(<[u8]>::to_vec))?,
        resolv_conf: from.option(|from| from.bytes().map(<[u8]>::to_vec))?,
        shm_size: from.u64()?,
        terminal: from.option(terminal_size)?,
        init: from.bool()?,
    })
}

fn read_mount(from: &mut Reader<'_>) -> Option<Mount> {
    let target = from.string()?;
    let read_only = from.bool()?;
    let kind = match from.u8()? {
        0 => MountKind::Bind { source: from.path()?, recursive: from.bool()? },
        1 => MountKind::Snapshot { lowers: from.list(Reader::path)?, subpath: from.string()? },
        2 => MountKind::Tmpfs { size: from.option(Reader::u64)?, mode: from.u32()? },
        3 => MountKind::Data { bytes: from.bytes()?.to_vec(), mode: from.u32()?, uid: from.u32()?, gid: from.u32()? },
        4 => MountKind::Beneath { directory: from.path()?, subpath: from.string()? },
        _ => return None,
    };
    Some(Mount { target, read_only, kind })
}

/// Writes an error that can arise in a box or its launcher; others arrive as their text.
pub(crate) fn write_error(out: &mut Writer, error: &Error) {
    let errno = |source: &io::Error| source.raw_os_error().unwrap_or(libc::EIO);
    match error {
        Error::Setup { doing, source } => {
            out.u8(0);
            out.bytes(doing.as_bytes());
            out.i32(errno(source));
        }
        Error::NoSuchUser(name) => {
            out.u8(1);
            out.bytes(name.as_bytes());
        }
        Error::NoSuchGroup(name) => {
            out.u8(2);
            out.bytes(name.as_bytes());
        }
        Error::IdOutOfRange(text) => {
            out.u8(3);
            out.bytes(text.as_bytes());
        }
        Error::UnmappedId { what, id, single } => {
            out.u8(4);
            out.bytes(what.as_bytes());
            out.u32(*id);
            out.bool(*single);
        }
        Error::CommandNotFound { command, in_path, interpreter } => {
            out.u8(5);
            out.bytes(command.as_bytes());
            out.bool(*in_path);
            out.bool(*interpreter);
        }
        Error::NotExecutable { command, source } => {
            out.u8(6);
            out.bytes(command.as_bytes());
            out.i32(errno(source));
        }
        Error::Died(Status::Code(code)) => {
            out.u8(7);
            out.i32(*code);
        }
        Error::Died(Status::Signal(signal)) => {
            out.u8(8);
            out.i32(*signal);
        }
        Error::Network(why) => {
            out.u8(10);
            out.bytes(why.as_bytes());
        }
        other => {
            out.u8(9);
            out.bytes(other.to_string().as_bytes());
        }
    }
}

pub(crate) fn read_error(from: &mut Reader<'_>) -> Option<Error> {
    Some(match from.u8()? {
        0 => Error::Setup { doing: from.string()?, source: io::Error::from_raw_os_error(from.i32()?) },
        1 => Error::NoSuchUser(from.string()?),
        2 => Error::NoSuchGroup(from.string()?),
        3 => Error::IdOutOfRange(from.string()?),
        4 => Error::UnmappedId { what: from.string()?, id: from.u32()?, single: from.bool()? },
        5 => Error::CommandNotFound { command: from.string()?, in_path: from.bool()?, interpreter: from.bool()? },
        6 => Error::NotExecutable { command: from.string()?, source: io::Error::from_raw_os_error(from.i32()?) },
        7 => Error::Died(Status::Code(from.i32()?)),
        8 => Error::Died(Status::Signal(from.i32()?)),
        9 => Error::Invalid(from.string()?),
        10 => Error::Network(from.string()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            rootfs: Rootfs::Overlay {
                lowers: vec!["/a".into(), OsString::from_vec(vec![b'/', 0xff]).into()],
                upper: "/u".into(),
                work: "/w".into(),
                read_only: true,
            },
            mounts: vec![
                Mount {
                    target: "/src".into(),
                    read_only: true,
                    kind: MountKind::Bind { source: "/x".into(), recursive: true },
                },
                Mount {
                    target: "/s".into(),
                    read_only: false,
                    kind: MountKind::Snapshot { lowers: vec!["/l".into()], subpath: "sub".into() },
                },
                Mount { target: "/t".into(), read_only: false, kind: MountKind::Tmpfs { size: Some(7), mode: 0o1777 } },
                Mount {
                    target: "/d".into(),
                    read_only: true,
                    kind: MountKind::Data { bytes: vec![0, 1, 2], mode: 0o400, uid: 1, gid: 2 },
                },
                Mount {
                    target: "/b".into(),
                    read_only: false,
                    kind: MountKind::Beneath { directory: "/y".into(), subpath: "sub".into() },
                },
            ],
            argv: vec!["sh".into(), "-c".into(), String::new()],
            env: vec![("A".into(), "b=c".into())],
            cwd: "/work".into(),
            user: "app:staff".into(),
            extra_groups: vec![5, 6],
            hostname: "box".into(),
            network: Network::None,
            security: Security::Default { no_new_privs: true },
            rlimits: vec![Rlimit { resource: 7, soft: 1, hard: u64::MAX }],
            hosts: Some(b"127.0.0.1 localhost\n".to_vec()),
            resolv_conf: None,
            shm_size: 64 << 20,
            terminal: Some(TerminalSize { rows: 33, columns: 77 }),
            init: true,
        }
    }

    #[test]
    fn a_specification_arrives_as_it_was_sent() {
        let spec = spec();
        let bytes = write_spec(&spec);
        assert_eq!(format!("{:?}", read_spec(&bytes).unwrap()), format!("{spec:?}"));
    }

    #[test]
    fn a_truncated_specification_is_refused_wherever_it_ends() {
        let bytes = write_spec(&spec());
        for end in 0..bytes.len() {
            assert!(read_spec(&bytes[..end]).is_none(), "accepted {end} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn errors_arrive_as_they_were_sent() {
        let errors = [
            Error::Setup { doing: "mounting proc at /proc".into(), source: io::Error::from_raw_os_error(1) },
            Error::NoSuchUser("app".into()),
            Error::NoSuchGroup("app".into()),
            Error::IdOutOfRange("-1".into()),
            Error::UnmappedId { what: "user".into(), id: 1000, single: true },
            Error::CommandNotFound { command: "nope".into(), in_path: true, interpreter: false },
            Error::NotExecutable { command: "/etc".into(), source: io::Error::from_raw_os_error(13) },
            Error::Died(Status::Code(3)),
            Error::Died(Status::Signal(9)),
            Error::Invalid("no command".into()),
            Error::Network("no route".into()),
        ];
        for error in errors {
            let mut out = Writer::default();
            write_error(&mut out, &error);
            let back = read_error(&mut Reader(&out.0)).unwrap();
            assert_eq!(format!("{back:?}"), format!("{error:?}"));
        }
    }
}
