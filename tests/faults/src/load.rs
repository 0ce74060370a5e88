//! The mixed load: clients that upload in each way, overwrite each other, read, delete and leave.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use holdfast_dev::S3Client;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, RANGE};
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::change;
use crate::client::Client;
use crate::content::{content, sha};
use crate::history::{Content, History, Key, Outcome, PLACE, Read, Way, Write};
use crate::rig::Rig;
use crate::rng::Rng;
use crate::tus;

/// Clients at work at the same time.
const CLIENTS: u64 = 10;
/// A client rests this long between two operations, in milliseconds.
const REST_MILLIS: std::ops::Range<u64> = 10..60;
/// Above this a body with a length is spliced, in bytes (`SMALL_BODY_BYTES` of the components).
const HELD_BYTES: u64 = 64 * 1_024;
/// Most of the larger bodies stay below this, in bytes.
const MEDIUM_BYTES: u64 = 256 * 1_024;
/// The largest body, in bytes.
const LARGE_BYTES: u64 = 8 * 1_024 * 1_024;
/// A streamed body is sent in pieces of this size, in bytes.
const PIECE_BYTES: usize = 32 * 1_024;
/// The size of a part, in bytes: the least that there may be.
pub(crate) const PART_BYTES: usize = 5 * 1_024 * 1_024;
/// How often a client of an upload in parts, or by TUS, sends one request.
pub(crate) const PATIENCE: u64 = 4;
/// Keys that all clients of a round share.
const SHARED_KEYS: u64 = 12;
/// Where cards go.
const BATCHES: &str = "batches";
/// Where objects go: a private bucket and a public one.
const BUCKETS: [&str; 2] = ["documents", "assets"];

/// Keys between which objects move and come back, a round's in each bucket.
const PLACES: u64 = 4;
/// Records of a round's batch.
const RECORDS: u64 = 6;

/// What the clients of one run share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) admin: Client,
    pub(crate) history: History,
    /// SeaweedFS and PostgreSQL themselves, behind all links.
    pub(crate) s3: S3Client,
    pub(crate) database_url: String,
    /// Versions that were acknowledged at places, of the newest keys.
    pub(crate) known: Mutex<Vec<(Arc<Key>, String)>>,
    /// When the round began, in microseconds since 1970: no request is older.
    pub(crate) round_began: AtomicU64,
    tick_secret: String,
    origin: Instant,
    next_write: AtomicU64,
    under_way: AtomicU64,
}

impl World {
    pub(crate) fn new(rig: &Rig) -> anyhow::Result<Self> {
        Ok(Self {
            client: rig.linked_client()?,
            admin: rig.linked_admin()?,
            history: History::default(),
            s3: rig.s3().clone(),
            database_url: rig.postgres.url(),
            known: Mutex::default(),
            round_began: AtomicU64::new(0),
            tick_secret: rig.stack.tick_secret().to_owned(),
            origin: Instant::now(),
            next_write: AtomicU64::new(1),
            under_way: AtomicU64::new(0),
        })
    }

    /// The run's clock, in microseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Waits until every write that began is noted.
    pub(crate) async fn all_noted(&self) {
        while self.under_way.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn write_id(&self) -> u64 {
        self.next_write.fetch_add(1, Ordering::Relaxed)
    }

    /// A new write that brings `size` bytes.
    pub(crate) fn new_upload(&self, key: &Arc<Key>, way: Way, size: u64) -> (Write, Bytes) {
        let mut write = Write::new(self.write_id(), key, way);
        let bytes = content(write.id, usize::try_from(size).unwrap_or_default());
        write.content = Some(Content { origin: write.id, size, sha: sha(&bytes) });
        (write, bytes)
    }

    /// Lets a write happen, and notes what came of it.
    pub(crate) async fn write(
        &self,
        mut write: Write,
        send: impl Future<Output = Outcome>,
    ) -> bool {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        write.start = self.now();
        write.outcome = send.await;
        write.end = self.now();
        if let Outcome::Acknowledged { version, .. } = &write.outcome
            && write.way.makes_version()
        {
            write.version = Some(version.clone());
            if write.key.is_place() {
                let known = (Arc::clone(&write.key), version.clone());
                self.known.lock().unwrap_or_else(PoisonError::into_inner).push(known);
            }
        }
        let acknowledged = write.is_acknowledged();
        self.history.note().writes.push(write);
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        acknowledged
    }

    /// Uploads, and notes what came of it.
    pub(crate) async fn put(&self, key: &Arc<Key>, way: Way, size: u64, slow: bool) -> bool {
        let (write, bytes) = self.new_upload(key, way, size);
        let request = match way {
            Way::Card => self.client.card(key),
            _ => self.client.upload(key),
        };
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        let request = match way {
            Way::Held | Way::Spliced | Way::Card if !slow => request.body(bytes),
            Way::Held | Way::Spliced | Way::Card => {
                request.header(CONTENT_LENGTH, size).body(Body::wrap_stream(pieces(bytes, slow)))
            }
            Way::Cut if write.id.is_multiple_of(2) => {
                request.header(CONTENT_LENGTH, size).body(Body::wrap_stream(cut(bytes)))
            }
            Way::Cut => request.body(Body::wrap_stream(cut(bytes))),
            _ => request.body(Body::wrap_stream(pieces(bytes, slow))),
        };
        self.write(write, self.client.write(request)).await
    }

    /// Uploads in parts, as a client does that does not give up at once, and notes what came of it.
    async fn put_parts(&self, key: &Arc<Key>, size: u64) {
        let (write, bytes) = self.new_upload(key, Way::Parts, size);
        let send = async {
            match self.send_parts(key, &bytes).await {
                Ok(complete) => self.complete(&complete).await,
                // It was never completed, so it must never be seen.
                Err(status) => Outcome::Refused { status },
            }
        };
        self.write(write, send).await;
    }

    /// Sends every part until it is acknowledged; answers where to complete them, or the status that ended it.
    async fn send_parts(&self, key: &Key, bytes: &Bytes) -> Result<String, u16> {
        let new = json!({"bucket": key.bucket, "key": key.name, "size": bytes.len(), "partSize": PART_BYTES});
        let create = self.client.multipart(Method::POST, "").body(new.to_string());
        let answer = self.client.send(create).await.map_err(|_| 0_u16)?;
        let created: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let id = created["id"].as_str().filter(|_| answer.status == 201).ok_or(answer.status)?;
        let mut rest = bytes.clone();
        for number in 1.. {
            let part = rest.split_to(rest.len().min(PART_BYTES));
            let mut last = 0;
            for attempt in 1..=PATIENCE {
                let path = format!("/{id}/parts/{number}");
                let put = self.client.multipart(Method::PUT, &path).body(part.clone());
                last = self.client.send(put).await.map_or(0, |answer| answer.status);
                if last == 200 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200 * attempt)).await;
            }
            if last != 200 {
                return Err(last);
            }
            if rest.is_empty() {
                break;
            }
        }
        Ok(format!("/{id}/complete"))
    }

    /// Completes, again where nobody knows what became of it.
    async fn complete(&self, path: &str) -> Outcome {
        let mut attempt = 1;
        loop {
            let outcome = self.client.write(self.client.multipart(Method::POST, path)).await;
            let unknown = matches!(outcome, Outcome::Failed { .. } | Outcome::Unknown { .. });
            if !unknown || attempt == PATIENCE {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(200 * attempt)).await;
            attempt += 1;
        }
    }

    /// Reads the current version, whole or a `range` of it, and notes what was seen.
    pub(crate) async fn get(&self, key: &Arc<Key>, range: Option<String>) -> bool {
        let mut request = self.client.download(key);
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        let start = self.now();
        let seen = self.client.read(request).await;
        let end = self.now();
        let mut noted = self.history.note();
        let Some(seen) = seen else {
            noted.failed_reads += 1;
            return false;
        };
        noted.reads.push(Read { key: Arc::clone(key), start, end, seen });
        true
    }

    /// Begins to read, and leaves in the middle of the body.
    async fn leave(&self, key: &Key) {
        let request = self.client.download(key).timeout(Duration::from_secs(5));
        if let Ok(mut response) = request.send().await {
            let _ = response.chunk().await;
        }
    }

    pub(crate) async fn tick(&self) {
        let _ = self.client.send(self.client.operate("/internal/tick", &self.tick_secret)).await;
    }
}

/// A body in pieces, now and then with a rest in between.
fn pieces(bytes: Bytes, slow: bool) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        if slow {
            tokio::time::sleep(Duration::from_millis(8)).await;
        }
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        Some((Ok(piece), rest))
    })
}

/// A body that breaks off before its end.
pub(crate) fn cut(bytes: Bytes) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let kept = bytes.slice(..bytes.len() * 2 / 3);
    stream::unfold(Some(kept), |rest| async move {
        let mut rest = rest?;
        if rest.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Some((Err(io::ErrorKind::BrokenPipe.into()), None));
        }
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        Some((Ok(piece), Some(rest)))
    })
}

/// The keys of some rounds; then come others, or what is read again would grow without end.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) prefix: String,
    pub(crate) shared: Vec<Arc<Key>>,
    /// All in one bucket, and then all in the other.
    pub(crate) places: Vec<Arc<Key>>,
    /// Where the cards of `batch` lie.
    pub(crate) cards: Vec<Arc<Key>>,
    pub(crate) batch: String,
}

impl Keys {
    pub(crate) fn new(generation: u64) -> Self {
        let prefix = format!("faults/g{generation}");
        let shared =
            (0..SHARED_KEYS).map(|number| key(number, format!("{prefix}/shared-{number}")));
        let places = BUCKETS.into_iter().flat_map(|bucket| {
            (0..PLACES).map(move |number| (bucket, format!("faults/g{generation}{PLACE}{number}")))
        });
        let places = places.map(|(bucket, name)| Arc::new(Key { bucket, name }));
        Self {
            shared: shared.collect(),
            places: places.collect(),
            cards: Vec::new(),
            batch: String::new(),
            prefix,
        }
    }

    /// The same with the records of a new batch.
    ///
    /// # Errors
    /// The application, which is idle, makes none.
    pub(crate) async fn with_batch(mut self, world: &World) -> anyhow::Result<Self> {
        world.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let create = world.client.post("/v1/batches", &json!({ "expected": RECORDS }));
        let answer = world.client.send(create).await.map_err(anyhow::Error::msg)?;
        let created: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let batch = created["id"].as_str().with_context(|| format!("a batch: {answer:?}"))?;
        self.cards = (0..RECORDS)
            .map(|number| {
                let name = format!("{batch}/record-{number}");
                Arc::new(Key { bucket: BATCHES, name })
            })
            .collect();
        batch.clone_into(&mut self.batch);
        Ok(self)
    }

    /// A key that nobody else has.
    pub(crate) fn own(&self, what: &str, number: u64) -> Arc<Key> {
        key(number, format!("{}/{what}-{number}", self.prefix))
    }
}

fn key(number: u64, name: String) -> Arc<Key> {
    let bucket = BUCKETS[usize::from(number.is_multiple_of(3))];
    Arc::new(Key { bucket, name })
}

/// Clients at work, until they are told to stop.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(world: &Arc<World>, keys: &Keys, rng: &mut Rng) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (world, keys, stop) = (Arc::clone(world), keys.clone(), Arc::clone(&stop));
            let mut rng = rng.fork();
            clients.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    operation(&world, &keys, &mut rng).await;
                    tokio::time::sleep(rng.millis(REST_MILLIS)).await;
                }
            });
        }
        Self { stop, clients }
    }

    /// Waits until each has its answer.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client?;
        }
        Ok(())
    }
}

async fn operation(world: &World, keys: &Keys, rng: &mut Rng) {
    let shared = rng.pick(&keys.shared);
    match rng.of(0..100) {
        0..36 => {
            let way = *rng.pick(&[Way::Held, Way::Held, Way::Held, Way::Spliced, Way::Chunked]);
            let size = size_of(way, rng);
            let key = if rng.percent(75) {
                Arc::clone(shared)
            } else {
                keys.own("own", rng.next() >> 24)
            };
            world.put(&key, way, size, rng.percent(40)).await;
        }
        36..41 => {
            let size = rng.log(1_024..MEDIUM_BYTES);
            world.put(shared, Way::Cut, size, false).await;
        }
        41..59 => {
            world.get(shared, None).await;
        }
        59..66 => {
            let range = match rng.of(0..3) {
                0 => format!("bytes={}-", rng.log(1..MEDIUM_BYTES)),
                1 => format!("bytes=-{}", rng.log(1..MEDIUM_BYTES)),
                _ => {
                    let first = rng.log(1..HELD_BYTES);
                    format!("bytes={first}-{}", first + rng.log(1..MEDIUM_BYTES))
                }
            };
            world.get(shared, Some(range)).await;
        }
        66..67 => world.leave(shared).await,
        67..69 => {
            let size = rng.log(1_024..2 * LARGE_BYTES);
            let (write, bytes) = world.new_upload(shared, Way::Tus, size);
            world.write(write, tus::send(&world.client, shared, bytes, rng)).await;
        }
        69..70 => {
            let size = rng.log(1_024..2 * LARGE_BYTES);
            world.put_parts(shared, size).await;
        }
        70..72 => world.tick().await,
        72..75 => world.delete(shared, "").await,
        _ => change::operation(world, keys, rng).await,
    }
}

/// No byte, a few, or many; never so few that two contents could be equal by chance.
pub(crate) fn size_of(way: Way, rng: &mut Rng) -> u64 {
    let large = |rng: &mut Rng| {
        let most = if rng.percent(4) { LARGE_BYTES } else { MEDIUM_BYTES };
        rng.log(HELD_BYTES + 1..most)
    };
    match way {
        Way::Spliced => large(rng),
        Way::Chunked if rng.percent(50) => large(rng),
        _ if rng.percent(4) => 0,
        _ => rng.log(16..HELD_BYTES + 1),
    }
}
