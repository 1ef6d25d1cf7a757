//! After an unclean shutdown: what is younger than the last sync is verified, or dropped.

use rustix::fs::Stat;

use crate::blob::blob_name;
use crate::draft::draft_name;
use crate::flat::flat_name;
use crate::layer::layer_name;
use crate::{Result, Store};

/// Seconds that clocks are allowed to have been set back.
const SLACK: i64 = 600;

/// Verifies every blob, layer and reference that got its name at `since` (seconds since 1970) or later. Records, facts
/// and contexts tell by themselves when they are damaged.
pub(crate) fn verify_since(store: &Store, since: i64) -> Result<()> {
    let since = since.saturating_sub(SLACK);
    tracing::warn!(root = %store.root().display(), "the machine went down unexpectedly: verifying what was written last");
    let young = |stat: Option<Stat>| stat.is_some_and(|stat| stat.st_ctime >= since);
    for digest in store.blobs()? {
        let name = blob_name(&digest);
        if young(store.dir().stat(&name)?) {
            drop_if(store, &name, store.check_blob(&digest).unwrap_or_else(|error| Some(error.to_string())))?;
        }
    }
    for id in store.layers()? {
        let name = layer_name(&id);
        if young(store.dir().stat(&name)?) || young(store.dir().stat(&format!("{name}/meta"))?) {
            drop_if(store, &name, store.check_layer(&id).unwrap_or_else(|error| Some(error.to_string())))?;
        }
    }
    // Quicker made again than verified.
    for (id, _) in store.flats()? {
        if young(store.dir().stat(&flat_name(&id))?) {
            store.remove_flat(&id)?;
        }
    }
    store.drop_orphaned_flats()?;
    for id in store.drafts()? {
        drop_if(store, &draft_name(&id), store.check_draft(&id)?)?;
    }
    for file in store.reference_files()? {
        drop_if(store, &file, store.check_reference(&file)?)?;
    }
    for (file, reason) in store.useless_records()? {
        drop_if(store, &file, Some(reason))?;
    }
    Ok(())
}

fn drop_if(store: &Store, name: &str, reason: Option<String>) -> Result<()> {
    let Some(reason) = reason else { return Ok(()) };
    tracing::warn!(name, reason, "dropped");
    store.discard(name).map(drop)
}
