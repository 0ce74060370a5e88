//! The steps of SQL and the operations of S3 on uploads in parts, in memory.

use crate::digest::{Md5Sum, hex};
use crate::error::{Code, Error};
use crate::fakes::{FakeBlobs, FakeBody, FakeCatalog};
use crate::names::VersionId;
use crate::parts::Plan;
use crate::ports::{Body, Caller, Target, Verify};
use crate::session::{
    Completing, Created, Joined, ListedPart, NamedPart, NewUpload, Part, PartStore, PartTarget,
    Protocol, Recorded, Resumption, Session, Sessions, State, Stream, Tail,
};

impl FakeCatalog {
    fn step(&self, step: impl Into<String>) {
        self.steps.borrow_mut().push(step.into());
    }
}

/// As it begins.
fn session(version: VersionId, s3_key: String, plan: Plan, protocol: Protocol) -> Session {
    Session {
        version,
        state: State::Open,
        bucket: "documents".to_owned(),
        key: "k".to_owned(),
        s3_key,
        upload_id: String::new(),
        plan,
        epoch: 1,
        created_at_us: 0,
        expires_at_us: i64::MAX,
        signed: false,
        content_type: None,
        allowed_types: None,
        image: None,
        parts: Vec::new(),
        tail: None,
        protocol,
        described: None,
        committed: None,
    }
}

/// Keeps one session, as SQL would.
impl Sessions for FakeCatalog {
    async fn create_session(
        &self,
        _: &Caller,
        version: VersionId,
        s3_key: &str,
        new: &NewUpload,
    ) -> Result<Created, Error> {
        let s3_key = s3_key.to_owned();
        self.session.replace(Some(session(version, s3_key, new.plan, new.protocol.clone())));
        Ok(Created {
            version,
            plan: new.plan,
            expires_at_us: i64::MAX,
            repeated: false,
            allowed_types: None,
            image: None,
        })
    }

    async fn open_session(
        &self,
        _: &Caller,
        _: VersionId,
        upload_id: &str,
    ) -> Result<String, Error> {
        let mut session = self.session.borrow_mut();
        let session = session.as_mut().expect("a session");
        if session.upload_id.is_empty() {
            upload_id.clone_into(&mut session.upload_id);
        }
        Ok(session.upload_id.clone())
    }

    async fn attach_session(
        &self,
        _: &Caller,
        version: VersionId,
        part_size: u64,
        upload_id: Option<&str>,
    ) -> Result<(), Error> {
        self.step(format!("attach {upload_id:?}"));
        let plan = Plan { part_size, size: None };
        let s3_key = self.begun.borrow().clone();
        self.session.replace(Some(Session {
            upload_id: upload_id.unwrap_or_default().to_owned(),
            ..session(version, s3_key, plan, Protocol::Form)
        }));
        Ok(())
    }

    async fn open_stream(
        &self,
        _: &Caller,
        _: VersionId,
        resumption: Resumption,
    ) -> Result<Stream, Error> {
        let mut session = self.session.borrow_mut();
        let session = session.as_mut().expect("a session");
        if resumption.offset.is_some_and(|offset| offset != session.bytes()) {
            return Err(Error::new(Code::OffsetMismatch, ""));
        }
        session.epoch += 1;
        Ok(Stream {
            state: session.state,
            bucket: session.bucket.clone(),
            s3_key: session.s3_key.clone(),
            upload_id: session.upload_id.clone(),
            plan: session.plan,
            epoch: session.epoch,
            expires_at_us: session.expires_at_us,
            parts: u16::try_from(session.parts.len()).expect("few"),
            part_bytes: session.parts.iter().map(|part| part.size).sum(),
            tail: session.tail.clone(),
            partial: false,
        })
    }

    async fn session(&self, _: &Caller, _: VersionId, _: bool) -> Result<Session, Error> {
        self.session.borrow().clone().ok_or_else(|| Error::new(Code::NoSuchUpload, ""))
    }

    async fn open_part(
        &self,
        _: &Caller,
        _: VersionId,
        _: Option<i32>,
        _: u16,
        _: u64,
    ) -> Result<PartTarget, Error> {
        unreachable!("no numbered parts")
    }

    async fn record_parts(
        &self,
        _: &Caller,
        _: VersionId,
        epoch: Option<i32>,
        parts: &[Part],
        tail: Option<&Tail>,
    ) -> Result<Recorded, Error> {
        let sizes: Vec<_> = parts.iter().map(|part| part.size).collect();
        self.step(format!("record {sizes:?} {:?}", tail.map(|tail| tail.part.size)));
        let mut session = self.session.borrow_mut();
        let Some(session) = session.as_mut() else {
            return Ok(Recorded { bytes: 0, count: 0, epoch: 1 });
        };
        if epoch.is_some_and(|epoch| epoch != session.epoch) {
            return Err(Error::new(Code::UploadTakenOver, ""));
        }
        for part in parts {
            assert_eq!(usize::from(part.number), session.parts.len() + 1, "in their order");
            session.parts.push(part.clone());
        }
        if !parts.is_empty() || tail.is_some() {
            session.tail = tail.cloned();
        }
        let count = u32::try_from(session.parts.len()).expect("few");
        Ok(Recorded { bytes: session.bytes(), count, epoch: session.epoch })
    }

    async fn adopt_tail(
        &self,
        _: &Caller,
        _: VersionId,
        epoch: i32,
        tail: &Tail,
    ) -> Result<(), Error> {
        self.step(format!("adopt {}", tail.part.size));
        let mut session = self.session.borrow_mut();
        let session = session.as_mut().expect("a session");
        if epoch != session.epoch {
            return Err(Error::new(Code::UploadTakenOver, ""));
        }
        session.tail = Some(tail.clone());
        session.s3_key.clone_from(&tail.s3_key);
        Ok(())
    }

    async fn resume_session(&self, _: &Caller, _: VersionId) -> Result<i32, Error> {
        unreachable!("no numbered parts")
    }

    async fn sign_parts(
        &self,
        _: &Caller,
        _: VersionId,
        _: Option<i32>,
        _: usize,
        _: i32,
    ) -> Result<i32, Error> {
        unreachable!("no numbered parts")
    }

    async fn start_complete(
        &self,
        _: &Caller,
        _: VersionId,
        _: Option<i32>,
        _: Option<&[NamedPart]>,
    ) -> Result<Completing, Error> {
        self.step("start");
        let mut session = self.session.borrow_mut();
        let session = session.as_mut().expect("a session");
        assert_eq!(session.tail, None, "a tail is no part");
        session.state = State::Completing;
        Ok(Completing::With(session.parts.clone()))
    }

    async fn reopen_session(&self, _: &Caller, _: VersionId) -> Result<bool, Error> {
        Ok(false)
    }

    async fn abort_session(
        &self,
        _: &Caller,
        _: VersionId,
        code: &str,
        completed: bool,
    ) -> Result<bool, Error> {
        self.step(format!("abort {code}{}", if completed { " completed" } else { "" }));
        Ok(true)
    }
}

impl PartStore for FakeBlobs {
    async fn create_upload(&self, _: Target<'_>) -> Result<String, Error> {
        self.ways.borrow_mut().push("upload");
        Ok("u".to_owned())
    }

    async fn put_part(
        &self,
        _: Target<'_>,
        _: &str,
        _: u16,
        _: u64,
        _: FakeBody,
        _: Option<Verify>,
    ) -> Result<String, Error> {
        unreachable!("no numbered parts")
    }

    async fn put_part_streamed(
        &self,
        _: Target<'_>,
        _: &str,
        number: u16,
        body: &mut impl Body,
    ) -> Result<String, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = body.read().await? {
            bytes.extend(chunk);
        }
        self.ways.borrow_mut().push("part");
        if self.loses_a_byte {
            bytes.pop();
        }
        let mut md5 = Md5Sum::default();
        md5.update(&bytes);
        self.parts.borrow_mut().insert(number, bytes);
        Ok(md5.to_hex())
    }

    async fn list_parts(&self, _: Target<'_>, _: &str) -> Result<Vec<ListedPart>, Error> {
        unreachable!("no signed parts")
    }

    async fn join(&self, at: Target<'_>, _: &str, parts: &[Part]) -> Joined {
        let stored = self.parts.borrow();
        let bytes = parts.iter().flat_map(|part| stored[&part.number].clone()).collect();
        self.stored.borrow_mut().insert(at.s3_key.to_owned(), bytes);
        Joined::Yes(hex(&[0]))
    }

    async fn abort_upload(&self, _: Target<'_>, _: &str) -> Result<(), Error> {
        self.parts.borrow_mut().clear();
        Ok(())
    }

    async fn abort_uploads(&self, at: Target<'_>) -> Result<(), Error> {
        self.abort_upload(at, "u").await
    }
}
