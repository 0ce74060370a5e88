//! One large body on one connection.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::bench::Bench;
use crate::client::Connection;
use crate::payload::Payload;
use crate::rounds::{Rounds, median};
use crate::table::{Table, against};
use crate::target::Side;

/// Size of a large body, in bytes.
pub(crate) const LARGE_BYTES: u64 = 256 * 1_024 * 1_024;

const AIM_RATIO: f64 = 0.9;
/// "Well above 10 MB/s".
const AIM_MB_PER_SECOND: f64 = 20.0;

/// Stores a large body once a round on each side, under a new key each time.
pub(crate) async fn puts(bench: &Bench, name: &str, payload: fn(u64) -> Payload) -> Result<Rounds> {
    // What the first large body costs (memory, volumes) is nobody's in particular.
    for side in [Side::Direct, Side::Holdfast] {
        put(bench, side, &format!("bench/{name}/warm"), payload(LARGE_BYTES / 8)).await?;
    }
    Rounds::take(bench.rounds, async |side, round| {
        put(bench, side, &format!("bench/{name}/{round}"), payload(LARGE_BYTES)).await
    })
    .await
}

/// Stores one object; MB/s, from connected to the end of the answer.
async fn put(bench: &Bench, side: Side, key: &str, payload: Payload) -> Result<f64> {
    let bytes = payload.bytes();
    let mut connection = Connection::open(bench.target.authority(side)).await?;
    let request = bench.target.put(side, key, payload)?;
    let start = Instant::now();
    connection.send(request).await?;
    Ok(mb_per_second(bytes, start))
}

/// Reads the same object once a round on each side, after a first reading that is compared.
pub(crate) async fn gets(bench: &Bench) -> Result<Rounds> {
    let key = "bench/large-get";
    for side in [Side::Direct, Side::Holdfast] {
        put(bench, side, key, Payload::sized(LARGE_BYTES)).await?;
        let mut connection = Connection::open(bench.target.authority(side)).await?;
        let bytes = connection.verify(bench.target.get(side, key)?).await?;
        ensure!(bytes == LARGE_BYTES, "{bytes} bytes of {LARGE_BYTES} came back");
    }
    Rounds::take(bench.rounds, async |side, _| {
        let mut connection = Connection::open(bench.target.authority(side)).await?;
        let request = bench.target.get(side, key)?;
        let start = Instant::now();
        let bytes = connection.send(request).await?;
        ensure!(bytes == LARGE_BYTES, "{bytes} bytes of {LARGE_BYTES} came back");
        Ok(mb_per_second(bytes, start))
    })
    .await
}

/// The figures as a table.
pub(crate) fn table(title: &str, rounds: &Rounds) -> Table {
    let mut table = Table::new(
        title,
        &["direct MB/s", "Holdfast MB/s", "ratio (rounds)", "aim: ratio", "aim: one stream"],
    );
    let through = median(&rounds.holdfast);
    let slowest = rounds.holdfast.iter().copied().fold(f64::INFINITY, f64::min);
    table.row([
        format!("{:.0}", median(&rounds.direct)),
        format!("{through:.0}"),
        rounds.ratio_text(),
        against("0.9 or more", rounds.ratio().0 >= AIM_RATIO),
        against("well above 10 MB/s", slowest >= AIM_MB_PER_SECOND),
    ]);
    table
}

pub(crate) fn mb_per_second(bytes: u64, start: Instant) -> f64 {
    bytes as f64 / 1e6 / start.elapsed().as_secs_f64()
}
