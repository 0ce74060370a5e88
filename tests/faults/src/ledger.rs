//! All that the clients of a run did, with what the database made of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::history::{Key, Noted, Outcome, Read, Way, Write};

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
            let index = self.writes.len();
            if let Some(version) = &write.version {
                self.by_version.insert(version.clone(), index);
            }
            self.by_key.entry(Arc::clone(&write.key)).or_default().push(index);
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

    /// This write has happened, as this version.
    pub(crate) fn found(&mut self, id: u64, key: &Key, version: &str) {
        let indices = self.by_key.get(key).cloned().unwrap_or_default();
        for index in indices {
            if let Some(write) = self.writes.get_mut(index)
                && write.id == id
            {
                write.version = Some(version.to_owned());
                self.by_version.insert(version.to_owned(), index);
                self.counts.found += 1;
            }
        }
    }

    /// Forgets the reads of keys that nobody writes to any more; the writes stay.
    pub(crate) fn close_generation(&mut self) {
        self.reads.clear();
    }
}
