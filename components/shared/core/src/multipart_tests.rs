use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use futures_util::FutureExt as _;
use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use crate::fakes::{FakeBlobs, FakeBody, FakeCatalog, FakeClock};
use crate::image::ImageLimits;
use crate::names::{BucketName, ObjectKey};
use crate::parts::Plan;
use crate::ports::{Begin, Begun, Blobs, Body, Charge, ContentHeaders, Stored};
use crate::principal::Principal;
use crate::session::{PartTarget, Protocol, Resumption, Stream, Tail};

/// One session, as SQL would keep it.
struct FakeSessions {
    steps: FakeCatalog,
    session: RefCell<Session>,
    reopens: bool,
    open_fails: Cell<bool>,
    /// What somebody else makes of the session while its parts are looked up.
    moves_to: Cell<Option<State>>,
}

impl FakeSessions {
    fn step(&self, step: impl Into<String>) {
        self.steps.steps.borrow_mut().push(step.into());
    }
}

impl Catalog for FakeSessions {
    async fn begin(&self, caller: &Caller, begin: &Begin<'_>) -> Result<Begun, Error> {
        self.steps.begin(caller, begin).await
    }

    async fn renew(
        &self,
        caller: &Caller,
        version: VersionId,
        charge: Option<Charge>,
    ) -> Result<u64, Error> {
        self.steps.renew(caller, version, charge).await
    }

    async fn commit(&self, caller: &Caller, commit: &Commit) -> Result<Committed, Error> {
        self.steps.commit(caller, commit).await
    }

    async fn abort(&self, caller: &Caller, version: VersionId, code: &str) -> Result<bool, Error> {
        self.steps.abort(caller, version, code).await
    }

    fn release(&self) {}
}

impl Sessions for FakeSessions {
    async fn create_session(
        &self,
        _: &Caller,
        version: VersionId,
        _: &str,
        new: &NewUpload,
    ) -> Result<Created, Error> {
        self.step("create");
        Ok(Created {
            version,
            plan: new.plan,
            expires_at_us: 7,
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
        self.step(format!("open {upload_id}"));
        if self.open_fails.get() {
            return Err(Error::new(Code::NoSuchUpload, ""));
        }
        Ok(upload_id.to_owned())
    }

    async fn attach_session(
        &self,
        _: &Caller,
        _: VersionId,
        _: u64,
        _: Option<&str>,
    ) -> Result<(), Error> {
        unreachable!("no form")
    }

    async fn open_stream(&self, _: &Caller, _: VersionId, _: Resumption) -> Result<Stream, Error> {
        unreachable!("no stream")
    }

    async fn adopt_tail(&self, _: &Caller, _: VersionId, _: i32, _: &Tail) -> Result<(), Error> {
        unreachable!("no stream")
    }

    async fn session(&self, _: &Caller, _: VersionId, _: bool) -> Result<Session, Error> {
        Ok(self.session.borrow().clone())
    }

    async fn open_part(
        &self,
        _: &Caller,
        _: VersionId,
        _: Option<i32>,
        number: u16,
        size: u64,
    ) -> Result<PartTarget, Error> {
        self.step(format!("open part {number} {size}"));
        let session = self.session.borrow();
        Ok(PartTarget {
            bucket: session.bucket.clone(),
            s3_key: session.s3_key.clone(),
            upload_id: session.upload_id.clone(),
            plan: session.plan,
        })
    }

    async fn record_parts(
        &self,
        _: &Caller,
        _: VersionId,
        _: Option<i32>,
        parts: &[Part],
        _: Option<&Tail>,
    ) -> Result<Recorded, Error> {
        self.step(format!("record {:?}", parts.iter().map(|p| p.number).collect::<Vec<_>>()));
        let mut session = self.session.borrow_mut();
        if let Some(state) = self.moves_to.take() {
            session.state = state;
            return Err(Error::new(Code::NoSuchUpload, ""));
        }
        session.parts.extend_from_slice(parts);
        let count = u32::try_from(session.parts.len()).expect("few");
        Ok(Recorded { bytes: session.bytes(), count, epoch: session.epoch })
    }

    async fn resume_session(&self, _: &Caller, _: VersionId) -> Result<i32, Error> {
        self.session.borrow_mut().epoch += 1;
        Ok(self.session.borrow().epoch)
    }

    async fn sign_parts(
        &self,
        _: &Caller,
        _: VersionId,
        _: Option<i32>,
        _: usize,
        seconds: i32,
    ) -> Result<i32, Error> {
        Ok(seconds)
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
        if session.state == State::Done {
            return Ok(Completing::Done);
        }
        session.state = State::Completing;
        Ok(Completing::With(session.parts.clone()))
    }

    async fn reopen_session(&self, _: &Caller, _: VersionId) -> Result<bool, Error> {
        self.step("reopen");
        if self.reopens {
            self.session.borrow_mut().state = State::Open;
        }
        Ok(self.reopens)
    }

    async fn abort_session(
        &self,
        _: &Caller,
        _: VersionId,
        code: &str,
        completed: bool,
    ) -> Result<bool, Error> {
        if self.session.borrow().state == State::Completing && !completed {
            return Err(Error::new(Code::UploadCompleting, ""));
        }
        self.step(format!("abort {code}"));
        self.session.borrow_mut().state = State::Aborted;
        Ok(true)
    }
}

/// SeaweedFS, whose answers to Complete are told beforehand.
#[derive(Default)]
struct FakeStore {
    blobs: FakeBlobs,
    joins: RefCell<VecDeque<&'static str>>,
    listed: Vec<ListedPart>,
    create_fails: bool,
    calls: RefCell<Vec<String>>,
}

impl FakeStore {
    fn call(&self, call: impl Into<String>) {
        self.calls.borrow_mut().push(call.into());
    }

    fn keep(&self, at: Target<'_>, bytes: usize) {
        self.blobs.stored.borrow_mut().insert(at.s3_key.to_owned(), vec![b'x'; bytes]);
    }
}

impl Blobs for FakeStore {
    type Body = FakeBody;
    type Reader = FakeBody;

    async fn put_bytes(
        &self,
        at: Target<'_>,
        bytes: &[u8],
        crc64nvme: &str,
    ) -> Result<Stored, Error> {
        self.blobs.put_bytes(at, bytes, crc64nvme).await
    }

    async fn put_spliced(
        &self,
        at: Target<'_>,
        body: FakeBody,
        length: u64,
        verify: Option<Verify>,
    ) -> Result<Stored, Error> {
        self.blobs.put_spliced(at, body, length, verify).await
    }

    async fn put_streamed(&self, at: Target<'_>, body: &mut impl Body) -> Result<Stored, Error> {
        self.blobs.put_streamed(at, body).await
    }

    async fn read_from(&self, at: Target<'_>, offset: u64) -> Result<FakeBody, Error> {
        self.blobs.read_from(at, offset).await
    }

    async fn head(&self, at: Target<'_>) -> Result<Option<Stored>, Error> {
        self.call("head");
        self.blobs.head(at).await
    }

    async fn look(
        &self,
        at: Target<'_>,
        count: usize,
    ) -> Result<Option<crate::ports::Looked>, Error> {
        self.blobs.look(at, count).await
    }

    async fn delete(&self, at: Target<'_>) -> Result<(), Error> {
        self.call("delete");
        self.blobs.delete(at).await
    }
}

impl PartStore for FakeStore {
    async fn create_upload(&self, _: Target<'_>) -> Result<String, Error> {
        if self.create_fails { Err(Error::unavailable("S3", "down")) } else { Ok("u".to_owned()) }
    }

    async fn put_part(
        &self,
        _: Target<'_>,
        _: &str,
        number: u16,
        _: u64,
        _: FakeBody,
        _: Option<Verify>,
    ) -> Result<String, Error> {
        self.call(format!("put {number}"));
        Ok(format!("etag{number}"))
    }

    async fn put_part_streamed(
        &self,
        _: Target<'_>,
        _: &str,
        _: u16,
        _: &mut impl Body,
    ) -> Result<String, Error> {
        unreachable!("no stream")
    }

    async fn list_parts(&self, _: Target<'_>, _: &str) -> Result<Vec<ListedPart>, Error> {
        Ok(self.listed.clone())
    }

    async fn join(&self, at: Target<'_>, _: &str, parts: &[Part]) -> Joined {
        self.call("join");
        let bytes: u64 = parts.iter().map(|part| part.size).sum();
        let bytes = usize::try_from(bytes).expect("few");
        let unknown = || Joined::Unknown(Error::unavailable("S3", "silent"));
        match self.joins.borrow_mut().pop_front().unwrap_or("yes") {
            "yes" => {
                self.keep(at, bytes);
                Joined::Yes("e-1".to_owned())
            }
            "torn" => {
                self.keep(at, bytes - 1);
                Joined::Yes("e-1".to_owned())
            }
            // It did it, and nobody heard.
            "unheard" => {
                self.keep(at, bytes);
                unknown()
            }
            "refused" => Joined::Refused(Error::new(Code::InvalidPart, "")),
            "gone" => Joined::NoSuchUpload,
            _ => unknown(),
        }
    }

    async fn abort_upload(&self, _: Target<'_>, _: &str) -> Result<(), Error> {
        self.call("abort");
        Ok(())
    }

    async fn abort_uploads(&self, _: Target<'_>) -> Result<(), Error> {
        self.call("abort all");
        Ok(())
    }
}

struct Case {
    catalog: FakeSessions,
    store: FakeStore,
}

fn caller() -> Caller {
    Caller {
        principal: Principal { sub: "alice".to_owned(), roles: vec![], scopes: None },
        ip: String::new(),
        request_id: "r".to_owned(),
        grant: None,
    }
}

fn version() -> VersionId {
    VersionId::generate(OffsetDateTime::UNIX_EPOCH, &[1; 10])
}

fn a_part(number: u16, etag: &str) -> Part {
    Part { number, size: 3, etag: etag.to_owned() }
}

/// A session with two parts; S3 answers its Completes with `joins`.
fn case(joins: &[&'static str]) -> Case {
    let session = Session {
        version: version(),
        state: State::Open,
        bucket: "documents".to_owned(),
        key: "k".to_owned(),
        s3_key: "hf/x".to_owned(),
        upload_id: "u".to_owned(),
        plan: Plan::new(None, None).expect("a plan"),
        epoch: 1,
        created_at_us: 0,
        expires_at_us: 0,
        signed: false,
        content_type: None,
        allowed_types: None,
        image: None,
        parts: vec![a_part(1, "a"), a_part(2, "b")],
        tail: None,
        protocol: Protocol::Parts,
        described: None,
        committed: None,
    };
    let catalog = FakeSessions {
        steps: FakeCatalog::default(),
        session: RefCell::new(session),
        reopens: true,
        open_fails: Cell::new(false),
        moves_to: Cell::new(None),
    };
    let store = FakeStore { joins: RefCell::new(joins.to_vec().into()), ..FakeStore::default() };
    Case { catalog, store }
}

impl Case {
    fn run<T>(
        &self,
        call: impl AsyncFnOnce(Multipart<'_, FakeSessions, FakeStore, FakeClock>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let clock = FakeClock { sleeps_end: true };
        let multipart = Multipart { catalog: &self.catalog, blobs: &self.store, clock: &clock };
        call(multipart).now_or_never().expect("no wait")
    }

    fn complete(&self) -> Result<Commit, Error> {
        self.run(async |m| m.complete(&caller(), version(), None, None).await)
            .map(|(_, commit, _)| commit)
    }

    fn settle(&self, hopeless: bool) -> Result<(), Error> {
        self.run(async |m| m.settle(&caller(), version(), hopeless).await)
    }

    fn steps(&self) -> Vec<String> {
        self.catalog.steps.steps.borrow().clone()
    }

    fn calls(&self) -> Vec<String> {
        self.store.calls.borrow().clone()
    }

    fn state(&self) -> State {
        self.catalog.session.borrow().state
    }
}

#[test]
fn the_parts_are_joined_looked_at_and_committed() {
    let case = case(&[]);
    let commit = case.complete().expect("done");
    assert_eq!((commit.size, commit.content_type.as_str()), (6, "text/plain; charset=utf-8"));
    assert_eq!(case.steps(), ["start", "commit 6 text/plain; charset=utf-8"]);
    assert_eq!(case.calls(), ["join"]);
}

#[test]
fn a_complete_that_nobody_heard_is_looked_up() {
    let case = case(&["unheard"]);
    case.complete().expect("done");
    assert_eq!(case.calls(), ["join", "head"]);
}

#[test]
fn an_upload_that_s3_knows_no_more_may_be_joined() {
    let case = case(&["unknown", "gone"]);
    case.store.keep(Target { bucket: "documents", s3_key: "hf/x" }, 6);
    case.complete().expect("done");
}

#[test]
fn an_unknown_complete_is_never_aborted() {
    for joins in [["unknown"; 3], ["gone"; 3]] {
        let case = case(&joins);
        assert_eq!(case.complete().expect_err("nobody knows").code, Code::ServiceUnavailable);
        assert_eq!(case.calls(), ["join", "head", "join", "head", "join", "head"]);
        assert_eq!((case.steps().len(), case.state()), (1, State::Completing));
        let refused = case.run(async |m| m.abort(&caller(), version()).await);
        assert_eq!(refused.expect_err("too late").code, Code::UploadCompleting);
        // The same call again ends it.
        case.complete().expect("done");
    }
}

#[test]
fn a_refused_complete_opens_the_session_again() {
    let case = case(&["refused"]);
    assert_eq!(case.complete().expect_err("refused").code, Code::InvalidPart);
    assert_eq!(
        (case.steps(), case.state()),
        (vec!["start".to_owned(), "reopen".to_owned()], State::Open)
    );
    assert_eq!(case.calls(), ["join"]);

    // Not where another Complete may be under way.
    let mut second = self::case(&["refused"]);
    second.catalog.reopens = false;
    assert_eq!(second.complete().expect_err("unknown").code, Code::ServiceUnavailable);
    assert_eq!(second.state(), State::Completing);
}

#[test]
fn another_length_than_its_parts_is_not_committed_and_not_deleted() {
    let case = case(&["torn"]);
    assert_eq!(case.complete().expect_err("torn").code, Code::ServiceUnavailable);
    assert_eq!((case.steps().len(), case.calls().len()), (1, 1));
}

#[test]
fn a_commit_without_an_answer_deletes_nothing() {
    let case = case(&[]);
    *case.catalog.steps.commits.borrow_mut() = vec![Code::ServiceUnavailable; 3].into();
    assert_eq!(case.complete().expect_err("unknown").code, Code::ServiceUnavailable);
    assert_eq!((case.calls(), case.state()), (vec!["join".to_owned()], State::Completing));
}

#[test]
fn a_refused_commit_gives_the_object_up_and_sends_no_abort() {
    let case = case(&[]);
    *case.catalog.steps.commits.borrow_mut() = vec![Code::PreconditionFailed].into();
    assert_eq!(case.complete().expect_err("refused").code, Code::PreconditionFailed);
    assert_eq!(
        (case.calls(), case.state()),
        (vec!["join".to_owned(), "delete".to_owned()], State::Aborted)
    );
}

#[test]
fn a_type_that_the_bucket_does_not_take_is_given_up() {
    let case = case(&[]);
    case.catalog.session.borrow_mut().allowed_types = Some(vec!["image/png".to_owned()]);
    assert_eq!(case.complete().expect_err("refused").code, Code::InvalidContentType);
    assert_eq!(case.calls(), ["join", "delete"]);
}

#[test]
fn what_is_no_image_is_given_up_where_the_bucket_takes_nothing_else() {
    let case = case(&[]);
    let limits =
        ImageLimits { min_width: 1, min_height: 1, max_width: 9, max_height: 9, max_pixels: 81 };
    case.catalog.session.borrow_mut().image = Some(limits);
    let error = case.complete().expect_err("refused");
    assert_eq!(error.rule.as_deref(), Some("image.format"));
    assert_eq!(case.calls(), ["join", "delete"]);
}

#[test]
fn an_abort_frees_the_parts_and_the_key() {
    let case = case(&[]);
    case.run(async |m| m.abort(&caller(), version()).await).expect("aborted");
    assert_eq!(
        (case.steps(), case.calls()),
        (vec!["abort Aborted".to_owned()], vec!["abort".to_owned(), "delete".to_owned()])
    );
}

#[test]
fn the_worker_gives_up_only_what_is_hopeless_and_not_there() {
    let hopeful = case(&["unknown"; 9]);
    hopeful.settle(false).expect_err("later");
    assert_eq!(hopeful.state(), State::Completing);
    hopeful.settle(true).expect("given up");
    assert_eq!(hopeful.state(), State::Aborted);

    let there = case(&["torn"]);
    there.settle(true).expect_err("an operator has to look");
    assert_eq!(there.state(), State::Completing);
    // One that is refused is at its end, too.
    let refused = case(&["refused"]);
    refused.settle(false).expect("open again");
    assert_eq!(refused.state(), State::Open);
}

fn new_part(declared: Digests) -> NewPart<FakeBody> {
    let body = FakeBody { chunks: VecDeque::new(), whole: true };
    NewPart { number: 3, length: 3, body, declared, epoch: None }
}

#[test]
fn a_part_is_written_down_once_it_is_stored() {
    let case = case(&[]);
    let (part, recorded) = case
        .run(async |m| m.put_part(&caller(), version(), new_part(Digests::default())).await)
        .expect("stored");
    assert_eq!((part.etag.as_str(), recorded.bytes), ("etag3", 9));
    assert_eq!(case.steps(), ["open part 3 3", "record [3]"]);
}

#[test]
fn a_part_that_is_not_its_md5_is_not_written_down() {
    let case = case(&[]);
    let declared = Digests { md5: Some([0; 16]), ..Digests::default() };
    let refused = case.run(async |m| m.put_part(&caller(), version(), new_part(declared)).await);
    assert_eq!(refused.expect_err("another").code, Code::BadDigest);
    assert_eq!(case.steps(), ["open part 3 3"]);
    let two = Digests { sha256: Some([0; 32]), crc32c: Some([0; 4]), ..Digests::default() };
    let refused = case.run(async |m| m.put_part(&caller(), version(), new_part(two)).await);
    assert_eq!(refused.expect_err("two").code, Code::InvalidArgument);
}

fn new_upload() -> NewUpload {
    NewUpload {
        bucket: BucketName::parse("documents").expect("a name"),
        key: ObjectKey::parse("k").expect("a key"),
        plan: Plan::new(None, None).expect("a plan"),
        content_type: None,
        user_metadata: BTreeMap::new(),
        if_match: None,
        if_none_match: None,
        headers: ContentHeaders::default(),
        seconds: 60,
        protocol: Protocol::Parts,
        described: None,
        idempotency: None,
    }
}

#[test]
fn what_could_not_be_opened_is_given_up() {
    let created = case(&[]).run(async |m| m.create(&caller(), &new_upload()).await);
    assert_eq!(created.expect("created").expires_at_us, 7);
    let mut no_store = case(&[]);
    no_store.store.create_fails = true;
    no_store.run(async |m| m.create(&caller(), &new_upload()).await).expect_err("no store");
    assert_eq!(no_store.steps(), ["create", "abort ServiceUnavailable"]);
    let late = case(&[]);
    late.catalog.open_fails.set(true);
    late.run(async |m| m.create(&caller(), &new_upload()).await).expect_err("reaped meanwhile");
    assert_eq!(late.calls(), ["abort all"]);
}

#[test]
fn the_last_of_a_number_counts_unless_another_is_named() {
    let at = |second| Some(datetime!(2026-11-24 18:00 UTC) + Duration::from_secs(second));
    let listed =
        |number, etag, second| ListedPart { part: a_part(number, etag), stored_at: at(second) };
    let known = [a_part(1, "a"), a_part(2, "b")];
    let all = [
        listed(1, "a", 5),
        listed(2, "new", 7),
        listed(2, "b", 6),
        listed(3, "c", 1),
        // In the same second: what is written down stays.
        listed(1, "tie", 5),
    ];
    assert_eq!(unknown(&known, &all, None), [a_part(2, "new"), a_part(3, "c")]);
    let named = [NamedPart { number: 2, etag: "b".to_owned() }];
    assert_eq!(unknown(&known, &all, Some(&named)), [a_part(3, "c")]);
    let named = [NamedPart { number: 1, etag: "tie".to_owned() }];
    assert_eq!(unknown(&known, &all, Some(&named))[0], a_part(1, "tie"));
    assert_eq!(unknown(&known, &[], None), []);
}

#[test]
fn parts_that_only_s3_knows_are_adopted() {
    let mut case = case(&[]);
    case.catalog.session.borrow_mut().signed = true;
    case.store.listed = vec![ListedPart { part: a_part(3, "c"), stored_at: None }];
    let session = case.run(async |m| m.status(&caller(), version()).await).expect("a session");
    assert_eq!(session.parts.len(), 3);
    assert_eq!(case.complete().expect("done").size, 9);
}

#[test]
fn a_session_that_is_aborted_while_its_parts_are_looked_up_is_told_as_aborted() {
    let mut case = case(&[]);
    case.catalog.session.borrow_mut().signed = true;
    case.catalog.moves_to.set(Some(State::Aborted));
    case.store.listed = vec![ListedPart { part: a_part(3, "c"), stored_at: None }];
    let session = case.run(async |m| m.status(&caller(), version()).await).expect("a session");
    assert_eq!(session.state, State::Aborted);
}
