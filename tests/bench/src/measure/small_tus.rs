//! Small uploads of TUS, each in the one request that creates it, against a PUT to SeaweedFS.

use anyhow::Result;

use crate::bench::Bench;
use crate::load::{Job, Operation};
use crate::small::{self, SIZES};
use crate::table::Table;

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let count = if bench.quick { 1_000 } else { 3_000 };
    let mut table = small::table("Small TUS upload, in one request", count);
    for (name, size) in SIZES {
        small::compare(bench, &mut table, name, count, |side, round| Job {
            side,
            operation: Operation::PutTus,
            size,
            prefix: format!("bench/small-tus/{size}/{round}"),
            keys: u64::MAX,
        })
        .await?;
    }
    Ok(table)
}
