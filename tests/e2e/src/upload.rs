//! `PUT /v1/upload/{bucket}/{key...}`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use reqwest::header::CONTENT_LENGTH;
use sha2::{Digest as _, Sha256};

use crate::harness::{self, Api, Suite, expect, json_of, noise, refused, sha256};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("us_001_a_user_uploads_and_the_metadata_is_in_the_database", us_001);
    suite.add("round_trips_have_equal_digests", round_trips);
    suite.add("one_gibibyte_comes_back_the_same", gibibyte);
    suite.add("a_body_without_a_length_is_taken", chunked);
    suite.add("every_key_round_trips", keys);
    suite.add("64_concurrent_uploads_of_one_key_end_in_one_current_version", concurrent);
    suite.add("if_none_match_creates_once", creates_once);
}

async fn us_001(api: Api) -> Result<()> {
    let put = api.put("assets/us-001/logo.txt", "hello").header("x-amz-meta-team", "blue");
    let answer = json_of(put, 201).await?;
    ensure!(answer["size"] == 5 && answer["key"] == "us-001/logo.txt", "{answer}");
    ensure!(
        answer["contentType"].as_str().is_some_and(|t| t.starts_with("text/plain")),
        "{answer}"
    );
    let url = answer["url"].as_str().unwrap_or_default();
    let public = expect(api.client.get(url), 200).await?;
    ensure!(public.text().await? == "hello");
    let rows = api
        .number(
            "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
             where o.key = 'us-001/logo.txt' and v.state = 'live' and v.size_bytes = 5 \
             and v.user_metadata ->> 'team' = 'blue' and o.owner = 'alice'",
        )
        .await?;
    ensure!(rows == 1, "{rows} rows");
    for (state, s3_key) in api.versions("assets", "us-001/logo.txt").await? {
        ensure!(state == "live" && api.is_stored("assets", &s3_key).await?, "{s3_key}");
    }
    json_of(api.put("assets/us-001/logo.txt", "hello again"), 200).await?;
    Ok(())
}

async fn round_trips(api: Api) -> Result<()> {
    for size in [0, 1, 65_536, 65_537, 5 * 1_024 * 1_024] {
        let bytes = noise(size);
        let digest = sha256(&bytes);
        let path = format!("documents/round/{size}");
        let answer = json_of(api.put(&path, bytes), 201).await?;
        ensure!(answer["size"] == size, "{answer}");
        ensure!(answer["digest"].as_str().is_some_and(|d| d.starts_with("crc64nvme=")), "{answer}");
        let body = expect(api.get(&path), 200).await?.bytes().await?;
        ensure!(
            body.len() == size && sha256(&body) == digest,
            "{size} bytes came back as {}",
            body.len()
        );
    }
    Ok(())
}

/// One with a length, spliced, and one without, pumped. Made, sent and compared in pieces.
async fn gibibyte(api: Api) -> Result<()> {
    const PIECES: u64 = 1_024;
    let piece = noise(1_024 * 1_024);
    for with_length in [true, false] {
        let path = format!("documents/gibibyte/{with_length}");
        let digest = Arc::new(Mutex::new(Sha256::new()));
        let (hasher, piece) = (Arc::clone(&digest), piece.clone());
        let pieces = stream::iter(0..PIECES).map(move |number| {
            let mut bytes = piece.clone();
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            lock(&hasher).update(&bytes);
            Ok::<_, std::io::Error>(bytes)
        });
        let mut put = api.put(&path, reqwest::Body::wrap_stream(pieces));
        if with_length {
            put = put.header(CONTENT_LENGTH, PIECES * 1_024 * 1_024);
        }
        let answer = json_of(put, 201).await?;
        ensure!(answer["size"] == PIECES * 1_024 * 1_024, "{answer}");

        let mut back = Sha256::new();
        let mut body = expect(api.get(&path), 200).await?.bytes_stream();
        while let Some(bytes) = body.next().await {
            back.update(bytes?);
        }
        let sent = lock(&digest).clone().finalize();
        ensure!(back.finalize() == sent, "other bytes came back, with_length={with_length}");
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn chunked(api: Api) -> Result<()> {
    for size in [10, 3 * 1_024 * 1_024] {
        let bytes = noise(size);
        let digest = sha256(&bytes);
        let path = format!("documents/chunked/{size}");
        let answer = json_of(api.put(&path, harness::chunked(&bytes)), 201).await?;
        ensure!(answer["size"] == size, "{answer}");
        ensure!(sha256(&expect(api.get(&path), 200).await?.bytes().await?) == digest);
    }
    Ok(())
}

async fn keys(api: Api) -> Result<()> {
    for (encoded, key) in [
        ("keys/%E6%97%A5%E6%9C%AC/%F0%9F%98%80.txt", "keys/日本/😀.txt"),
        ("keys/a%20b+c%25", "keys/a b+c%"),
        ("keys//twice", "keys//twice"),
        ("keys/back%5Cslash", "keys/back\\slash"),
    ] {
        let answer = json_of(api.put(&format!("documents/{encoded}"), key.to_owned()), 201).await?;
        ensure!(answer["key"] == key, "{answer}");
        let url = answer["url"].as_str().unwrap_or_default();
        let body = expect(api.client.get(url).bearer_auth(&api.alice), 200).await?.text().await?;
        ensure!(body == key, "{key} came back as {body}");
    }
    Ok(())
}

async fn concurrent(api: Api) -> Result<()> {
    let puts = (0..64).map(|number| {
        let put = api.put("documents/concurrent", format!("{number}"));
        async move { Ok::<_, anyhow::Error>(put.send().await?.status().as_u16()) }
    });
    for status in join_all(puts).await {
        let status = status?;
        ensure!(matches!(status, 200 | 201), "status {status}");
    }
    let live = "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
        where o.key = 'concurrent' and v.state = 'live'";
    ensure!(api.number(live).await? == 1);
    let all = "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
        where o.key = 'concurrent' and v.state in ('live', 'superseded')";
    ensure!(api.number(all).await? == 64);
    Ok(())
}

async fn creates_once(api: Api) -> Result<()> {
    let put = || api.put("documents/once", "x").header("if-none-match", "*");
    expect(put(), 201).await?;
    refused(put(), 412, "PreconditionFailed").await?;
    Ok(())
}
