//! A 200 KB image from cold: no instance, no connection.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::bench::Bench;
use crate::client::Connection;
use crate::load::Latencies;
use crate::payload::Payload;
use crate::table::{Table, against};
use crate::target::Side;

const IMAGE_BYTES: u64 = 200_000;
const SAMPLES: u32 = 20;
/// Instances die after a second without work.
pub(super) const IDLE: Duration = Duration::from_millis(1_300);
const AIM_P95_MS: f64 = 200.0;

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let (side, key) = (Side::Holdfast, "bench/image.jpg");
    let authority = bench.target.authority(side);
    let put = bench.target.put(side, key, Payload::sized(IMAGE_BYTES))?;
    Connection::open(authority).await?.send(put).await?;
    let (mut cold, mut warm) = (Latencies::new()?, Latencies::new()?);
    for _ in 0..SAMPLES {
        tokio::time::sleep(IDLE).await;
        for latencies in [&mut cold, &mut warm] {
            let start = Instant::now();
            let mut connection = Connection::open(authority).await?;
            let bytes = connection.send(bench.target.get(side, key)?).await?;
            latencies.record(start.elapsed());
            ensure!(bytes == IMAGE_BYTES, "{bytes} bytes of {IMAGE_BYTES} came back");
        }
    }
    let mut table = Table::new(
        "200 KB image GET, new connection each time",
        &["instance", "p50 ms", "p95 ms", "worst ms", "aim"],
    );
    for (name, latencies) in [("fresh", &cold), ("warm", &warm)] {
        let [p50, p95, worst] = [0.5, 0.95, 1.0].map(|share| latencies.quantile(share));
        table.row([
            name.to_owned(),
            format!("{p50:.1}"),
            format!("{p95:.1}"),
            format!("{worst:.1}"),
            against("p95 under 200 ms", p95 < AIM_P95_MS),
        ]);
    }
    table.note(format!("{SAMPLES} samples, each after {IDLE:?} without a request."));
    Ok(table)
}
