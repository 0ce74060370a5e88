//! Signed URLs: how many a second, each of them a row that can be revoked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::bench::{Bench, CONNECTIONS};
use crate::client::Connection;
use crate::load::Latencies;
use crate::payload::Payload;
use crate::rounds::median;
use crate::table::{Table, against};
use crate::target::{BUCKET, Side};

/// URLs of a call, at the most that one may have.
const BATCH: u64 = 100;

/// The aim, for a batch: URLs a second.
const AIM: f64 = 2_000.0;

/// Objects that the URLs are for.
const OBJECTS: u64 = 100;

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let mut connection = Connection::open(bench.target.authority(Side::Holdfast)).await?;
    for number in 0..OBJECTS {
        let put = bench.target.put(Side::Holdfast, &key(number), Payload::sized(4_096))?;
        connection.send(put).await?;
    }
    let mut table = Table::new(
        "POST /v1/presign",
        &["what", "URLs in a call", "URLs/s (median)", "call p50 / p99 ms", "aim"],
    );
    let calls = if bench.quick { 100 } else { 300 };
    for (what, changes) in [
        ("GET", json!({})),
        ("GET, cacheable", json!({"cacheable": true})),
        ("GET, direct", json!({"direct": true})),
    ] {
        for batch in [1, BATCH] {
            let calls = if batch == 1 { calls * 10 } else { calls };
            let (mut rates, mut latencies) = (Vec::new(), Latencies::new()?);
            for _ in 0..bench.rounds {
                let body = body(batch, &changes);
                run(bench, &body, 4 * CONNECTIONS).await?;
                let (rate, round) = run(bench, &body, calls).await?;
                rates.push(rate * batch as f64);
                latencies.add(&round)?;
            }
            let rate = median(&rates);
            let aim =
                if batch == BATCH { against("over 2,000/s", rate > AIM) } else { String::new() };
            table.row([
                what.to_owned(),
                batch.to_string(),
                format!("{rate:.0}"),
                format!("{:.1} / {:.1}", latencies.quantile(0.5), latencies.quantile(0.99)),
                aim,
            ]);
        }
    }
    table.note(format!("On {CONNECTIONS} connections. Each URL is a row and an audit row, on disk before it is answered."));
    Ok(table)
}

fn key(number: u64) -> String {
    format!("bench/presign/{number}")
}

fn body(batch: u64, changes: &Value) -> Bytes {
    let one = |number| {
        let mut one = json!({"method": "GET", "bucket": BUCKET, "key": key(number % OBJECTS)});
        if let (Some(one), Some(changes)) = (one.as_object_mut(), changes.as_object()) {
            one.extend(changes.clone());
        }
        one
    };
    Value::from((0..batch).map(one).collect::<Vec<_>>()).to_string().into()
}

/// Calls a second, and how long each took.
async fn run(bench: &Bench, body: &Bytes, calls: u64) -> Result<(f64, Latencies)> {
    let next = Arc::new(AtomicU64::new(0));
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(bench.target.authority(Side::Holdfast)).await?);
    }
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for mut connection in connections {
        let (target, body, next) = (Arc::clone(&bench.target), body.clone(), Arc::clone(&next));
        workers.spawn(async move {
            let mut latencies = Latencies::new()?;
            while next.fetch_add(1, Ordering::Relaxed) < calls {
                let start = Instant::now();
                connection.send(target.presign(body.clone())?).await?;
                latencies.record(start.elapsed());
            }
            Ok::<_, anyhow::Error>(latencies)
        });
    }
    let mut latencies = Latencies::new()?;
    while let Some(worker) = workers.join_next().await {
        latencies.add(&worker??)?;
    }
    Ok((calls as f64 / start.elapsed().as_secs_f64(), latencies))
}
