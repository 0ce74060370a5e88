//! All that the clients of a run did, with what the database made of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::content::Sha;
use crate::history::{Content, Key, Noted, Outcome, Read, Way, Write};

/// Counts for the report.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) by_way: BTreeMap<Way, u64>,
    pub(crate) reads: u64,
    pub(crate) failed_reads: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
    /// Writes without a promise that turned out to have happened.
    pub(crate) found: u64,
}

/// Everything of this run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) writes: Vec<Write>,
    /// Of the keys that are still written to.
    pub(crate) reads: HashMap<Arc<Key>, Vec<Read>>,
    /// Which of `writes` became this version.
    pub(crate) by_version: HashMap<String, usize>,
    /// The writes of each key.
    pub(crate) by_key: HashMap<Arc<Key>, Vec<usize>>,
    /// Which of `writes` has this id.
    pub(crate) by_id: HashMap<u64, usize>,
    /// All that was uploaded.
    pub(crate) by_sha: HashMap<Sha, Content>,
    /// Versions that the worker may have purged.
    pub(crate) aged: HashSet<String>,
    /// How many of them it has purged.
    pub(crate) purged: usize,
    /// Blobs that have no row, since PostgreSQL was killed: bucket and S3 key.
    pub(crate) unlisted: HashSet<(String, String)>,
    /// How many of them there were in all, before the reconciler deleted them.
    pub(crate) seen_unlisted: usize,
    pub(crate) counts: Counts,
}

impl Ledger {
    /// Takes the notes of a round; answers the keys that it touched.
    pub(crate) fn add(&mut self, noted: Noted) -> HashSet<Arc<Key>> {
        let mut touched = HashSet::new();
        self.counts.failed_reads += noted.failed_reads;
        self.counts.reads += noted.reads.len() as u64;
        self.aged.extend(noted.aged);
        for write in noted.writes {
            *self.counts.by_way.entry(write.way).or_default() += 1;
            let count = match &write.outcome {
                Outcome::Acknowledged { .. } => &mut self.counts.acknowledged,
                Outcome::Refused { .. } => &mut self.counts.refused,
                Outcome::Failed { .. } => &mut self.counts.failed,
                Outcome::Unknown { .. } => &mut self.counts.unknown,
            };
            *count += 1;
            touched.insert(Arc::clone(&write.key));
            touched.extend(write.source.iter().map(|source| Arc::clone(&source.key)));
            if let Some(content) = write.content {
                self.by_sha.entry(content.sha).or_insert(content);
            }
            let index = self.writes.len();
            if let Some(version) = &write.version {
                self.by_version.insert(version.clone(), index);
            }
            self.by_key.entry(Arc::clone(&write.key)).or_default().push(index);
            self.by_id.insert(write.id, index);
            self.writes.push(write);
        }
        for read in noted.reads {
            touched.insert(Arc::clone(&read.key));
            self.note_read(read);
        }
        touched
    }

    pub(crate) fn note_read(&mut self, read: Read) {
        self.reads.entry(Arc::clone(&read.key)).or_default().push(read);
    }

    /// The writes of a key.
    pub(crate) fn writes_of(&self, key: &Key) -> impl Iterator<Item = &Write> {
        let indices = self.by_key.get(key).map_or(&[][..], Vec::as_slice);
        indices.iter().filter_map(|&index| self.writes.get(index))
    }

    /// The write that became this version.
    pub(crate) fn write_of(&self, version: &str) -> Option<&Write> {
        self.by_version.get(version).and_then(|&index| self.writes.get(index))
    }

    /// The write of this id.
    pub(crate) fn write(&self, id: u64) -> Option<&Write> {
        self.by_id.get(&id).and_then(|&index| self.writes.get(index))
    }

    /// This write has happened, as this version and with these bytes.
    pub(crate) fn found(&mut self, id: u64, version: &str, content: Content) {
        let Some(&index) = self.by_id.get(&id) else { return };
        let Some(write) = self.writes.get_mut(index) else { return };
        if !write.is_acknowledged() {
            self.counts.found += 1;
        }
        write.version = Some(version.to_owned());
        write.content = Some(content);
        self.by_version.insert(version.to_owned(), index);
    }

    /// Forgets the reads of keys that nobody writes to any more; the writes stay.
    pub(crate) fn close_generation(&mut self) {
        self.reads.clear();
    }
}
