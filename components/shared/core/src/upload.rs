//! The upload use case: `begin`, store, validate, `commit`; else `abort`.
//!
//! The bytes take one of these ways, by what is known of their length:
//! * up to [`SMALL_BODY_BYTES`]: held whole, sent with a CRC that the store verifies, retried;
//! * a known length: spliced, host to host; the store verifies a digest that the client declared, and
//!   the length of what was stored is asked for;
//! * an unknown length, or a digest that the store does not know: pumped through a gate that counts,
//!   digests and charges the quota; in parts, where it may be long.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::digest::{Digests, Hasher, base64, hex};
use crate::error::{Code, Error};
use crate::image::{Image, ImageLimits, inspect};
use crate::limits::{
    CHARGE_STEP_BYTES, COMMIT_ATTEMPTS, KEEP_CONNECTION_MS, MAX_OBJECT_BYTES, MAX_PUT_BYTES,
    RENEW_SECONDS, SLOW_GRACE_SECONDS, SLOWEST_BYTES_PER_SECOND, SMALL_BODY_BYTES, SNIFF_BYTES,
};
use crate::names::{BucketName, ObjectKey, VersionId};
use crate::ports::{
    Allowed, Begin, Begun, Blobs, Body, Caller, Catalog, Charge, Clock, Commit, Committed,
    ContentHeaders, Idempotency, Looked, Stored, Target, Verify,
};
use crate::session::{PartStore, Sessions};
use crate::sniff::{OCTET_STREAM, check_type, found_type};

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
    /// What else the client says of the content.
    pub headers: ContentHeaders,
    /// The digests that it declares; nothing else is committed.
    pub declared: Digests,
    /// Whether it wants to have the SHA-256 kept.
    pub wants_sha256: bool,
    /// The Idempotency-Key, if any.
    pub idempotency_key: Option<String>,
    /// Whether it may be long enough to go in parts, where its length is not known.
    pub may_be_long: bool,
}

impl Upload {
    /// What stands for all that the request says, besides its body and who sent it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: Option<&str>| {
            // With their lengths, or one text could go on where another one ends.
            let length = text.map_or(u64::MAX, |text| text.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(text.unwrap_or_default());
        };
        add(Some(self.bucket.as_str()));
        add(Some(self.key.as_str()));
        add(self.content_type.as_deref());
        add(self.if_match.as_deref());
        add(self.if_none_match.as_deref());
        add(self.headers.cache_control.as_deref());
        add(self.headers.content_disposition.as_deref());
        add(self.headers.content_language.as_deref());
        for (name, value) in &self.user_metadata {
            add(Some(name));
            add(Some(value));
        }
        base64(&hash.finalize())
    }
}

/// A file that was stored and is current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// What was committed.
    pub commit: Commit,
    /// What the commit answered.
    pub committed: Committed,
    /// Whether that was an earlier request under the same Idempotency-Key.
    pub repeated: bool,
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

impl<C: Catalog + Sessions, B: PartStore, K: Clock> Uploader<'_, C, B, K> {
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
        let idempotency = upload
            .idempotency_key
            .clone()
            .map(|key| Idempotency { key, fingerprint: upload.fingerprint() });
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
            headers: &upload.headers,
            idempotency: idempotency.as_ref(),
        };
        let allowed = match self.catalog.begin(&upload.caller, &begin).await? {
            Begun::New(allowed) => allowed,
            Begun::Repeated(commit, committed) => {
                self.catalog.release();
                same_body(&commit, upload, body).await?;
                return Ok(Uploaded { commit: *commit, committed, repeated: true });
            }
        };
        let at = Target { bucket: upload.bucket.as_str(), s3_key: &s3_key };
        let pending = Pending { upload, allowed, version, at, joined: Cell::new(false) };

        let commit = match self.store_and_validate(&pending, body).await {
            Ok(commit) => commit,
            Err(error) => return Err(self.give_up(&pending, error).await),
        };
        match surely(self.clock, async || self.catalog.commit(&upload.caller, &commit).await).await
        {
            Ok(committed) => Ok(Uploaded { commit, committed, repeated: false }),
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
        let Sent { stored, size, head, digests } = self.store(pending, body).await?;
        let found = found_type(&head);
        let declared = pending.upload.content_type.as_deref();
        check_content(pending.allowed.types.as_deref(), declared, found)?;
        let limits = pending.allowed.image.as_ref();
        let walk = image_of(self.blobs, pending.at, size, head, limits);
        let image = self.leased(pending, walk).await?;
        let found = image.map(|image| image.format.media_type()).or(found);
        Ok(Commit {
            version: pending.version,
            size,
            content_type: content_type(declared, found, image),
            found_type: found.map(str::to_owned),
            etag: stored.etag,
            crc64nvme: digests.crc64nvme.map(|crc| base64(&crc)).or(stored.crc64nvme),
            digests: Digests { crc64nvme: None, ..digests },
            image,
        })
    }

    /// Sends the bytes the cheapest safe way.
    async fn store(&self, pending: &Pending<'_>, mut body: B::Body) -> Result<Sent, Error> {
        let upload = pending.upload;
        if let Some(length) = upload.length
            && length > SMALL_BODY_BYTES
        {
            return match splice_with(upload) {
                Some(verify) => self.store_spliced(pending, body, length, verify).await,
                None => self.store_pumped(pending, Vec::new(), body).await,
            };
        }
        let hold = upload.length.unwrap_or(SMALL_BODY_BYTES);
        let begun = self.clock.now();
        let read = async {
            let mut first = Vec::with_capacity(usize::try_from(hold).unwrap_or_default());
            while let Some(chunk) = body.read().await? {
                first.extend_from_slice(&chunk);
                check_speed(begun, self.clock.now(), first.len() as u64)?;
                if first.len() as u64 > hold {
                    break;
                }
            }
            Ok(first)
        };
        let mut first = self.leased(pending, read).await?;
        let size = first.len() as u64;
        if size > hold {
            return match upload.may_be_long {
                true => self.store_in_parts(pending, first, body).await,
                false => self.store_pumped(pending, first, body).await,
            };
        }
        if upload.length.is_some_and(|length| length != size) {
            return Err(incomplete());
        }
        pending.check_size(size)?;
        let mut hasher = Hasher::new(&upload.declared, upload.wants_sha256);
        hasher.update(&first);
        let digests = hasher.finish();
        check_digests(&upload.declared, &digests)?;
        let crc = digests.crc64nvme.map(|crc| base64(&crc)).unwrap_or_default();
        let stored = self.leased(pending, self.blobs.put_bytes(pending.at, &first, &crc)).await?;
        if pending.allowed.image.is_none() {
            first.truncate(SNIFF_BYTES);
        }
        Ok(Sent { stored, size, head: first, digests })
    }

    /// Host to host. Only the store knows what arrived, so it is asked.
    async fn store_spliced(
        &self,
        pending: &Pending<'_>,
        body: B::Body,
        length: u64,
        verify: Option<Verify>,
    ) -> Result<Sent, Error> {
        let declared = &pending.upload.declared;
        let put = self.blobs.put_spliced(pending.at, body, length, verify);
        let stored = self.leased(pending, put).await?;
        let looked =
            self.blobs.look(pending.at, SNIFF_BYTES).await?.ok_or_else(|| torn("nothing"))?;
        is_what_was_sent(&stored, &looked.stored, length)?;
        // The ETag of a single PUT is the MD5 of what was stored.
        if declared.md5.is_some_and(|md5| hex(&md5) != stored.etag) {
            return Err(bad_digest("MD5"));
        }
        Ok(Sent { stored, size: length, head: looked.head, digests: declared.clone() })
    }

    /// Through the gate, chunk by chunk.
    async fn store_pumped(
        &self,
        pending: &Pending<'_>,
        first: Vec<u8>,
        body: B::Body,
    ) -> Result<Sent, Error> {
        let upload = pending.upload;
        let mut meter = self.meter(pending, first, body);
        let put = self.blobs.put_streamed(pending.at, &mut meter);
        let stored = self.leased(pending, put).await?;
        let Meter { size, hasher, head, .. } = meter;
        if upload.length.is_some_and(|length| length != size) {
            return Err(incomplete());
        }
        let digests = hasher.finish();
        check_digests(&upload.declared, &digests)?;
        let ours = digests.crc64nvme.map(|crc| base64(&crc));
        // A checksum of the store's own that equals ours proves length and content at once.
        let mut theirs = stored.crc64nvme.clone();
        if theirs.is_none() {
            let found = self.blobs.head(pending.at).await?.ok_or_else(|| torn("nothing"))?;
            is_what_was_sent(&stored, &found, size)?;
            theirs = found.crc64nvme;
        }
        if theirs.is_some() && theirs != ours {
            return Err(torn("a CRC-64/NVME that differs from what was sent"));
        }
        Ok(Sent { stored, size, head, digests })
    }

    pub(crate) fn meter<'p>(
        &'p self,
        pending: &'p Pending<'p>,
        first: Vec<u8>,
        body: B::Body,
    ) -> Meter<'p, C, K, B::Body> {
        let upload = pending.upload;
        Meter {
            catalog: self.catalog,
            pending,
            clock: self.clock,
            begun: self.clock.now(),
            first,
            body,
            size: 0,
            charged: pending.allowed.charged,
            hasher: Hasher::new(&upload.declared, upload.wants_sha256),
            head: Vec::new(),
        }
    }

    /// Renews the lease for as long as `transfer` runs, and lets the connection go unless that is short.
    pub(crate) async fn leased<T>(
        &self,
        pending: &Pending<'_>,
        transfer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut transfer = pin!(transfer);
        let moment = pin!(self.clock.sleep(Duration::from_millis(KEEP_CONNECTION_MS)));
        if let Either::Left((result, _)) = select(transfer.as_mut(), moment).await {
            return result;
        }
        self.catalog.release();
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

    /// Step 5: only the winner of the move to `aborting` deletes the blob. What fails here is the
    /// reaper's, so the client gets the error that led here.
    async fn give_up(&self, pending: &Pending<'_>, error: Error) -> Error {
        let caller = &pending.upload.caller;
        let code = error.code.as_str();
        let gives_up = match pending.joined.get() {
            true => self.catalog.abort_session(caller, pending.version, code, true).await,
            false => self.catalog.abort(caller, pending.version, code).await,
        };
        if let Ok(true) = gives_up {
            if pending.upload.may_be_long && !pending.joined.get() {
                let _ = self.blobs.abort_uploads(pending.at).await;
            }
            let _ = self.blobs.delete(pending.at).await;
        }
        error
    }
}

/// An idempotent step of SQL. An answer that never came is asked for again.
pub(crate) async fn surely<T>(
    clock: &impl Clock,
    step: impl AsyncFn() -> Result<T, Error>,
) -> Result<T, Error> {
    let mut attempt = 1;
    loop {
        match step().await {
            Err(error) if error.code == Code::ServiceUnavailable && attempt < COMMIT_ATTEMPTS => {
                clock.sleep(Duration::from_millis(100 << attempt)).await;
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

/// Whether a policy takes what was declared and what the first bytes show.
pub(crate) fn check_content(
    allowed: Option<&[String]>,
    declared: Option<&str>,
    found: Option<&str>,
) -> Result<(), Error> {
    if let Some(allowed) = allowed
        && let Err(refused) = check_type(allowed, declared, found)
    {
        let message = format!("The bucket takes {}; the content is {refused}", allowed.join(", "));
        return Err(Error::new(Code::InvalidContentType, message).rule("policy.allowedTypes"));
    }
    Ok(())
}

/// What was agreed of an upload's content before its bytes came.
pub(crate) struct Terms<'a> {
    pub(crate) version: VersionId,
    pub(crate) size: u64,
    pub(crate) declared: Option<&'a str>,
    pub(crate) types: Option<&'a [String]>,
    pub(crate) image: Option<&'a ImageLimits>,
}

/// Validates what lies in the store, of which the component saw no byte before; what `commit` is told of it.
pub(crate) async fn validated(
    blobs: &impl Blobs,
    at: Target<'_>,
    terms: Terms<'_>,
    looked: Looked,
) -> Result<Commit, Error> {
    let Terms { version, size, declared, types, image } = terms;
    let Looked { stored, head } = looked;
    let found = found_type(&head);
    check_content(types, declared, found)?;
    let image = image_of(blobs, at, size, head, image).await?;
    let found = image.map(|image| image.format.media_type()).or(found);
    Ok(Commit {
        version,
        size,
        content_type: content_type(declared, found, image),
        found_type: found.map(str::to_owned),
        etag: stored.etag,
        crc64nvme: stored.crc64nvme,
        digests: Digests::default(),
        image,
    })
}

/// The image that lies in the store, where nothing else is taken; `head` is what is at hand of it.
async fn image_of(
    blobs: &impl Blobs,
    at: Target<'_>,
    size: u64,
    head: Vec<u8>,
    limits: Option<&ImageLimits>,
) -> Result<Option<Image>, Error> {
    let Some(limits) = limits else { return Ok(None) };
    let read = async |offset| {
        let body = blobs.read_from(at, offset).await;
        body.map_err(|error| match error.code {
            Code::NoSuchKey => torn("nothing"),
            _ => error,
        })
    };
    let image = inspect(size, head, read).await?;
    limits.check(&image)?;
    Ok(Some(image))
}

/// What it is served as. An image that was looked at is what it is, whatever was declared.
fn content_type(declared: Option<&str>, found: Option<&str>, image: Option<Image>) -> String {
    let declared = declared.filter(|_| image.is_none());
    declared.or(found).unwrap_or(OCTET_STREAM).to_owned()
}

/// What was sent, and what of it is known to be stored.
pub(crate) struct Sent {
    pub(crate) stored: Stored,
    pub(crate) size: u64,
    pub(crate) head: Vec<u8>,
    /// Compared with the bytes.
    pub(crate) digests: Digests,
}

/// A version between `begin` and `commit`.
pub(crate) struct Pending<'a> {
    pub(crate) upload: &'a Upload,
    pub(crate) allowed: Allowed,
    pub(crate) version: VersionId,
    pub(crate) at: Target<'a>,
    /// Whether the store has joined its parts, so that no Complete is under way any more.
    pub(crate) joined: Cell<bool>,
}

impl Pending<'_> {
    fn check_size(&self, size: u64) -> Result<(), Error> {
        match self.allowed.max_bytes {
            Some(max) if size > max => Err(too_large(max, "policy.maxBytes")),
            _ if self.upload.may_be_long => match size > MAX_OBJECT_BYTES {
                true => Err(too_large(MAX_OBJECT_BYTES, "limits.maxObjectBytes")),
                false => Ok(()),
            },
            _ if size > MAX_PUT_BYTES => Err(too_large(MAX_PUT_BYTES, "limits.maxPutBytes")),
            _ => Ok(()),
        }
    }
}

/// A body that is counted, digested and charged as it passes.
pub(crate) struct Meter<'a, C, K, B> {
    catalog: &'a C,
    clock: &'a K,
    begun: OffsetDateTime,
    pending: &'a Pending<'a>,
    /// What was read of it before.
    first: Vec<u8>,
    body: B,
    pub(crate) size: u64,
    charged: u64,
    pub(crate) hasher: Hasher,
    pub(crate) head: Vec<u8>,
}

impl<C: Catalog, K: Clock, B: Body> Body for Meter<'_, C, K, B> {
    async fn read_into(&mut self, buffer: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        let chunk = match std::mem::take(&mut self.first) {
            first if first.is_empty() => self.body.read_into(buffer).await?,
            first => Some(first),
        };
        if let Some(chunk) = &chunk {
            self.pass(chunk).await?;
        }
        Ok(chunk)
    }
}

impl<C: Catalog, K: Clock, B> Meter<'_, C, K, B> {
    async fn pass(&mut self, chunk: &[u8]) -> Result<(), Error> {
        self.size += chunk.len() as u64;
        self.pending.check_size(self.size)?;
        check_speed(self.begun, self.clock.now(), self.size)?;
        if self.size > self.charged {
            let wanted = self.size.next_multiple_of(CHARGE_STEP_BYTES);
            let charge = Charge { wanted, sent: self.size };
            let caller = &self.pending.upload.caller;
            self.charged = self.catalog.renew(caller, self.pending.version, Some(charge)).await?;
        }
        self.hasher.update(chunk);
        let wanted = SNIFF_BYTES.saturating_sub(self.head.len()).min(chunk.len());
        self.head.extend_from_slice(&chunk[..wanted]);
        Ok(())
    }
}

/// Refuses a client that holds its place in the instance with next to no bytes.
pub(crate) fn check_speed(
    begun: OffsetDateTime,
    now: OffsetDateTime,
    bytes: u64,
) -> Result<(), Error> {
    let seconds = u64::try_from((now - begun).whole_seconds()).unwrap_or_default();
    if seconds <= SLOW_GRACE_SECONDS + bytes / SLOWEST_BYTES_PER_SECOND {
        return Ok(());
    }
    let message = format!(
        "The body comes more slowly than {SLOWEST_BYTES_PER_SECOND} bytes a second; send it again"
    );
    Err(Error::new(Code::RequestTimeout, message).rule("limits.slowestBytesPerSecond"))
}

fn too_large(max: u64, rule: &str) -> Error {
    Error::new(Code::EntityTooLarge, format!("The content may have at most {max} bytes")).rule(rule)
}

pub(crate) fn incomplete() -> Error {
    Error::new(Code::IncompleteBody, "The body ended before its Content-Length; send it again")
}

/// The digest that the store verifies of a spliced body, if any; `None` if the bytes have to pass
/// through here: it verifies one, and none of them is SHA-512.
fn splice_with(upload: &Upload) -> Option<Option<Verify>> {
    let Digests { sha256, sha512, crc32c, crc64nvme, md5: _ } = upload.declared;
    let mut verified =
        [sha256.map(Verify::Sha256), crc64nvme.map(Verify::Crc64Nvme), crc32c.map(Verify::Crc32c)]
            .into_iter()
            .flatten();
    let (first, second) = (verified.next(), verified.next());
    let through_here =
        sha512.is_some() || second.is_some() || (upload.wants_sha256 && sha256.is_none());
    (!through_here).then_some(first)
}

/// Reads a repeated request's body, and insists that it is the one that was stored.
async fn same_body(commit: &Commit, upload: &Upload, mut body: impl Body) -> Result<(), Error> {
    let mut hasher = Hasher::new(&upload.declared.or(&commit.digests), false);
    let mut size = 0;
    while let Some(chunk) = body.read().await? {
        size += chunk.len() as u64;
        if size > commit.size {
            return Err(another_body());
        }
        hasher.update(&chunk);
    }
    let digests = hasher.finish();
    check_digests(&upload.declared, &digests)?;
    let crc = digests.crc64nvme.map(|crc| base64(&crc));
    // Of every version one of them is known, but not of every one the same.
    if size != commit.size
        || commit.digests.differs_from(&digests).is_some()
        || (commit.crc64nvme.is_some() && commit.crc64nvme != crc)
    {
        return Err(another_body());
    }
    Ok(())
}

fn another_body() -> Error {
    let message = "The Idempotency-Key belongs to a request with another body; send a new key";
    Error::new(Code::IdempotencyKeyReused, message).rule("idempotency-key")
}

/// Compares what the client declared with what came.
pub(crate) fn check_digests(declared: &Digests, found: &Digests) -> Result<(), Error> {
    declared.differs_from(found).map_or(Ok(()), |name| Err(bad_digest(name)))
}

fn bad_digest(name: &str) -> Error {
    let message =
        format!("The content is not what its {name} says; nothing was stored, send it again");
    Error::new(Code::BadDigest, message)
}

/// Compares what is stored with what was sent.
pub(crate) fn is_what_was_sent(
    answered: &Stored,
    found: &Stored,
    length: u64,
) -> Result<(), Error> {
    if found.size != Some(length) {
        return Err(torn("another length than was sent"));
    }
    if found.etag != answered.etag {
        return Err(torn("another ETag than it answered"));
    }
    Ok(())
}

pub(crate) fn torn(what: &str) -> Error {
    Error::unavailable("The object store", format!("it holds {what}"))
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
