//! Collection as commands do it: sizes as people write them, and the automatic one at the end of a build.

use std::path::Path;
use std::time::{Duration, SystemTime};

use store::{Policy, Store};

use crate::error::Failure;
use crate::settings::non_empty;

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Reads `10GB`, `512m`, `1.5GiB`: powers of 1000, of 1024 with an `i`, as docker's `--keep-storage` has them.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; expected for example 10GB or 512MiB");
    let lower = text.trim().to_ascii_lowercase();
    let split = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(split);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit.trim() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no sign was read, and it saturates")]
    Ok((number * factor) as u64)
}

/// Reads `24h`, `90m`, `1h30m`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; expected for example 24h, 90m or 7d");
    let (mut total, mut number) = (0_u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 24 * 3600,
            _ => return Err(wrong()),
        };
        let count: u64 = number.parse().map_err(|_| wrong())?;
        total = count.checked_mul(unit).and_then(|seconds| total.checked_add(seconds)).ok_or_else(wrong)?;
        number.clear();
    }
    if total == 0 || !number.is_empty() { Err(wrong()) } else { Ok(Duration::from_secs(total)) }
}

/// How often a store is measured.
const INTERVAL: Duration = Duration::from_secs(600);
/// What has no name yet stays that long: an image that was built without one may be run next.
const GRACE: i64 = 24 * 3600;

/// What `KILN_KEEP_STORAGE` says.
enum Limit {
    Unset,
    Off,
    Bytes(u64),
}

fn limit() -> Result<Limit, Failure> {
    const VARIABLE: &str = "KILN_KEEP_STORAGE";
    match non_empty(VARIABLE) {
        None => Ok(Limit::Unset),
        Some(text) if text == "off" => Ok(Limit::Off),
        Some(text) => {
            let wrong = |why| Failure::new(format!("{VARIABLE}: {why}")).help("`off` keeps everything").code(2);
            bytes(&text).map(Limit::Bytes).map_err(wrong)
        }
    }
}

/// Fails if `KILN_KEEP_STORAGE` cannot be read: said before a build, not after it.
pub(crate) fn check_limit() -> Result<(), Failure> {
    limit().map(drop)
}

/// Brings the store within its limit, if nobody else uses it just now. Never an error of the build: it is tried again
/// at the end of the next.
pub(crate) fn automatic(root: &Path) {
    if let Err(failure) = within_limit(root) {
        tracing::warn!(%failure, "the store could not be collected");
    }
}

fn within_limit(root: &Path) -> Result<(), Failure> {
    let (limit, interval) = match limit()? {
        Limit::Off => return Ok(()),
        Limit::Bytes(bytes) => (bytes, Duration::ZERO),
        Limit::Unset => (tenth_of_disk(root)?, INTERVAL),
    };
    let mark = root.join("measured");
    let age = std::fs::metadata(&mark).and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
    if age.is_some_and(|age| age < interval) {
        return Ok(());
    }
    let Some(store) = Store::try_exclusive(root)? else { return Ok(()) };
    std::fs::write(&mark, b"").map_err(|error| Failure::from_error(&error))?;
    let policy = Policy { now: now(), keep_storage: Some(limit), grace: GRACE, ..Policy::default() };
    let over = store.usage()?.iter().map(|item| item.size).sum::<u64>() > limit;
    if !over {
        return Ok(());
    }
    let collected = store.collect(&policy)?;
    drop(store);
    tracing::info!(bytes = collected.size(), left = collected.left, "collected");
    Ok(Store::open(root)?.sweep()?)
}

/// The default: a tenth of the filesystem, as BuildKit keeps.
fn tenth_of_disk(root: &Path) -> Result<u64, Failure> {
    let disk = rustix::fs::statvfs(root).map_err(|error| Failure::from_error(&std::io::Error::from(error)))?;
    Ok(disk.f_blocks.saturating_mul(disk.f_frsize) / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_as_docker_reads_them() {
        for (text, expected) in [("0", 0), ("512", 512), ("10GB", 10_000_000_000), ("1.5KiB", 1536), ("2m", 2_000_000)]
        {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "GB", "10XB", "-1", "1.2.3"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        for (text, expected) in [("24h", 86_400), ("1h30m", 5400), ("7d", 604_800), ("45s", 45)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(expected)), "{text}");
        }
        for text in ["", "h", "24", "1w", "-1h", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
