//! Uploads in parts: create, send parts in any order, complete; else abort.
//!
//! SQL is what counts. A part counts once `record_part` wrote it down; S3 is asked only where clients sent parts to it by
//! URLs that we signed. From `start_complete` on S3's Complete may have been sent, and then nobody sends an Abort: S3
//! may have joined the parts already, and an Abort would free the bytes of a good object. What an unanswered Complete
//! did is looked up, and asked for again; the worker ends what its client left.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::digest::{Digests, hex};
use crate::error::{Code, Error};
use crate::limits::SNIFF_BYTES;
use crate::names::VersionId;
use crate::parts::check_any;
use crate::ports::{Caller, Catalog, Clock, Commit, Committed, Target, Verify};
use crate::session::{
    Completing, Created, Joined, ListedPart, NamedPart, NewPart, NewUpload, Part, PartStore,
    Recorded, Session, Sessions, State,
};
use crate::upload::{surely, validated};

/// Uploads in parts over SQL, S3 and a clock.
pub struct Multipart<'a, C, B, K> {
    /// The SQL steps.
    pub catalog: &'a C,
    /// The store.
    pub blobs: &'a B,
    /// Time and randomness.
    pub clock: &'a K,
}

/// How often a Complete without an answer is asked for again in one request.
const JOIN_ATTEMPTS: u32 = 3;

impl<C: Catalog + Sessions, B: PartStore, K: Clock> Multipart<'_, C, B, K> {
    /// Begins an upload.
    ///
    /// # Errors
    /// What `begin` refuses; [`Code::ServiceUnavailable`].
    pub async fn create(&self, caller: &Caller, new: &NewUpload) -> Result<Created, Error> {
        let now = self.clock.now();
        let version = VersionId::generate(now, &self.clock.random());
        let s3_key = version.s3_key(now);
        let created = self.catalog.create_session(caller, version, &s3_key, new).await?;
        if created.repeated {
            return Ok(created);
        }
        let at = Target { bucket: new.bucket.as_str(), s3_key: &s3_key };
        let opened = async {
            let upload_id = self.blobs.create_upload(at).await?;
            surely(self.clock, async || {
                self.catalog.open_session(caller, version, &upload_id).await.map(drop)
            })
            .await
        };
        if let Err(error) = opened.await {
            // Nobody knows its id, so nobody sends it parts. What fails here is the reaper's.
            let given_up =
                self.catalog.abort_session(caller, version, error.code.as_str(), false).await;
            if let Ok(true) = given_up {
                let _ = self.blobs.abort_uploads(at).await;
            }
            return Err(error);
        }
        Ok(created)
    }

    /// Stores a part and writes it down; the same number again replaces it.
    ///
    /// # Errors
    /// * [`Code::NoSuchUpload`], [`Code::UploadCompleting`], [`Code::UploadTakenOver`]: it takes no parts, or not
    ///   these.
    /// * [`Code::InvalidPart`], [`Code::InvalidArgument`], [`Code::EntityTooLarge`]: it is not what was planned.
    /// * [`Code::BadDigest`]: not what the client declared.
    pub async fn put_part(
        &self,
        caller: &Caller,
        version: VersionId,
        part: NewPart<B::Body>,
    ) -> Result<(Part, Recorded), Error> {
        let NewPart { number, length, body, declared, epoch } = part;
        // Before SQL: what no upload takes is no row of its own.
        check_any(number, length)?;
        let verify = verifiable(&declared)?;
        let target = self.catalog.open_part(caller, version, epoch, number, length).await?;
        target.plan.check(number, length)?;
        self.catalog.release();
        let at = Target { bucket: &target.bucket, s3_key: &target.s3_key };
        let etag = self.blobs.put_part(at, &target.upload_id, number, length, body, verify).await?;
        // The ETag of a part is the MD5 of what was stored. What is not written down is never joined.
        if declared.md5.is_some_and(|md5| hex(&md5) != etag) {
            return Err(bad_digest("MD5"));
        }
        let part = Part { number, size: length, etag };
        let one = std::slice::from_ref(&part);
        let record = async || self.catalog.record_parts(caller, version, epoch, one, None).await;
        let recorded = surely(self.clock, record).await?;
        Ok((part, recorded))
    }

    /// What a session is, with the parts that came by URLs of ours.
    ///
    /// # Errors
    /// [`Code::NoSuchUpload`], [`Code::ServiceUnavailable`].
    pub async fn status(&self, caller: &Caller, version: VersionId) -> Result<Session, Error> {
        let session = self.catalog.session(caller, version, true).await?;
        self.adopted(caller, session, None).await
    }

    /// Takes a session over; what was given another epoch before writes nothing down any more.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub async fn resume(&self, caller: &Caller, version: VersionId) -> Result<Session, Error> {
        self.catalog.resume_session(caller, version).await?;
        self.status(caller, version).await
    }

    /// Joins the parts and makes the object current. Safe to repeat.
    ///
    /// # Errors
    /// * [`Code::InvalidPart`], [`Code::InvalidPartOrder`], [`Code::EntityTooSmall`]: it names the parts; nothing
    ///   changed.
    /// * What `commit` refuses, [`Code::InvalidContentType`] and [`Code::InvalidImage`]: the upload is over, and its bytes are deleted.
    /// * [`Code::ServiceUnavailable`]: nobody knows yet; complete it again, or leave it to the worker.
    pub async fn complete(
        &self,
        caller: &Caller,
        version: VersionId,
        epoch: Option<i32>,
        named: Option<&[NamedPart]>,
    ) -> Result<(Session, Commit, Committed), Error> {
        let session = self.catalog.session(caller, version, true).await?;
        let session = self.adopted(caller, session, named).await?;
        let parts = match self.catalog.start_complete(caller, version, epoch, named).await? {
            Completing::With(parts) => parts,
            Completing::Done => return self.committed(caller, version).await,
        };
        self.catalog.release();
        let at = session.at();
        self.join(caller, &session, &parts).await?;
        let commit = match self.validate(&session, &parts).await {
            Ok(commit) => commit,
            // Another answer another time: nothing is deleted on doubt.
            Err(error) if error.code == Code::ServiceUnavailable => return Err(error),
            Err(error) => return Err(self.give_up(caller, version, at, error).await),
        };
        match surely(self.clock, async || self.catalog.commit(caller, &commit).await).await {
            Ok(committed) => Ok((session, commit, committed)),
            Err(error) if error.code == Code::ServiceUnavailable => Err(error),
            Err(error) => Err(self.give_up(caller, version, at, error).await),
        }
    }

    /// Joins the parts of an upload that shall not become an object itself. Safe to repeat.
    ///
    /// # Errors
    /// As [`Self::complete`], but for what `commit` says.
    pub(crate) async fn join_only(&self, caller: &Caller, version: VersionId) -> Result<(), Error> {
        let session = self.catalog.session(caller, version, false).await?;
        match self.catalog.start_complete(caller, version, None, None).await? {
            Completing::With(parts) => self.join(caller, &session, &parts).await,
            Completing::Done => Err(Error::internal("a piece that is an object")),
        }
    }

    /// Gives an upload up and frees all of it. Safe to repeat.
    ///
    /// # Errors
    /// [`Code::UploadCompleting`]: too late. [`Code::NoSuchUpload`].
    pub async fn abort(&self, caller: &Caller, version: VersionId) -> Result<(), Error> {
        let session = self.catalog.session(caller, version, false).await?;
        self.catalog.abort_session(caller, version, "Aborted", false).await?;
        // What fails here is the reaper's, who does it all once more anyway: a part may still be under way.
        if !session.upload_id.is_empty() {
            let _ = self.blobs.abort_upload(session.at(), &session.upload_id).await;
        }
        let _ = self.blobs.delete(session.at()).await;
        Ok(())
    }

    /// Ends a session whose completing nobody ended: as its client wanted it, or `hopeless`, if S3 has no object and
    /// no Complete can be under way any more, by giving it up.
    ///
    /// # Errors
    /// It is not at its end: a later call may do it.
    pub async fn settle(
        &self,
        caller: &Caller,
        version: VersionId,
        hopeless: bool,
    ) -> Result<(), Error> {
        let error = match self.complete(caller, version, None, None).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let session = self.catalog.session(caller, version, false).await?;
        if session.state != State::Completing {
            // Refused, and so open again or given up.
            return Ok(());
        }
        if !hopeless {
            return Err(error);
        }
        if self.blobs.head(session.at()).await?.is_some() {
            return Err(error);
        }
        // The reaper frees the parts and deletes the key.
        self.catalog.abort_session(caller, version, error.code.as_str(), true).await?;
        Ok(())
    }

    /// The session with what S3 has and SQL has not; where it moved on in between, what it is then.
    async fn adopted(
        &self,
        caller: &Caller,
        session: Session,
        named: Option<&[NamedPart]>,
    ) -> Result<Session, Error> {
        let (version, epoch) = (session.version, session.epoch);
        let error = match self.adopt(caller, session, named).await {
            Err(error) if moved_on(error.code) => error,
            known => return known,
        };
        let session = self.catalog.session(caller, version, true).await?;
        if session.state == State::Open && session.epoch == epoch {
            return Err(error);
        }
        self.adopt(caller, session, named).await
    }

    async fn adopt(
        &self,
        caller: &Caller,
        mut session: Session,
        named: Option<&[NamedPart]>,
    ) -> Result<Session, Error> {
        if !session.signed || session.state != State::Open {
            return Ok(session);
        }
        self.catalog.release();
        let listed = self.blobs.list_parts(session.at(), &session.upload_id).await?;
        let found = unknown(&session.parts, &listed, named);
        if found.is_empty() {
            return Ok(session);
        }
        // Under this very epoch: another writer may have come in between.
        let epoch = Some(session.epoch);
        self.catalog.record_parts(caller, session.version, epoch, &found, None).await?;
        let mut parts: BTreeMap<_, _> =
            session.parts.into_iter().map(|part| (part.number, part)).collect();
        parts.extend(found.into_iter().map(|part| (part.number, part)));
        session.parts = parts.into_values().collect();
        Ok(session)
    }

    async fn committed(
        &self,
        caller: &Caller,
        version: VersionId,
    ) -> Result<(Session, Commit, Committed), Error> {
        let session = self.catalog.session(caller, version, false).await?;
        let (commit, committed) = session
            .committed
            .clone()
            .ok_or_else(|| Error::internal("a committed session without its commit"))?;
        Ok((session, commit, committed))
    }

    /// S3's Complete. Comes back only where the object is there, or with what led to its not being there.
    async fn join(&self, caller: &Caller, session: &Session, parts: &[Part]) -> Result<(), Error> {
        let at = session.at();
        let mut attempt = 1;
        loop {
            let error = match self.blobs.join(at, &session.upload_id, parts).await {
                Joined::Yes(_) => return Ok(()),
                Joined::Refused(error) => {
                    // Taken back where nobody else may have asked for the same; else another one may yet be joined.
                    if self.catalog.reopen_session(caller, session.version).await? {
                        return Err(error);
                    }
                    return Err(Error::unavailable("The object store", error));
                }
                Joined::NoSuchUpload => {
                    Error::unavailable("The object store", "it knows no such upload")
                }
                Joined::Unknown(error) => error,
            };
            // Whatever S3 said: the object may be there.
            if self.blobs.head(at).await?.is_some() {
                return Ok(());
            }
            if attempt == JOIN_ATTEMPTS {
                return Err(error);
            }
            self.clock.sleep(Duration::from_millis(100 << attempt)).await;
            attempt += 1;
        }
    }

    /// What was joined has to be what was sent, and what the bucket takes.
    async fn validate(&self, session: &Session, parts: &[Part]) -> Result<Commit, Error> {
        let torn = |what: &str| Error::unavailable("The object store", format!("it holds {what}"));
        let size: u64 = parts.iter().map(|part| part.size).sum();
        let at = session.at();
        let looked =
            self.blobs.look(at, SNIFF_BYTES).await?.ok_or_else(|| torn("nothing after all"))?;
        if looked.stored.size != Some(size) {
            return Err(torn("another length than its parts"));
        }
        validated(self.blobs, at, session.terms(size), looked).await
    }

    /// The object is joined and nobody may have it: no Complete is under way that could bring it back.
    async fn give_up(
        &self,
        caller: &Caller,
        version: VersionId,
        at: Target<'_>,
        error: Error,
    ) -> Error {
        let code = error.code.as_str();
        if let Ok(true) = self.catalog.abort_session(caller, version, code, true).await {
            let _ = self.blobs.delete(at).await;
        }
        error
    }
}

/// Somebody else aborted the session, began to complete it or took it over.
const fn moved_on(code: Code) -> bool {
    matches!(code, Code::NoSuchUpload | Code::UploadCompleting | Code::UploadTakenOver)
}

/// Which listed parts have to be written down: those that the client names, else the last of each number.
fn unknown(known: &[Part], listed: &[ListedPart], named: Option<&[NamedPart]>) -> Vec<Part> {
    let mut last = BTreeMap::<u16, &ListedPart>::new();
    for it in listed {
        let is_known = |it: &ListedPart| known.contains(&it.part);
        let wanted = |it: &ListedPart| {
            named
                .into_iter()
                .flatten()
                .any(|n| n.number == it.part.number && n.etag == it.part.etag)
        };
        let rank = |it: &ListedPart| (wanted(it), it.stored_at, is_known(it));
        let entry = last.entry(it.part.number).or_insert(it);
        if rank(it) >= rank(entry) {
            *entry = it;
        }
    }
    let last = last.into_values().map(|it| it.part.clone());
    last.filter(|part| !known.contains(part)).collect()
}

/// The digest that S3 compares; MD5 is compared with the ETag.
fn verifiable(declared: &Digests) -> Result<Option<Verify>, Error> {
    let Digests { sha256, sha512, crc32c, crc64nvme, md5: _ } = declared;
    let mut all =
        [sha256.map(Verify::Sha256), crc64nvme.map(Verify::Crc64Nvme), crc32c.map(Verify::Crc32c)]
            .into_iter()
            .flatten();
    match (all.next(), all.next(), sha512) {
        (one, None, None) => Ok(one),
        _ => {
            let message = "A part takes one of SHA-256, CRC-64/NVME and CRC-32C, and an MD5";
            Err(Error::new(Code::InvalidArgument, message))
        }
    }
}

fn bad_digest(name: &str) -> Error {
    let message = format!("The part is not what its {name} says; send it again");
    Error::new(Code::BadDigest, message)
}

#[cfg(test)]
#[path = "multipart_tests.rs"]
mod tests;
