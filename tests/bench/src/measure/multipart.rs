//! A large upload in parts, from its beginning to the object: direct, through Holdfast, and by URLs that it signed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use holdfast_s3::{CompleteMultipartUpload, CreateMultipartUpload, PartNumber, UploadPart};
use http::{Method, Request};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::bench::Bench;
use crate::client::Connection;
use crate::payload::Payload;
use crate::rounds::{Rounds, median};
use crate::table::{Table, against};
use crate::target::{BUCKET, Side, Target};
use crate::throughput::{LARGE_BYTES, mb_per_second};

/// Parts that are under way at once.
const CONNECTIONS: usize = 4;
const PART_BYTES: u64 = 8 * 1_024 * 1_024;
const AIM_RATIO: f64 = 0.9;

#[derive(Clone, Copy, Debug)]
enum Way {
    Direct,
    Proxied,
    Signed,
}

pub(super) async fn measure(bench: &Bench) -> Result<Table> {
    // What the first one costs is nobody's in particular.
    for way in [Way::Direct, Way::Proxied, Way::Signed] {
        upload(bench, way, LARGE_BYTES / 8, &format!("bench/multipart/warm-{way:?}")).await?;
    }
    let (mut direct, mut proxied, mut signed) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..bench.rounds {
        for (way, figures) in
            [(Way::Direct, &mut direct), (Way::Proxied, &mut proxied), (Way::Signed, &mut signed)]
        {
            let key = format!("bench/multipart/{way:?}-{round}");
            figures.push(upload(bench, way, LARGE_BYTES, &key).await?);
        }
    }
    let title = format!("256 MiB in parts of 8 MiB, {CONNECTIONS} connections");
    let mut table =
        Table::new(title, &["way", "direct MB/s", "Holdfast MB/s", "ratio (rounds)", "aim: ratio"]);
    for (name, holdfast) in [("through Holdfast", proxied), ("by signed URLs", signed)] {
        let rounds = Rounds { direct: direct.clone(), holdfast };
        table.row([
            name.to_owned(),
            format!("{:.0}", median(&rounds.direct)),
            format!("{:.0}", median(&rounds.holdfast)),
            rounds.ratio_text(),
            against("0.9 or more", rounds.ratio().0 >= AIM_RATIO),
        ]);
    }
    Ok(table)
}

/// Stores one object in parts; MB/s, from the first request to the last answer.
async fn upload(bench: &Bench, way: Way, bytes: u64, key: &str) -> Result<f64> {
    let target = &bench.target;
    let count = u16::try_from(bytes / PART_BYTES)?;
    let mut control = Connection::open(target.authority(Side::Holdfast)).await?;
    let start = Instant::now();
    match way {
        Way::Direct => return direct(target, bytes, key, CONNECTIONS).await,
        Way::Proxied | Way::Signed => {
            let new = json!({"bucket": BUCKET, "key": key, "size": bytes, "partSize": PART_BYTES});
            let new = Payload::held(new.to_string());
            let create = target.holdfast(Method::POST, "/v1/multipart", new)?;
            let created: Value = serde_json::from_slice(&control.ask(create).await?.1)?;
            let id = created["id"].as_str().context("an id")?;
            let path = format!("/v1/multipart/{id}");
            if matches!(way, Way::Proxied) {
                let path = path.clone();
                parts(target, Side::Holdfast, count, CONNECTIONS, move |target, number| {
                    let path = format!("{path}/parts/{number}");
                    target.holdfast(Method::PUT, &path, Payload::sized(PART_BYTES))
                })
                .await?;
            } else {
                let asked = json!({"parts": (1..=count).collect::<Vec<_>>()}).to_string();
                let sign = format!("{path}/sign");
                let sign = target.holdfast(Method::POST, &sign, Payload::held(asked))?;
                let signed: Value = serde_json::from_slice(&control.ask(sign).await?.1)?;
                parts(target, Side::Direct, count, CONNECTIONS, move |target, number| {
                    let url = signed["parts"][usize::from(number) - 1]["url"].as_str();
                    target.by_url(url.context("a URL")?, Payload::sized(PART_BYTES))
                })
                .await?;
            }
            let complete = format!("{path}/complete");
            let complete = target.holdfast(Method::POST, &complete, Payload::empty())?;
            control.ask(complete).await?;
        }
    }
    Ok(mb_per_second(bytes, start))
}

/// Stores one object in parts of SeaweedFS over so many connections; MB/s, as [`upload`].
pub(super) async fn direct(
    target: &Arc<Target>,
    bytes: u64,
    key: &str,
    connections: usize,
) -> Result<f64> {
    let count = u16::try_from(bytes / PART_BYTES)?;
    let mut control = Connection::open(target.authority(Side::Direct)).await?;
    let start = Instant::now();
    let create = CreateMultipartUpload { bucket: BUCKET, key, content_type: "application/x-bench" };
    let (_, body) = control.ask(target.direct(&create, Payload::empty())?).await?;
    let upload_id = CreateMultipartUpload::parse(&body)?;
    let (owned_key, id) = (key.to_owned(), upload_id.clone());
    let etags = parts(target, Side::Direct, count, connections, move |target, number| {
        let part_number = PartNumber::new(number).context("a part's number")?;
        let part = UploadPart {
            bucket: BUCKET,
            key: &owned_key,
            upload_id: &id,
            part_number,
            content_length: Some(PART_BYTES),
            checksum: None,
        };
        target.direct(&part, Payload::sized(PART_BYTES))
    })
    .await?;
    let complete = CompleteMultipartUpload { bucket: BUCKET, key, upload_id: &upload_id };
    let named = etags.iter().filter_map(|(n, e)| Some((PartNumber::new(*n)?, e.as_str())));
    let body = Payload::held(CompleteMultipartUpload::body(named));
    let (_, answer) = control.ask(target.direct(&complete, body)?).await?;
    CompleteMultipartUpload::parse(200, &answer)?;
    Ok(mb_per_second(bytes, start))
}

/// Sends all parts over so many connections; their entity tags by their numbers.
async fn parts(
    target: &Arc<Target>,
    side: Side,
    count: u16,
    connections: usize,
    request: impl Fn(&Target, u16) -> Result<Request<Payload>> + Send + Sync + 'static,
) -> Result<Vec<(u16, String)>> {
    let (next, request) = (Arc::new(AtomicU16::new(1)), Arc::new(request));
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        let (target, next, request) = (Arc::clone(target), Arc::clone(&next), Arc::clone(&request));
        workers.spawn(async move {
            let mut connection = Connection::open(target.authority(side)).await?;
            let mut sent = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number > count {
                    return Ok::<_, anyhow::Error>(sent);
                }
                sent.push((number, connection.ask(request(&target, number)?).await?.0));
            }
        });
    }
    let mut all = Vec::new();
    while let Some(worker) = workers.join_next().await {
        all.extend(worker??);
    }
    all.sort_unstable();
    Ok(all)
}
