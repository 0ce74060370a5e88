//! The host's memory while large bodies stream through it: flat, whatever their size.

use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;

use crate::bench::Bench;
use crate::client::Connection;
use crate::memory::{Sampler, reset_peak, status_bytes};
use crate::payload::Payload;
use crate::table::{Table, against};
use crate::target::Side;

const UPLOADS: u32 = 8;
const MIB: u64 = 1_024 * 1_024;
const AIM_BYTES: u64 = 64 * MIB;
/// For instances of the warm-up to end.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let bytes = if bench.quick { 64 * MIB } else { 1_024 * MIB };
    let mut table = Table::new(
        format!("Memory of the host, {UPLOADS} uploads at once"),
        &["upload", "idle MiB", "peak MiB (sampled)", "peak above idle MiB", "aim"],
    );
    // The pumped ones show the same with a quarter of the bytes, and spare the disk.
    for (name, each, payload, way) in [
        ("Content-Length", bytes, Payload::sized as fn(u64) -> Payload, Way::Put),
        ("chunked", bytes / 4, Payload::chunked, Way::Put),
        ("TUS", bytes / 4, Payload::sized, Way::Tus),
    ] {
        // A first, small one: lazily made things are part of idle.
        uploads(bench, way, &format!("bench/memory/{name}/warm"), payload(MIB), 1).await?;
        tokio::time::sleep(SETTLE).await;
        let idle = status_bytes(bench.host_pid, "VmRSS")?;
        reset_peak(bench.host_pid)?;
        let sampler = Sampler::start(bench.host_pid);
        uploads(bench, way, &format!("bench/memory/{name}"), payload(each), UPLOADS).await?;
        let peak = status_bytes(bench.host_pid, "VmHWM")?;
        let above = peak.saturating_sub(idle);
        table.row([
            format!("{UPLOADS} x {} MiB, {name}", each / MIB),
            mib(idle),
            format!("{} ({})", mib(peak), mib(sampler.peak())),
            mib(above),
            against("under 64 MiB", above < AIM_BYTES),
        ]);
    }
    table.note("Peak is the kernel's VmHWM, set back at the start; sampled is VmRSS every 20 ms.");
    Ok(table)
}

#[derive(Clone, Copy)]
enum Way {
    Put,
    Tus,
}

async fn uploads(
    bench: &Bench,
    way: Way,
    prefix: &str,
    payload: Payload,
    count: u32,
) -> Result<()> {
    let mut uploads = JoinSet::new();
    for number in 0..count {
        let mut connection = Connection::open(bench.target.authority(Side::Holdfast)).await?;
        let key = format!("{prefix}/{number}");
        let payload = payload.clone();
        let request = match way {
            Way::Put => bench.target.put(Side::Holdfast, &key, payload)?,
            Way::Tus => bench.target.tus_create(&key, payload.bytes(), payload)?,
        };
        uploads.spawn(async move { connection.send(request).await });
    }
    while let Some(upload) = uploads.join_next().await {
        upload??;
    }
    Ok(())
}

fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / MIB as f64)
}
