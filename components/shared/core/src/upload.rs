//! The upload use case: `begin`, store, validate, `commit`; else `abort`.
//!
//! The bytes take one of three ways, by what is known of their length:
//! * up to [`SMALL_BODY_BYTES`]: held whole, sent with a CRC that the store verifies, retried;
//! * a known length: spliced, host to host; the length and CRC of what was stored are asked for;
//! * an unknown length: pumped through a gate that counts, digests and charges the quota.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::digest::Crc64Nvme;
use crate::error::{Code, Error};
use crate::limits::{
    CHARGE_STEP_BYTES, COMMIT_ATTEMPTS, MAX_PUT_BYTES, RENEW_SECONDS, SMALL_BODY_BYTES, SNIFF_BYTES,
};
use crate::names::{BucketName, ObjectKey, VersionId};
use crate::policy::allows_type;
use crate::ports::{
    Begin, Begun, Blobs, Body, Caller, Catalog, Clock, Commit, Committed, Gate, Stored, Target,
};
use crate::sniff::{OCTET_STREAM, found_type};

/// One file to store.
pub struct Upload {
    /// Who uploads.
    pub caller: Caller,
    /// Into which bucket.
    pub bucket: BucketName,
    /// Under which key.
    pub key: ObjectKey,
    /// Content-Length, if the client sent one.
    pub length: Option<u64>,
    /// Content-Type, if the client sent one.
    pub content_type: Option<String>,
    /// User metadata, names without `x-amz-meta-`.
    pub user_metadata: BTreeMap<String, String>,
    /// The If-Match header, if any.
    pub if_match: Option<String>,
    /// The If-None-Match header, if any.
    pub if_none_match: Option<String>,
}

/// A file that was stored and is current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// What was committed.
    pub commit: Commit,
    /// What the commit answered.
    pub committed: Committed,
}

/// Uploads over a catalog, a blob store and a clock.
pub struct Uploader<'a, C, B, K> {
    /// The SQL steps.
    pub catalog: &'a C,
    /// The store.
    pub blobs: &'a B,
    /// Time and randomness.
    pub clock: &'a K,
}

impl<C: Catalog, B: Blobs, K: Clock> Uploader<'_, C, B, K> {
    /// Stores a body as the new current version of `upload.key`.
    ///
    /// # Errors
    /// Whatever a step refuses. Nothing is visible then, and the blob is deleted, by us or by the
    /// reaper; only [`Code::ServiceUnavailable`] from the commit itself leaves it open which.
    pub async fn upload(&self, upload: &Upload, body: B::Body) -> Result<Uploaded, Error> {
        let now = self.clock.now();
        let version = VersionId::generate(now, &self.clock.random());
        let s3_key = version.s3_key(now);
        if upload.length.is_some_and(|length| length > MAX_PUT_BYTES) {
            return Err(too_large(MAX_PUT_BYTES, "limits.maxPutBytes"));
        }
        let begin = Begin {
            version,
            bucket: &upload.bucket,
            key: &upload.key,
            s3_key: &s3_key,
            size: upload.length,
            content_type: upload.content_type.as_deref(),
            user_metadata: &upload.user_metadata,
            if_match: upload.if_match.as_deref(),
            if_none_match: upload.if_none_match.as_deref(),
        };
        let begun = self.catalog.begin(&upload.caller, &begin).await?;
        let at = Target { bucket: upload.bucket.as_str(), s3_key: &s3_key };
        let pending = Pending { upload, begun, version, at };

        let commit = match self.store_and_validate(&pending, body).await {
            Ok(commit) => commit,
            Err(error) => return Err(self.give_up(&pending, error).await),
        };
        match self.commit(&upload.caller, &commit).await {
            Ok(committed) => Ok(Uploaded { commit, committed }),
            // Unknown, so nothing may be deleted: the reaper looks once the lease is over.
            Err(error) if error.code == Code::ServiceUnavailable => Err(error),
            Err(error) => Err(self.give_up(&pending, error).await),
        }
    }

    /// Steps 2 and 3: the bytes are stored, then looked at.
    async fn store_and_validate(
        &self,
        pending: &Pending<'_>,
        body: B::Body,
    ) -> Result<Commit, Error> {
        let (stored, size, head) = self.store(pending, body).await?;
        let found = found_type(&head);
        let content_type = pending
            .upload
            .content_type
            .clone()
            .unwrap_or_else(|| found.unwrap_or(OCTET_STREAM).to_owned());
        if let Some(allowed) = &pending.begun.allowed_types
            && !allows_type(allowed, &content_type)
        {
            return Err(Error::new(
                Code::InvalidContentType,
                format!("The bucket takes {}; this is {content_type}", allowed.join(", ")),
            )
            .rule("policy.allowedTypes"));
        }
        Ok(Commit {
            version: pending.version,
            size,
            content_type,
            found_type: found.map(str::to_owned),
            etag: stored.etag,
            crc64nvme: stored.crc64nvme,
        })
    }

    /// Sends the bytes the cheapest safe way; answers what is stored, its size and its first bytes.
    async fn store(
        &self,
        pending: &Pending<'_>,
        mut body: B::Body,
    ) -> Result<(Stored, u64, Vec<u8>), Error> {
        let hold = match pending.upload.length {
            Some(length) if length > SMALL_BODY_BYTES => {
                return self.store_spliced(pending, body, length).await;
            }
            Some(length) => length,
            None => SMALL_BODY_BYTES,
        };
        let mut first = Vec::with_capacity(usize::try_from(hold).unwrap_or_default());
        while let Some(chunk) = body.read().await? {
            first.extend_from_slice(&chunk);
            if pending.upload.length != Some(first.len() as u64) {
                // More is to come, and nobody knows how slowly.
                self.catalog.release();
            }
            if first.len() as u64 > hold {
                return self.store_pumped(pending, first, body).await;
            }
        }
        let size = first.len() as u64;
        if pending.upload.length.is_some_and(|length| length != size) {
            return Err(incomplete());
        }
        pending.check_size(size)?;
        let crc = Crc64Nvme::of(&first);
        let put = self.blobs.put_bytes(pending.at, &first, &crc);
        let mut stored = self.leased(pending, put).await?;
        stored.crc64nvme = Some(crc);
        first.truncate(SNIFF_BYTES);
        Ok((stored, size, first))
    }

    /// Host to host. Only the store knows what arrived, so it is asked.
    async fn store_spliced(
        &self,
        pending: &Pending<'_>,
        body: B::Body,
        length: u64,
    ) -> Result<(Stored, u64, Vec<u8>), Error> {
        let put = self.blobs.put_spliced(pending.at, body, length);
        let mut stored = self.leased(pending, put).await?;
        self.check_stored(pending.at, &mut stored, length).await?;
        let head = if pending.needs_sniffing() {
            self.blobs.first_bytes(pending.at, SNIFF_BYTES).await?
        } else {
            Vec::new()
        };
        Ok((stored, length, head))
    }

    /// Through the gate, chunk by chunk.
    async fn store_pumped(
        &self,
        pending: &Pending<'_>,
        first: Vec<u8>,
        body: B::Body,
    ) -> Result<(Stored, u64, Vec<u8>), Error> {
        let mut meter = Meter {
            catalog: self.catalog,
            pending,
            size: 0,
            charged: CHARGE_STEP_BYTES,
            crc: Crc64Nvme::default(),
            head: Vec::new(),
        };
        let put = self.blobs.put_pumped(pending.at, first, body, &mut meter);
        let mut stored = self.leased(pending, put).await?;
        let Meter { size, crc, head, .. } = meter;
        let ours = crc.to_base64();
        // A checksum of the store's own that equals ours proves length and content at once.
        if stored.crc64nvme.as_ref() != Some(&ours) {
            self.check_stored(pending.at, &mut stored, size).await?;
            if stored.crc64nvme.as_ref().is_some_and(|theirs| *theirs != ours) {
                return Err(torn("a CRC-64/NVME that differs from what was sent"));
            }
            stored.crc64nvme = Some(ours);
        }
        Ok((stored, size, head))
    }

    /// Compares the length of what is stored with what was sent.
    async fn check_stored(
        &self,
        at: Target<'_>,
        stored: &mut Stored,
        length: u64,
    ) -> Result<(), Error> {
        let found = self.blobs.head(at).await?.ok_or_else(|| torn("nothing"))?;
        if found.size != Some(length) {
            return Err(torn("another length than was sent"));
        }
        if found.etag != stored.etag {
            return Err(torn("another ETag than it answered"));
        }
        stored.crc64nvme = stored.crc64nvme.take().or(found.crc64nvme);
        Ok(())
    }

    /// Renews the lease for as long as `transfer` runs.
    async fn leased<T>(
        &self,
        pending: &Pending<'_>,
        transfer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if pending.upload.length.is_none_or(|length| length > SMALL_BODY_BYTES) {
            self.catalog.release();
        }
        let mut transfer = pin!(transfer);
        loop {
            let tick = pin!(self.clock.sleep(Duration::from_secs(RENEW_SECONDS.into())));
            match select(transfer.as_mut(), tick).await {
                Either::Left((result, _)) => return result,
                Either::Right(((), _)) => {
                    let renewed =
                        pin!(self.catalog.renew(&pending.upload.caller, pending.version, None));
                    match select(transfer.as_mut(), renewed).await {
                        Either::Left((result, _)) => return result,
                        Either::Right((Err(error), _))
                            if error.code != Code::ServiceUnavailable =>
                        {
                            return Err(error);
                        }
                        // A renewal that found no database may be followed by one that does.
                        Either::Right(_) => {}
                    }
                }
            }
        }
    }

    /// Step 4. An answer that never came is asked for again: the step is idempotent.
    async fn commit(&self, caller: &Caller, commit: &Commit) -> Result<Committed, Error> {
        let mut attempt = 1;
        loop {
            match self.catalog.commit(caller, commit).await {
                Err(error)
                    if error.code == Code::ServiceUnavailable && attempt < COMMIT_ATTEMPTS =>
                {
                    self.clock.sleep(Duration::from_millis(100 << attempt)).await;
                    attempt += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Step 5: only the winner of the move to `aborting` deletes the blob. What fails here is the
    /// reaper's, so the client gets the error that led here.
    async fn give_up(&self, pending: &Pending<'_>, error: Error) -> Error {
        let caller = &pending.upload.caller;
        if let Ok(true) = self.catalog.abort(caller, pending.version, error.code.as_str()).await {
            let _ = self.blobs.delete(pending.at).await;
        }
        error
    }
}

/// A version between `begin` and `commit`.
struct Pending<'a> {
    upload: &'a Upload,
    begun: Begun,
    version: VersionId,
    at: Target<'a>,
}

impl Pending<'_> {
    /// Whether the first bytes must be fetched to learn the content type.
    fn needs_sniffing(&self) -> bool {
        self.upload.content_type.is_none() || self.begun.allowed_types.is_some()
    }

    fn check_size(&self, size: u64) -> Result<(), Error> {
        match self.begun.max_bytes {
            Some(max) if size > max => Err(too_large(max, "policy.maxBytes")),
            _ if size > MAX_PUT_BYTES => Err(too_large(MAX_PUT_BYTES, "limits.maxPutBytes")),
            _ => Ok(()),
        }
    }
}

/// Counts, digests and charges a pumped body.
struct Meter<'a, C> {
    catalog: &'a C,
    pending: &'a Pending<'a>,
    size: u64,
    charged: u64,
    crc: Crc64Nvme,
    head: Vec<u8>,
}

impl<C: Catalog> Gate for Meter<'_, C> {
    async fn pass(&mut self, chunk: &[u8]) -> Result<(), Error> {
        self.size += chunk.len() as u64;
        self.pending.check_size(self.size)?;
        if self.size > self.charged {
            self.charged = self.size.next_multiple_of(CHARGE_STEP_BYTES);
            self.catalog
                .renew(&self.pending.upload.caller, self.pending.version, Some(self.charged))
                .await?;
        }
        self.crc.update(chunk);
        let wanted = SNIFF_BYTES.saturating_sub(self.head.len()).min(chunk.len());
        self.head.extend_from_slice(&chunk[..wanted]);
        Ok(())
    }
}

fn too_large(max: u64, rule: &str) -> Error {
    Error::new(Code::EntityTooLarge, format!("The content may have at most {max} bytes")).rule(rule)
}

fn incomplete() -> Error {
    Error::new(Code::IncompleteBody, "The body ended before its Content-Length; send it again")
}

fn torn(what: &str) -> Error {
    Error::unavailable("The object store", format!("it holds {what}"))
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
