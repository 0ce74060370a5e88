//! What is done to objects apart from uploading them: copies, moves, deletions, restorations, cards of a batch, files
//! that are adopted, and purges.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Result;
use holdfast_dev::connect;
use holdfast_s3::PutObject;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::history::{Key, Outcome, Read, Seen, Source, Way, Write};
use crate::load::{Keys, PATIENCE, World, size_of};
use crate::rng::Rng;

/// Files that are adopted together, at the most.
const ADOPTED: u64 = 5;
/// The largest of them, in bytes.
const ADOPTED_BYTES: u64 = 16 * 1_024;
/// Versions whose time is made to be over at once.
const AGED: i64 = 6;
/// How long an operator waits for PostgreSQL.
const OPERATOR_LIMIT: Duration = Duration::from_secs(2);

/// Ties a request to its audit row.
pub(crate) const REQUEST: &str = "faults-";

/// One of them.
pub(crate) async fn operation(world: &World, keys: &Keys, rng: &mut Rng) {
    let place = rng.pick(&keys.places);
    match rng.of(0..100) {
        0..18 => {
            let way = *rng.pick(&[Way::Held, Way::Held, Way::Spliced]);
            let size = size_of(way, rng);
            world.put(place, way, size, rng.percent(40)).await;
        }
        18..30 => {
            world.get(place, None).await;
        }
        30..48 => {
            let beside = |key: &&Arc<Key>| key.bucket == place.bucket && *key != place;
            let others: Vec<_> = keys.places.iter().filter(beside).collect();
            let to = *rng.pick(&others);
            world.rename(place, to, rng.percent(80)).await;
        }
        48..64 => {
            let version = version_at(world, place, rng).filter(|_| rng.percent(60));
            world.restore(place, version).await;
        }
        64..70 => world.delete(place, "").await,
        70..73 => world.delete(place, "?permanent=true").await,
        73..75 => {
            if let Some(version) = version_at(world, place, rng) {
                world.delete(place, &format!("?permanent=true&version={version}")).await;
            }
        }
        75..85 => {
            let from = if rng.percent(60) { place } else { rng.pick(&keys.shared) };
            let targets = if rng.percent(60) { &keys.places } else { &keys.shared };
            let to = rng.pick(targets);
            let version = version_at(world, from, rng).filter(|_| rng.percent(40));
            world.copy(from, version, to, rng.percent(80)).await;
        }
        85..93 => card(world, keys, rng).await,
        93..95 => world.adopt(keys, rng).await,
        _ => {
            // Two workers at once, as where one was thought dead.
            let (shared, choice) = (rng.percent(60), rng.next().to_string());
            if world.age(shared, &choice).await.is_ok() {
                tokio::join!(world.tick(), world.tick());
            }
        }
    }
}

/// A version that was acknowledged at this place; it may be elsewhere, or gone, by now.
fn version_at(world: &World, place: &Key, rng: &mut Rng) -> Option<String> {
    let known = world.known.lock().unwrap_or_else(PoisonError::into_inner);
    let here: Vec<_> = known.iter().filter(|(key, _)| **key == *place).collect();
    if here.is_empty() { None } else { Some(rng.pick(&here).1.clone()) }
}

/// Something with a card or its record.
async fn card(world: &World, keys: &Keys, rng: &mut Rng) {
    let key = rng.pick(&keys.cards);
    let record = key.name.rsplit('/').next().unwrap_or_default();
    let report = match rng.of(0..100) {
        0..50 => {
            let size = size_of(Way::Held, rng);
            world.put(key, Way::Card, size, rng.percent(40)).await;
            return;
        }
        50..60 => {
            world.get(key, None).await;
            return;
        }
        60..76 => return world.delete(key, "").await,
        76..84 => json!({ "recordId": record, "status": "rendering" }),
        _ => json!({ "recordId": record, "status": "failed", "reason": "the renderer was killed" }),
    };
    let path = format!("/v1/batches/{}/records", keys.batch);
    let report = world.client.post(&path, &json!({ "records": [report] }));
    // The counters are held against the records afterwards.
    let _ = world.client.send(report).await;
}

impl World {
    /// Sends a change whose audit row names it, and notes what came of it.
    async fn change(&self, write: Write, request: RequestBuilder) {
        let request = request.header("x-request-id", format!("{REQUEST}{}", write.id));
        let read = write.source.as_ref().map_or(&write.key, |source| &source.key);
        let named = write.source.as_ref().is_some_and(|source| source.version.is_some());
        let (key, looks) = (Arc::clone(read), !named && write.way != Way::Restore);
        let send = async {
            let start = self.now();
            let outcome = self.client.write(request).await;
            if looks && outcome == (Outcome::Refused { status: 404 }) {
                // As good as a read that found nothing.
                let (end, seen) = (self.now(), Seen::Nothing);
                self.history.note().reads.push(Read { key, start, end, seen });
            }
            outcome
        };
        self.write(write, send).await;
    }

    pub(crate) async fn delete(&self, key: &Arc<Key>, query: &str) {
        let way = if query.is_empty() { Way::Delete } else { Way::Erase };
        let mut write = Write::new(self.write_id(), key, way);
        if way == Way::Erase {
            // Where it names a version, and that is not there, something else may be current.
            let version = query.split_once("version=").map(|(_, version)| version.to_owned());
            write.source = Some(Source { key: Arc::clone(key), version });
        }
        self.change(write, self.client.delete(key, query)).await;
    }

    async fn copy(&self, from: &Arc<Key>, version: Option<String>, to: &Arc<Key>, overwrite: bool) {
        if from == to && version.is_none() {
            return;
        }
        let way = if from.bucket == to.bucket { Way::Copy } else { Way::CopyAcross };
        let operation = json!({
            "operation": "copy",
            "from": from.name,
            "version": version,
            "toBucket": to.bucket,
            "to": to.name,
            "overwrite": overwrite,
        });
        let mut write = Write::new(self.write_id(), to, way);
        write.source = Some(Source { key: Arc::clone(from), version });
        self.change(write, self.client.operation(from.bucket, &operation)).await;
    }

    /// Gives an object another key.
    async fn rename(&self, from: &Arc<Key>, to: &Arc<Key>, overwrite: bool) {
        let operation = json!({
            "operation": "move",
            "from": from.name,
            "to": to.name,
            "overwrite": overwrite,
        });
        let mut write = Write::new(self.write_id(), to, Way::Move);
        write.source = Some(Source { key: Arc::clone(from), version: None });
        self.change(write, self.client.operation(from.bucket, &operation)).await;
    }

    async fn restore(&self, key: &Arc<Key>, version: Option<String>) {
        let operation = json!({ "operation": "restore", "key": key.name, "version": version });
        let write = Write::new(self.write_id(), key, Way::Restore);
        self.change(write, self.client.operation(key.bucket, &operation)).await;
    }

    /// Puts files straight into SeaweedFS, and lets them become objects.
    async fn adopt(&self, keys: &Keys, rng: &mut Rng) {
        const BUCKET: &str = "documents";
        let prefix = format!("{}/adopted-{:x}/", keys.prefix, rng.next() >> 24);
        let mut files = Vec::new();
        for number in 0..rng.of(1..ADOPTED + 1) {
            let key = Arc::new(Key { bucket: BUCKET, name: format!("{prefix}{number}.bin") });
            let (write, bytes) = self.new_upload(&key, Way::Adopt, rng.log(16..ADOPTED_BYTES));
            let put = PutObject { bucket: BUCKET, key: &key.name, ..Default::default() };
            // What is not there for sure may be adopted nevertheless, and then has no write.
            match self.s3.send(&put, bytes).await {
                Ok(answer) if answer.status().is_success() => files.push(write),
                _ => return,
            }
        }
        let start = self.now();
        let outcome = self.send_adopt(&prefix, files.len()).await;
        let end = self.now();
        let files =
            files.into_iter().map(|write| Write { start, end, outcome: outcome.clone(), ..write });
        self.history.note().writes.extend(files);
    }

    /// Adopts what lies below a prefix, again where nobody knows what became of it.
    async fn send_adopt(&self, prefix: &str, files: usize) -> Outcome {
        let asked = json!({ "prefix": prefix, "owner": "faults" });
        let mut attempt = 1;
        loop {
            let answer =
                self.admin.send(self.admin.post("/v1/buckets/documents/adopt", &asked)).await;
            let outcome = match answer {
                Ok(answer) if answer.status == 200 => {
                    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                    let count = |name: &str| told[name].as_u64().unwrap_or_default();
                    if count("adopted") + count("skipped") != files as u64 {
                        let line =
                            format!("{files} files lie below {prefix}, and adoption says {told}");
                        self.admin.observed().broken.push(line);
                    }
                    return Outcome::Acknowledged { version: String::new(), etag: String::new() };
                }
                Ok(answer) if answer.status < 500 => Outcome::Refused { status: answer.status },
                Ok(answer) => Outcome::Failed { status: answer.status },
                Err(why) => Outcome::Unknown { why },
            };
            // One that had no answer may have taken some of them.
            if attempt == PATIENCE {
                return Outcome::Unknown { why: format!("the last of {PATIENCE}: {outcome:?}") };
            }
            tokio::time::sleep(Duration::from_millis(200 * attempt)).await;
            attempt += 1;
        }
    }

    /// Makes the time of some versions be over that were replaced before this round, so that nobody reads them as what
    /// is current any more: with `shared`, of blobs that several versions name.
    async fn age(&self, shared: bool, choice: &str) -> Result<()> {
        const CHOOSE: &str = "
            select v.id::text
            from holdfast.version v
            where v.state in ('superseded', 'trashed')
              and v.replaced_at < to_timestamp($1::int8 / 1000000.0)
              and (not $2 or v.s3_key in (
                  select w.s3_key from holdfast.version w
                  where w.state in ('live', 'superseded', 'trashed')
                  group by w.s3_key having count(*) > 1))
            order by md5(v.s3_key || $3)
            limit $4";
        // One by one: it takes no lock behind another one.
        const AGE: &str = "
            update holdfast.version v
            set replaced_at = v.replaced_at - interval '25 hours',
                due_at      = clock_timestamp()
            where v.id = $1::text::uuid
              and v.state in ('superseded', 'trashed')
              and v.replaced_at < to_timestamp($2::int8 / 1000000.0)";
        let began = i64::try_from(self.round_began.load(Ordering::Relaxed)).unwrap_or_default();
        tokio::time::timeout(OPERATOR_LIMIT, async {
            let database = connect(&self.database_url).await?;
            let chosen = database.query(CHOOSE, &[&began, &shared, &choice, &AGED]).await?;
            for row in chosen {
                let version: String = row.get(0);
                // Before it is done: whether it was, nobody may learn.
                self.history.note().aged.push(version.clone());
                database.execute(AGE, &[&version, &began]).await?;
            }
            Ok(())
        })
        .await?
    }
}
