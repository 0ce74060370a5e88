//! One small object that everybody reads: its bytes stay in the instance, and of a public one for a moment
//! the permission too.

use anyhow::Result;

use crate::bench::Bench;
use crate::load::{self, Job, Operation};
use crate::small::{self, SIZES};
use crate::table::Table;
use crate::target::Side;

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    let count = if bench.quick { 2_000 } else { 6_000 };
    let mut table = small::table("Hot GET: one object", count);
    for (name, size) in SIZES {
        for (who, put, get) in [
            ("private", Operation::Put, Operation::Get),
            ("public", Operation::PutPublic, Operation::GetPublic),
        ] {
            let prefix = format!("bench/hot-get/{size}");
            let job =
                |side, operation| Job { side, operation, size, prefix: prefix.clone(), keys: 1 };
            for side in [Side::Direct, Side::Holdfast] {
                load::run(&bench.target, &job(side, put), 1).await?;
            }
            let row = format!("{name}, {who}");
            small::compare(bench, &mut table, &row, count, |side, _| job(side, get)).await?;
        }
    }
    table.note("Private: with a token, permission asked each time. Public: without a token.");
    Ok(table)
}
