//! The reconciler: blobs that no row names, rows whose blob is gone, and usage that drifted.
//!
//! One call of [`Reconciler::batch`] is one bounded step through a day of one bucket: a page of its blobs, then a page
//! of its rows, then its usage. The answer has the cursor of the next step. The cursor is all the state there is:
//! every step may be repeated, so a caller that dies goes on with the last cursor it has, or begins the day again, and
//! no table of ours has to be kept true.
//!
//! SeaweedFS lists in an order of its own, so nothing here depends on one: keys are looked up in sets, and what a set
//! does not have is asked for by name.
#![allow(async_fn_in_trait, reason = "one thread: no caller needs a future that is Send")]

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use time::OffsetDateTime;

use crate::error::{Code, Error};
use crate::limits::{RECONCILE_AT_ONCE, RECONCILE_BATCH, RECONCILE_MANY};
use crate::names::{BucketName, VersionId};
use crate::ports::Target;

mod cursor;

pub use cursor::{Cursor, Day, Phase, RowAt};

/// One step that is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The day, UTC, whose blobs and rows are compared.
    pub day: Day,
    /// This bucket alone; `None` goes through all of them.
    pub bucket: Option<BucketName>,
    /// Mend what may be mended; else nothing is changed.
    pub apply: bool,
    /// Delete also where blobs without a row are suspiciously many ([`RECONCILE_MANY`]).
    pub force: bool,
    /// Where the step before stopped; `None` begins the day.
    pub cursor: Option<Cursor>,
}

/// What one step found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The bucket that was looked at; `None` where there is none at all.
    pub bucket: Option<String>,
    /// Where the next step goes on; `None` at the end.
    pub next: Option<Cursor>,
    /// Blobs that were looked at.
    pub blobs: usize,
    /// Rows that were looked at.
    pub rows: usize,
    /// Blobs that no row needs.
    pub blobs_without_row: Vec<Orphan>,
    /// Rows that need a blob which is not there. Data are gone: nothing mends this by itself.
    pub rows_without_blob: Vec<KeptRow>,
    /// Usage that differs from a recount.
    pub drift: Vec<Drift>,
}

/// A blob that no row needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The blob.
    pub blob: Listed,
    /// What comes, or came, of it.
    pub verdict: Verdict,
}

/// What comes of a blob that no row needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not named as we name blobs: never touched.
    Foreign,
    /// Not older than the safe age, by its name and by its date both: an upload may still be at it.
    Young,
    /// Old enough, but there are suspiciously many of them: an operator has to say `force`.
    Held,
    /// Would be deleted.
    Deletable,
    /// Was deleted.
    Deleted,
    /// Could not be deleted this time.
    Failed,
}

impl Verdict {
    /// The word of the answer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Young => "young",
            Self::Held => "held",
            Self::Deletable => "deletable",
            Self::Deleted => "deleted",
            Self::Failed => "failed",
        }
    }
}

/// A blob as the store lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its S3 key.
    pub s3_key: String,
    /// Its bytes.
    pub size: u64,
    /// When it was stored; `None` where the store does not say.
    pub last_modified: Option<OffsetDateTime>,
}

/// A page of the store's listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The blobs.
    pub blobs: Vec<Listed>,
    /// The token of the next page.
    pub next: Option<String>,
}

/// Where a page of the listing begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFrom<'a> {
    /// At the first blob.
    Start,
    /// Where the page before ended.
    Token(&'a str),
    /// Behind this key, in the store's order.
    After(&'a str),
}

/// A row whose bytes have to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRow {
    /// The version.
    pub version: VersionId,
    /// Where its bytes have to lie.
    pub s3_key: String,
    /// Its object's key.
    pub key: String,
    /// `live`, `superseded` or `trashed`.
    pub state: String,
    /// Its bytes.
    pub size: u64,
}

/// Usage that differs from a recount. The numbers are JSON arrays of live bytes and objects, retained bytes and
/// objects, pending bytes and objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Whose; `None` is the bucket as a whole.
    pub owner: Option<String>,
    /// What is kept.
    pub kept: String,
    /// What a recount says.
    pub counted: String,
}

/// What SQL knows.
pub trait Rows {
    /// The first bucket behind this name, which may be empty.
    async fn next_bucket(&self, after: &str) -> Result<Option<String>, Error>;
    /// Whether there is such a bucket.
    async fn has_bucket(&self, bucket: &str) -> Result<bool, Error>;
    /// Those of the S3 keys that no version needs.
    async fn unneeded(&self, bucket: &str, s3_keys: &[String]) -> Result<BTreeSet<String>, Error>;
    /// The same under a snapshot of its own, each with its audit row: exactly these are deleted next.
    async fn condemn(&self, bucket: &str, s3_keys: &[String]) -> Result<BTreeSet<String>, Error>;
    /// A page of the versions below a prefix whose bytes have to be there, at most [`RECONCILE_BATCH`].
    async fn kept(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&RowAt>,
    ) -> Result<Vec<KeptRow>, Error>;
    /// Those of the versions that still need their bytes; `write` tells the audit log.
    async fn lost(&self, versions: &[VersionId], write: bool)
    -> Result<BTreeSet<VersionId>, Error>;
    /// Where the usage of a bucket differs from a recount, at most [`RECONCILE_BATCH`] owners; `mend` sets it right.
    async fn drift(&self, bucket: &str, mend: bool) -> Result<Vec<Drift>, Error>;
}

/// What the store holds.
pub trait Store {
    /// A page of the blobs below a prefix, at most [`RECONCILE_BATCH`].
    async fn list(&self, bucket: &str, prefix: &str, from: PageFrom<'_>) -> Result<Page, Error>;
    /// Whether a blob is there.
    async fn has(&self, at: Target<'_>) -> Result<bool, Error>;
    /// Deletes a blob; fine if it is not there.
    async fn delete(&self, at: Target<'_>) -> Result<(), Error>;
}

/// Compares what SQL and the store say of one day.
#[derive(Clone, Copy, Debug)]
pub struct Reconciler<'a, R, S> {
    /// SQL.
    pub rows: &'a R,
    /// The store.
    pub store: &'a S,
    /// Now.
    pub now: OffsetDateTime,
    /// A blob without a row that is younger than this may belong to an upload that is still under way.
    pub safe_age: Duration,
}

impl<R: Rows, S: Store> Reconciler<'_, R, S> {
    /// One step.
    ///
    /// # Errors
    /// * [`Code::NoSuchBucket`]: the bucket that is asked for is not there.
    /// * [`Code::InvalidArgument`]: the cursor is of another day or bucket.
    /// * [`Code::ServiceUnavailable`]: SQL or the store does not answer; the same call may be repeated.
    pub async fn batch(&self, asked: &Asked) -> Result<Batch, Error> {
        let Some(at) = self.start(asked).await? else { return Ok(Batch::default()) };
        let (mut batch, next) = match &at.phase {
            Phase::Blobs { token } => self.blobs(asked, &at.bucket, token.as_deref()).await?,
            Phase::Rows { after } => self.kept(asked, &at.bucket, after.as_ref()).await?,
            Phase::Usage => self.usage(asked, &at.bucket).await?,
        };
        let go_on = |bucket, phase| Cursor { day: asked.day, bucket, phase };
        batch.next = match next {
            Some(phase) => Some(go_on(at.bucket.clone(), phase)),
            None if asked.bucket.is_some() => None,
            None => {
                let bucket = self.rows.next_bucket(&at.bucket).await?;
                bucket.map(|bucket| go_on(bucket, Phase::START))
            }
        };
        batch.bucket = Some(at.bucket);
        Ok(batch)
    }

    /// Where this step is.
    async fn start(&self, asked: &Asked) -> Result<Option<Cursor>, Error> {
        let wanted = asked.bucket.as_ref().map(BucketName::as_str);
        if let Some(cursor) = &asked.cursor {
            if cursor.day != asked.day || wanted.is_some_and(|bucket| bucket != cursor.bucket) {
                let message = "The cursor is of another day or bucket; send what it was given for";
                return Err(Error::new(Code::InvalidArgument, message));
            }
            return Ok(Some(cursor.clone()));
        }
        let bucket = match wanted {
            // Whose blobs lie in a bucket that is not in the database, nobody here can know.
            Some(bucket) if !self.rows.has_bucket(bucket).await? => {
                return Err(Error::new(Code::NoSuchBucket, "There is no such bucket"));
            }
            Some(bucket) => Some(bucket.to_owned()),
            None => self.rows.next_bucket("").await?,
        };
        Ok(bucket.map(|bucket| Cursor { day: asked.day, bucket, phase: Phase::START }))
    }

    async fn blobs(
        &self,
        asked: &Asked,
        bucket: &str,
        token: Option<&str>,
    ) -> Result<(Batch, Option<Phase>), Error> {
        let from = token.map_or(PageFrom::Start, PageFrom::Token);
        let page = self.store.list(bucket, &asked.day.prefix(), from).await?;
        let keys: Vec<_> = page.blobs.iter().map(|blob| blob.s3_key.clone()).collect();
        let unneeded = if keys.is_empty() {
            BTreeSet::new()
        } else {
            self.rows.unneeded(bucket, &keys).await?
        };
        let mut orphans: Vec<_> = page
            .blobs
            .into_iter()
            .filter(|blob| unneeded.contains(&blob.s3_key))
            .map(|blob| Orphan { verdict: self.verdict(&blob), blob })
            .collect();
        let deletable = orphans.iter().filter(|it| it.verdict == Verdict::Deletable).count();
        if deletable > RECONCILE_MANY && deletable * 2 > keys.len() && !asked.force {
            for orphan in orphans.iter_mut().filter(|it| it.verdict == Verdict::Deletable) {
                orphan.verdict = Verdict::Held;
            }
        } else if asked.apply && deletable > 0 {
            orphans = self.delete(bucket, orphans).await?;
        }
        let next = page
            .next
            .map_or(Phase::Rows { after: None }, |token| Phase::Blobs { token: Some(token) });
        let batch = Batch { blobs: keys.len(), blobs_without_row: orphans, ..Batch::default() };
        Ok((batch, Some(next)))
    }

    /// What may come of a blob without a row. The later of two times counts: its name tells when the upload began, its
    /// date when the last byte came.
    fn verdict(&self, blob: &Listed) -> Verdict {
        let Some(begun) = VersionId::of_s3_key(&blob.s3_key).and_then(|id| id.made_at()) else {
            return Verdict::Foreign;
        };
        match blob.last_modified {
            Some(stored) if self.now - stored.max(begun) > self.safe_age => Verdict::Deletable,
            _ => Verdict::Young,
        }
    }

    /// Deletes what is deletable still at a second look; what a row names by now is no orphan.
    async fn delete(&self, bucket: &str, orphans: Vec<Orphan>) -> Result<Vec<Orphan>, Error> {
        let deletable = |orphan: &Orphan| orphan.verdict == Verdict::Deletable;
        let keys: Vec<_> = orphans
            .iter()
            .filter(|orphan| deletable(orphan))
            .map(|orphan| orphan.blob.s3_key.clone())
            .collect();
        let condemned = self.rows.condemn(bucket, &keys).await?;
        let mut left = Vec::with_capacity(orphans.len());
        for orphan in orphans {
            if !deletable(&orphan) || condemned.contains(&orphan.blob.s3_key) {
                left.push(orphan);
            }
        }
        for some in left.chunks_mut(RECONCILE_AT_ONCE) {
            let some = some.iter_mut().filter(|orphan| deletable(orphan));
            join_all(some.map(|orphan| async move {
                let at = Target { bucket, s3_key: &orphan.blob.s3_key };
                let deleted = self.store.delete(at).await.is_ok();
                orphan.verdict = if deleted { Verdict::Deleted } else { Verdict::Failed };
            }))
            .await;
        }
        Ok(left)
    }

    async fn kept(
        &self,
        asked: &Asked,
        bucket: &str,
        after: Option<&RowAt>,
    ) -> Result<(Batch, Option<Phase>), Error> {
        let prefix = asked.day.prefix();
        let rows = self.rows.kept(bucket, &prefix, after).await?;
        let mut batch = Batch { rows: rows.len(), ..Batch::default() };
        let Some(last) = rows.last() else { return Ok((batch, Some(Phase::Usage))) };
        let next = if rows.len() < RECONCILE_BATCH {
            Phase::Usage
        } else {
            let after = RowAt { version: last.version, s3_key: last.s3_key.clone() };
            Phase::Rows { after: Some(after) }
        };

        // One listing from about here has most of them, whatever its order; the others are asked for.
        let from = after.map_or(PageFrom::Start, |row| PageFrom::After(&row.s3_key));
        let page = self.store.list(bucket, &prefix, from).await?;
        let listed: BTreeSet<_> = page.blobs.into_iter().map(|blob| blob.s3_key).collect();
        let unlisted: Vec<_> =
            rows.into_iter().filter(|row| !listed.contains(&row.s3_key)).collect();
        let mut missing = Vec::new();
        for some in unlisted.chunks(RECONCILE_AT_ONCE) {
            let asked = some.iter().map(|row| Target { bucket, s3_key: &row.s3_key });
            let there = join_all(asked.map(|at| self.store.has(at))).await;
            for (row, there) in some.iter().zip(there) {
                if !there? {
                    missing.push(row.clone());
                }
            }
        }
        if !missing.is_empty() {
            // Meanwhile the worker may have purged it, in good order.
            let versions: Vec<_> = missing.iter().map(|row| row.version).collect();
            let lost = self.rows.lost(&versions, asked.apply).await?;
            missing.retain(|row| lost.contains(&row.version));
        }
        batch.rows_without_blob = missing;
        Ok((batch, Some(next)))
    }

    async fn usage(&self, asked: &Asked, bucket: &str) -> Result<(Batch, Option<Phase>), Error> {
        let drift = self.rows.drift(bucket, asked.apply).await?;
        // What was mended is not found again, so the same step goes on with the others.
        let owners = drift.iter().filter(|it| it.owner.is_some()).count();
        let next = (asked.apply && owners >= RECONCILE_BATCH).then_some(Phase::Usage);
        Ok((Batch { drift, ..Batch::default() }, next))
    }
}

#[cfg(test)]
#[path = "reconcile/tests.rs"]
mod tests;
