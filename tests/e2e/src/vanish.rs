//! Clients that leave in the middle, in both directions.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::harness::{Api, Suite, expect, noise, refused};
use crate::raw::Raw;

const MIB: usize = 1_024 * 1_024;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_client_that_leaves_an_upload_leaves_nothing", leaves_nothing);
    suite.add("a_client_that_leaves_an_upload_changes_nothing", changes_nothing);
    suite.add("a_client_that_leaves_a_download_harms_nobody", leaves_a_download);
    suite.add("silent_clients_hold_nobody_up", silent);
    suite.add("an_upload_that_the_reaper_took_is_refused", reaped_meanwhile);
}

/// How much of a body is sent before its client is gone, one for each way that a body takes.
const UNFINISHED: [(&str, &str, usize); 4] = [
    ("held", "content-length: 40000\r\n", 10_000),
    ("spliced", "content-length: 8388608\r\n", 3 * MIB),
    ("short-chunked", "transfer-encoding: chunked\r\n", 10_000),
    ("pumped", "transfer-encoding: chunked\r\n", 3 * MIB),
];

/// Starts an upload, sends a part of its body and leaves it to the caller.
async fn unfinished(api: &Api, path: &str, headers: &str, bytes: usize) -> Result<Raw> {
    let mut raw = Raw::open(api, "PUT", &format!("/v1/upload/{path}"), headers).await?;
    for chunk in noise(bytes).chunks(64 * 1_024) {
        let taken = if headers.contains("chunked") {
            raw.send_chunk(chunk).await?
        } else {
            raw.send(chunk).await?
        };
        ensure!(taken, "{path}: the server closed the connection");
    }
    Ok(raw)
}

async fn leaves_nothing(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let begun = format!(
        "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
         where o.bucket = '{bucket}'"
    );
    for (way, headers, bytes) in UNFINISHED {
        for reset in [true, false] {
            let raw = unfinished(&api, &format!("{bucket}/{way}-{reset}"), headers, bytes).await?;
            if reset { raw.reset()? } else { drop(raw) }
        }
    }
    api.eventually(&begun, 8).await?;

    // Nothing is visible, and once the lease is over the worker ends what the component could not.
    let seconds = |number| Duration::from_secs(number);
    tokio::time::sleep(seconds(2)).await;
    for (way, _, _) in UNFINISHED {
        for reset in [true, false] {
            refused(api.get(&format!("{bucket}/{way}-{reset}")), 404, "NoSuchKey").await?;
        }
    }
    let of_bucket =
        format!("from holdfast.object o where o.id = v.object_id and o.bucket = '{bucket}'");
    api.execute(&format!(
        "update holdfast.version v set lease_until = now() {of_bucket} and v.state = 'pending'"
    ))
    .await?;
    let open = |state: &str| format!("{begun} and v.state = '{state}'");
    api.eventually(&open("pending"), 0).await?;
    // The worker deletes twice, two and twelve minutes after the component gave up.
    let hurry = format!(
        "update holdfast.version v set due_at = now() {of_bucket} and v.state = 'aborting'"
    );
    api.execute(&hurry).await?;
    api.eventually(&format!("{} and v.deleted_at is null", open("aborting")), 0).await?;
    api.execute(&hurry.replace(
        "due_at = now()",
        "due_at = now(), deleted_at = v.deleted_at - interval '10 minutes'",
    ))
    .await?;
    api.eventually(&open("aborted"), 8).await?;

    for (way, _, _) in UNFINISHED {
        for reset in [true, false] {
            for (_, s3_key) in api.versions(&bucket, &format!("{way}-{reset}")).await? {
                ensure!(!api.is_stored(&bucket, &s3_key).await?, "{way}: {s3_key} is still stored");
            }
        }
    }
    let listed = api.listed(&bucket).await?;
    ensure!(listed == 0, "{listed} objects are left in the bucket");
    let charged = format!(
        "select (live_bytes + retained_bytes + pending_bytes + pending_objects)::int8 \
         from holdfast.usage('{bucket}', null)"
    );
    ensure!(api.number(&charged).await? == 0, "a quota stays charged");
    Ok(())
}

async fn changes_nothing(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    for (way, headers, bytes) in UNFINISHED {
        let path = format!("{bucket}/{way}");
        expect(api.put(&path, "the old bytes"), 201).await?;
        unfinished(&api, &path, headers, bytes).await?.reset()?;
        tokio::time::sleep(Duration::from_millis(500)).await;
        ensure!(expect(api.get(&path), 200).await?.text().await? == "the old bytes", "{way}");
    }
    Ok(())
}

async fn leaves_a_download(api: Api) -> Result<()> {
    const READERS: i64 = 32;
    let bucket = api.bucket(&json!({})).await?;
    let bytes = noise(32 * MIB);
    let path = format!("{bucket}/left");
    expect(api.put(&path, bytes.clone()), 201).await?;
    for reader in 0..READERS {
        let mut raw = Raw::open(&api, "GET", &format!("/v1/download/{path}"), "").await?;
        ensure!(raw.receive(100_000).await?.starts_with(b"HTTP/1.1 200 OK\r\n"));
        if reader % 2 == 0 { raw.reset()? } else { drop(raw) }
    }
    ensure!(expect(api.get(&path), 200).await?.bytes().await? == bytes);
    let counted = format!(
        "select count(*) from holdfast.access_log where bucket = '{bucket}' and status = 200"
    );
    api.eventually(&counted, READERS + 1).await
}

/// More clients that say nothing than there are connections to PostgreSQL.
async fn silent(api: Api) -> Result<()> {
    let mut silent = Vec::new();
    for number in 0..80 {
        let path = format!("/v1/upload/documents/silent/{number}");
        silent.push(Raw::open(&api, "PUT", &path, "content-length: 10\r\n").await?);
    }
    let pending = "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
        where o.key like 'silent/%' and v.state = 'pending'";
    api.eventually(pending, 80).await?;
    let start = std::time::Instant::now();
    for number in 0..8 {
        expect(api.put(&format!("documents/not-silent/{number}"), "x"), 201).await?;
    }
    ensure!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // Who speaks at last is heard.
    let mut first = silent.remove(0);
    ensure!(first.send(b"0123456789").await?);
    ensure!(first.receive(12).await?.starts_with(b"HTTP/1.1 201"));
    Ok(())
}

/// The lease ran out while its client was silent: what it sends then must not become visible.
async fn reaped_meanwhile(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let headers = "transfer-encoding: chunked\r\n";
    let mut raw = unfinished(&api, &format!("{bucket}/late"), headers, 300_000).await?;
    let state = |state: &str| {
        format!(
            "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
             where o.bucket = '{bucket}' and v.state = '{state}'"
        )
    };
    api.eventually(&state("pending"), 1).await?;
    api.execute(&format!(
        "update holdfast.version v set lease_until = now() from holdfast.object o \
         where o.id = v.object_id and o.bucket = '{bucket}'"
    ))
    .await?;
    api.eventually(&state("aborting"), 1).await?;
    ensure!(raw.send(b"0\r\n\r\n").await?);
    let (status, text) = raw.problem().await?;
    ensure!(status == 404 && text.contains("\"NoSuchUpload\""), "{text}");
    refused(api.get(&format!("{bucket}/late")), 404, "NoSuchKey").await?;
    Ok(())
}
