//! What the use cases need of the outside: a catalog (SQL), a blob store (S3) and a clock.
//!
//! One thread serves an instance, so futures here need not be `Send`.
#![allow(async_fn_in_trait, reason = "one thread: no caller needs a future that is Send")]

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use crate::digest::Digests;
use crate::error::Error;
use crate::image::{Image, ImageLimits};
use crate::names::{BucketName, ObjectKey, VersionId};
use crate::principal::Principal;
use crate::timestamp::rfc3339;

/// Who asks, and from where; every step writes it into the audit log.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The principal that the token names.
    pub principal: Principal,
    /// The client's address, without a port.
    pub ip: String,
    /// The id of this request.
    pub request_id: String,
    /// The upload token by which it comes, a UUID; the principal is its creator.
    pub grant: Option<String>,
}

/// What a client says of its content besides the type: kept as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentHeaders {
    /// Cache-Control.
    pub cache_control: Option<String>,
    /// Content-Disposition.
    pub content_disposition: Option<String>,
    /// Content-Language.
    pub content_language: Option<String>,
}

/// A request that its client may repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The Idempotency-Key; the principal's own.
    pub key: String,
    /// What stands for everything else that the request says.
    pub fingerprint: String,
}

/// What `begin` is told.
#[derive(Clone, Debug)]
pub struct Begin<'a> {
    /// The new version.
    pub version: VersionId,
    /// Its bucket.
    pub bucket: &'a BucketName,
    /// Its key.
    pub key: &'a ObjectKey,
    /// Where its bytes will lie.
    pub s3_key: &'a str,
    /// The declared size in bytes; `None` if the client sends no length.
    pub size: Option<u64>,
    /// The declared content type.
    pub content_type: Option<&'a str>,
    /// User metadata, names without `x-amz-meta-`.
    pub user_metadata: &'a BTreeMap<String, String>,
    /// The If-Match header, if any.
    pub if_match: Option<&'a str>,
    /// The If-None-Match header, if any.
    pub if_none_match: Option<&'a str>,
    /// What else is kept of the content.
    pub headers: &'a ContentHeaders,
    /// The Idempotency-Key, if any.
    pub idempotency: Option<&'a Idempotency>,
}

/// What `begin` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The version is pending.
    New(Allowed),
    /// Nothing was begun: an earlier request under the same Idempotency-Key was committed as this.
    Repeated(Box<Commit>, Committed),
}

/// How much of the quota an upload of unknown length asks for, in all, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// What it would like to have.
    pub wanted: u64,
    /// What it has sent.
    pub sent: u64,
}

/// What the policy of the bucket allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// What is charged to the quota so far, in bytes.
    pub charged: u64,
    /// The most bytes that it takes; `None` means no limit of its own.
    pub max_bytes: Option<u64>,
    /// The content types that it takes; `None` means all.
    pub types: Option<Vec<String>>,
    /// What it takes of images, where it takes nothing else.
    pub image: Option<ImageLimits>,
}

/// What `commit` is told: what was stored and validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The version.
    pub version: VersionId,
    /// Its size in bytes.
    pub size: u64,
    /// The content type that it is served with.
    pub content_type: String,
    /// The content type that its first bytes show.
    pub found_type: Option<String>,
    /// The ETag without quotes.
    pub etag: String,
    /// CRC-64/NVME in base64.
    pub crc64nvme: Option<String>,
    /// Other digests that were compared with the stored bytes.
    pub digests: Digests,
    /// The image that it is, where the bucket takes nothing else.
    pub image: Option<Image>,
}

/// What `commit` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Whether there was no current version before.
    pub created: bool,
    /// When it became current, in microseconds of Unix time.
    pub committed_at_us: i64,
}

impl Committed {
    /// When it became current, as RFC 3339 in UTC.
    #[must_use]
    pub fn committed_at(&self) -> Option<String> {
        rfc3339(self.committed_at_us)
    }
}

/// A version that `resolve` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The version.
    pub version: VersionId,
    /// Where its bytes lie.
    pub s3_key: String,
    /// Its size in bytes.
    pub size: u64,
    /// The ETag without quotes.
    pub etag: String,
    /// The content type that it is served with.
    pub content_type: String,
    /// CRC-64/NVME in base64.
    pub crc64nvme: Option<String>,
    /// When it became current, in microseconds of Unix time.
    pub committed_at_us: i64,
    /// User metadata, names without `x-amz-meta-`.
    pub user_metadata: BTreeMap<String, String>,
    /// Whether anybody may read it.
    pub public: bool,
    /// The Cache-Control that the bucket's policy wants, if any.
    pub cache_control: Option<String>,
    /// What the uploader said of the content.
    pub headers: ContentHeaders,
    /// Digests besides the CRC-64/NVME.
    pub digests: Digests,
}

/// The steps of the write protocol, one call of a SQL function each.
pub trait Catalog {
    /// Opens a pending version, charged to its quota.
    async fn begin(&self, caller: &Caller, begin: &Begin<'_>) -> Result<Begun, Error>;
    /// Renews the lease. Answers what is charged from now on, in bytes: as much of `charge` as there is.
    ///
    /// # Errors
    /// [`crate::error::Code::QuotaExceeded`], [`crate::error::Code::EntityTooLarge`]: that is less than what
    /// was sent. [`crate::error::Code::NoSuchUpload`]: the reaper has it.
    async fn renew(
        &self,
        caller: &Caller,
        version: VersionId,
        charge: Option<Charge>,
    ) -> Result<u64, Error>;
    /// Makes the version current. Safe to repeat.
    ///
    /// An answer that never came is [`crate::error::Code::ServiceUnavailable`]: unknown, not refused.
    async fn commit(&self, caller: &Caller, commit: &Commit) -> Result<Committed, Error>;
    /// Gives the pending version up because of `code`; true if this caller now deletes its blob.
    async fn abort(&self, caller: &Caller, version: VersionId, code: &str) -> Result<bool, Error>;
    /// Lets go of what is held between two steps; called where the next one is not at once.
    fn release(&self);
}

/// Where a version's bytes lie.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The S3 bucket, of the same name as ours.
    pub bucket: &'a str,
    /// The S3 key.
    pub s3_key: &'a str,
}

/// What the store says that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The ETag without quotes.
    pub etag: String,
    /// The CRC-64/NVME that the store computed or verified, in base64.
    pub crc64nvme: Option<String>,
    /// The length in bytes, where the answer tells it.
    pub size: Option<u64>,
}

/// A digest that the store shall compare with the bytes that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// CRC-32C, big-endian.
    Crc32c([u8; 4]),
    /// CRC-64/NVME, big-endian.
    Crc64Nvme([u8; 8]),
    /// SHA-256.
    Sha256([u8; 32]),
}

/// The beginning of what is stored somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What it is.
    pub stored: Stored,
    /// Its first bytes.
    pub head: Vec<u8>,
}

/// A body that comes in.
pub trait Body {
    /// The next bytes, or `None` at its end; in `buffer`, which is emptied first, where that spares an allocation.
    ///
    /// # Errors
    /// [`crate::error::Code::IncompleteBody`]: the client left.
    async fn read_into(&mut self, buffer: Vec<u8>) -> Result<Option<Vec<u8>>, Error>;

    /// The same, in a buffer of its own.
    ///
    /// # Errors
    /// As [`Body::read_into`].
    async fn read(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.read_into(Vec::new()).await
    }
}

/// The blob store.
pub trait Blobs {
    /// The inbound bodies that it takes.
    type Body: Body;
    /// What it answers when it is read.
    type Reader: Body;
    /// Stores bytes held whole; the store verifies `crc64nvme`. Retried while that may help.
    async fn put_bytes(
        &self,
        at: Target<'_>,
        bytes: &[u8],
        crc64nvme: &str,
    ) -> Result<Stored, Error>;
    /// Stores a body of `length` bytes that the component never sees.
    ///
    /// # Errors
    /// [`crate::error::Code::BadDigest`]: it is not what `verify` says.
    async fn put_spliced(
        &self,
        at: Target<'_>,
        body: Self::Body,
        length: u64,
        verify: Option<Verify>,
    ) -> Result<Stored, Error>;
    /// Stores a body that comes through the component, chunk by chunk.
    ///
    /// # Errors
    /// What the body fails with; nothing is stored then.
    async fn put_streamed(&self, at: Target<'_>, body: &mut impl Body) -> Result<Stored, Error>;
    /// Reads what is stored there, behind its first `offset` bytes.
    ///
    /// # Errors
    /// [`crate::error::Code::NoSuchKey`].
    async fn read_from(&self, at: Target<'_>, offset: u64) -> Result<Self::Reader, Error>;
    /// What is stored there, or `None`.
    async fn head(&self, at: Target<'_>) -> Result<Option<Stored>, Error>;
    /// What is stored there, and its first `count` bytes; `None` if nothing is. Not for empty objects.
    async fn look(&self, at: Target<'_>, count: usize) -> Result<Option<Looked>, Error>;
    /// Deletes what is stored there; fine if nothing is.
    async fn delete(&self, at: Target<'_>) -> Result<(), Error>;
}

/// Time and randomness.
pub trait Clock {
    /// Now.
    fn now(&self) -> OffsetDateTime;
    /// Ten random bytes.
    fn random(&self) -> [u8; 10];
    /// Comes back after this long.
    async fn sleep(&self, duration: Duration);
}
