use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use time::macros::datetime;

use super::*;
use crate::limits::{MAX_PUT_BYTES, ORPHAN_AGE_SECONDS};

const NOW: OffsetDateTime = datetime!(2026-12-24 12:00 UTC);
const OLD: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);
const SAFE: Duration = Duration::from_secs(ORPHAN_AGE_SECONDS);

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for nothing"),
    }
}

fn version(number: u16) -> VersionId {
    let [high, low] = number.to_be_bytes();
    VersionId::generate(OLD, &[high, low, 0, 0, 0, 0, 0, 0, 0, 0])
}

fn s3_key(number: u16) -> String {
    version(number).s3_key(OLD)
}

/// One bucket, `documents`, on one day.
#[derive(Default)]
struct Database {
    rows: BTreeSet<String>,
    kept: Vec<KeptRow>,
    /// What a row names only when it is looked at again.
    late: BTreeSet<String>,
    purged_meanwhile: BTreeSet<VersionId>,
    drift: RefCell<Vec<Drift>>,
    reported: RefCell<Vec<VersionId>>,
}

impl Rows for Database {
    async fn next_bucket(&self, after: &str) -> Result<Option<String>, Error> {
        let names = ["documents", "templates"];
        Ok(names.into_iter().find(|name| *name > after).map(str::to_owned))
    }

    async fn has_bucket(&self, bucket: &str) -> Result<bool, Error> {
        Ok(bucket == "documents")
    }

    async fn unneeded(&self, _: &str, s3_keys: &[String]) -> Result<BTreeSet<String>, Error> {
        Ok(s3_keys.iter().filter(|key| !self.rows.contains(*key)).cloned().collect())
    }

    async fn condemn(&self, _: &str, s3_keys: &[String]) -> Result<BTreeSet<String>, Error> {
        Ok(s3_keys.iter().filter(|key| !self.late.contains(*key)).cloned().collect())
    }

    async fn kept(
        &self,
        bucket: &str,
        _: &str,
        after: Option<&RowAt>,
    ) -> Result<Vec<KeptRow>, Error> {
        let behind = |row: &&KeptRow| after.is_none_or(|after| row.s3_key > after.s3_key);
        let rows = self.kept.iter().filter(behind).take(RECONCILE_BATCH);
        Ok(if bucket == "documents" { rows.cloned().collect() } else { Vec::new() })
    }

    async fn lost(
        &self,
        versions: &[VersionId],
        write: bool,
    ) -> Result<BTreeSet<VersionId>, Error> {
        let lost = versions.iter().filter(|id| !self.purged_meanwhile.contains(id));
        let lost: BTreeSet<_> = lost.copied().collect();
        if write {
            self.reported.borrow_mut().extend(&lost);
        }
        Ok(lost)
    }

    async fn drift(&self, _: &str, mend: bool) -> Result<Vec<Drift>, Error> {
        let mut drift = self.drift.borrow_mut();
        let count = drift.len().min(RECONCILE_BATCH);
        Ok(if mend { drift.drain(..count).collect() } else { drift[..count].to_vec() })
    }
}

/// Lists backwards: an order that nobody may rely on.
#[derive(Default)]
struct Blobs {
    blobs: RefCell<Vec<Listed>>,
    broken: bool,
    asked: Cell<usize>,
}

impl Blobs {
    fn with(numbers: impl IntoIterator<Item = u16>) -> Self {
        let blob = |number| Listed { s3_key: s3_key(number), size: 1, last_modified: Some(OLD) };
        Self { blobs: RefCell::new(numbers.into_iter().map(blob).collect()), ..Self::default() }
    }

    fn keys(&self) -> Vec<String> {
        self.blobs.borrow().iter().map(|blob| blob.s3_key.clone()).collect()
    }
}

impl Store for Blobs {
    async fn list(&self, bucket: &str, prefix: &str, from: PageFrom<'_>) -> Result<Page, Error> {
        assert_eq!(prefix, "hf/2026/11/24/");
        if bucket != "documents" {
            return Ok(Page::default());
        }
        let mut all = self.blobs.borrow().clone();
        all.reverse();
        let start = match from {
            PageFrom::Start => 0,
            PageFrom::Token(at) => at.parse().expect("a token of ours"),
            PageFrom::After(key) => {
                all.iter().position(|blob| blob.s3_key == key).map_or(all.len(), |at| at + 1)
            }
        };
        let end = all.len().min(start + RECONCILE_BATCH);
        let next = (end < all.len()).then(|| end.to_string());
        Ok(Page { blobs: all[start..end].to_vec(), next })
    }

    async fn has(&self, at: Target<'_>) -> Result<bool, Error> {
        self.asked.set(self.asked.get() + 1);
        Ok(self.keys().iter().any(|key| key == at.s3_key))
    }

    async fn delete(&self, at: Target<'_>) -> Result<(), Error> {
        if self.broken {
            return Err(Error::unavailable("The object store", "broken"));
        }
        self.blobs.borrow_mut().retain(|blob| blob.s3_key != at.s3_key);
        Ok(())
    }
}

fn asked(apply: bool) -> Asked {
    Asked {
        day: Day::parse("2026-11-24").expect("a day"),
        bucket: None,
        apply,
        force: false,
        cursor: None,
    }
}

fn row(number: u16) -> KeptRow {
    KeptRow {
        version: version(number),
        s3_key: s3_key(number),
        key: format!("k{number}"),
        state: "live".to_owned(),
        size: 1,
    }
}

/// Every step to the end; the cursor goes through its text each time.
fn through(rows: &Database, store: &Blobs, mut asked: Asked) -> Vec<Batch> {
    let reconciler = Reconciler { rows, store, now: NOW, safe_age: SAFE };
    let mut batches = Vec::new();
    loop {
        let batch = now(reconciler.batch(&asked)).expect("a batch");
        assert!(batch.blobs_without_row.len() <= RECONCILE_BATCH);
        assert!(batch.rows_without_blob.len() <= RECONCILE_BATCH);
        let next = batch.next.as_ref().map(Cursor::encode);
        batches.push(batch);
        let Some(next) = next else { return batches };
        asked.cursor = Some(Cursor::parse(&next).expect("its own cursor"));
        assert!(batches.len() < 100, "it does not end");
    }
}

fn verdicts(batches: &[Batch]) -> Vec<(String, Verdict)> {
    let all = batches.iter().flat_map(|batch| &batch.blobs_without_row);
    all.map(|orphan| (orphan.blob.s3_key.clone(), orphan.verdict)).collect()
}

#[test]
fn the_safe_age_is_that_of_the_manifest_and_outlives_every_upload() {
    let manifest = include_str!("../../../../../spin.toml");
    let line = format!("orphan_age_seconds = {{ default = \"{ORPHAN_AGE_SECONDS}\" }}");
    assert!(manifest.contains(&line), "{line}");
    // `begin` caps a lease; the platform gives a spliced body time for its size.
    let (longest_lease, slowest_bytes_a_second) = (700_000, 32 * 1_024);
    assert!(ORPHAN_AGE_SECONDS > longest_lease + MAX_PUT_BYTES / slowest_bytes_a_second);
}

#[test]
fn a_dry_run_finds_what_an_apply_mends() {
    let database = Database {
        rows: BTreeSet::from([s3_key(1)]),
        kept: vec![row(1), row(3)],
        drift: RefCell::new(vec![Drift {
            owner: Some("alice".to_owned()),
            kept: "[1]".to_owned(),
            counted: "[0]".to_owned(),
        }]),
        ..Database::default()
    };
    let store = Blobs::with([1, 2]);
    let found = through(&database, &store, asked(false));
    assert_eq!(verdicts(&found), [(s3_key(2), Verdict::Deletable)]);
    assert_eq!(
        found.iter().map(|it| (it.blobs, it.rows)).collect::<Vec<_>>()[..2],
        [(2, 0), (0, 2)]
    );
    assert_eq!(found[1].rows_without_blob, [row(3)]);
    assert_eq!(found[2].drift.len(), 1);
    let buckets: Vec<_> = found.iter().filter_map(|it| it.bucket.as_deref()).collect();
    assert_eq!(
        buckets,
        ["documents", "documents", "documents", "templates", "templates", "templates"]
    );
    assert_eq!(store.keys().len(), 2, "a dry run deleted");
    assert!(database.reported.borrow().is_empty() && database.drift.borrow().len() == 1);

    assert_eq!(verdicts(&through(&database, &store, asked(true))), [(s3_key(2), Verdict::Deleted)]);
    assert_eq!(store.keys(), [s3_key(1)]);
    assert_eq!(*database.reported.borrow(), [version(3)]);
    let again = through(&database, &store, asked(true));
    assert!(verdicts(&again).is_empty() && again.iter().all(|it| it.drift.is_empty()));
}

#[test]
fn what_may_be_an_upload_is_never_deleted() {
    let day = 24 * 3_600;
    let ages = |begun: i64, stored: Option<i64>| {
        let begun = NOW - time::Duration::seconds(begun);
        let blob = Listed {
            s3_key: VersionId::generate(begun, &[1; 10]).s3_key(begun),
            size: 1,
            last_modified: stored.map(|age| NOW - time::Duration::seconds(age)),
        };
        let (rows, store) = (&Database::default(), &Blobs::default());
        Reconciler { rows, store, now: NOW, safe_age: SAFE }.verdict(&blob)
    };
    assert_eq!(ages(15 * day, Some(15 * day)), Verdict::Deletable);
    assert_eq!(ages(14 * day, Some(14 * day)), Verdict::Young, "exactly the age is not older");
    assert_eq!(ages(300 * day, Some(13 * day)), Verdict::Young, "its last byte is young");
    assert_eq!(ages(13 * day, Some(300 * day)), Verdict::Young, "its upload is young");
    assert_eq!(ages(300 * day, None), Verdict::Young, "the store does not say when");
    assert_eq!(ages(300 * day, Some(-day)), Verdict::Young, "a clock is wrong");
    for foreign in ["hf/2026/11/24/x", "hf/2026/11/24/a/b", "photos/a.jpg"] {
        let blob = Listed { s3_key: foreign.to_owned(), size: 1, last_modified: Some(OLD) };
        let (rows, store) = (&Database::default(), &Blobs::default());
        let reconciler = Reconciler { rows, store, now: NOW, safe_age: SAFE };
        assert_eq!(reconciler.verdict(&blob), Verdict::Foreign, "{foreign}");
    }
}

#[test]
fn a_row_that_came_meanwhile_saves_its_blob() {
    let database = Database { late: BTreeSet::from([s3_key(1)]), ..Database::default() };
    let store = Blobs::with([1, 2]);
    assert_eq!(verdicts(&through(&database, &store, asked(true))), [(s3_key(2), Verdict::Deleted)]);
    assert_eq!(store.keys(), [s3_key(1)]);
}

#[test]
fn a_wrong_database_deletes_nothing_unless_forced() {
    let many = u16::try_from(RECONCILE_MANY).expect("few") + 1;
    let store = Blobs::with(0..many);
    let found = through(&Database::default(), &store, asked(true));
    assert!(verdicts(&found).iter().all(|(_, verdict)| *verdict == Verdict::Held));
    assert_eq!(store.keys().len(), usize::from(many));
    through(&Database::default(), &store, Asked { force: true, ..asked(true) });
    assert!(store.keys().is_empty());

    // Among more that are needed, as many are no sign of it.
    let store = Blobs::with(0..3 * many);
    let rows = (many..3 * many).map(s3_key).collect();
    through(&Database { rows, ..Database::default() }, &store, asked(true));
    assert_eq!(store.keys().len(), usize::from(2 * many));
}

#[test]
fn a_broken_deletion_is_told_and_left_for_the_next_time() {
    let store = Blobs { broken: true, ..Blobs::with([1]) };
    let found = through(&Database::default(), &store, asked(true));
    assert_eq!(verdicts(&found), [(s3_key(1), Verdict::Failed)]);
}

#[test]
fn many_pages_in_any_order_are_all_seen() {
    let count = 1_700;
    let orphans: BTreeSet<u16> = (0..count).filter(|number| number % 100 == 7).collect();
    let lost: BTreeSet<u16> = (0..count).filter(|number| number % 200 == 9).collect();
    let database = Database {
        rows: (0..count).filter(|it| !orphans.contains(it)).map(s3_key).collect(),
        kept: (0..count).filter(|it| !orphans.contains(it)).map(row).collect(),
        ..Database::default()
    };
    let store = Blobs::with((0..count).filter(|it| !lost.contains(it)));
    let found = through(&database, &store, asked(true));
    let deleted: BTreeSet<_> = verdicts(&found).into_iter().map(|(key, _)| key).collect();
    assert_eq!(deleted, orphans.iter().copied().map(s3_key).collect());
    let missing: BTreeSet<_> =
        found.iter().flat_map(|it| &it.rows_without_blob).map(|row| row.version).collect();
    assert_eq!(missing, lost.iter().copied().map(version).collect());
    assert!(found.iter().all(|it| it.blobs.max(it.rows) <= RECONCILE_BATCH));
}

#[test]
fn what_was_purged_meanwhile_is_not_lost() {
    let database = Database {
        kept: vec![row(1), row(2)],
        purged_meanwhile: BTreeSet::from([version(1)]),
        ..Database::default()
    };
    let found = through(&database, &Blobs::default(), asked(false));
    assert_eq!(found[1].rows_without_blob, [row(2)]);
}

#[test]
fn drift_of_many_owners_is_mended_in_steps() {
    let drift = |number: usize| Drift {
        owner: Some(format!("user{number}")),
        kept: String::new(),
        counted: String::new(),
    };
    let drifts = RefCell::new((0..RECONCILE_BATCH + 3).map(drift).collect());
    let database = Database { drift: drifts, ..Database::default() };
    // Of one bucket alone: the next one's step would take what this one's left.
    let bucket = Some(BucketName::parse("documents").expect("a name"));
    let found = through(&database, &Blobs::default(), Asked { bucket, ..asked(true) });
    assert_eq!(found.iter().map(|it| it.drift.len()).sum::<usize>(), RECONCILE_BATCH + 3);
    assert!(database.drift.borrow().is_empty());
}

#[test]
fn a_cursor_is_for_its_day_and_bucket() {
    let (rows, store) = (&Database::default(), &Blobs::default());
    let reconciler = Reconciler { rows, store, now: NOW, safe_age: SAFE };
    let bucket = |name: &str| Some(BucketName::parse(name).expect("a name"));
    let cursor = now(reconciler.batch(&asked(false))).expect("a batch").next;
    assert!(cursor.is_some());
    let other_day = Asked {
        day: Day::parse("2026-11-25").expect("a day"),
        cursor: cursor.clone(),
        ..asked(true)
    };
    let other_bucket = Asked { bucket: bucket("templates"), cursor, ..asked(true) };
    for wrong in [other_day, other_bucket] {
        let refused = now(reconciler.batch(&wrong)).expect_err("refused");
        assert_eq!(refused.code, Code::InvalidArgument);
    }
    let nowhere = Asked { bucket: bucket("nowhere"), ..asked(true) };
    assert_eq!(now(reconciler.batch(&nowhere)).expect_err("refused").code, Code::NoSuchBucket);
    let one = through(rows, store, Asked { bucket: bucket("documents"), ..asked(false) });
    assert_eq!(one.len(), 3, "one bucket has three phases");
}
