//! A fixed count of small requests over a number of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use http::Request;
use tokio::task::JoinSet;

use crate::bench::CONNECTIONS;
use crate::client::Connection;
use crate::payload::Payload;
use crate::target::{Side, Target};

/// What each request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Stores an object under a key of its own.
    Put,
    /// As `Put` on SeaweedFS, and by one request of TUS on Holdfast.
    PutTus,
    /// Reads one of [`Job::keys`] objects.
    Get,
    /// Stores an object that anybody may read.
    PutPublic,
    /// Reads one of those, without a token.
    GetPublic,
    /// Asks a component for nothing.
    Healthz,
}

/// One kind of request.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) side: Side,
    pub(crate) operation: Operation,
    /// Size of the objects, in bytes.
    pub(crate) size: u64,
    /// Keys are this, a slash and a number.
    pub(crate) prefix: String,
    /// Numbers start again after this many.
    pub(crate) keys: u64,
}

impl Job {
    fn request(&self, target: &Target, number: u64) -> Result<Request<Payload>> {
        let key = format!("{}/{}", self.prefix, number % self.keys);
        match self.operation {
            Operation::Put => target.put(self.side, &key, Payload::sized(self.size)),
            Operation::PutTus if self.side == Side::Holdfast => {
                target.tus_create(&key, self.size, Payload::sized(self.size))
            }
            Operation::PutTus => target.put(self.side, &key, Payload::sized(self.size)),
            Operation::Get => target.get(self.side, &key),
            Operation::PutPublic => target.put_public(self.side, &key, Payload::sized(self.size)),
            Operation::GetPublic => target.get_public(self.side, &key),
            Operation::Healthz => target.healthz(),
        }
    }

    /// Sends one request; how long it took, to the end of the answer.
    pub(crate) async fn once(
        &self,
        target: &Target,
        connection: &mut Connection,
        number: u64,
    ) -> Result<Duration> {
        let start = Instant::now();
        let bytes = connection.send(self.request(target, number)?).await?;
        let elapsed = start.elapsed();
        let is_read = matches!(self.operation, Operation::Get | Operation::GetPublic);
        let whole = !is_read || bytes == self.size;
        ensure!(whole, "{bytes} bytes of {} came back", self.size);
        Ok(elapsed)
    }
}

/// What came of a number of requests.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) requests_per_second: f64,
    pub(crate) latencies: Latencies,
}

/// Sends `count` requests over [`CONNECTIONS`] connections, each with one under way.
///
/// # Errors
/// The first request that is not answered as it should be.
pub(crate) async fn run(target: &Arc<Target>, job: &Job, count: u64) -> Result<Sample> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(target.authority(job.side)).await?);
    }
    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for mut connection in connections {
        let (target, job, next) = (Arc::clone(target), job.clone(), Arc::clone(&next));
        workers.spawn(async move {
            let mut latencies = Latencies::new()?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok::<_, anyhow::Error>(latencies);
                }
                latencies.record(job.once(&target, &mut connection, number).await?);
            }
        });
    }
    let mut latencies = Latencies::new()?;
    while let Some(worker) = workers.join_next().await {
        latencies.add(&worker??)?;
    }
    let requests_per_second = count as f64 / start.elapsed().as_secs_f64();
    Ok(Sample { requests_per_second, latencies })
}

/// What is longer counts as this long.
const LONGEST_MICROSECONDS: u64 = 600_000_000;

/// Latencies by the microsecond.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self> {
        // Bounded: `saturating_record` clamps to what a growing histogram holds so far, at first nothing.
        Ok(Self(Histogram::new_with_bounds(1, LONGEST_MICROSECONDS, 3)?))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// The latency that this share of the requests did not exceed, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_milliseconds() {
        let mut latencies = Latencies::new().unwrap();
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms));
        }
        assert!((latencies.quantile(0.5) - 50.0).abs() < 0.5, "{}", latencies.quantile(0.5));
        assert!((latencies.quantile(0.99) - 99.0).abs() < 0.5, "{}", latencies.quantile(0.99));
    }
}
