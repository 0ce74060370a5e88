use std::collections::{BTreeMap, VecDeque};

use futures_util::FutureExt as _;

use super::*;
use crate::digest::Crc64Nvme;
use crate::fakes::{FakeBlobs, FakeBody, FakeCatalog, FakeClock};
use crate::principal::Principal;

struct Case {
    catalog: FakeCatalog,
    blobs: FakeBlobs,
    clock: FakeClock,
    upload: Upload,
    body: FakeBody,
}

/// An upload of `count` bytes of text in chunks of 50,000.
fn case(count: usize, length_is_known: bool) -> Case {
    let bytes = vec![b'x'; count];
    Case {
        catalog: FakeCatalog::default(),
        blobs: FakeBlobs::default(),
        clock: FakeClock { sleeps_end: false },
        upload: Upload {
            caller: Caller {
                principal: Principal { sub: "alice".to_owned(), roles: vec![], scopes: None },
                ip: "127.0.0.1".to_owned(),
                request_id: "r".to_owned(),
                grant: None,
            },
            bucket: BucketName::parse("documents").expect("name"),
            key: ObjectKey::parse("a/b").expect("key"),
            length: length_is_known.then_some(count as u64),
            content_type: None,
            user_metadata: BTreeMap::new(),
            if_match: None,
            if_none_match: None,
            headers: ContentHeaders::default(),
            declared: Digests::default(),
            wants_sha256: false,
            idempotency_key: None,
            may_be_long: false,
        },
        body: FakeBody { chunks: bytes.chunks(50_000).map(<[u8]>::to_vec).collect(), whole: true },
    }
}

impl Case {
    /// Runs the upload; with these fakes it never waits.
    fn run(&mut self) -> Result<Uploaded, Error> {
        let body =
            std::mem::replace(&mut self.body, FakeBody { chunks: VecDeque::new(), whole: true });
        let uploader = Uploader { catalog: &self.catalog, blobs: &self.blobs, clock: &self.clock };
        uploader.upload(&self.upload, body).now_or_never().expect("no wait")
    }

    fn commits_fail(&self, code: Code, times: usize) {
        *self.catalog.commits.borrow_mut() = vec![code; times].into();
    }

    fn steps(&self) -> Vec<String> {
        self.catalog.steps.borrow().clone()
    }

    fn nothing_is_left(&self) -> bool {
        self.blobs.stored.borrow().is_empty()
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

#[test]
fn a_small_body_is_held_and_verified() {
    for known in [true, false] {
        let mut case = case(65_536, known);
        let done = case.run().expect("stored");
        assert_eq!(done.commit.size, 65_536);
        assert_eq!(done.commit.crc64nvme, Some(Crc64Nvme::of(&vec![b'x'; 65_536])));
        assert_eq!(*case.blobs.ways.borrow(), ["bytes"]);
    }
}

#[test]
fn an_empty_body_is_a_file() {
    let done = case(0, true).run().expect("stored");
    assert_eq!((done.commit.size, done.commit.content_type.as_str()), (0, OCTET_STREAM));
}

#[test]
fn a_known_length_is_spliced_and_its_type_read_from_the_store() {
    let mut case = case(65_537, true);
    let done = case.run().expect("stored");
    assert_eq!(*case.blobs.ways.borrow(), ["spliced", "looked"]);
    assert_eq!(done.commit.content_type, TEXT);
    assert_eq!(case.steps(), ["begin Some(65537)", &format!("commit 65537 {TEXT}")]);
}

#[test]
fn an_unknown_length_is_pumped() {
    let mut case = case(200_000, false);
    let done = case.run().expect("stored");
    assert_eq!(*case.blobs.ways.borrow(), ["streamed"]);
    assert_eq!(done.commit.size, 200_000);
    assert_eq!(done.commit.content_type, TEXT);
}

#[test]
fn an_unknown_length_is_charged_in_steps() {
    let mut case = case(130 * 1_024 * 1_024, false);
    case.run().expect("stored");
    assert_eq!(case.steps()[1..3], ["renew Some(134217728)", "renew Some(201326592)"]);

    let mut case = self::case(130 * 1_024 * 1_024, false);
    case.catalog.renew_refuses.set(true);
    assert_eq!(case.run().expect_err("refused").code, Code::QuotaExceeded);
    assert!(case.nothing_is_left());
}

#[test]
fn a_limit_stops_a_pumped_body_as_soon_as_it_is_passed() {
    for (count, max) in [(200_000, 100_000), (10, 9)] {
        let mut case = case(count, false);
        case.catalog.max_bytes = Some(max);
        let error = case.run().expect_err("too large");
        assert_eq!(
            (error.code, error.rule.as_deref()),
            (Code::EntityTooLarge, Some("policy.maxBytes"))
        );
        assert_eq!(case.steps().last().map(String::as_str), Some("abort EntityTooLarge"));
        assert!(case.nothing_is_left());
    }
}

#[test]
fn a_store_that_loses_a_byte_is_never_committed() {
    for known in [true, false] {
        let mut case = case(200_000, known);
        case.blobs.loses_a_byte = true;
        assert_eq!(case.run().expect_err("torn").code, Code::ServiceUnavailable);
        assert_eq!(case.steps().last().map(String::as_str), Some("abort ServiceUnavailable"));
        assert!(case.nothing_is_left());
    }
}

#[test]
fn a_client_that_leaves_leaves_nothing() {
    for (count, known) in [(10, false), (200_000, false)] {
        let mut case = case(count, known);
        case.body.whole = false;
        assert_eq!(case.run().expect_err("cut").code, Code::IncompleteBody);
        assert!(case.nothing_is_left());
    }
    let mut case = case(10, true);
    case.upload.length = Some(11);
    assert_eq!(case.run().expect_err("short").code, Code::IncompleteBody);
}

#[test]
fn types_that_the_policy_does_not_take_are_refused() {
    let mut case = case(10, true);
    case.catalog.allowed_types = Some(vec!["image/*".to_owned()]);
    assert_eq!(case.run().expect_err("text").code, Code::InvalidContentType);
    assert!(case.nothing_is_left());
}

#[test]
fn a_commit_without_an_answer_is_repeated_and_never_undone() {
    let mut case = case(10, true);
    case.clock.sleeps_end = true;
    case.commits_fail(Code::ServiceUnavailable, COMMIT_ATTEMPTS as usize - 1);
    case.run().expect("the last attempt answers");
    assert_eq!(case.steps().len(), 1 + COMMIT_ATTEMPTS as usize);
}

#[test]
fn an_unknown_commit_keeps_the_blob_for_the_reaper() {
    let mut case = case(10, true);
    case.commits_fail(Code::PreconditionFailed, 1);
    assert_eq!(case.run().expect_err("refused").code, Code::PreconditionFailed);
    assert!(case.nothing_is_left());

    let mut case = self::case(10, true);
    case.clock.sleeps_end = true;
    case.commits_fail(Code::ServiceUnavailable, COMMIT_ATTEMPTS as usize);
    assert_eq!(case.run().expect_err("unknown").code, Code::ServiceUnavailable);
    assert!(!case.nothing_is_left());
    assert!(!case.steps().iter().any(|step| step.starts_with("abort")));
}

#[test]
fn a_body_above_the_limit_of_one_put_is_refused_before_begin() {
    let mut case = case(1, true);
    case.upload.length = Some(MAX_PUT_BYTES + 1);
    assert_eq!(case.run().expect_err("huge").code, Code::EntityTooLarge);
    assert!(case.steps().is_empty());
}

/// Every digest of `count` bytes of text.
fn digests(count: usize) -> Digests {
    let all = Digests {
        md5: Some([0; 16]),
        sha256: Some([0; 32]),
        sha512: Some([0; 64]),
        crc32c: Some([0; 4]),
        crc64nvme: Some([0; 8]),
    };
    let mut hasher = Hasher::new(&all, false);
    hasher.update(&vec![b'x'; count]);
    hasher.finish()
}

/// One of them alone, by its number.
fn only(number: usize, all: &Digests) -> Digests {
    let mut one = Digests::default();
    match number {
        0 => one.md5 = all.md5,
        1 => one.sha256 = all.sha256,
        2 => one.sha512 = all.sha512,
        3 => one.crc32c = all.crc32c,
        _ => one.crc64nvme = all.crc64nvme,
    }
    one
}

#[test]
fn a_declared_digest_is_compared_on_every_way() {
    for (count, known) in [(10, true), (10, false), (200_000, true), (200_000, false)] {
        for number in 0..5 {
            let mut good = case(count, known);
            good.upload.declared = only(number, &digests(count));
            let done = good.run().expect("the right digest");
            assert_eq!(done.commit.digests.differs_from(&digests(count)), None);

            let mut bad = case(count, known);
            bad.upload.declared = only(number, &digests(count + 1));
            let error = bad.run().expect_err("another digest");
            assert_eq!(error.code, Code::BadDigest, "{count} {known} {number}");
            assert_eq!(bad.steps().last().map(String::as_str), Some("abort BadDigest"));
            assert!(bad.nothing_is_left());
        }
    }
}

#[test]
fn the_store_verifies_what_it_can_and_else_bytes_pass_through_here() {
    let all = digests(200_000);
    let two = Digests { crc32c: all.crc32c, crc64nvme: all.crc64nvme, ..Digests::default() };
    for (declared, wants_sha256, way) in [
        (only(0, &all), false, "spliced"),
        (only(1, &all), true, "spliced"),
        (only(2, &all), false, "streamed"),
        (only(3, &all), false, "spliced"),
        (only(4, &all), true, "streamed"),
        (two, false, "streamed"),
        (Digests::default(), true, "streamed"),
    ] {
        let mut case = case(200_000, true);
        case.upload.declared = declared;
        case.upload.wants_sha256 = wants_sha256;
        let done = case.run().expect("stored");
        assert_eq!(case.blobs.ways.borrow()[0], way, "{:?}", case.upload.declared);
        assert_eq!(
            done.commit.digests.sha256.is_some(),
            wants_sha256 || case.upload.declared.sha256.is_some()
        );
    }
}

#[test]
fn a_repeated_request_gets_the_first_answer_if_its_body_is_the_same() {
    for count in [10, 200_000] {
        let first = case(count, true).run().expect("stored");
        let repeat = |body: usize| {
            let mut case = case(body, true);
            case.upload.length = None;
            case.catalog.repeated = Some((first.commit.clone(), first.committed.clone()));
            case
        };
        let mut same = repeat(count);
        let answer = same.run().expect("the same body");
        assert!(answer.repeated && answer.commit == first.commit);
        assert!(same.nothing_is_left() && same.steps().len() == 1);
        for other in [count - 1, count + 1] {
            let error = repeat(other).run().expect_err("another length");
            assert_eq!(error.code, Code::IdempotencyKeyReused);
        }
        let mut other = repeat(count);
        other.body.chunks[0][0] = b'y';
        assert_eq!(other.run().expect_err("another byte").code, Code::IdempotencyKeyReused);
    }
}

#[test]
fn content_that_is_not_what_it_is_called_is_refused() {
    for (count, known) in [(10, true), (200_000, true), (200_000, false)] {
        let mut case = case(count, known);
        case.upload.content_type = Some("image/png".to_owned());
        case.catalog.allowed_types = Some(vec!["image/png".to_owned()]);
        let error = case.run().expect_err("text");
        assert_eq!(error.code, Code::InvalidContentType);
        assert!(error.message.contains("text/plain"), "{}", error.message);
        assert!(case.nothing_is_left());
    }
    let mut named = case(10, true);
    named.upload.content_type = Some("text/csv".to_owned());
    let done = named.run().expect("stored");
    assert_eq!(done.commit.content_type, "text/csv");
    assert_eq!(done.commit.found_type.as_deref(), Some(TEXT));
}

#[test]
fn a_fingerprint_tells_requests_apart() {
    let print = |change: fn(&mut Upload)| {
        let mut case = case(1, true);
        change(&mut case.upload);
        case.upload.fingerprint()
    };
    let same = print(|_| {});
    assert_eq!(same, print(|it| it.length = None), "the body is compared by itself");
    let others = [
        print(|it| it.key = ObjectKey::parse("a/c").expect("key")),
        print(|it| it.content_type = Some("a/b".to_owned())),
        print(|it| it.content_type = Some(String::new())),
        print(|it| it.if_match = Some("a/b".to_owned())),
        print(|it| it.headers.content_language = Some("de".to_owned())),
        print(|it| drop(it.user_metadata.insert("a".to_owned(), "bc".to_owned()))),
        print(|it| drop(it.user_metadata.insert("ab".to_owned(), "c".to_owned()))),
    ];
    let all: std::collections::BTreeSet<_> = others.iter().chain([&same]).collect();
    assert_eq!(all.len(), 8);
}

#[test]
fn a_repeated_body_is_compared_by_whatever_digest_is_known() {
    for number in 0..4 {
        let mut first = case(200_000, true).run().expect("stored");
        first.commit.crc64nvme = None;
        first.commit.digests = only(number, &digests(200_000));
        let mut other = case(200_000, true);
        other.catalog.repeated = Some((first.commit, first.committed));
        other.body.chunks[1][7] = b'y';
        let error = other.run().expect_err("another byte");
        assert_eq!(error.code, Code::IdempotencyKeyReused, "{number}");
    }
}

#[test]
fn a_body_that_hardly_comes_is_given_up() {
    let begun = OffsetDateTime::UNIX_EPOCH;
    let after = |seconds: i64, bytes: u64| {
        check_speed(begun, begun + time::Duration::seconds(seconds), bytes).is_ok()
    };
    let grace = i64::try_from(SLOW_GRACE_SECONDS).expect("small");
    assert!(after(grace, 1) && !after(grace + 1, 1));
    assert!(after(grace + 1_000, 1_000 * SLOWEST_BYTES_PER_SECOND));
    assert!(!after(grace + 1_001, 1_000 * SLOWEST_BYTES_PER_SECOND));
    assert!(after(-5, 0), "a clock that was set back hurts nobody");
}

#[test]
fn a_long_body_without_a_length_goes_in_parts() {
    let mut long = case(70 * 1_024 * 1_024, false);
    long.upload.may_be_long = true;
    let done = long.run().expect("stored");
    assert_eq!(done.commit.size, 70 * 1_024 * 1_024);
    assert_eq!(done.commit.crc64nvme, Some(Crc64Nvme::of(&vec![b'x'; 70 * 1_024 * 1_024])));
    assert_eq!(*long.blobs.ways.borrow(), ["upload", "part", "part", "part"]);
    let steps = long.steps();
    let attached: Vec<_> = steps.iter().filter(|step| step.starts_with("attach")).collect();
    // Before S3 is asked, and once it has all.
    assert_eq!(attached, ["attach None", "attach Some(\"u\")"]);
    let mib = 1_024 * 1_024;
    assert!(steps.contains(&format!("record [{}, {}, {}] None", 32 * mib, 32 * mib, 6 * mib)));
}

#[test]
fn a_short_one_does_not() {
    let mut short = case(65_536, false);
    short.upload.may_be_long = true;
    short.run().expect("stored");
    assert_eq!(*short.blobs.ways.borrow(), ["bytes"]);
}

#[test]
fn parts_of_what_is_refused_are_freed_before_they_are_joined() {
    for (loses_a_byte, whole, types, code) in [
        (false, false, None, Code::IncompleteBody),
        (true, true, None, Code::ServiceUnavailable),
        (false, true, Some(vec!["image/png".to_owned()]), Code::InvalidContentType),
    ] {
        let mut case = case(40 * 1_024 * 1_024, false);
        case.upload.may_be_long = true;
        case.blobs.loses_a_byte = loses_a_byte;
        case.body.whole = whole;
        case.catalog.allowed_types = types;
        assert_eq!(case.run().expect_err("refused").code, code);
        assert!(case.nothing_is_left() && case.blobs.parts.borrow().is_empty());
        assert!(!case.steps().contains(&"start".to_owned()));
    }
}

#[test]
fn what_is_joined_is_given_up_as_such() {
    let mut case = case(40 * 1_024 * 1_024, false);
    case.upload.may_be_long = true;
    case.commits_fail(Code::PreconditionFailed, 1);
    assert_eq!(case.run().expect_err("refused").code, Code::PreconditionFailed);
    assert!(case.nothing_is_left());
    assert!(case.steps().contains(&"abort PreconditionFailed completed".to_owned()));
}

const PNG: &[u8] = include_bytes!("../../../../tests/images/rgb.png");

/// A PNG of `count` bytes in all, by a chunk that nobody knows.
fn png(count: usize) -> Vec<u8> {
    let length = count - PNG.len() - 12;
    let chunk = [&(length as u32).to_be_bytes()[..], b"prVt", &vec![7; length + 4]].concat();
    [&PNG[..33], &chunk, &PNG[33..]].concat()
}

const LIMITS: ImageLimits =
    ImageLimits { min_width: 1, min_height: 1, max_width: 48, max_height: 32, max_pixels: 2_000 };

/// The ways of a body, by its length and whether that is known and the body may be long.
const WAYS: [(usize, bool, bool); 4] = [
    (1_000, true, false),
    (200_000, true, false),
    (200_000, false, false),
    (40 * 1_024 * 1_024, false, true),
];

#[test]
fn an_image_is_what_it_is_whichever_way_it_comes() {
    for (count, known, long) in WAYS {
        let mut case = case(count, known);
        case.upload.may_be_long = long;
        case.upload.content_type = Some("image/gif".to_owned());
        case.catalog.image = Some(LIMITS);
        case.body.chunks = png(count).chunks(50_000).map(<[u8]>::to_vec).collect();
        let Commit { image, content_type, found_type, .. } = case.run().expect("stored").commit;
        let image = image.expect("an image");
        assert_eq!((image.width, image.height), (48, 32));
        assert_eq!(
            (content_type.as_str(), found_type.as_deref()),
            ("image/png", Some("image/png"))
        );
    }
}

#[test]
fn what_is_no_image_of_the_bucket_is_refused_and_gone() {
    let narrow = ImageLimits { max_width: 47, ..LIMITS };
    for (count, known, long) in WAYS {
        let mut behind = png(count - 1);
        behind.push(0);
        let mut cut = png(count + 1);
        cut.pop();
        for (bytes, limits, rule) in [
            (vec![b'x'; count], LIMITS, "image.format"),
            (behind, LIMITS, "image.trailing"),
            (cut, LIMITS, "image.truncated"),
            (png(count), narrow, "policy.image"),
        ] {
            let mut case = case(count, known);
            case.upload.may_be_long = long;
            case.catalog.image = Some(limits);
            case.body.chunks = bytes.chunks(50_000).map(<[u8]>::to_vec).collect();
            let error = case.run().expect_err("refused");
            assert_eq!(error.rule.as_deref(), Some(rule), "{count} {known}");
            assert!(case.nothing_is_left());
            assert!(!case.steps().iter().any(|step| step.starts_with("commit")));
        }
    }
}
