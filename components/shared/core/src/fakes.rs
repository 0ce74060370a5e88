//! A catalog, a store and a clock for the tests of the use cases.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use time::OffsetDateTime;

use crate::digest::Crc64Nvme;
use crate::error::{Code, Error};
use crate::names::VersionId;
use crate::ports::{
    Begin, Begun, Blobs, Body, Caller, Catalog, Clock, Commit, Committed, Gate, Resolved, Stored,
    Target,
};

pub(crate) fn resolved() -> Resolved {
    Resolved {
        version: VersionId::generate(OffsetDateTime::UNIX_EPOCH, &[0; 10]),
        s3_key: "hf/1970/01/01/x".to_owned(),
        size: 3,
        etag: "e".to_owned(),
        content_type: "text/plain".to_owned(),
        crc64nvme: None,
        committed_at_us: 0,
        user_metadata: BTreeMap::new(),
        public: false,
        cache_control: None,
    }
}

/// Remembers the steps it was asked for.
#[derive(Default)]
pub(crate) struct FakeCatalog {
    pub(crate) steps: RefCell<Vec<String>>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) allowed_types: Option<Vec<String>>,
    pub(crate) commits: RefCell<VecDeque<Code>>,
    pub(crate) renew_refuses: Cell<bool>,
}

impl Catalog for FakeCatalog {
    async fn begin(&self, _: &Caller, begin: &Begin<'_>) -> Result<Begun, Error> {
        self.steps.borrow_mut().push(format!("begin {:?}", begin.size));
        Ok(Begun { max_bytes: self.max_bytes, allowed_types: self.allowed_types.clone() })
    }

    async fn renew(&self, _: &Caller, _: VersionId, charge: Option<u64>) -> Result<(), Error> {
        self.steps.borrow_mut().push(format!("renew {charge:?}"));
        if self.renew_refuses.get() {
            return Err(Error::new(Code::QuotaExceeded, ""));
        }
        Ok(())
    }

    async fn commit(&self, _: &Caller, commit: &Commit) -> Result<Committed, Error> {
        self.steps.borrow_mut().push(format!("commit {} {}", commit.size, commit.content_type));
        match self.commits.borrow_mut().pop_front() {
            Some(code) => Err(Error::new(code, "")),
            None => Ok(Committed { created: true, committed_at_us: 1 }),
        }
    }

    async fn abort(&self, _: &Caller, _: VersionId, code: &str) -> Result<bool, Error> {
        self.steps.borrow_mut().push(format!("abort {code}"));
        Ok(true)
    }

    fn release(&self) {}
}

/// Chunks, then an end: whole, or broken off.
pub(crate) struct FakeBody {
    pub(crate) chunks: VecDeque<Vec<u8>>,
    pub(crate) whole: bool,
}

impl Body for FakeBody {
    async fn read(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match self.chunks.pop_front() {
            None if !self.whole => Err(Error::new(Code::IncompleteBody, "")),
            chunk => Ok(chunk),
        }
    }
}

/// Keeps what is put; can lose bytes as a broken peer would.
#[derive(Default)]
pub(crate) struct FakeBlobs {
    pub(crate) stored: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(crate) ways: RefCell<Vec<&'static str>>,
    pub(crate) loses_a_byte: bool,
}

impl FakeBlobs {
    fn keep(&self, way: &'static str, at: Target<'_>, mut bytes: Vec<u8>) -> Stored {
        self.ways.borrow_mut().push(way);
        if self.loses_a_byte {
            bytes.pop();
        }
        let stored = Self::describe(&bytes);
        self.stored.borrow_mut().insert(at.s3_key.to_owned(), bytes);
        Stored { size: None, ..stored }
    }

    fn describe(bytes: &[u8]) -> Stored {
        let crc = Crc64Nvme::of(bytes);
        Stored { etag: crc.clone(), crc64nvme: Some(crc), size: Some(bytes.len() as u64) }
    }
}

impl Blobs for FakeBlobs {
    type Body = FakeBody;

    async fn put_bytes(
        &self,
        at: Target<'_>,
        bytes: &[u8],
        crc64nvme: &str,
    ) -> Result<Stored, Error> {
        assert_eq!(Crc64Nvme::of(bytes), crc64nvme);
        Ok(self.keep("bytes", at, bytes.to_vec()))
    }

    async fn put_spliced(
        &self,
        at: Target<'_>,
        mut body: FakeBody,
        _: u64,
    ) -> Result<Stored, Error> {
        let mut all = Vec::new();
        while let Some(chunk) = body.read().await? {
            all.extend(chunk);
        }
        Ok(self.keep("spliced", at, all))
    }

    async fn put_pumped(
        &self,
        at: Target<'_>,
        first: Vec<u8>,
        mut body: FakeBody,
        gate: &mut impl Gate,
    ) -> Result<Stored, Error> {
        gate.pass(&first).await?;
        let mut all = first;
        while let Some(chunk) = body.read().await? {
            gate.pass(&chunk).await?;
            all.extend(chunk);
        }
        Ok(self.keep("pumped", at, all))
    }

    async fn head(&self, at: Target<'_>) -> Result<Option<Stored>, Error> {
        Ok(self.stored.borrow().get(at.s3_key).map(|bytes| Self::describe(bytes)))
    }

    async fn first_bytes(&self, at: Target<'_>, count: usize) -> Result<Vec<u8>, Error> {
        self.ways.borrow_mut().push("sniffed");
        let stored = self.stored.borrow();
        let bytes = stored.get(at.s3_key).cloned().unwrap_or_default();
        Ok(bytes[..bytes.len().min(count)].to_vec())
    }

    async fn delete(&self, at: Target<'_>) -> Result<(), Error> {
        self.stored.borrow_mut().remove(at.s3_key);
        Ok(())
    }
}

/// Time that stands still; sleeping is over at once, or never.
pub(crate) struct FakeClock {
    pub(crate) sleeps_end: bool,
}

impl Clock for FakeClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH
    }

    fn random(&self) -> [u8; 10] {
        [1; 10]
    }

    async fn sleep(&self, _: Duration) {
        if !self.sleeps_end {
            std::future::pending::<()>().await;
        }
    }
}
