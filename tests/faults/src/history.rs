//! What the clients did and what they were told.

use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::content::Sha;

/// An object's place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) bucket: &'static str,
    pub(crate) name: String,
}

impl Key {
    /// May what is current here have come from another key, or come back? Then the register's check, in which no value
    /// comes twice, says nothing, and the log's does.
    pub(crate) fn is_place(&self) -> bool {
        self.name.contains(PLACE)
    }
}

/// What the names of keys have between which objects move.
pub(crate) const PLACE: &str = "/place-";

/// How a write reaches the application: the ways that an upload's body takes through it, and what else changes what is
/// current at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Way {
    /// With its length, up to 64 KiB.
    Held,
    /// With its length, above 64 KiB.
    Spliced,
    /// Without its length.
    Chunked,
    /// In parts, which are sent again until each is acknowledged, and then completed.
    Parts,
    /// By TUS: in pieces of any length, behind what the application says that it has.
    Tus,
    /// The client leaves in the middle of the body, so that it must never be seen.
    Cut,
    /// The card of a record of a batch.
    Card,
    /// A file that lay in SeaweedFS already.
    Adopt,
    /// Within a bucket: the same blob.
    Copy,
    /// To another bucket: SeaweedFS copies.
    CopyAcross,
    Delete,
    /// For good.
    Erase,
    Restore,
    Move,
}

impl Way {
    /// Does it become a version of its own?
    pub(crate) fn makes_version(self) -> bool {
        !matches!(self, Self::Delete | Self::Erase | Self::Restore | Self::Move)
    }
}

/// What the client knows of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 2xx. What makes no version has no tag, and a file that was adopted neither of both.
    Acknowledged { version: String, etag: String },
    /// 4xx: it did not happen.
    Refused { status: u16 },
    /// 5xx: it may have happened, for a commit without an answer is a 503.
    Failed { status: u16 },
    /// No answer, or a broken one.
    Unknown { why: String },
}

/// Bytes that were uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// The write that uploaded them first.
    pub(crate) origin: u64,
    pub(crate) size: u64,
    pub(crate) sha: Sha,
}

/// What is copied or moved.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) key: Arc<Key>,
    /// This version, or what is current.
    pub(crate) version: Option<String>,
}

/// A write. Times are microseconds of the run's clock.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) id: u64,
    /// What is written: of a move the new key.
    pub(crate) key: Arc<Key>,
    pub(crate) way: Way,
    /// Its bytes. Of a copy of what was current they are found afterwards; what makes no version has none.
    pub(crate) content: Option<Content>,
    pub(crate) source: Option<Source>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) outcome: Outcome,
    /// What it became: told by the answer, or found afterwards.
    pub(crate) version: Option<String>,
}

impl Write {
    /// One that is still to be sent.
    pub(crate) fn new(id: u64, key: &Arc<Key>, way: Way) -> Self {
        let outcome = Outcome::Unknown { why: String::new() };
        let (key, content, source, version) = (Arc::clone(key), None, None, None);
        Self { id, key, way, content, source, start: 0, end: 0, outcome, version }
    }

    /// Was it promised?
    pub(crate) fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged { .. })
    }

    /// Could it have happened although nobody said so?
    pub(crate) fn may_have_happened(&self) -> bool {
        self.way != Way::Cut
            && matches!(self.outcome, Outcome::Failed { .. } | Outcome::Unknown { .. })
    }
}

/// What a read saw.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    /// A whole version.
    Whole { version: String, sha: Sha },
    /// A part of a version of `total` bytes, from `start` on.
    Part { version: String, total: u64, start: u64, length: usize, sha: Sha },
    /// What a copy took.
    Copied { sha: Sha },
    /// 404.
    Nothing,
}

/// A read that was answered whole.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) key: Arc<Key>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) seen: Seen,
}

/// Where all clients write down what they did.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Noted>);

/// The notes since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    pub(crate) writes: Vec<Write>,
    pub(crate) reads: Vec<Read>,
    /// Reads without a whole answer.
    pub(crate) failed_reads: u64,
    /// Versions whose time was made to be over, so that the worker may have purged them.
    pub(crate) aged: Vec<String>,
}

impl History {
    pub(crate) fn note(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self) -> Noted {
        std::mem::take(&mut *self.note())
    }
}
