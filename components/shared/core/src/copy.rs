//! A copy to another bucket: the store copies, and no byte comes through here. The write protocol is an upload's: `begin`,
//! copy, look at what is stored, `commit`; else `abort`. A copy within a bucket is one step of SQL.
#![allow(async_fn_in_trait, reason = "one thread: no caller needs a future that is Send")]

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::error::{Code, Error};
use crate::limits::{MAX_COPY_BYTES, RENEW_SECONDS, SNIFF_BYTES};
use crate::names::{BucketName, ObjectKey, VersionId};
use crate::ports::{
    Allowed, Begin, Begun, Blobs, Caller, Catalog, Clock, Commit, Committed, Idempotency, Looked,
    Resolved, Target,
};
use crate::upload::{Terms, surely, torn, validated};

/// A copy that is asked for; the caller may read its source.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Who copies.
    pub caller: Caller,
    /// The bucket of the source.
    pub from: BucketName,
    /// The version that is copied.
    pub source: Resolved,
    /// Into which other bucket.
    pub bucket: BucketName,
    /// Under which key.
    pub key: ObjectKey,
    /// Whether it may replace what is there.
    pub overwrite: bool,
    /// Other user metadata than the source's.
    pub metadata: Option<BTreeMap<String, String>>,
    /// The Idempotency-Key, if any.
    pub idempotency: Option<Idempotency>,
}

/// A store that copies.
pub trait CopyingStore: Blobs {
    /// Copies `size` bytes from one place to the other; what is there is replaced. Safe to repeat.
    ///
    /// # Errors
    /// [`Code::NoSuchKey`]: nothing is at the first place.
    async fn copy(&self, from: Target<'_>, to: Target<'_>, size: u64) -> Result<(), Error>;
}

/// Copies over a catalog, a blob store and a clock.
pub struct Copier<'a, C, B, K> {
    /// The SQL steps.
    pub catalog: &'a C,
    /// The store.
    pub blobs: &'a B,
    /// Time and randomness.
    pub clock: &'a K,
}

impl<C: Catalog, B: CopyingStore, K: Clock> Copier<'_, C, B, K> {
    /// Makes the copy the current version of its key. Answers what was committed, and whether that was an earlier
    /// request under the same Idempotency-Key.
    ///
    /// # Errors
    /// * [`Code::EntityTooLarge`]: above [`MAX_COPY_BYTES`].
    /// * [`Code::PreconditionFailed`], by the rule `overwrite`: there is an object, and it may not be replaced.
    /// * Whatever another step refuses. Nothing is visible then, and the bytes are deleted, by us or by the reaper;
    ///   only [`Code::ServiceUnavailable`] from the commit itself leaves it open which.
    pub async fn copy(&self, copy: &Copy) -> Result<(Commit, Committed, bool), Error> {
        let source = &copy.source;
        if source.size > MAX_COPY_BYTES {
            let message = format!(
                "An object above {MAX_COPY_BYTES} bytes is not copied to another bucket; within its bucket it is"
            );
            return Err(Error::new(Code::EntityTooLarge, message).rule("limits.maxCopyBytes"));
        }
        let now = self.clock.now();
        let version = VersionId::generate(now, &self.clock.random());
        let s3_key = version.s3_key(now);
        let begin = Begin {
            version,
            bucket: &copy.bucket,
            key: &copy.key,
            s3_key: &s3_key,
            size: Some(source.size),
            content_type: Some(&source.content_type),
            user_metadata: copy.metadata.as_ref().unwrap_or(&source.user_metadata),
            if_match: None,
            if_none_match: (!copy.overwrite).then_some("*"),
            headers: &source.headers,
            idempotency: copy.idempotency.as_ref(),
        };
        let allowed = match self.catalog.begin(&copy.caller, &begin).await.map_err(overwrite)? {
            Begun::New(allowed) => allowed,
            Begun::Repeated(commit, committed) => return Ok((*commit, committed, true)),
        };
        let at = Target { bucket: copy.bucket.as_str(), s3_key: &s3_key };
        let stored = self.leased(&copy.caller, version, self.store(copy, at, version, &allowed));
        let commit = match stored.await {
            Ok(commit) => commit,
            Err(error) => return Err(self.give_up(copy, at, version, error).await),
        };
        match surely(self.clock, async || self.catalog.commit(&copy.caller, &commit).await).await {
            Ok(committed) => Ok((commit, committed, false)),
            // Unknown, so nothing may be deleted: the reaper looks once the lease is over.
            Err(error) if error.code == Code::ServiceUnavailable => Err(error),
            Err(error) => Err(overwrite(self.give_up(copy, at, version, error).await)),
        }
    }

    /// Copies, and looks at what is there then, as the bucket's policy wants it of an upload.
    async fn store(
        &self,
        copy: &Copy,
        at: Target<'_>,
        version: VersionId,
        allowed: &Allowed,
    ) -> Result<Commit, Error> {
        let source = &copy.source;
        let from = Target { bucket: copy.from.as_str(), s3_key: &source.s3_key };
        self.blobs.copy(from, at, source.size).await?;
        let looked = if source.size == 0 {
            let stored = self.blobs.head(at).await?;
            stored.map(|stored| Looked { stored, head: Vec::new() })
        } else {
            self.blobs.look(at, SNIFF_BYTES).await?
        };
        let looked = looked.ok_or_else(|| torn("nothing"))?;
        if looked.stored.size != Some(source.size) {
            return Err(torn("another length than its source"));
        }
        // What was stored in parts gets another ETag when it is copied whole.
        let both_md5 = !source.etag.contains('-') && !looked.stored.etag.contains('-');
        if both_md5 && looked.stored.etag != source.etag {
            return Err(torn("another ETag than its source"));
        }
        let terms = Terms {
            version,
            size: source.size,
            declared: Some(&source.content_type),
            types: allowed.types.as_deref(),
            image: allowed.image.as_ref(),
        };
        let commit = validated(self.blobs, at, terms, looked).await?;
        Ok(Commit {
            crc64nvme: source.crc64nvme.clone(),
            digests: source.digests.clone(),
            ..commit
        })
    }

    /// Renews the lease for as long as the store copies.
    async fn leased<T>(
        &self,
        caller: &Caller,
        version: VersionId,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.catalog.release();
        let mut work = pin!(work);
        loop {
            let tick = pin!(self.clock.sleep(Duration::from_secs(RENEW_SECONDS.into())));
            match select(work.as_mut(), tick).await {
                Either::Left((result, _)) => return result,
                Either::Right(((), _)) => match self.catalog.renew(caller, version, None).await {
                    Err(error) if error.code != Code::ServiceUnavailable => return Err(error),
                    // A renewal that found no database may be followed by one that does.
                    _ => self.catalog.release(),
                },
            }
        }
    }

    /// Only the winner of the move to `aborting` deletes the blob.
    async fn give_up(
        &self,
        copy: &Copy,
        at: Target<'_>,
        version: VersionId,
        error: Error,
    ) -> Error {
        if let Ok(true) = self.catalog.abort(&copy.caller, version, error.code.as_str()).await {
            let _ = self.blobs.delete(at).await;
        }
        error
    }
}

/// Says of the condition that we made what the client said.
fn overwrite(error: Error) -> Error {
    match error.rule.as_deref() {
        Some("if-none-match") => {
            let message =
                "There is an object at the new key; send \"overwrite\": true to replace it";
            Error::new(Code::PreconditionFailed, message).rule("overwrite")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::fakes::{FakeBlobs, FakeCatalog, FakeClock, resolved};
    use crate::principal::Principal;

    impl CopyingStore for FakeBlobs {
        async fn copy(&self, from: Target<'_>, to: Target<'_>, _: u64) -> Result<(), Error> {
            let mut stored = self.stored.borrow_mut();
            let place = |at: Target<'_>| at.s3_key.to_owned();
            let Some(bytes) = stored.get(&place(from)).cloned() else {
                return Err(Error::new(Code::NoSuchKey, ""));
            };
            stored.insert(place(to), bytes);
            Ok(())
        }
    }

    fn copy(size: u64) -> Copy {
        let name = |name| BucketName::parse(name).expect("a name");
        let principal = Principal { sub: "alice".into(), ..Principal::anonymous() };
        Copy {
            caller: Caller { principal, ip: String::new(), request_id: String::new(), grant: None },
            from: name("documents"),
            source: Resolved { size, etag: "many-2".into(), ..resolved() },
            bucket: name("assets"),
            key: ObjectKey::parse("k").expect("a key"),
            overwrite: false,
            metadata: None,
            idempotency: None,
        }
    }

    fn run(copy: &Copy, catalog: &FakeCatalog, blobs: &FakeBlobs) -> Result<Commit, Error> {
        let clock = FakeClock { sleeps_end: false };
        let copier = Copier { catalog, blobs, clock: &clock };
        let answer = pin!(copier.copy(copy)).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(answer) = answer else { panic!("it waits for nothing") };
        answer.map(|(commit, _, _)| commit)
    }

    fn store(bytes: &[u8]) -> FakeBlobs {
        let blobs = FakeBlobs::default();
        blobs.stored.borrow_mut().insert(resolved().s3_key, bytes.to_vec());
        blobs
    }

    #[test]
    fn what_is_stored_is_committed_as_its_source_is() {
        let (catalog, blobs) = (FakeCatalog::default(), store(b"abc"));
        let commit = run(&copy(3), &catalog, &blobs).expect("copied");
        assert_eq!((commit.size, commit.content_type.as_str()), (3, "text/plain"));
        assert_eq!(*catalog.steps.borrow(), ["begin Some(3)", "commit 3 text/plain"]);
        assert_eq!(blobs.stored.borrow().get(&*catalog.begun.borrow()).unwrap(), b"abc");
    }

    #[test]
    fn a_torn_copy_is_given_up_and_deleted() {
        for (etag, size) in [("many-2", 4), ("e", 3)] {
            let (catalog, blobs) = (FakeCatalog::default(), store(b"abc"));
            let mut asked = copy(size);
            asked.source.etag = etag.into();
            let error = run(&asked, &catalog, &blobs).expect_err("another length, or ETag");
            assert_eq!(error.code, Code::ServiceUnavailable);
            let steps = [format!("begin Some({size})"), "abort ServiceUnavailable".to_owned()];
            assert_eq!(*catalog.steps.borrow(), steps);
            assert_eq!(blobs.stored.borrow().len(), 1);
        }
    }

    #[test]
    fn the_policy_of_the_other_bucket_looks_at_the_bytes() {
        let png = b"\x89PNG\r\n\x1a\n0000";
        let types = Some(vec!["text/plain".to_owned()]);
        let catalog = FakeCatalog { allowed_types: types, ..FakeCatalog::default() };
        let error = run(&copy(12), &catalog, &store(png)).expect_err("a PNG is no text");
        assert_eq!(error.code, Code::InvalidContentType);
    }

    #[test]
    fn a_refused_commit_leaves_nothing() {
        let (catalog, blobs) = (FakeCatalog::default(), store(b"abc"));
        catalog.commits.borrow_mut().extend([Code::QuotaExceeded]);
        assert_eq!(run(&copy(3), &catalog, &blobs).expect_err("refused").code, Code::QuotaExceeded);
        assert_eq!(blobs.stored.borrow().len(), 1);
        assert_eq!(*catalog.steps.borrow().last().unwrap(), "abort QuotaExceeded");
    }

    #[test]
    fn too_large_is_told_before_anything_begins() {
        let (catalog, blobs) = (FakeCatalog::default(), store(b"abc"));
        let error = run(&copy(MAX_COPY_BYTES + 1), &catalog, &blobs).expect_err("too large");
        assert_eq!(error.rule.as_deref(), Some("limits.maxCopyBytes"));
        assert!(catalog.steps.borrow().is_empty());
    }
}
