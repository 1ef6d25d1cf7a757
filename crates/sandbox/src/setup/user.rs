//! Who the process is: `USER` and `--user`, looked up in the files of the box.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, OFlags, fstat};

use super::place::Root;
use crate::Identity;
use crate::error::{Doing, Error, Result};
use crate::userns::Ids;

/// Files of users longer than this are not read.
const MAX_FILE: u64 = 10 << 20;
/// The highest id that tools agree on.
const MAX_ID: i64 = i32::MAX as i64;

/// A user as the kernel and `HOME` know it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups, the primary one among them.
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// The text of /etc/passwd and /etc/group.
trait Files {
    fn read(&self, path: &str) -> Result<Vec<u8>>;
}

impl Files for Root {
    fn read(&self, path: &str) -> Result<Vec<u8>> {
        // Not to hang on a pipe or to wake a device.
        let opened = self.open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other,
        };
        file.and_then(read_bounded).doing(|| format!("reading {path} of the image"))
    }
}

fn read_bounded(file: OwnedFd) -> io::Result<Vec<u8>> {
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::from_raw_os_error(libc::EFBIG));
    }
    Ok(bytes)
}

/// Returns the user that `text` (`[user][:group]`) means in the box with this root.
pub(super) fn resolve(text: &str, extra_groups: &[u32], root: &Root) -> Result<User> {
    resolve_in(text, extra_groups, root)
}

/// Refuses a user whose ids do not exist in the user namespace, which the kernel would do less clearly.
pub(super) fn check_mapped(user: &User, ids: &Ids) -> Result<()> {
    let single = ids.identity == Identity::SingleId;
    if !ids.uids.contains(user.uid) {
        return Err(Error::UnmappedId { what: "user".into(), id: user.uid, single });
    }
    // Where groups cannot be set, only the primary one matters.
    let groups = if single { &[][..] } else { &user.groups[..] };
    match groups.iter().chain([&user.gid]).find(|gid| !ids.gids.contains(**gid)) {
        Some(gid) => Err(Error::UnmappedId { what: "group".into(), id: *gid, single }),
        None => Ok(()),
    }
}

fn resolve_in(text: &str, extra_groups: &[u32], files: &impl Files) -> Result<User> {
    let found = if text.is_empty() {
        // Without a user there is always root, whatever the files look like.
        look_up("0", "", files).unwrap_or_else(|_| User { uid: 0, gid: 0, groups: Vec::new(), home: "/".into() })
    } else {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        match (plain_id(user), plain_id(group)) {
            (Some(uid), Some(gid)) => {
                let home = files.read("/etc/passwd").ok().and_then(|passwd| home_of(uid, &passwd));
                User { uid, gid, groups: Vec::new(), home: home.unwrap_or_else(|| "/".into()) }
            }
            _ => look_up(if user.is_empty() { "0" } else { user }, group, files)?,
        }
    };
    let mut groups = vec![found.gid];
    for group in found.groups.iter().chain(extra_groups) {
        if !groups.contains(group) {
            groups.push(*group);
        }
    }
    Ok(User { groups, ..found })
}

/// An id that needs no look-up.
fn plain_id(text: &str) -> Option<u32> {
    if text == "root" { Some(0) } else { text.parse::<i32>().ok().and_then(|id| u32::try_from(id).ok()) }
}

/// A number that is meant as an id, in range or not; `None` if it is a name.
fn numeric(text: &str) -> Option<Result<u32>> {
    let number: i64 = text.parse().ok()?;
    let in_range = (0..=MAX_ID).contains(&number);
    Some(if in_range { Ok(number as u32) } else { Err(Error::IdOutOfRange(text.to_owned())) })
}

fn look_up(user: &str, group: &str, files: &impl Files) -> Result<User> {
    let passwd = files.read("/etc/passwd")?;
    let number = numeric(user);
    let entry = Passwd::all(&passwd)
        .find(|entry| entry.name == user.as_bytes() || matches!(number, Some(Ok(uid)) if uid == entry.uid));
    let (uid, gid, home) = match (&entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home()),
        (None, Some(uid)) => (uid?, 0, None),
        (None, None) => return Err(Error::NoSuchUser(user.to_owned())),
    };
    let home = home.unwrap_or_else(|| "/".into());
    if group.is_empty() {
        let groups = match entry {
            Some(entry) => groups_of(entry.name, &files.read("/etc/group")?),
            None => Vec::new(),
        };
        return Ok(User { uid, gid, groups, home });
    }
    let gid = group_id(group, &files.read("/etc/group")?)?;
    Ok(User { uid, gid, groups: Vec::new(), home })
}

/// A line of /etc/passwd.
struct Passwd<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

impl<'a> Passwd<'a> {
    fn all(text: &'a [u8]) -> impl Iterator<Item = Self> {
        lines(text).filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let (name, _) = (fields.next()?, fields.next()?);
            let (uid, gid) = (id(fields.next()?)?, id(fields.next()?)?);
            Some(Self { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
        })
    }

    fn home(&self) -> Option<String> {
        (!self.home.is_empty()).then(|| String::from_utf8_lossy(self.home).into_owned())
    }
}

fn home_of(uid: u32, passwd: &[u8]) -> Option<String> {
    Passwd::all(passwd).find(|entry| entry.uid == uid)?.home()
}

/// The name, id and members in a line of /etc/group.
fn group_lines(text: &[u8]) -> impl Iterator<Item = (&[u8], u32, &[u8])> {
    lines(text).filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let name = fields.next()?;
        Some((name, id(fields.nth(1)?)?, fields.next().unwrap_or_default()))
    })
}

fn groups_of(user: &[u8], text: &[u8]) -> Vec<u32> {
    let member = |members: &[u8]| members.split(|byte| *byte == b',').any(|name| name.trim_ascii() == user);
    group_lines(text).filter(|(_, _, members)| member(members)).map(|(_, gid, _)| gid).collect()
}

fn group_id(group: &str, text: &[u8]) -> Result<u32> {
    let number = numeric(group);
    let found = group_lines(text)
        .find(|(name, gid, _)| *name == group.as_bytes() || matches!(number, Some(Ok(number)) if number == *gid));
    match (found, number) {
        (Some((_, gid, _)), _) => Ok(gid),
        (None, Some(gid)) => gid,
        (None, None) => Err(Error::NoSuchGroup(group.to_owned())),
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}

fn id(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.trim().parse::<i32>().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Texts(&'static str, &'static str);

    impl Files for Texts {
        fn read(&self, path: &str) -> Result<Vec<u8>> {
            Ok(if path == "/etc/passwd" { self.0 } else { self.1 }.into())
        }
    }

    const FILES: Texts = Texts(
        "root:x:0:0:root:/root:/bin/sh\n# comment\n\nbad line\napp:x:1000:100:App:/home/app:/bin/sh\n\
         homeless:x:7:8::\ntoolong:x:99999999999:0::/:\n123:x:55:66::/odd:\n",
        "root:x:0:root\nusers:x:100:\nwheel:x:10:root,app\naudio:x:29: app ,other\nstaff:x:50:\nbad:x:y:app\n",
    );

    #[track_caller]
    fn check(text: &str, uid: u32, gid: u32, groups: &[u32], home: &str) {
        let user = resolve_in(text, &[], &FILES).unwrap();
        assert_eq!(user, User { uid, gid, groups: groups.to_vec(), home: home.into() });
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        assert_eq!(resolve_in(text, &[], &FILES).unwrap_err().to_string(), expected);
    }

    #[test]
    fn names_and_numbers_are_looked_up() {
        check("", 0, 0, &[0, 10], "/root");
        check("root", 0, 0, &[0, 10], "/root");
        check("app", 1000, 100, &[100, 10, 29], "/home/app");
        check("1000", 1000, 100, &[100, 10, 29], "/home/app");
        check("4711", 4711, 0, &[0], "/");
        check("homeless", 7, 8, &[8], "/");
        check("app:staff", 1000, 50, &[50], "/home/app");
        check("app:50", 1000, 50, &[50], "/home/app");
        check("app:77", 1000, 77, &[77], "/home/app");
        check(":staff", 0, 50, &[50], "/root");
        check("app:", 1000, 100, &[100, 10, 29], "/home/app");
    }

    #[test]
    fn two_numbers_need_no_files() {
        check("1000:7", 1000, 7, &[7], "/home/app");
        check("4711:4712", 4711, 4712, &[4712], "/");
        check("root:root", 0, 0, &[0], "/root");
        let user = resolve_in("5:6", &[9, 6], &Texts("", "")).unwrap();
        assert_eq!((user.uid, user.gid, user.groups), (5, 6, vec![6, 9]));
    }

    #[test]
    fn a_name_that_looks_like_a_number_comes_first() {
        check("123", 55, 66, &[66], "/odd");
    }

    #[test]
    fn what_is_not_there_is_said_as_docker_says_it() {
        check_error("nobody", "unable to find user nobody: no matching entries in passwd file");
        check_error("app:nogroup", "unable to find group nogroup: no matching entries in group file");
        check_error("toolong", "unable to find user toolong: no matching entries in passwd file");
        check_error("-5", "uids and gids must be in range 0-2147483647, not -5");
        check_error("4294967296", "uids and gids must be in range 0-2147483647, not 4294967296");
        check_error("0:2147483648", "uids and gids must be in range 0-2147483647, not 2147483648");
    }

    #[test]
    fn without_files_there_is_still_root() {
        let user = resolve_in("", &[], &Texts("", "")).unwrap();
        assert_eq!((user.uid, user.gid, user.home.as_str()), (0, 0, "/"));
        assert!(resolve_in("app", &[], &Texts("", "")).is_err());
    }
}
