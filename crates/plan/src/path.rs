//! Paths of the image under construction: slash-separated text, never touched here.

/// Returns `path` without empty components, `.` and `..`, which stops at the root: absolute, no trailing slash.
pub(crate) fn clean(path: &str) -> String {
    join("/", path)
}

/// Returns `path` seen from `directory`, which is clean, clean.
pub(crate) fn join(directory: &str, path: &str) -> String {
    let mut joined = if path.starts_with('/') { "" } else { directory.trim_end_matches('/') }.to_owned();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => joined.truncate(joined.rfind('/').unwrap_or(0)),
            other => joined.extend(["/", other]),
        }
    }
    if joined.is_empty() { "/".to_owned() } else { joined }
}

/// True if `path` names something above where it begins, which [`clean`] takes for the root.
pub(crate) fn leaves_root(path: &str) -> bool {
    let mut depth = 0_usize;
    path.split('/').any(|part| {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
        false
    })
}

/// Returns where a copy goes: like [`join`], and a trailing slash stays, since it means a directory (reference:
/// section 6, 1).
pub(crate) fn destination(directory: &str, text: &str) -> String {
    let is_directory = text.is_empty() || text == "." || text.ends_with('/') || text.ends_with("/.");
    let path = join(directory, text);
    if is_directory && path != "/" { path + "/" } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_above_the_root() {
        for path in ["..", "../a", "/../a", "a/../../b", "./.."] {
            assert!(leaves_root(path), "{path}");
        }
        for path in ["", "/", "a/..", "a/../b", "..a", "a/b/../../c", "..."] {
            assert!(!leaves_root(path), "{path}");
        }
    }

    #[track_caller]
    fn check_clean(path: &str, expected: &str) {
        assert_eq!(clean(path), expected, "{path}");
    }

    #[test]
    fn clean_stops_at_the_root() {
        check_clean("", "/");
        check_clean("/", "/");
        check_clean("a", "/a");
        check_clean("//a/./b//../c/", "/a/c");
        check_clean("/../../a", "/a");
        check_clean("..", "/");
        check_clean("/a/..b/...", "/a/..b/...");
    }

    #[test]
    fn join_starts_at_the_directory_unless_absolute() {
        assert_eq!(join("/srv", "app"), "/srv/app");
        assert_eq!(join("/srv", "../app"), "/app");
        assert_eq!(join("/srv", "/app/"), "/app");
        assert_eq!(join("", "app"), "/app");
    }

    #[track_caller]
    fn check_destination(text: &str, expected: &str) {
        assert_eq!(destination("/srv", text), expected, "{text}");
    }

    #[test]
    fn a_destination_keeps_what_makes_it_a_directory() {
        check_destination("", "/srv/");
        check_destination(".", "/srv/");
        check_destination("./", "/srv/");
        check_destination("a", "/srv/a");
        check_destination("a/", "/srv/a/");
        check_destination("a/.", "/srv/a/");
        check_destination("a/..", "/srv");
        check_destination("/", "/");
        check_destination("/b//c/", "/b/c/");
    }
}
