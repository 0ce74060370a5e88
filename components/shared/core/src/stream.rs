//! Uploads whose parts we cut, as their bytes come: what TUS appends to, piece by piece, for as long as it takes.
//!
//! S3 joins parts only if each but the last has [`MIN_PART_BYTES`], and a client may leave after any byte. So the beginning
//! of a part is held, in memory where an instance has room and else in an object, until a part can be made of it; what
//! is left at the end is an object of its own, the tail, which the next request puts in front of its bytes. What a
//! request wrote down is what the next one finds, and only the last one to take the stream over writes down.

mod budget;
mod cut;
mod inflow;
mod pieces;
mod run;

pub use budget::Budget;
use budget::Room;
use cut::{Held, hold};
use inflow::Inflow;
use pieces::{Piece, Pieces};
use run::Run;

use crate::checksum::Checksum;
use crate::digest::Crc64Nvme;
use crate::error::{Code, Error};
use crate::limits::{
    DEFERRED_PART_BYTES, MAX_PARTS, MIN_PART_BYTES, SNIFF_BYTES, STREAM_PART_BYTES,
};
use crate::multipart::Multipart;
use crate::names::VersionId;
use crate::ports::{Body, Caller, Catalog, Clock, Commit, Committed, Looked, Stored, Target};
use crate::session::{
    Concat, Created, NewUpload, PartStore, Protocol, Resumption, Session, Sessions, State, Stream,
    Tail,
};
use crate::upload::{incomplete, surely, validated};

/// The size of a stream's parts, in bytes, for a length of the whole.
#[must_use]
pub fn part_size(size: Option<u64>) -> u64 {
    let least = size.unwrap_or_default().div_ceil(MAX_PARTS.into());
    least.next_multiple_of(1_024 * 1_024).max(STREAM_PART_BYTES)
}

/// The fewest bytes that the next part may have, behind `parts` of `bytes`: S3's limit, and more where the parts that
/// are left would else not be enough.
pub(crate) fn least_part(parts: u16, bytes: u64, size: Option<u64>) -> u64 {
    match size {
        Some(size) => {
            let left = u64::from(MAX_PARTS.saturating_sub(parts)).max(1);
            size.saturating_sub(bytes).div_ceil(left).max(MIN_PART_BYTES)
        }
        // Twice as long after each tenth of the parts, which comes to the largest object.
        None => DEFERRED_PART_BYTES << (parts / (MAX_PARTS / 10)),
    }
}

/// What the bytes of a request have to be, all or none of them.
pub enum Check<'a> {
    /// Anything; as many as come are kept.
    Nothing,
    /// This.
    Is(Checksum),
    /// What is known at their end.
    Trailing(&'a dyn Fn() -> Result<Option<Checksum>, Error>),
}

/// Where a stream is after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// So many bytes are there.
    pub offset: u64,
    /// When it ends by itself, in microseconds of Unix time.
    pub expires_at_us: i64,
    /// What it was committed as, if it is at its end.
    pub done: Option<(Session, Commit, Committed)>,
}

/// Streams over SQL, S3 and a clock.
pub struct Streamer<'a, C, B, K> {
    /// The SQL steps.
    pub catalog: &'a C,
    /// The store.
    pub blobs: &'a B,
    /// Time and randomness.
    pub clock: &'a K,
    /// What may be held in memory.
    pub budget: &'a Budget,
}

impl<C: Catalog + Sessions, B: PartStore, K: Clock> Streamer<'_, C, B, K> {
    /// Begins a stream. S3 is not asked before a part is full.
    ///
    /// # Errors
    /// What `begin` refuses.
    pub async fn create(&self, caller: &Caller, new: &NewUpload) -> Result<Created, Error> {
        let now = self.clock.now();
        let version = VersionId::generate(now, &self.clock.random());
        self.catalog.create_session(caller, version, &version.s3_key(now), new).await
    }

    /// Puts the first bytes into a stream that was just begun, and that nobody else knows yet.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn append_first(
        &self,
        caller: &Caller,
        new: &NewUpload,
        created: &Created,
        body: &mut impl Body,
        bytes: Option<u64>,
        check: Check<'_>,
    ) -> Result<Appended, Error> {
        let at = created.version.made_at().unwrap_or_else(|| self.clock.now());
        let partial = new.protocol == Protocol::Tus(Concat::Partial);
        if let Some(size) = new.plan.size.filter(|size| !partial && bytes == Some(*size))
            && (1..=MIN_PART_BYTES).contains(&size)
            && let Some(room) = self.budget.take(size)
        {
            let session = begun(new, created, created.version.s3_key(at));
            return self.store_whole(caller, session, size, room, body, check).await;
        }
        let stream = Stream {
            state: State::Open,
            bucket: new.bucket.as_str().to_owned(),
            s3_key: created.version.s3_key(at),
            upload_id: String::new(),
            plan: created.plan,
            epoch: 1,
            expires_at_us: created.expires_at_us,
            parts: 0,
            part_bytes: 0,
            tail: None,
            partial,
        };
        self.run(caller, created.version, stream, body, bytes, check).await
    }

    /// All of a new stream is held: it goes where its object lies, and there is nothing to write down before it is one.
    async fn store_whole(
        &self,
        caller: &Caller,
        session: Session,
        size: u64,
        room: Room<'_>,
        body: &mut impl Body,
        check: Check<'_>,
    ) -> Result<Appended, Error> {
        let mut inflow = Inflow::new(body, self.clock, Some(size), Some(size), &check);
        let Held { mut bytes, .. } = hold(&mut inflow, size, room).await;
        while inflow.take(u64::MAX, Vec::new()).await.is_some() {}
        inflow.verdict(&check)?;
        inflow.ended()?;
        if bytes.len() as u64 != size {
            return Err(incomplete());
        }
        let stored = self.blobs.put_bytes(session.at(), &bytes, &Crc64Nvme::of(&bytes)).await?;
        bytes.truncate(SNIFF_BYTES);
        let expires_at_us = session.expires_at_us;
        let looked = Looked { stored: Stored { size: Some(size), ..stored }, head: bytes };
        let done = self.commit_of(caller, session, size, looked).await?;
        Ok(Appended { offset: size, expires_at_us, done: Some(done) })
    }

    /// Takes the stream over and puts bytes behind its end. As many as arrive are kept, also where the client leaves,
    /// unless `check` wants all of them.
    ///
    /// # Errors
    /// * [`Code::NoSuchUpload`], [`Code::UploadGone`], [`Code::OffsetMismatch`], [`Code::UploadCompleting`].
    /// * [`Code::UploadTakenOver`]: another request took it meanwhile; what was not written down before is lost.
    /// * [`Code::IncompleteBody`], [`Code::EntityTooLarge`], [`Code::QuotaExceeded`]: what came before is kept.
    /// * [`Code::ChecksumMismatch`]: nothing of it is kept.
    /// * What [`Self::finish`] says, where these were the last bytes.
    pub async fn append(
        &self,
        caller: &Caller,
        version: VersionId,
        resumption: Resumption,
        body: &mut impl Body,
        check: Check<'_>,
    ) -> Result<Appended, Error> {
        let stream = self.catalog.open_stream(caller, version, resumption).await?;
        if stream.state == State::Done {
            return self.finished(caller, version).await;
        }
        self.run(caller, version, stream, body, resumption.bytes, check).await
    }

    /// What a stream is at. One whose bytes are all there is finished first, so that nobody takes it for an object
    /// before it is one.
    ///
    /// # Errors
    /// * [`Code::NoSuchUpload`]; [`Code::UploadGone`]: it was ended without an object.
    /// * What [`Self::finish`] says.
    pub async fn status(&self, caller: &Caller, version: VersionId) -> Result<Session, Error> {
        let session = self.catalog.session(caller, version, true).await?;
        let Protocol::Tus(concat) = &session.protocol else {
            return Err(Error::new(Code::NoSuchUpload, "There is no such upload of TUS"));
        };
        let now_us = self.clock.now().unix_timestamp_nanos() / 1_000;
        match session.state {
            State::Aborted => return Err(gone()),
            State::Open if i128::from(session.expires_at_us) <= now_us => return Err(gone()),
            State::Open | State::Completing | State::Done => {}
        }
        let whole = session.plan.size == Some(session.bytes());
        match concat {
            _ if session.state == State::Done => Ok(session),
            Concat::Final(_) if session.state == State::Completing => {
                self.finish(caller, version).await?;
                self.catalog.session(caller, version, true).await
            }
            Concat::Final(_) => {
                self.assemble(caller, version).await?;
                self.catalog.session(caller, version, true).await
            }
            Concat::Whole if whole => {
                self.finish(caller, version).await?;
                self.catalog.session(caller, version, true).await
            }
            Concat::Whole | Concat::Partial => Ok(session),
        }
    }

    /// Gives a stream up and frees all of it. Safe to repeat.
    ///
    /// # Errors
    /// As [`Multipart::abort`]; [`Code::UploadGone`]: it was ended before.
    pub async fn abort(&self, caller: &Caller, version: VersionId) -> Result<(), Error> {
        let session = self.catalog.session(caller, version, true).await?;
        match session.state {
            State::Aborted => Err(gone()),
            State::Done => {
                let message = "The upload is an object already; delete that";
                Err(Error::new(Code::AccessDenied, message).rule("session.state"))
            }
            State::Open | State::Completing => {
                self.multipart().abort(caller, version).await?;
                if let Some(tail) = &session.tail {
                    self.delete(&session.bucket, &tail.s3_key).await;
                }
                Ok(())
            }
        }
    }

    /// Makes an object of a stream whose bytes are all there. Safe to repeat.
    ///
    /// # Errors
    /// As [`Multipart::complete`].
    pub async fn finish(
        &self,
        caller: &Caller,
        version: VersionId,
    ) -> Result<(Session, Commit, Committed), Error> {
        let session = self.catalog.session(caller, version, true).await?;
        if session.state == State::Aborted {
            return Err(gone());
        }
        if session.state != State::Open || (session.tail.is_none() && !session.parts.is_empty()) {
            return self.multipart().complete(caller, version, None, None).await;
        }
        let Some(tail) = session.tail.clone() else {
            // No bytes at all.
            let crc = Crc64Nvme::of(&[]);
            let stored = self.blobs.put_bytes(session.at(), &[], &crc).await?;
            return self.commit(caller, session, Looked { stored, head: Vec::new() }).await;
        };
        if session.parts.is_empty() {
            self.adopt_tail(caller, version, session.epoch, &tail).await?;
            return self.finish_tail(caller, version, &tail, None).await;
        }
        // The last part may be short.
        Run::of_session(self, caller, version, &session)?.put_last().await?;
        self.multipart().complete(caller, version, None, None).await
    }

    /// Writes down that all of a stream is this tail.
    async fn adopt_tail(
        &self,
        caller: &Caller,
        version: VersionId,
        epoch: i32,
        tail: &Tail,
    ) -> Result<(), Error> {
        let adopt = async || self.catalog.adopt_tail(caller, version, epoch, tail).await;
        surely(self.clock, adopt).await
    }

    /// Makes an object of it then; `seen` is what that is, where it is known.
    async fn finish_tail(
        &self,
        caller: &Caller,
        version: VersionId,
        tail: &Tail,
        seen: Option<Looked>,
    ) -> Result<(Session, Commit, Committed), Error> {
        let session = self.catalog.session(caller, version, true).await?;
        let looked = match seen {
            Some(looked) => looked,
            None => self.look(&session, tail).await?,
        };
        self.commit(caller, session, looked).await
    }

    /// Puts the pieces of a concatenation one behind the other, from where it stopped before, and makes an object of
    /// them. The pieces are over then. Safe to repeat.
    ///
    /// # Errors
    /// * [`Code::NoSuchUpload`], [`Code::UploadGone`]: a piece is not there any more.
    /// * [`Code::ServiceUnavailable`]: ask again, and it goes on.
    pub async fn assemble(
        &self,
        caller: &Caller,
        version: VersionId,
    ) -> Result<(Session, Commit, Committed), Error> {
        let stream = self.catalog.open_stream(caller, version, Resumption::default()).await?;
        let session = self.catalog.session(caller, version, false).await?;
        let Protocol::Tus(Concat::Final(sources)) = &session.protocol else {
            return Err(Error::internal("a concatenation of nothing"));
        };
        if stream.state == State::Done {
            return self.multipart().complete(caller, version, None, None).await;
        }
        let mut pieces = Vec::with_capacity(sources.len());
        for source in sources {
            pieces.push(self.joined(caller, *source).await?);
        }
        let mut body =
            Pieces { blobs: self.blobs, pieces: &pieces, skip: stream.offset(), open: None };
        let appended = self.run(caller, version, stream, &mut body, None, Check::Nothing).await?;
        let done = appended.done.ok_or_else(|| {
            Error::unavailable("The object store", "the pieces are shorter than they were")
        })?;
        for (source, piece) in sources.iter().zip(&pieces) {
            // What fails here is the reaper's, once their time is over.
            let over = self.catalog.abort_session(caller, *source, "Concatenated", true).await;
            if let Ok(true) = over {
                self.delete(&piece.bucket, &piece.s3_key).await;
            }
        }
        Ok(done)
    }

    /// The bytes of a piece, as one blob.
    async fn joined(&self, caller: &Caller, source: VersionId) -> Result<Piece, Error> {
        let session = self.catalog.session(caller, source, true).await?;
        check_piece(&session)?;
        let Session { bucket, s3_key, .. } = &session;
        let size = session.bytes();
        let piece =
            |s3_key: &String| Piece { bucket: bucket.clone(), s3_key: s3_key.clone(), size };
        match &session.tail {
            _ if session.state == State::Completing => {}
            Some(tail) if session.parts.is_empty() => return Ok(piece(&tail.s3_key)),
            Some(_) => {
                Run::of_session(self, caller, source, &session)?.put_last().await?;
            }
            None => {}
        }
        if size > 0 {
            self.multipart().join_only(caller, source).await?;
        }
        Ok(piece(s3_key))
    }

    async fn run(
        &self,
        caller: &Caller,
        version: VersionId,
        stream: Stream,
        body: &mut impl Body,
        bytes: Option<u64>,
        check: Check<'_>,
    ) -> Result<Appended, Error> {
        let mut run = Run::new(self, caller, version, stream);
        let mut inflow = Inflow::new(body, self.clock, run.left(), bytes, &check);
        let seen = run.all(&mut inflow, matches!(check, Check::Nothing)).await?;
        if let Err(error) = inflow.verdict(&check) {
            run.forget().await;
            return Err(error);
        }
        let whole = run.stream.plan.size == Some(run.stream.offset());
        let finishes = whole && !run.stream.partial;
        let (offset, expires_at_us) = (run.stream.offset(), run.stream.expires_at_us);
        let ended = inflow.ended();
        if let (true, Ok(()), Some(tail)) =
            (finishes && run.stream.parts == 0, &ended, run.stream.tail.clone())
        {
            // All of it in one tail: that it is there, and what it is for, is written down at once.
            self.adopt_tail(caller, version, run.stream.epoch, &tail).await?;
            // Nobody finds what was there before any more, whatever comes of this.
            run.delete_replaced().await;
            let done = self.finish_tail(caller, version, &tail, seen).await?;
            return Ok(Appended { offset, expires_at_us, done: Some(done) });
        }
        run.record().await?;
        ended?;
        let done = match finishes {
            true => Some(self.finish(caller, version).await?),
            false => None,
        };
        Ok(Appended { offset, expires_at_us, done })
    }

    async fn finished(&self, caller: &Caller, version: VersionId) -> Result<Appended, Error> {
        let (session, commit, committed) =
            self.multipart().complete(caller, version, None, None).await?;
        let (offset, expires_at_us) = (commit.size, session.expires_at_us);
        Ok(Appended { offset, expires_at_us, done: Some((session, commit, committed)) })
    }

    async fn commit(
        &self,
        caller: &Caller,
        session: Session,
        looked: Looked,
    ) -> Result<(Session, Commit, Committed), Error> {
        let size = session.bytes();
        self.commit_of(caller, session, size, looked).await
    }

    async fn commit_of(
        &self,
        caller: &Caller,
        session: Session,
        size: u64,
        looked: Looked,
    ) -> Result<(Session, Commit, Committed), Error> {
        let terms = session.terms(size);
        let committed = match validated(self.blobs, session.at(), terms, looked).await {
            Ok(commit) => surely(self.clock, async || self.catalog.commit(caller, &commit).await)
                .await
                .map(|committed| (commit, committed)),
            Err(error) => Err(error),
        };
        match committed {
            Ok((commit, committed)) => Ok((session, commit, committed)),
            Err(error) if error.code == Code::ServiceUnavailable => Err(error),
            Err(error) => {
                let code = error.code.as_str();
                let over = self.catalog.abort_session(caller, session.version, code, false).await;
                if let Ok(true) = over {
                    let _ = self.blobs.delete(session.at()).await;
                }
                Err(error)
            }
        }
    }

    async fn look(&self, session: &Session, tail: &Tail) -> Result<Looked, Error> {
        let torn = |what: &str| Error::unavailable("The object store", format!("it holds {what}"));
        let looked =
            self.blobs.look(session.at(), SNIFF_BYTES).await?.ok_or_else(|| torn("nothing"))?;
        if looked.stored.size != Some(tail.part.size) || looked.stored.etag != tail.part.etag {
            return Err(torn("something else than was stored"));
        }
        Ok(looked)
    }

    async fn delete(&self, bucket: &str, s3_key: &str) {
        // What fails here is the reconciler's.
        let _ = self.blobs.delete(Target { bucket, s3_key }).await;
    }

    fn multipart(&self) -> Multipart<'_, C, B, K> {
        Multipart { catalog: self.catalog, blobs: self.blobs, clock: self.clock }
    }
}

/// A session that was just begun.
fn begun(new: &NewUpload, created: &Created, s3_key: String) -> Session {
    Session {
        version: created.version,
        state: State::Open,
        bucket: new.bucket.as_str().to_owned(),
        key: new.key.as_str().to_owned(),
        s3_key,
        upload_id: String::new(),
        plan: created.plan,
        epoch: 1,
        created_at_us: 0,
        expires_at_us: created.expires_at_us,
        signed: false,
        content_type: new.content_type.clone(),
        allowed_types: created.allowed_types.clone(),
        image: created.image,
        parts: Vec::new(),
        tail: None,
        protocol: new.protocol.clone(),
        described: new.described.clone(),
        committed: None,
    }
}

/// Whether an upload can be a piece of a concatenation by now.
///
/// # Errors
/// [`Code::InvalidArgument`], [`Code::UploadGone`], [`Code::OffsetMismatch`]: its bytes are not all there.
pub fn check_piece(session: &Session) -> Result<(), Error> {
    let id = session.version;
    if session.protocol != Protocol::Tus(Concat::Partial) {
        let message = format!("{id} is no partial upload; create it with Upload-Concat: partial");
        return Err(Error::new(Code::InvalidArgument, message).rule("session.concat"));
    }
    if session.state == State::Aborted {
        return Err(gone());
    }
    if session.plan.size != Some(session.bytes()) {
        let message = format!("{id} has not all of its bytes; send them before");
        return Err(Error::new(Code::OffsetMismatch, message).rule("session.concat"));
    }
    Ok(())
}

fn gone() -> Error {
    let message = "The upload was given up, or its time is over; create another one";
    Error::new(Code::UploadGone, message).rule("session.state")
}

fn too_long() -> Error {
    let message = "More bytes came than the upload's length has; what fits was kept";
    Error::new(Code::EntityTooLarge, message).rule("session.size")
}

fn torn(what: &str) -> Error {
    Error::unavailable("The object store", format!("it holds {what}"))
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
