//! One request at a time, without a queue: what the time of a small one goes to.

use std::time::Instant;

use anyhow::Result;

use crate::bench::Bench;
use crate::client::Connection;
use crate::load::{Job, Latencies, Operation};
use crate::table::Table;
use crate::target::Side;

const SIZE: u64 = 4 * 1_024;

/// The cheapest statement there is.
const STATEMENT: &str = "select 1";
/// The cheapest commit that waits for the disk: a row of the write-ahead log, of no table.
const COMMIT: &str = "select pg_logical_emit_message(true, 'bench', '')";

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let count = if bench.quick { 200 } else { 600 };
    let mut table = Table::new(
        "One request at a time, 4 KiB, what its time goes to",
        &["request", "p50 ms", "p95 ms", "p99 ms"],
    );
    let job = |side, operation| Job {
        side,
        operation,
        size: SIZE,
        prefix: "bench/latency".to_owned(),
        keys: count,
    };
    // A GET reads what the PUT before it wrote.
    for (name, side, operation) in [
        ("/healthz: host and a component", Side::Holdfast, Operation::Healthz),
        ("PUT direct", Side::Direct, Operation::Put),
        ("PUT through Holdfast", Side::Holdfast, Operation::Put),
        ("GET direct", Side::Direct, Operation::Get),
        ("GET through Holdfast", Side::Holdfast, Operation::Get),
    ] {
        row(&mut table, name, &requests(bench, &job(side, operation), count).await?);
    }
    for (name, sql) in [
        ("PostgreSQL: a statement, prepared anew", STATEMENT),
        ("PostgreSQL: a commit, prepared anew", COMMIT),
    ] {
        row(&mut table, name, &statements(bench, sql, count).await?);
    }
    table.note(
        "A GET is one statement and a direct GET; a PUT is a statement, a direct PUT and a commit, \
         which waits for the disk. What is more than their sum is the host, the component, and \
         what the SQL functions do.",
    );
    Ok(table)
}

fn row(table: &mut Table, name: &str, latencies: &Latencies) {
    let shares = [0.5, 0.95, 0.99].map(|share| format!("{:.2}", latencies.quantile(share)));
    table.row(std::iter::once(name.to_owned()).chain(shares));
}

async fn requests(bench: &Bench, job: &Job, count: u64) -> Result<Latencies> {
    let mut connection = Connection::open(bench.target.authority(job.side)).await?;
    let mut latencies = Latencies::new()?;
    for number in 0..count {
        latencies.record(job.once(&bench.target, &mut connection, number).await?);
    }
    Ok(latencies)
}

/// On one connection, prepared for each call, as Spin does it.
async fn statements(bench: &Bench, sql: &str, count: u64) -> Result<Latencies> {
    let client = holdfast_dev::connect(&bench.database_url).await?;
    let mut latencies = Latencies::new()?;
    for _ in 0..count {
        let start = Instant::now();
        client.query_one(sql, &[]).await?;
        latencies.record(start.elapsed());
    }
    Ok(latencies)
}
