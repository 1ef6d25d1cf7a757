//! What collections removed: the file `removed`, one line a record (time and key), the newest last. It is bounded, and
//! nothing but explanations reads it.

use super::{RecordKey, Result, Store};

const FILE: &str = "removed";
/// Lines that are kept.
const LINES: usize = 4096;
const LIMIT: u64 = 1 << 20;

pub(super) fn write(store: &Store, keys: &[RecordKey], now: i64) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let text = read(store)?;
    let new: Vec<String> = keys.iter().map(|key| format!("{now} {}", key.hex())).collect();
    let lines: Vec<&str> = text.lines().chain(new.iter().map(String::as_str)).collect();
    let kept = &lines[lines.len().saturating_sub(LINES)..];
    store.put_file(FILE, format!("{}\n", kept.join("\n")).as_bytes())
}

pub(super) fn find(store: &Store, key: &RecordKey) -> Result<Option<i64>> {
    let (text, hex) = (read(store)?, key.hex());
    let mut lines = text.lines().rev().filter_map(|line| line.split_once(' '));
    Ok(lines.find(|(_, key)| *key == hex).and_then(|(time, _)| time.parse().ok()))
}

fn read(store: &Store) -> Result<String> {
    let bytes = store.dir().read(FILE, LIMIT)?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
