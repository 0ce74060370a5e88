//! A large download: spliced.

use anyhow::Result;

use crate::bench::Bench;
use crate::table::Table;
use crate::throughput;

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let rounds = throughput::gets(bench).await?;
    Ok(throughput::table("256 MiB GET, one stream", &rounds))
}
