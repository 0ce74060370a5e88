//! A large upload by TUS, which is one request after the other, against parts of SeaweedFS one after the other.

use std::time::Instant;

use anyhow::{Context as _, Result};

use super::multipart::direct;
use crate::bench::Bench;
use crate::client::Connection;
use crate::payload::Payload;
use crate::rounds::{Rounds, median};
use crate::table::{Table, against};
use crate::target::Side;
use crate::throughput::{LARGE_BYTES, mb_per_second};

const MIB: u64 = 1_024 * 1_024;
const AIM_RATIO: f64 = 0.9;
/// What a client sends in one request: its name and bytes.
const REQUESTS: [(&str, u64); 3] =
    [("8 MiB", 8 * MIB), ("64 MiB", 64 * MIB), ("256 MiB", LARGE_BYTES)];

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    upload(bench, LARGE_BYTES / 8, 8 * MIB, "bench/tus/warm").await?;
    direct(&bench.target, LARGE_BYTES / 8, "bench/tus/warm-direct", 1).await?;
    let mut table = Table::new(
        "256 MiB by TUS, one connection",
        &["requests of", "direct MB/s", "Holdfast MB/s", "ratio (rounds)", "aim: ratio"],
    );
    for (name, bytes) in REQUESTS {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for round in 0..bench.rounds {
            let key = format!("bench/tus/{bytes}-{round}");
            one.push(direct(&bench.target, LARGE_BYTES, &format!("{key}-direct"), 1).await?);
            other.push(upload(bench, LARGE_BYTES, bytes, &key).await?);
        }
        let rounds = Rounds { direct: one, holdfast: other };
        table.row([
            name.to_owned(),
            format!("{:.0}", median(&rounds.direct)),
            format!("{:.0}", median(&rounds.holdfast)),
            rounds.ratio_text(),
            against("0.9 or more", rounds.ratio().0 >= AIM_RATIO),
        ]);
    }
    table.note("Direct: parts of 8 MiB, one after the other.");
    Ok(table)
}

/// Stores one object; MB/s, from the first request to the last answer.
async fn upload(bench: &Bench, bytes: u64, each: u64, key: &str) -> Result<f64> {
    let target = &bench.target;
    let mut connection = Connection::open(target.authority(Side::Holdfast)).await?;
    let start = Instant::now();
    let create = target.tus_create(key, bytes, Payload::sized(0))?;
    let url = connection.header(create, "location").await?;
    let path = url.find("/v1/tus/").map(|at| &url[at..]).context("an upload's URL")?;
    let mut offset = 0;
    while offset < bytes {
        let next = each.min(bytes - offset);
        connection.send(target.tus_append(path, offset, Payload::sized(next))?).await?;
        offset += next;
    }
    Ok(mb_per_second(bytes, start))
}
