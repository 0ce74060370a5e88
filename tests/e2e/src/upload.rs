//! `PUT /v1/upload/{bucket}/{key...}`.

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use futures_util::stream;

use crate::harness::{Api, Suite, expect, json_of, noise, refused, sha256};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("us_001_a_user_uploads_and_the_metadata_is_in_the_database", us_001);
    suite.add("round_trips_have_equal_digests", round_trips);
    suite.add("a_body_without_a_length_is_taken", chunked);
    suite.add("every_key_round_trips", keys);
    suite.add("64_concurrent_uploads_of_one_key_end_in_one_current_version", concurrent);
    suite.add("if_none_match_creates_once", creates_once);
    suite.add("uploads_are_refused_with_the_right_code", refusals);
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

async fn chunked(api: Api) -> Result<()> {
    for size in [10, 3 * 1_024 * 1_024] {
        let bytes = noise(size);
        let digest = sha256(&bytes);
        let chunks: Vec<_> =
            bytes.chunks(50_000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
        let path = format!("documents/chunked/{size}");
        let body = reqwest::Body::wrap_stream(stream::iter(chunks));
        let answer = json_of(api.put(&path, body), 201).await?;
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

async fn refusals(api: Api) -> Result<()> {
    let url = format!("{}/v1/upload/documents/refused", api.url);
    refused(api.client.put(&url).body("x"), 401, "MissingAuthentication").await?;
    refused(api.client.put(&url).bearer_auth("nonsense").body("x"), 401, "InvalidToken").await?;
    refused(api.client.put(&url).bearer_auth(&api.expired).body("x"), 401, "ExpiredToken").await?;
    refused(api.client.post(&url).bearer_auth(&api.alice), 405, "MethodNotAllowed").await?;
    refused(api.put("nowhere/x", "x"), 404, "NoSuchBucket").await?;
    refused(api.put("A/x", "x"), 400, "InvalidBucketName").await?;
    refused(api.put(&format!("documents/{}", "k".repeat(1_025)), "x"), 400, "KeyTooLongError")
        .await?;
    refused(api.put("documents/a%0Ab", "x"), 400, "InvalidArgument").await?;
    expect(api.put("documents/hers", "x"), 201).await?;
    let his = api.client.put(format!("{}/v1/upload/documents/hers", api.url)).bearer_auth(&api.bob);
    refused(his.body("y"), 403, "AccessDenied").await?;
    Ok(())
}
