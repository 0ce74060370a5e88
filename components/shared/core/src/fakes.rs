//! A catalog, a store and a clock for the tests of the use cases.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use time::OffsetDateTime;

use crate::digest::{Crc64Nvme, Digests, Hasher, hex};
use crate::error::{Code, Error};
use crate::image::ImageLimits;
use crate::limits::CHARGE_STEP_BYTES;
use crate::names::VersionId;
use crate::ports::{
    Allowed, Begin, Begun, Blobs, Body, Caller, Catalog, Charge, Clock, Commit, Committed,
    ContentHeaders, Looked, Resolved, Stored, Target, Verify,
};
use crate::session::Session;

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
        headers: ContentHeaders::default(),
        digests: Digests::default(),
    }
}

/// Remembers the steps it was asked for.
#[derive(Default)]
pub(crate) struct FakeCatalog {
    pub(crate) steps: RefCell<Vec<String>>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) allowed_types: Option<Vec<String>>,
    pub(crate) image: Option<ImageLimits>,
    pub(crate) commits: RefCell<VecDeque<Code>>,
    pub(crate) renew_refuses: Cell<bool>,
    pub(crate) repeated: Option<(Commit, Committed)>,
    /// Where the bytes of what was begun go.
    pub(crate) begun: RefCell<String>,
    /// The upload in parts, if there is one.
    pub(crate) session: RefCell<Option<Session>>,
}

impl Catalog for FakeCatalog {
    async fn begin(&self, _: &Caller, begin: &Begin<'_>) -> Result<Begun, Error> {
        self.steps.borrow_mut().push(format!("begin {:?}", begin.size));
        self.begun.replace(begin.s3_key.to_owned());
        if let Some((commit, committed)) = &self.repeated {
            return Ok(Begun::Repeated(Box::new(commit.clone()), committed.clone()));
        }
        let charged = begin.size.unwrap_or(CHARGE_STEP_BYTES);
        let types = self.allowed_types.clone();
        let image = self.image;
        Ok(Begun::New(Allowed { charged, max_bytes: self.max_bytes, types, image }))
    }

    async fn renew(&self, _: &Caller, _: VersionId, charge: Option<Charge>) -> Result<u64, Error> {
        let wanted = charge.map(|charge| charge.wanted);
        self.steps.borrow_mut().push(format!("renew {wanted:?}"));
        if self.renew_refuses.get() {
            return Err(Error::new(Code::QuotaExceeded, ""));
        }
        Ok(wanted.unwrap_or_default())
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
    async fn read_into(&mut self, _: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
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
    /// Of the one upload, by their numbers.
    pub(crate) parts: RefCell<BTreeMap<u16, Vec<u8>>>,
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
        let md5 = Digests { md5: Some([0; 16]), ..Digests::default() };
        let mut hasher = Hasher::new(&md5, false);
        hasher.update(bytes);
        let etag = hex(&hasher.finish().md5.unwrap_or_default());
        Stored { etag, crc64nvme: Some(Crc64Nvme::of(bytes)), size: Some(bytes.len() as u64) }
    }
}

impl Blobs for FakeBlobs {
    type Body = FakeBody;
    type Reader = FakeBody;

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
        verify: Option<Verify>,
    ) -> Result<Stored, Error> {
        let mut all = Vec::new();
        while let Some(chunk) = body.read().await? {
            all.extend(chunk);
        }
        if let Some(verify) = verify {
            let mut declared = Digests::default();
            match verify {
                Verify::Crc32c(value) => declared.crc32c = Some(value),
                Verify::Crc64Nvme(value) => declared.crc64nvme = Some(value),
                Verify::Sha256(value) => declared.sha256 = Some(value),
            }
            let mut hasher = Hasher::new(&declared, false);
            hasher.update(&all);
            if declared.differs_from(&hasher.finish()).is_some() {
                return Err(Error::new(Code::BadDigest, ""));
            }
        }
        Ok(self.keep("spliced", at, all))
    }

    async fn put_streamed(&self, at: Target<'_>, body: &mut impl Body) -> Result<Stored, Error> {
        let mut all = Vec::new();
        while let Some(chunk) = body.read().await? {
            all.extend(chunk);
        }
        Ok(self.keep("streamed", at, all))
    }

    async fn read_from(&self, at: Target<'_>, offset: u64) -> Result<FakeBody, Error> {
        let stored = self.stored.borrow();
        let bytes = stored.get(at.s3_key).ok_or_else(|| Error::new(Code::NoSuchKey, at.s3_key))?;
        let rest = &bytes[usize::try_from(offset).expect("short")..];
        Ok(FakeBody { chunks: rest.chunks(64 * 1_024).map(<[u8]>::to_vec).collect(), whole: true })
    }

    async fn head(&self, at: Target<'_>) -> Result<Option<Stored>, Error> {
        Ok(self.stored.borrow().get(at.s3_key).map(|bytes| Self::describe(bytes)))
    }

    async fn look(&self, at: Target<'_>, count: usize) -> Result<Option<Looked>, Error> {
        self.ways.borrow_mut().push("looked");
        let stored = self.stored.borrow();
        Ok(stored.get(at.s3_key).map(|bytes| Looked {
            stored: Stored { crc64nvme: None, ..Self::describe(bytes) },
            head: bytes[..bytes.len().min(count)].to_vec(),
        }))
    }

    async fn delete(&self, at: Target<'_>) -> Result<(), Error> {
        self.stored.borrow_mut().remove(at.s3_key);
        Ok(())
    }
}

thread_local! {
    static RANDOM: Cell<u8> = const { Cell::new(0) };
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
        // Another one each time, as the real one.
        RANDOM.set(RANDOM.get() + 1);
        [RANDOM.get(); 10]
    }

    async fn sleep(&self, _: Duration) {
        if !self.sleeps_end {
            std::future::pending::<()>().await;
        }
    }
}
