//! Reading everything that has a name.

use crate::seal::{self, Kind};
use crate::{Result, Store, record};

const LIMIT: u64 = 1 << 30;

/// Something in the store that is not what its name says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Its path below the root of the store.
    pub name: String,
    pub reason: String,
}

impl Store {
    /// Reads every named thing: blobs against their digests, layers against their indexes, records against layers,
    /// references against blobs and drafts, drafts against layers. An empty list says that all is well.
    pub fn verify(&self) -> Result<Vec<Problem>> {
        let mut found = Vec::new();
        for digest in self.blobs()? {
            let reason = self.check_blob(&digest).unwrap_or_else(|error| Some(error.to_string()));
            found.extend(reason.map(|reason| (crate::blob::blob_name(&digest), reason)));
        }
        for id in self.layers()? {
            let reason = self.check_layer(&id).unwrap_or_else(|error| Some(error.to_string()));
            found.extend(reason.map(|reason| (crate::layer::layer_name(&id), reason)));
        }
        for (id, _) in self.flats()? {
            let reason = self.check_flat(&id).unwrap_or_else(|error| Some(error.to_string()));
            found.extend(reason.map(|reason| (crate::flat::flat_name(&id), reason)));
        }
        for file in self.reference_files()? {
            found.extend(self.check_reference(&file)?.map(|reason| (file, reason)));
        }
        for id in self.drafts()? {
            found.extend(self.check_draft(&id)?.map(|reason| (crate::draft::draft_name(&id), reason)));
        }
        found.extend(self.useless_records()?);
        found.extend(self.damaged_values()?);
        Ok(found.into_iter().map(|(name, reason)| Problem { name, reason }).collect())
    }

    /// Returns the records that are damaged or whose layer is gone, and why.
    pub(crate) fn useless_records(&self) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        for (name, key) in self.keyed("records")? {
            let Some(bytes) = self.dir().read(&name, LIMIT)? else { continue };
            match record::decode(&key, &bytes) {
                None => found.push((name, "it is damaged".to_owned())),
                Some(record) if !self.has_layer(&record.layer) => {
                    found.push((name, format!("its layer {} is gone", record.layer)));
                }
                Some(_) => {}
            }
        }
        Ok(found)
    }

    fn damaged_values(&self) -> Result<Vec<(String, String)>> {
        let contexts = self.dir().list("contexts")?.into_iter().map(|id| (format!("contexts/{id}"), id));
        let facts = self.keyed("facts")?.into_iter().map(|(name, key)| (name, key, Kind::Fact));
        let mut found = Vec::new();
        for (name, key, kind) in facts.chain(contexts.map(|(name, id)| (name, id, Kind::Context))) {
            let Some(bytes) = self.dir().read(&name, LIMIT)? else { continue };
            if seal::open(kind, &key, &bytes).is_none() {
                found.push((name, "it is damaged".to_owned()));
            }
        }
        Ok(found)
    }

    /// Returns the files of `family` and their keys.
    pub(crate) fn keyed(&self, family: &str) -> Result<Vec<(String, String)>> {
        let mut files = Vec::new();
        for first in self.dir().list(family)? {
            let keys = self.dir().list(&format!("{family}/{first}"))?;
            files.extend(keys.into_iter().map(|key| (format!("{family}/{first}/{key}"), key)));
        }
        Ok(files)
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
