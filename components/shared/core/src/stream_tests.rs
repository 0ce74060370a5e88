use std::collections::{BTreeMap, VecDeque};

use futures_util::FutureExt as _;
use proptest::prelude::*;

use super::*;
use crate::checksum::Algorithm;
use crate::fakes::{FakeBlobs, FakeBody, FakeCatalog, FakeClock};
use crate::image::ImageLimits;
use crate::limits::{CHARGE_STEP_BYTES, HELD_BYTES, MAX_OBJECT_BYTES};
use crate::names::{BucketName, ObjectKey};
use crate::parts::Plan;
use crate::ports::ContentHeaders;
use crate::principal::Principal;

const MIB: usize = 1_024 * 1_024;
const MIN: usize = 5 * MIB;

struct Case {
    catalog: FakeCatalog,
    blobs: FakeBlobs,
    budget: Budget,
    version: VersionId,
    /// Whether requests have a Content-Length.
    declares: bool,
    new: Option<NewUpload>,
}

fn caller() -> Caller {
    Caller {
        principal: Principal { sub: "alice".to_owned(), ..Principal::anonymous() },
        ip: String::new(),
        request_id: String::new(),
        grant: None,
    }
}

const CLOCK: FakeClock = FakeClock { sleeps_end: true };

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| u8::try_from((at / 7 + at / 1_000) % 251).expect("small")).collect()
}

fn body(bytes: &[u8], whole: bool) -> FakeBody {
    FakeBody { chunks: bytes.chunks(60_000).map(<[u8]>::to_vec).collect(), whole }
}

impl Case {
    fn new(size: Option<usize>) -> Self {
        let mut case = Self {
            catalog: FakeCatalog::default(),
            blobs: FakeBlobs::default(),
            budget: Budget::default(),
            version: VersionId::generate(CLOCK.now(), &[0; 10]),
            declares: false,
            new: None,
        };
        let size = size.map(|size| size as u64);
        let new = NewUpload {
            bucket: BucketName::parse("documents").expect("a name"),
            key: ObjectKey::parse("k").expect("a key"),
            plan: Plan { part_size: part_size(size), size },
            content_type: None,
            user_metadata: BTreeMap::new(),
            if_match: None,
            if_none_match: None,
            headers: ContentHeaders::default(),
            seconds: 60,
            protocol: Protocol::Tus(Concat::Whole),
            described: None,
            idempotency: None,
        };
        let created = case.streamer().create(&caller(), &new).now_or_never().expect("no wait");
        case.version = created.expect("created").version;
        case.new = Some(new);
        case
    }

    fn streamer(&self) -> Streamer<'_, FakeCatalog, FakeBlobs, FakeClock> {
        Streamer { catalog: &self.catalog, blobs: &self.blobs, clock: &CLOCK, budget: &self.budget }
    }

    fn append_with(
        &self,
        offset: usize,
        mut body: FakeBody,
        check: Check<'_>,
    ) -> Result<Appended, Error> {
        // A body that breaks was to go on for longer than any here.
        let comes: usize =
            body.chunks.iter().map(Vec::len).sum::<usize>() + if body.whole { 0 } else { 50 * MIB };
        let left = self.catalog.session.borrow().as_ref().and_then(|it| it.plan.size);
        let comes = left.map_or(comes as u64, |size| (comes as u64).min(size - offset as u64));
        let bytes = self.declares.then_some(comes);
        let resumption = Resumption { offset: Some(offset as u64), bytes, size: None };
        self.streamer()
            .append(&caller(), self.version, resumption, &mut body, check)
            .now_or_never()
            .expect("no wait")
    }

    fn append(&self, offset: usize, bytes: &[u8]) -> Result<Appended, Error> {
        self.append_with(offset, body(bytes, true), Check::Nothing)
    }

    fn there(&self) -> usize {
        let session = self.catalog.session.borrow();
        usize::try_from(session.as_ref().expect("a session").bytes()).expect("short")
    }

    /// What became of it: the one object that is left.
    fn object(&self) -> Vec<u8> {
        let stored = self.blobs.stored.borrow();
        assert_eq!(stored.len(), 1, "something is left over");
        stored.values().next().expect("one").clone()
    }

    fn ways(&self) -> Vec<&'static str> {
        self.blobs.ways.take()
    }
}

#[test]
fn a_short_stream_is_one_object_and_no_parts() {
    let all = bytes(100_000);
    let case = Case::new(Some(all.len()));
    assert_eq!(case.append(0, &all[..40_000]).expect("kept").done, None);
    assert_eq!((case.there(), case.ways()), (40_000, vec!["bytes"]));
    let done = case.append(40_000, &all[40_000..]).expect("done").done.expect("an object");
    assert_eq!(done.1.size, 100_000);
    assert_eq!(case.ways(), ["streamed", "looked"]);
    assert_eq!(case.object(), all);
}

#[test]
fn one_request_needs_no_look() {
    let all = bytes(1_000);
    let case = Case::new(Some(all.len()));
    case.append(0, &all).expect("done").done.expect("an object");
    assert_eq!(case.ways(), ["bytes"]);
    let steps = case.catalog.steps.borrow();
    assert_eq!(*steps, ["adopt 1000", "commit 1000 application/octet-stream"]);
}

#[test]
fn what_comes_with_the_creation_is_put_where_its_object_lies() {
    for (came, whole, done) in [(1_000, true, true), (999, true, false), (500, false, false)] {
        let mut case = Case::new(Some(1_000));
        let all = bytes(came);
        let new = case.new.take().expect("what it was made of");
        let created = Created {
            version: case.version,
            plan: new.plan,
            expires_at_us: 7,
            repeated: false,
            allowed_types: None,
            image: None,
        };
        let mut body = body(&all, whole);
        let streamer = case.streamer();
        let alice = caller();
        let check = Check::Nothing;
        let first = streamer.append_first(&alice, &new, &created, &mut body, Some(1_000), check);
        let first = first.now_or_never().expect("no wait");
        assert_eq!(first.is_ok(), done, "{came}");
        let steps = case.catalog.steps.borrow().clone();
        assert_eq!(steps.len(), usize::from(done), "{steps:?}");
        assert_eq!(case.ways().len(), usize::from(done));
    }
}

#[test]
fn what_is_no_image_is_given_up_where_the_bucket_takes_nothing_else() {
    let png = include_bytes!("../../../../tests/images/rgb.png").as_slice();
    let limits = ImageLimits {
        min_width: 1,
        min_height: 1,
        max_width: 48,
        max_height: 32,
        max_pixels: 48 * 32,
    };
    // In one request and in two.
    for cut in [png.len(), 100] {
        let case = Case::new(Some(png.len()));
        case.catalog.session.borrow_mut().as_mut().expect("a session").image = Some(limits);
        let mut last = case.append(0, &png[..cut]).expect("kept");
        if last.done.is_none() {
            last = case.append(cut, &png[cut..]).expect("done");
        }
        let (_, commit, _) = last.done.expect("an object");
        assert_eq!(commit.image.map(|image| image.width), Some(48));

        let case = Case::new(Some(png.len()));
        case.catalog.session.borrow_mut().as_mut().expect("a session").image = Some(limits);
        let mut other = png.to_vec();
        other[20] = 1;
        let first = case.append(0, &other[..cut]);
        let error = first.and_then(|_| case.append(cut, &other[cut..])).expect_err("refused");
        assert_eq!(error.rule.as_deref(), Some("image.format"));
        assert!(case.blobs.stored.borrow().is_empty());
    }
}

#[test]
fn an_empty_stream_is_an_empty_object() {
    let case = Case::new(Some(0));
    case.append(0, &[]).expect("done").done.expect("an object");
    assert_eq!(case.object(), Vec::<u8>::new());
}

#[test]
fn long_streams_are_cut_into_parts() {
    let all = bytes(70 * MIB + 3);
    let case = Case::new(Some(all.len()));
    case.append(0, &all).expect("done").done.expect("an object");
    let session = case.catalog.session.borrow().clone().expect("a session");
    let sizes: Vec<_> = session.parts.iter().map(|part| part.size).collect();
    assert_eq!(sizes, [32 * MIB as u64, 32 * MIB as u64, 6 * MIB as u64 + 3]);
    assert_eq!(case.object(), all);
    // Each part is written down when it is full.
    let steps = case.catalog.steps.borrow();
    assert_eq!(steps.iter().filter(|step| step.starts_with("record")).count(), 3);
}

#[test]
fn what_came_before_a_break_is_kept() {
    let breaks = [0, 1, MIN - 1, MIN, MIN + 1, 33 * MIB];
    for (came, declares) in breaks.into_iter().flat_map(|came| [(came, false), (came, true)]) {
        let all = bytes(40 * MIB);
        let mut case = Case::new(Some(all.len()));
        case.declares = declares;
        let cut = case.append_with(0, body(&all[..came], false), Check::Nothing);
        assert_eq!(cut.expect_err("cut").code, Code::IncompleteBody);
        assert_eq!(case.there(), came);
        case.append(came, &all[came..]).expect("done").done.expect("an object");
        assert_eq!(case.object(), all, "{came}");
    }
}

#[test]
fn without_room_in_memory_the_beginning_of_a_part_is_an_object() {
    let all = bytes(12 * MIB);
    let case = Case::new(Some(all.len()));
    let room = case.budget.take(HELD_BYTES).expect("all of it");
    let cut = case.append_with(0, body(&all[..3 * MIB], false), Check::Nothing);
    assert_eq!(cut.expect_err("cut").code, Code::IncompleteBody);
    assert_eq!((case.there(), case.ways()), (3 * MIB, vec!["streamed"]));
    case.append(3 * MIB, &all[3 * MIB..]).expect("done").done.expect("an object");
    assert_eq!(case.object(), all);
    drop(room);
    assert!(case.budget.take(HELD_BYTES).is_some(), "room got lost");
}

#[test]
fn what_is_announced_goes_to_the_store_at_once() {
    let all = bytes(8 * MIB);
    let mut case = Case::new(Some(16 * MIB));
    case.declares = true;
    case.append(0, &all).expect("kept");
    assert_eq!((case.there(), case.ways()), (8 * MIB, vec!["upload", "part"]));
    // What breaks too early is none, and yet kept.
    let cut = case.append_with(8 * MIB, body(&all[..MIB], false), Check::Nothing);
    assert_eq!(cut.expect_err("cut").code, Code::IncompleteBody);
    assert_eq!((case.there(), case.ways()), (9 * MIB, vec!["bytes"]));
    assert!(case.budget.take(HELD_BYTES).is_some(), "room got lost");
}

#[test]
fn a_checksum_keeps_all_or_nothing() {
    let all = bytes(8 * MIB);
    let wrong = || Checksum { algorithm: Algorithm::Sha1, value: vec![0; 20] };
    let case = Case::new(Some(10 * MIB));
    for whole in [true, false] {
        let refused = case.append_with(0, body(&all, whole), Check::Is(wrong()));
        let code = if whole { Code::ChecksumMismatch } else { Code::IncompleteBody };
        assert_eq!(refused.expect_err("refused").code, code);
        assert_eq!(case.there(), 0);
    }
    assert!(case.blobs.stored.borrow().is_empty(), "a tail is left");
    let none = || Ok(None);
    case.append_with(0, body(&all, true), Check::Trailing(&none)).expect("kept");
    assert_eq!(case.there(), 8 * MIB);
}

#[test]
fn more_than_the_length_is_refused_and_what_fits_is_kept() {
    let all = bytes(100);
    let case = Case::new(Some(90));
    assert_eq!(case.append(0, &all).expect_err("too long").code, Code::EntityTooLarge);
    assert_eq!(case.there(), 90);
    let done = case.streamer().finish(&caller(), case.version).now_or_never().expect("no wait");
    assert_eq!(done.expect("done").1.size, 90);
}

#[test]
fn who_lost_the_stream_writes_nothing_down() {
    let case = Case::new(Some(10));
    let mut body = body(b"12345", true);
    let resumption = Resumption { offset: Some(0), ..Resumption::default() };
    let stream = case
        .catalog
        .open_stream(&caller(), case.version, resumption)
        .now_or_never()
        .expect("no wait")
        .expect("taken over");
    case.append(0, b"abcde").expect("kept");
    let streamer = case.streamer();
    let alice = caller();
    let late = streamer.run(&alice, case.version, stream, &mut body, None, Check::Nothing);
    let late = late.now_or_never().expect("no wait").expect_err("late");
    assert_eq!((late.code, case.there()), (Code::UploadTakenOver, 5));
}

#[test]
fn a_refused_charge_stops_the_stream_where_it_is() {
    let case = Case::new(None);
    case.append(0, &bytes(1_000)).expect("kept");
    assert_eq!(case.catalog.steps.borrow()[0], format!("renew Some({CHARGE_STEP_BYTES})"));
    case.catalog.renew_refuses.set(true);
    assert_eq!(case.append(1_000, b"x").expect_err("refused").code, Code::QuotaExceeded);
    assert_eq!(case.there(), 1_000);
}

#[test]
fn a_store_that_loses_a_byte_is_noticed() {
    let mut case = Case::new(Some(40 * MIB));
    case.blobs.loses_a_byte = true;
    let torn = case.append(0, &bytes(40 * MIB)).expect_err("torn");
    assert_eq!((torn.code, case.there()), (Code::ServiceUnavailable, 0));
}

#[test]
fn the_parts_of_the_largest_objects_are_enough() {
    // Whoever sends as few bytes as may be, each time.
    for size in [48 * 1_024 * MIB as u64, MAX_OBJECT_BYTES] {
        let (mut bytes, mut parts) = (0, 0);
        while bytes < size {
            bytes += least_part(parts, bytes, Some(size)).min(size - bytes);
            parts += 1;
        }
        assert!(parts <= MAX_PARTS, "{parts}");
    }
    let unknown: u64 = (0..MAX_PARTS).map(|parts| least_part(parts, 0, None)).sum();
    assert!(unknown >= MAX_OBJECT_BYTES);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn any_pieces_and_any_breaks_make_the_whole(
        size in 1_usize..13 * MIB,
        cuts in proptest::collection::vec((1_usize..9 * MIB, any::<bool>(), any::<bool>()), 1..8),
        declares: bool,
    ) {
        let all = bytes(size);
        let mut case = Case::new(Some(size));
        case.declares = declares;
        let mut cuts: VecDeque<_> = cuts.into();
        while case.there() < size {
            let at = case.there();
            let (length, whole, has_room) = cuts.pop_front().unwrap_or((size, true, true));
            let end = size.min(at + length);
            let room = (!has_room).then(|| case.budget.take(HELD_BYTES));
            let sent = case.append_with(at, body(&all[at..end], whole), Check::Nothing);
            drop(room);
            prop_assert_eq!(sent.is_ok(), whole);
            prop_assert_eq!(case.there(), end);
        }
        if case.catalog.session.borrow().as_ref().is_some_and(|it| it.state == State::Open) {
            let done = case.streamer().finish(&caller(), case.version).now_or_never();
            done.expect("no wait").expect("an object");
        }
        prop_assert_eq!(case.object(), all);
    }
}
