//! Owners given by name (reference: section 6, 5).

use std::io::Read;

use image::{Kind, LayerPath};

use crate::error::{Result, SolveErrorKind};
use crate::files::{Files, resolve};

/// Larger files are not read as `/etc/passwd`.
const MAX_FILE: u64 = 10 << 20;

/// Numeric user and group.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Reads `user[:group]`. Only a user: its group too, by name from `/etc/passwd`, by number the same number. As with
/// BuildKit, a user that is not there is 0, and a group that is not there is that of the user.
pub(crate) fn parse(text: &str, files: &(impl Files + ?Sized)) -> Result<Owner> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let fail = |reason: &str| SolveErrorKind::Owner { owner: text.to_owned(), reason: reason.to_owned() };
    let (uid, own_group) = match user.parse() {
        Ok(uid) => (uid, uid),
        Err(_) => find_user(&read(files, "etc/passwd").map_err(|e| e.or(&fail))?, user),
    };
    let gid = match group {
        None => own_group,
        Some(group) => match group.parse() {
            Ok(gid) => gid,
            Err(_) => find_group(&read(files, "etc/group").map_err(|e| e.or(&fail))?, group).unwrap_or(own_group),
        },
    };
    Ok(Owner { uid, gid })
}

/// True if no file of the image decides who `text` is.
pub(crate) fn is_numeric(text: &str) -> bool {
    text.split(':').all(|part| part.parse::<u32>().is_ok())
}

enum Unreadable {
    Because(&'static str),
    Kind(SolveErrorKind),
}

impl Unreadable {
    fn or(self, fail: &dyn Fn(&str) -> SolveErrorKind) -> SolveErrorKind {
        match self {
            Self::Because(reason) => fail(reason),
            Self::Kind(kind) => kind,
        }
    }
}

/// Reads a file of the image, an empty one if it is missing.
fn read(files: &(impl Files + ?Sized), path: &str) -> Result<Vec<u8>, Unreadable> {
    let path = LayerPath::clamped(path.as_bytes()).unwrap_or_default();
    let path = resolve(files, &path).map_err(Unreadable::Kind)?;
    let Some(entry) = Files::look(files, &path).map_err(Unreadable::Kind)? else { return Ok(Vec::new()) };
    if !matches!(entry.kind, Kind::File { .. } | Kind::Hardlink { .. }) {
        return Err(Unreadable::Because("not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = files.open(&path).map_err(Unreadable::Kind)?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|_| Unreadable::Because("cannot be read"))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Unreadable::Because("larger than 10 MiB"));
    }
    Ok(bytes)
}

fn find_user(passwd: &[u8], name: &str) -> (u32, u32) {
    lines(passwd)
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (found, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            if found != name { None } else { Some((uid.trim().parse().ok()?, gid.trim().parse().ok()?)) }
        })
        .next()
        .unwrap_or_default()
}

fn find_group(group: &[u8], name: &str) -> Option<u32> {
    lines(group)
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (found, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
            if found != name { None } else { gid.trim().parse().ok() }
        })
        .next()
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes.split(|&b| b == b'\n').filter_map(|line| std::str::from_utf8(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[track_caller]
    fn check(text: &str, expected: (u32, u32)) {
        let files = Fake::new()
            .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:1000:1001::/:\n")
            .file("etc/group", "root:x:0:\nstaff:x:50:app\n");
        let owner = parse(text, &files).unwrap();
        assert_eq!((owner.uid, owner.gid), expected, "{text}");
    }

    #[test]
    fn numbers_names_and_unknown_names() {
        check("7", (7, 7));
        check("7:8", (7, 8));
        check("app", (1000, 1001));
        check("app:staff", (1000, 50));
        check("app:9", (1000, 9));
        check("7:staff", (7, 50));
        check("nobody", (0, 0));
        check("app:nogroup", (1000, 1001));
        check("7:nogroup", (7, 7));
        check("nobody:nogroup", (0, 0));
    }

    #[test]
    fn an_image_without_the_files_knows_nobody() {
        assert_eq!(parse("app:staff", &Fake::new()).unwrap(), Owner::default());
    }

    #[test]
    fn the_files_may_be_links() {
        let files = Fake::new().link("etc/passwd", "/lib/passwd").file("lib/passwd", "app:x:3:4::/:\n");
        assert_eq!(parse("app", &files).unwrap(), Owner { uid: 3, gid: 4 });
    }

    #[test]
    fn a_directory_in_their_place_is_an_error() {
        let files = Fake::new().directory("etc/passwd", 0o755);
        assert!(matches!(parse("app", &files), Err(SolveErrorKind::Owner { .. })));
    }
}
