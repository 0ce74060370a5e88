//! A large upload whose length is told: spliced, host to host.

use anyhow::Result;

use crate::bench::Bench;
use crate::payload::Payload;
use crate::table::Table;
use crate::throughput;

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let rounds = throughput::puts(bench, "large-put", Payload::sized).await?;
    Ok(throughput::table("256 MiB PUT with Content-Length, one stream", &rounds))
}
