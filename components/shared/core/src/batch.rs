//! Batches of cards. The card of a record is the object `{batch}/{record}` of the bucket [`BUCKET`].

use std::fmt;
use std::str::FromStr;

use crate::error::{Code, Error};
use crate::names::{ObjectKey, VersionId};

/// The bucket of all cards.
pub const BUCKET: &str = "batches";

/// Records of a batch, at the most.
pub const MAX_RECORDS: i64 = 1_000_000;

/// Records that are named when a batch is made, at the most.
pub const MAX_NAMED_RECORDS: usize = 10_000;

/// Records that one report tells of, at the most.
pub const MAX_REPORTED_RECORDS: usize = 1_000;

/// The longest record id, in bytes of UTF-8: with the batch's id it makes a key.
pub const MAX_RECORD_BYTES: usize = 512;

/// The longest name of a batch, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 1_024;

/// The longest reason of a failure, in bytes of UTF-8.
pub const MAX_REASON_BYTES: usize = 4_096;

/// The largest `data` of a batch, in bytes of JSON.
pub const MAX_DATA_BYTES: usize = 64 * 1_024;

/// How long a request may wait for progress, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 30;

/// The id of a batch: a UUIDv7, so that batches are listed by their age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchId(VersionId);

impl BatchId {
    /// A new one.
    #[must_use]
    pub fn new(id: VersionId) -> Self {
        Self(id)
    }

    /// Reads the id of a path.
    ///
    /// # Errors
    /// [`Code::NoSuchBatch`]: no batch can have it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let id = VersionId::parse(text).ok().filter(|id| id.to_string() == text);
        let missing =
            || Error::new(Code::NoSuchBatch, "There is no such batch, or it is not yours");
        id.map(Self).ok_or_else(missing)
    }

    /// Where the card of a record lies.
    ///
    /// # Errors
    /// Those of a key; a [`RecordId`] has none.
    pub fn key(self, record: &RecordId) -> Result<ObjectKey, Error> {
        ObjectKey::parse(&format!("{self}/{record}"))
    }

    /// What the keys of all its cards begin with.
    #[must_use]
    pub fn prefix(self) -> String {
        format!("{self}/")
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a batch calls a record: 1 to [`MAX_RECORD_BYTES`] bytes of UTF-8, one segment of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId(String);

impl RecordId {
    /// Checks an id.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: too long, or no single segment of a key.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let is_segment = !text.contains('/') && ObjectKey::parse(text).is_ok();
        if !is_segment || text.len() > MAX_RECORD_BYTES {
            let message = format!(
                "A record id has 1 to {MAX_RECORD_BYTES} bytes, no slash and no control characters, and is not . or .."
            );
            return Err(Error::new(Code::InvalidArgument, message).rule("record.id"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordStatus {
    /// Nobody began it.
    Pending,
    /// Somebody said that they render it.
    Rendering,
    /// Its card is stored.
    Complete,
    /// Somebody said that it failed, and why.
    Failed,
}

impl RecordStatus {
    /// As SQL and JSON have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Rendering => "rendering",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for RecordStatus {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Pending, Self::Rendering, Self::Complete, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| {
                let message = "A status is pending, rendering, complete or failed";
                Error::new(Code::InvalidArgument, message)
            })
    }
}

/// What a render worker says of a record without a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The record.
    pub record: RecordId,
    /// Where it is; never complete, which only a card makes it.
    pub status: RecordStatus,
    /// Why it failed.
    pub reason: Option<String>,
}

/// A batch with its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its id, a UUID.
    pub id: String,
    /// Who made it.
    pub owner: String,
    /// What it is called.
    pub name: Option<String>,
    /// The template that it renders, a UUID.
    pub template_id: Option<String>,
    /// So many records make it whole.
    pub expected: i64,
    /// What its maker keeps with it, JSON; not in lists.
    pub data: Option<String>,
    /// When it was made, in microseconds of Unix time.
    pub created_at_us: i64,
    /// When all its records were through, in microseconds of Unix time, once the worker saw it.
    pub ended_at_us: Option<i64>,
    /// Records that somebody renders.
    pub rendering: i64,
    /// Records with a card.
    pub complete: i64,
    /// Records that failed.
    pub failed: i64,
    /// pending, rendering, complete or failed.
    pub status: String,
}

impl Batch {
    /// Which counters these are, to ask for others than these.
    #[must_use]
    pub fn etag(&self) -> String {
        let ended = u8::from(self.ended_at_us.is_some());
        format!("{}-{}-{}-{ended}", self.rendering, self.complete, self.failed)
    }

    /// How much of it is through, from 0 to 1.
    #[must_use]
    pub fn progress(&self) -> f64 {
        let through = (self.complete + self.failed).clamp(0, self.expected);
        #[expect(clippy::cast_precision_loss, reason = "at most a million")]
        let share = through as f64 / self.expected.max(1) as f64;
        share
    }

    /// Records that nobody began, or that were not named yet.
    #[must_use]
    pub fn pending(&self) -> i64 {
        (self.expected - self.rendering - self.complete - self.failed).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42";

    #[test]
    fn ids_make_keys() {
        let batch = BatchId::parse(ID).expect("an id");
        let record = RecordId::parse("7 ü+%").expect("an id");
        assert_eq!(batch.key(&record).expect("a key").as_str(), format!("{ID}/7 ü+%"));
        assert!(batch.key(&RecordId::parse(&"x".repeat(512)).expect("an id")).is_ok());
        for bad in ["", ".", "..", "a/b", "/", "a\n", &"x".repeat(513)] {
            let refused = RecordId::parse(bad).expect_err(bad);
            assert_eq!(refused.code, Code::InvalidArgument, "{bad}");
        }
        for bad in ["", "x", &ID.to_uppercase(), &ID.replace('-', "")] {
            assert_eq!(BatchId::parse(bad).expect_err(bad).code, Code::NoSuchBatch, "{bad}");
        }
    }

    #[test]
    fn counters_are_told_as_progress() {
        let batch = Batch {
            id: ID.into(),
            owner: "alice".into(),
            name: None,
            template_id: None,
            expected: 8,
            data: None,
            created_at_us: 0,
            ended_at_us: None,
            rendering: 1,
            complete: 3,
            failed: 1,
            status: "rendering".into(),
        };
        assert_eq!((batch.progress(), batch.pending()), (0.5, 3));
        assert_eq!(batch.etag(), "1-3-1-0");
        // More cards than were expected.
        let batch = Batch { complete: 20, ended_at_us: Some(1), ..batch };
        assert_eq!((batch.progress(), batch.pending()), (1.0, 0));
        assert_eq!(batch.etag(), "1-20-1-1");
    }
}
