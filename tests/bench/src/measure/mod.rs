//! The measurements, one a file.

mod cold_image;
mod digests;
mod hot_get;
mod instantiate;
mod large_get;
mod large_put;
mod large_put_chunked;
mod latency;
mod memory;
mod metadata;
mod multipart;
mod presign;
mod size;
mod small_get;
mod small_put;
mod small_tus;
mod tus;

use std::io::Write as _;

use anyhow::{Context, Result};
use holdfast_dev::Step;

use crate::bench::Bench;
use crate::cli::Measurement;
use crate::table::Table;

/// Takes the chosen measurements and prints each table as soon as it is there.
pub(crate) async fn all(bench: &Bench, chosen: &[Measurement]) -> Result<()> {
    let cores = std::thread::available_parallelism()?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "Direct = signed requests to SeaweedFS = 1.0. {} rounds a side, in turns; client, host and \
         servers share {cores} cores.",
        bench.rounds
    )?;
    for &measurement in chosen {
        let step = Step::start(format!("Measuring {measurement:?}"));
        let table =
            one(bench, measurement).await.with_context(|| format!("measuring {measurement:?}"))?;
        step.done("");
        write!(out, "{table}")?;
    }
    Ok(())
}

async fn one(bench: &Bench, measurement: Measurement) -> Result<Table> {
    match measurement {
        Measurement::Size => size::measure(),
        Measurement::Memory => memory::measure(bench).await,
        Measurement::LargePut => large_put::measure(bench).await,
        Measurement::LargePutChunked => large_put_chunked::measure(bench).await,
        Measurement::LargeGet => large_get::measure(bench).await,
        Measurement::Multipart => multipart::measure(bench).await,
        Measurement::Tus => tus::measure(bench).await,
        Measurement::SmallTus => small_tus::measure(bench).await,
        Measurement::SmallPut => small_put::measure(bench).await,
        Measurement::SmallGet => small_get::measure(bench).await,
        Measurement::HotGet => hot_get::measure(bench).await,
        Measurement::Digests => digests::measure(bench).await,
        Measurement::Latency => latency::measure(bench).await,
        Measurement::Presign => presign::measure(bench).await,
        Measurement::ColdImage => cold_image::measure(bench).await,
        Measurement::Instantiate => instantiate::measure(bench).await,
        Measurement::Metadata => metadata::measure(bench).await,
    }
}
