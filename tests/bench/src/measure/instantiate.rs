//! How long an instance takes to start, estimated from outside: the host does not tell.
//!
//! `GET /healthz` on an open connection after the instance died, minus the same right after. That
//! holds the guest's first request too (its configuration is read there), so it is an upper bound.

use anyhow::Result;

use super::cold_image::IDLE;
use crate::bench::Bench;
use crate::client::Connection;
use crate::load::{Job, Latencies, Operation};
use crate::table::{Table, against};
use crate::target::Side;

const SAMPLES: u64 = 20;
/// Warm requests after each cold one.
const WARM: u64 = 10;
const AIM_MS: f64 = 1.0;

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let job = Job {
        side: Side::Holdfast,
        operation: Operation::Healthz,
        size: 0,
        prefix: String::new(),
        keys: 1,
    };
    let mut connection = Connection::open(bench.target.authority(job.side)).await?;
    let (mut cold, mut warm) = (Latencies::new()?, Latencies::new()?);
    for _ in 0..SAMPLES {
        tokio::time::sleep(IDLE).await;
        cold.record(job.once(&bench.target, &mut connection, 0).await?);
        for number in 0..WARM {
            warm.record(job.once(&bench.target, &mut connection, number).await?);
        }
    }
    let mut table = Table::new(
        "Start of an instance (ops), estimated",
        &["cold p50 ms", "warm p50 ms", "difference ms", "aim"],
    );
    let (cold, warm) = (cold.quantile(0.5), warm.quantile(0.5));
    let difference = cold - warm;
    table.row([
        format!("{cold:.2}"),
        format!("{warm:.2}"),
        format!("{difference:.2}"),
        against("under 1 ms", difference < AIM_MS),
    ]);
    table.note(format!(
        "{SAMPLES} cold samples. An upper bound: it holds a first request's own set-up, and what an \
         idle machine takes to wake."
    ));
    Ok(table)
}
