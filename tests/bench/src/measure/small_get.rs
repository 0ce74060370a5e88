//! Small downloads: each is one step in PostgreSQL before one GET.

use anyhow::Result;

use crate::bench::Bench;
use crate::load::{self, Job, Operation};
use crate::small::{self, SIZES};
use crate::table::Table;
use crate::target::Side;

/// Objects that are read in turn.
const KEYS: u64 = 64;

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let count = if bench.quick { 2_000 } else { 6_000 };
    let mut table = small::table("Small GET", count);
    for (name, size) in SIZES {
        let job = |side, operation| Job {
            side,
            operation,
            size,
            prefix: format!("bench/small-get/{size}"),
            keys: KEYS,
        };
        for side in [Side::Direct, Side::Holdfast] {
            load::run(&bench.target, &job(side, Operation::Put), KEYS).await?;
        }
        small::compare(bench, &mut table, name, count, |side, _| job(side, Operation::Get)).await?;
    }
    Ok(table)
}
