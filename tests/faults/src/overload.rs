//! Many connections at once: memory stays flat, nothing hangs, and who is sent away is told when to come back.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::stream;
use hdrhistogram::Histogram;
use reqwest::Body;
use tokio::task::JoinSet;

use crate::cli::Sizes;
use crate::client::REQUEST_LIMIT;
use crate::content::content;
use crate::load::{Keys, World};
use crate::memory::{Sampler, resident};
use crate::rig::Rig;
use crate::rng::Rng;
use crate::verify::{Kind, Violation};

/// One connection in so many sends a body slowly.
const SLOW_ONE_IN: usize = 25;
/// A slow body: so many pieces, each after a rest.
const SLOW_PIECES: u64 = 20;
const SLOW_PIECE_BYTES: usize = 1_024;
const SLOW_REST: Duration = Duration::from_millis(150);
/// A small upload, in bytes.
const SMALL_BYTES: usize = 1_024;
/// Objects that are read.
const OBJECTS: u64 = 20;
/// Memory for each connection above idle, at most, in bytes: the instance, its buffers and what the allocator
/// keeps. Sixteen requests share an instance.
const BYTES_PER_CONNECTION: u64 = 1 << 20;
/// And the memory of the second half is at most this much above that of the first, in per cent, and one instance
/// more, in bytes: on a busy machine the last of them begins late.
const GROWTH_PERCENT: u64 = 15;
const GROWTH_BYTES: u64 = 8 << 20;
/// After the overload one upload and one download take no longer than this.
const NORMAL_LIMIT: Duration = Duration::from_secs(3);

/// What the overload showed.
#[derive(Debug)]
pub(crate) struct Overload {
    pub(crate) connections: usize,
    pub(crate) idle_bytes: u64,
    pub(crate) first_half_bytes: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) statuses: BTreeMap<u16, u64>,
    pub(crate) latencies: Histogram<u64>,
    pub(crate) after: Duration,
}

/// One answer: its status (0 is none), whether it said when to come back, and how long it took.
type Answered = (u16, bool, Duration);

/// Loads the application with all connections at once.
///
/// # Errors
/// It cannot be measured; a broken promise is in the list.
pub(crate) async fn run(
    rig: &Rig,
    world: &Arc<World>,
    sizes: Sizes,
    rng: &mut Rng,
) -> Result<(Overload, Vec<Violation>)> {
    // A fresh host, so that idle means idle.
    rig.quiesce().await?;
    let (client, keys) = (rig.direct_client()?, Keys::new(u64::MAX));
    for number in 0..OBJECTS {
        let key = keys.own("read", number);
        let stored = client.write(client.upload(&key).body(content(number, SMALL_BYTES))).await;
        anyhow::ensure!(
            matches!(stored, crate::history::Outcome::Acknowledged { .. }),
            "an idle application answered an upload with {stored:?}"
        );
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let pid = rig.stack.host().pid();
    let idle_bytes = resident(pid)?;

    let sampler = Sampler::start(pid);
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for number in 0..sizes.connections {
        let worker = Worker {
            client: rig.direct_client()?,
            keys: keys.clone(),
            slow: number.is_multiple_of(SLOW_ONE_IN),
            number: number as u64,
        };
        workers.spawn(worker.work(Arc::clone(&stop), rng.fork()));
    }
    tokio::time::sleep(sizes.overload).await;
    stop.store(true, Ordering::Relaxed);
    let mut answers: Vec<Answered> = Vec::new();
    while let Some(worker) = workers.join_next().await {
        answers.extend(worker?);
    }
    let begun = Instant::now();
    let key = keys.own("after", 0);
    let normal = tokio::time::timeout(NORMAL_LIMIT, async {
        let stored = client.write(client.upload(&key).body(content(1, SMALL_BYTES))).await;
        let read = client.read(client.download(&key)).await;
        matches!(stored, crate::history::Outcome::Acknowledged { .. }) && read.is_some()
    });
    let normal = normal.await.unwrap_or(false);
    let after = begun.elapsed();

    let samples = sampler.stop().await?;
    let half = sizes.overload / 2;
    let most = |part: &dyn Fn(Duration) -> bool| {
        samples.iter().filter(|(at, _)| part(*at)).map(|(_, bytes)| *bytes).max()
    };
    let first_half_bytes = most(&|at| at < half).context("no sample")?;
    let peak_bytes = most(&|_| true).context("no sample")?;

    let mut latencies = Histogram::new_with_bounds(1, 600_000, 3)?;
    let mut statuses = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut violate = |text: String| wrong.push(Violation { kind: Kind::Answer, text });
    for (status, may_come_back, took) in &answers {
        *statuses.entry(*status).or_insert(0) += 1;
        latencies.saturating_record(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        match status {
            200..=299 => {}
            429 | 503 if *may_come_back => {}
            _ => violate(format!("the overload was answered {status} after {took:?}")),
        }
        if *took > REQUEST_LIMIT {
            violate(format!("a request of the overload took {took:?}"));
        }
    }
    if !normal {
        violate(format!("the service did not answer within {NORMAL_LIMIT:?} after the overload"));
    }
    let allowed = idle_bytes + sizes.connections as u64 * BYTES_PER_CONNECTION;
    if peak_bytes > allowed {
        violate(format!("the host had {peak_bytes} resident bytes; {allowed} are allowed"));
    }
    let grown = first_half_bytes + first_half_bytes * GROWTH_PERCENT / 100 + GROWTH_BYTES;
    if peak_bytes > grown {
        violate(format!("the host grew from {first_half_bytes} to {peak_bytes} resident bytes"));
    }
    // What the overload wrote is not in the ledger, so it goes before the store is looked at again.
    drop(world.history.take());
    let connections = sizes.connections;
    let overload = Overload {
        connections,
        idle_bytes,
        first_half_bytes,
        peak_bytes,
        statuses,
        latencies,
        after,
    };
    Ok((overload, wrong))
}

struct Worker {
    client: crate::client::Client,
    keys: Keys,
    slow: bool,
    number: u64,
}

impl Worker {
    /// One connection with one request under way at a time.
    async fn work(self, stop: Arc<AtomicBool>, mut rng: Rng) -> Vec<Answered> {
        let mut answers = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let own = self.keys.own("load", self.number);
            let request = if self.slow {
                self.client.upload(&own).body(Body::wrap_stream(slow_body()))
            } else if rng.percent(40) {
                self.client.upload(&own).body(content(rng.next(), SMALL_BYTES))
            } else {
                self.client.download(&self.keys.own("read", rng.of(0..OBJECTS)))
            };
            let begun = Instant::now();
            let (status, may_come_back) = match self.client.send(request).await {
                Ok(answer) => (answer.status, answer.retry_after),
                Err(_) => (0, false),
            };
            answers.push((status, may_come_back, begun.elapsed()));
        }
        answers
    }
}

fn slow_body() -> impl stream::Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold(0, |number| async move {
        if number == SLOW_PIECES {
            return None;
        }
        tokio::time::sleep(SLOW_REST).await;
        Some((Ok(content(number, SLOW_PIECE_BYTES)), number + 1))
    })
}
