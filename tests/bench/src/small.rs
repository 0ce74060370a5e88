//! Small requests on many connections, both sides in turns.

use anyhow::Result;

use crate::bench::{Bench, CONNECTIONS};
use crate::load::{self, Job, Latencies};
use crate::rounds::{Rounds, median};
use crate::table::Table;
use crate::target::Side;

/// The sizes that are measured: their name and bytes.
pub(crate) const SIZES: [(&str, u64); 2] = [("4 KiB", 4 * 1_024), ("64 KiB", 64 * 1_024)];

/// An empty table of requests.
pub(crate) fn table(title: &str, count: u64) -> Table {
    let mut table = Table::new(
        title,
        &[
            "size",
            "direct req/s",
            "Holdfast req/s",
            "ratio (rounds)",
            "direct p50 / p99 ms",
            "Holdfast p50 / p99 ms",
        ],
    );
    table.note(format!("{count} requests a round on {CONNECTIONS} connections."));
    table
}

/// Runs what `job` makes of a side and a round, and adds a row.
pub(crate) async fn compare(
    bench: &Bench,
    table: &mut Table,
    size: &str,
    count: u64,
    job: impl Fn(Side, &str) -> Job,
) -> Result<()> {
    let (mut direct, mut holdfast) = (Latencies::new()?, Latencies::new()?);
    let rounds = Rounds::take(bench.rounds, async |side, round| {
        // Instances start and connections to the store open before the clock does.
        load::run(&bench.target, &job(side, &format!("warm-{round}")), 4 * CONNECTIONS).await?;
        let sample = load::run(&bench.target, &job(side, &round.to_string()), count).await?;
        match side {
            Side::Direct => direct.add(&sample.latencies)?,
            Side::Holdfast => holdfast.add(&sample.latencies)?,
        }
        Ok(sample.requests_per_second)
    })
    .await?;
    table.row([
        size.to_owned(),
        format!("{:.0}", median(&rounds.direct)),
        format!("{:.0}", median(&rounds.holdfast)),
        rounds.ratio_text(),
        percentiles(&direct),
        percentiles(&holdfast),
    ]);
    Ok(())
}

fn percentiles(latencies: &Latencies) -> String {
    format!("{:.1} / {:.1}", latencies.quantile(0.5), latencies.quantile(0.99))
}
