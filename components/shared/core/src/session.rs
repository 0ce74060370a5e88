//! Uploads in parts: what a session is, and what SQL and S3 do for one.
#![allow(async_fn_in_trait, reason = "one thread: no caller needs a future that is Send")]

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::digest::Digests;
use crate::error::Error;
use crate::image::ImageLimits;
use crate::names::{BucketName, ObjectKey, VersionId};
use crate::parts::Plan;
use crate::ports::{
    Blobs, Body, Caller, Commit, Committed, ContentHeaders, Idempotency, Target, Verify,
};
use crate::upload::Terms;

/// An upload that shall be begun.
#[derive(Clone, Debug)]
pub struct NewUpload {
    /// Into which bucket.
    pub bucket: BucketName,
    /// Under which key.
    pub key: ObjectKey,
    /// How it is cut.
    pub plan: Plan,
    /// The declared content type.
    pub content_type: Option<String>,
    /// User metadata, names without `x-amz-meta-`.
    pub user_metadata: BTreeMap<String, String>,
    /// As the header If-Match.
    pub if_match: Option<String>,
    /// As the header If-None-Match.
    pub if_none_match: Option<String>,
    /// What else is kept of the content.
    pub headers: ContentHeaders,
    /// How long it stays open, in seconds.
    pub seconds: i32,
    /// Who cuts it.
    pub protocol: Protocol,
    /// `Upload-Metadata`, letter by letter, where TUS sent one.
    pub described: Option<String>,
    /// The Idempotency-Key, if any.
    pub idempotency: Option<Idempotency>,
}

/// Who cuts an upload into parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The client, who numbers them.
    #[default]
    Parts,
    /// We do, as its bytes come: an upload of TUS.
    Tus(Concat),
    /// We do: a file of a form.
    Form,
}

impl Protocol {
    /// The word of SQL and of the answer.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Parts => "parts",
            Self::Tus(_) => "tus",
            Self::Form => "form",
        }
    }
}

/// What an upload of TUS is in a concatenation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Concat {
    /// In none.
    #[default]
    Whole,
    /// A piece of a later one.
    Partial,
    /// Made of these.
    Final(Vec<VersionId>),
}

/// An upload that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its id, which is that of the version it becomes. Of a request that was repeated, the first one's.
    pub version: VersionId,
    /// How it is cut.
    pub plan: Plan,
    /// When it ends by itself, in microseconds of Unix time.
    pub expires_at_us: i64,
    /// Whether an earlier request under the same Idempotency-Key began it.
    pub repeated: bool,
    /// The content types that the bucket takes; `None` means all. Not told of one that was begun before.
    pub allowed_types: Option<Vec<String>>,
    /// What it takes of images, where it takes nothing else. Not told of one that was begun before.
    pub image: Option<ImageLimits>,
}

/// A part that S3 acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// 1 to [`crate::limits::MAX_PARTS`].
    pub number: u16,
    /// In bytes.
    pub size: u64,
    /// The bare ETag: the MD5 of its bytes.
    pub etag: String,
}

/// The end of a stream that is too short for a part: an object of its own, until more comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The bytes; the number is that of the part they will be in.
    pub part: Part,
    /// Where they lie.
    pub s3_key: String,
}

/// A part as S3 lists it; a number that was sent twice is there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// The part.
    pub part: Part,
    /// When it was stored; `None` where S3 does not say.
    pub stored_at: Option<OffsetDateTime>,
}

/// A part that a client names at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPart {
    /// Its number.
    pub number: u16,
    /// Its bare ETag.
    pub etag: String,
}

/// What a session is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It takes parts.
    Open,
    /// Its Complete may be under way.
    Completing,
    /// It is an object.
    Done,
    /// It was given up, or its time was.
    Aborted,
}

impl State {
    /// The word of SQL and of the answer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Completing => "completing",
            Self::Done => "done",
            Self::Aborted => "aborted",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Open, Self::Completing, Self::Done, Self::Aborted]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

/// All that is known of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The version that it becomes.
    pub version: VersionId,
    /// What it is at.
    pub state: State,
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Where its bytes will lie.
    pub s3_key: String,
    /// S3's id of it; empty where S3 never gave one.
    pub upload_id: String,
    /// How it is cut.
    pub plan: Plan,
    /// Who takes it over gets the next one.
    pub epoch: i32,
    /// In microseconds of Unix time.
    pub created_at_us: i64,
    /// In microseconds of Unix time.
    pub expires_at_us: i64,
    /// Whether S3 may hold parts that SQL does not know.
    pub signed: bool,
    /// The declared content type.
    pub content_type: Option<String>,
    /// The content types that the bucket takes; `None` means all.
    pub allowed_types: Option<Vec<String>>,
    /// What it takes of images, where it takes nothing else.
    pub image: Option<ImageLimits>,
    /// Its parts by their numbers, where they were asked for.
    pub parts: Vec<Part>,
    /// What is behind them, of a stream.
    pub tail: Option<Tail>,
    /// Who cuts it.
    pub protocol: Protocol,
    /// `Upload-Metadata`, letter by letter.
    pub described: Option<String>,
    /// What it was committed as.
    pub committed: Option<(Commit, Committed)>,
}

impl Session {
    /// The bytes of its parts, and of what is behind them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().chain(self.tail.iter().map(|tail| &tail.part)).map(|part| part.size).sum()
    }

    pub(crate) fn at(&self) -> Target<'_> {
        Target { bucket: &self.bucket, s3_key: &self.s3_key }
    }

    /// What was agreed of its content, which has `size` bytes.
    pub(crate) fn terms(&self, size: u64) -> Terms<'_> {
        Terms {
            version: self.version,
            size,
            declared: self.content_type.as_deref(),
            types: self.allowed_types.as_deref(),
            image: self.image.as_ref(),
        }
    }
}

/// Where a part goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTarget {
    /// The S3 bucket.
    pub bucket: String,
    /// The S3 key.
    pub s3_key: String,
    /// S3's id of the upload.
    pub upload_id: String,
    /// How it is cut.
    pub plan: Plan,
}

/// A stream that was taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// What it is at: open, or done already.
    pub state: State,
    /// Its bucket.
    pub bucket: String,
    /// Where its bytes will lie.
    pub s3_key: String,
    /// S3's id of it; empty until a part is full.
    pub upload_id: String,
    /// How it is cut.
    pub plan: Plan,
    /// Only who has it writes parts down.
    pub epoch: i32,
    /// When it ends by itself, in microseconds of Unix time.
    pub expires_at_us: i64,
    /// How many parts S3 has.
    pub parts: u16,
    /// Their bytes.
    pub part_bytes: u64,
    /// What is behind them.
    pub tail: Option<Tail>,
    /// Whether it is a piece of a later one.
    pub partial: bool,
}

impl Stream {
    pub(crate) fn at(&self) -> Target<'_> {
        Target { bucket: &self.bucket, s3_key: &self.s3_key }
    }

    /// All bytes that are there.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.part_bytes + self.tail.as_ref().map_or(0, |tail| tail.part.size)
    }
}

/// Where a client goes on with a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumption {
    /// Behind so many bytes; `None`: wherever the end is.
    pub offset: Option<u64>,
    /// So many more come, where that is known.
    pub bytes: Option<u64>,
    /// The length of the whole, where the client says so now.
    pub size: Option<u64>,
}

/// What is written down by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Bytes of all parts.
    pub bytes: u64,
    /// How many parts.
    pub count: u32,
    /// The session's epoch.
    pub epoch: i32,
}

/// The decision to complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completing {
    /// With these parts.
    With(Vec<Part>),
    /// It is committed already.
    Done,
}

/// A part that shall be stored.
pub struct NewPart<B> {
    /// Its number.
    pub number: u16,
    /// Its length in bytes.
    pub length: u64,
    /// Its bytes.
    pub body: B,
    /// What they have to be.
    pub declared: Digests,
    /// The session's epoch, where the client knows one.
    pub epoch: Option<i32>,
}

/// The steps of SQL.
pub trait Sessions {
    /// Begins a write and its session.
    async fn create_session(
        &self,
        caller: &Caller,
        version: VersionId,
        s3_key: &str,
        new: &NewUpload,
    ) -> Result<Created, Error>;
    /// Tells the id that S3 gave; answers the one that counts. Safe to repeat.
    async fn open_session(
        &self,
        caller: &Caller,
        version: VersionId,
        upload_id: &str,
    ) -> Result<String, Error>;
    /// Makes a write that was begun one in parts of this size; called again, tells the id that S3 gave.
    async fn attach_session(
        &self,
        caller: &Caller,
        version: VersionId,
        part_size: u64,
        upload_id: Option<&str>,
    ) -> Result<(), Error>;
    /// Takes a stream over at its end.
    ///
    /// # Errors
    /// [`crate::error::Code::OffsetMismatch`], [`crate::error::Code::UploadGone`], and as [`Sessions::open_part`].
    async fn open_stream(
        &self,
        caller: &Caller,
        version: VersionId,
        resumption: Resumption,
    ) -> Result<Stream, Error>;
    /// What a session is; its parts too if `with_parts`.
    async fn session(
        &self,
        caller: &Caller,
        version: VersionId,
        with_parts: bool,
    ) -> Result<Session, Error>;
    /// Asks whether a part may come, charges it, and tells where it goes.
    async fn open_part(
        &self,
        caller: &Caller,
        version: VersionId,
        epoch: Option<i32>,
        number: u16,
        size: u64,
    ) -> Result<PartTarget, Error>;
    /// Writes parts down, and what is behind them. Safe to repeat.
    async fn record_parts(
        &self,
        caller: &Caller,
        version: VersionId,
        epoch: Option<i32>,
        parts: &[Part],
        tail: Option<&Tail>,
    ) -> Result<Recorded, Error>;
    /// Writes a tail down that is all of a stream, and makes it the version's blob. Safe to repeat.
    async fn adopt_tail(
        &self,
        caller: &Caller,
        version: VersionId,
        epoch: i32,
        tail: &Tail,
    ) -> Result<(), Error>;
    /// Takes the session over; answers its new epoch.
    async fn resume_session(&self, caller: &Caller, version: VersionId) -> Result<i32, Error>;
    /// Writes down that URLs are handed out; answers how long they may live, in seconds.
    async fn sign_parts(
        &self,
        caller: &Caller,
        version: VersionId,
        epoch: Option<i32>,
        count: usize,
        seconds: i32,
    ) -> Result<i32, Error>;
    /// Decides to complete. Safe to repeat.
    async fn start_complete(
        &self,
        caller: &Caller,
        version: VersionId,
        epoch: Option<i32>,
        named: Option<&[NamedPart]>,
    ) -> Result<Completing, Error>;
    /// Takes that back where this was the first and only attempt; says whether it did.
    async fn reopen_session(&self, caller: &Caller, version: VersionId) -> Result<bool, Error>;
    /// Gives the session up; true if this caller did it, false if it was given up before. `completed`: no Complete
    /// of it can be under way any more.
    ///
    /// # Errors
    /// [`Code::UploadCompleting`], [`Code::NoSuchUpload`].
    async fn abort_session(
        &self,
        caller: &Caller,
        version: VersionId,
        code: &str,
        completed: bool,
    ) -> Result<bool, Error>;
}

/// What S3 answers to a Complete.
#[derive(Debug)]
pub enum Joined {
    /// The object is there, with this bare ETag.
    Yes(String),
    /// It is not joined, and will not be: S3's words.
    Refused(Error),
    /// S3 knows no such upload: it was joined before, or it is gone.
    NoSuchUpload,
    /// Nobody knows.
    Unknown(Error),
}

/// The operations of S3 on uploads in parts.
pub trait PartStore: Blobs {
    /// Begins an upload; answers S3's id of it.
    async fn create_upload(&self, at: Target<'_>) -> Result<String, Error>;
    /// Stores a part that the component never sees; answers its bare ETag.
    ///
    /// # Errors
    /// [`Code::NoSuchUpload`], [`Code::BadDigest`], [`Code::IncompleteBody`].
    async fn put_part(
        &self,
        at: Target<'_>,
        upload_id: &str,
        number: u16,
        length: u64,
        body: Self::Body,
        verify: Option<Verify>,
    ) -> Result<String, Error>;
    /// Stores a part that comes through the component, whose length only its end tells; answers its bare ETag, the MD5
    /// of what was stored.
    ///
    /// # Errors
    /// What the body fails with; nothing is stored then.
    async fn put_part_streamed(
        &self,
        at: Target<'_>,
        upload_id: &str,
        number: u16,
        body: &mut impl Body,
    ) -> Result<String, Error>;
    /// All stored parts.
    async fn list_parts(&self, at: Target<'_>, upload_id: &str) -> Result<Vec<ListedPart>, Error>;
    /// Joins the parts. Safe to repeat.
    async fn join(&self, at: Target<'_>, upload_id: &str, parts: &[Part]) -> Joined;
    /// Frees the parts of an upload; fine if there is none. Never once a Complete was sent, unless the object is
    /// needed no more.
    async fn abort_upload(&self, at: Target<'_>, upload_id: &str) -> Result<(), Error>;
    /// Frees the parts of all uploads of this very key.
    async fn abort_uploads(&self, at: Target<'_>) -> Result<(), Error>;
}
