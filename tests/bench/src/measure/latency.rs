//! One request at a time, without a queue: what the time of a small one goes to.

use anyhow::Result;

use crate::bench::Bench;
use crate::client::Connection;
use crate::load::{Job, Latencies, Operation};
use crate::table::Table;
use crate::target::Side;

const SIZE: u64 = 4 * 1_024;

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
        let latencies = one_at_a_time(bench, &job(side, operation), count).await?;
        let [p50, p95, p99] =
            [0.5, 0.95, 0.99].map(|share| format!("{:.2}", latencies.quantile(share)));
        table.row([name.to_owned(), p50, p95, p99]);
    }
    table.note(
        "Holdfast's time above direct and /healthz is PostgreSQL: one call for a GET, two for a \
         PUT, the second of which waits for the disk.",
    );
    Ok(table)
}

async fn one_at_a_time(bench: &Bench, job: &Job, count: u64) -> Result<Latencies> {
    let mut connection = Connection::open(bench.target.authority(job.side)).await?;
    let mut latencies = Latencies::new()?;
    for number in 0..count {
        latencies.record(job.once(&bench.target, &mut connection, number).await?);
    }
    Ok(latencies)
}
