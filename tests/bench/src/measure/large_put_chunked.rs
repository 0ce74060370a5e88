//! A large upload of untold length: pumped, counted and digested on its way.

use anyhow::Result;

use crate::bench::Bench;
use crate::payload::Payload;
use crate::table::Table;
use crate::throughput;

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let rounds = throughput::puts(bench, "large-put-chunked", Payload::chunked).await?;
    Ok(throughput::table("256 MiB PUT without a length (chunked), one stream", &rounds))
}
