//! Every error, with its status and its code, and nothing left behind.

use anyhow::{Result, ensure};
use holdfast_dev::Stack;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use crate::harness::{Api, Suite, chunked, expect, header, noise, refused};
use crate::raw::Raw;

const MIB: usize = 1_024 * 1_024;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("uploads_are_refused_with_the_right_code", uploads);
    suite.add("downloads_are_refused_with_the_right_code", downloads);
    suite.add("a_length_above_the_limit_is_refused_before_the_body", too_long);
    suite.add("a_body_without_a_length_is_refused_at_the_limit", grows_too_long);
    suite.add("a_client_that_sends_all_before_it_reads_gets_its_refusal", sends_all);
    suite.add("a_body_that_never_ends_is_given_up", never_ends);
    suite.add("a_broken_chunk_is_an_incomplete_body", broken_chunk);
    suite.add("a_type_that_the_bucket_does_not_take_is_refused", wrong_type);
    suite.add("quotas_are_kept", quotas);
    suite.add("a_body_without_a_length_is_taken_if_it_fits", fits);
    suite.add("a_token_does_no_more_than_its_scope", scopes);
    suite.add("a_bucket_that_is_being_deleted_takes_nothing", deleting);
    suite.add("the_worker_wants_its_secret", tick_secret);
}

async fn uploads(api: Api) -> Result<()> {
    let url = format!("{}/v1/upload/documents/refused", api.url);
    refused(api.client.put(&url).body("x"), 401, "MissingAuthentication").await?;
    refused(api.client.put(&url).bearer_auth("nonsense").body("x"), 401, "InvalidToken").await?;
    refused(api.client.put(&url).bearer_auth(&api.expired).body("x"), 401, "ExpiredToken").await?;
    let response = expect(api.client.post(&url).bearer_auth(&api.alice), 405).await?;
    ensure!(header(&response, "allow") == "PUT", "{response:?}");
    refused(api.client.post(&url).bearer_auth(&api.alice), 405, "MethodNotAllowed").await?;
    refused(api.put("nowhere/x", "x"), 404, "NoSuchBucket").await?;
    refused(api.put("A/x", "x"), 400, "InvalidBucketName").await?;
    let too_long = format!("documents/{}", "k".repeat(1_025));
    refused(api.put(&too_long, "x"), 400, "KeyTooLongError").await?;
    for key in ["a%0Ab", "a/../b", "a/.", "%FF", "%zz"] {
        // Not through a URL library, which would resolve the dots.
        let path = format!("/v1/upload/documents/{key}");
        let mut raw = Raw::open(&api, "PUT", &path, "content-length: 1\r\n").await?;
        raw.send(b"x").await?;
        let (status, text) = raw.problem().await?;
        ensure!(status == 400 && text.contains("\"InvalidArgument\""), "{key}: {text}");
    }
    let metadata = api.put("documents/refused", "x").header("x-amz-meta-big", "m".repeat(3_000));
    refused(metadata, 400, "MetadataTooLarge").await?;
    refused(api.put("documents/refused", "x").header(CONTENT_TYPE, "none"), 400, "InvalidArgument")
        .await?;
    refused(
        api.put("documents/refused", "x").header("if-match", "\"a\""),
        412,
        "PreconditionFailed",
    )
    .await?;
    refused(api.get("documents/refused"), 404, "NoSuchKey").await?;

    expect(api.put("documents/hers", "x"), 201).await?;
    let his = api.client.put(format!("{}/v1/upload/documents/hers", api.url)).bearer_auth(&api.bob);
    refused(his.body("y"), 403, "AccessDenied").await?;
    ensure!(expect(api.get("documents/hers"), 200).await?.text().await? == "x");
    Ok(())
}

async fn downloads(api: Api) -> Result<()> {
    expect(api.put("documents/there", "12345"), 201).await?;
    let there = || api.anonymous("documents/there");
    refused(there().bearer_auth("nonsense"), 401, "InvalidToken").await?;
    refused(there().bearer_auth(&api.expired), 401, "ExpiredToken").await?;
    refused(there().basic_auth("alice", Some("x")), 401, "InvalidToken").await?;
    refused(there(), 404, "NoSuchKey").await?;
    refused(api.get("nowhere/x"), 404, "NoSuchBucket").await?;
    refused(api.anonymous("nowhere/x"), 404, "NoSuchKey").await?;
    refused(api.get("documents/missing"), 404, "NoSuchKey").await?;
    refused(api.get("A/x"), 400, "InvalidBucketName").await?;
    refused(api.get("documents/there?version=7"), 400, "InvalidArgument").await?;
    let unknown = "documents/there?version=019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42";
    refused(api.get(unknown), 404, "NoSuchVersion").await?;
    for range in ["bytes=5-", "bytes=9-12", "bytes=-0"] {
        let request = || api.get("documents/there").header("range", range);
        let problem = refused(request(), 416, "InvalidRange").await?;
        ensure!(problem["detail"].as_str().is_some_and(|text| text.contains('5')), "{problem}");
        ensure!(header(&expect(request(), 416).await?, "content-range") == "bytes */5");
    }
    // What is no range of bytes is as if it were not there (RFC 9110, section 14.2).
    for range in ["bytes=x-y", "lines=1-2", "bytes=3-1"] {
        let whole = expect(api.get("documents/there").header("range", range), 200).await?;
        ensure!(whole.text().await? == "12345");
    }
    let delete = api.client.delete(format!("{}/v1/download/documents/there", api.url));
    refused(delete.bearer_auth(&api.alice), 405, "MethodNotAllowed").await?;
    let head = api.client.head(format!("{}/v1/download/documents/missing", api.url));
    let response = expect(head.bearer_auth(&api.alice), 404).await?;
    ensure!(response.bytes().await?.is_empty());
    Ok(())
}

async fn too_long(api: Api) -> Result<()> {
    for (path, length, rule) in [
        ("avatars/long.png", 5 * MIB as u64 + 1, "policy.maxBytes"),
        ("documents/long", 5 * 1_024 * MIB as u64 + 1, "limits.maxPutBytes"),
    ] {
        let headers = format!("content-type: image/png\r\ncontent-length: {length}\r\n");
        let mut raw = Raw::open(&api, "PUT", &format!("/v1/upload/{path}"), &headers).await?;
        // Not one byte of the body was sent.
        let (status, text) = raw.problem().await?;
        ensure!(status == 413, "{text}");
        ensure!(text.contains("\"EntityTooLarge\"") && text.contains(rule), "{text}");
        refused(api.get(path), 404, "NoSuchKey").await?;
    }
    Ok(())
}

async fn grows_too_long(api: Api) -> Result<()> {
    let headers = "content-type: image/png\r\ntransfer-encoding: chunked\r\n";
    let mut raw = Raw::open(&api, "PUT", "/v1/upload/avatars/grows.png", headers).await?;
    let chunk = noise(MIB);
    let mut taken = 0;
    // The limit is 5 MiB; more than that is on its way in buffers when the answer comes.
    while taken < 64 && raw.send_chunk(&chunk).await? {
        taken += 1;
    }
    ensure!((5..32).contains(&taken), "{taken} MiB were taken");
    let mut slow = Raw::open(&api, "PUT", "/v1/upload/avatars/grows.png", headers).await?;
    for _ in 0..5 {
        ensure!(slow.send_chunk(&chunk).await?);
    }
    // One byte over it, and the body goes on for ever.
    ensure!(slow.send_chunk(b"x").await?);
    let (status, text) = slow.problem().await?;
    ensure!(status == 413 && text.contains("policy.maxBytes"), "{text}");
    refused(api.get("avatars/grows.png"), 404, "NoSuchKey").await?;
    for (state, s3_key) in api.versions("avatars", "grows.png").await? {
        ensure!(state == "aborting", "{state}");
        ensure!(!api.is_stored("avatars", &s3_key).await?, "{s3_key} is stored");
    }
    Ok(())
}

async fn broken_chunk(api: Api) -> Result<()> {
    for bytes in [10, 300_000] {
        let headers = "transfer-encoding: chunked\r\n";
        let mut raw = Raw::open(&api, "PUT", "/v1/upload/documents/broken", headers).await?;
        ensure!(raw.send_chunk(&noise(bytes)).await?);
        raw.send(b"not-a-length\r\n").await?;
        let (status, text) = raw.problem().await?;
        ensure!(status == 400 && text.contains("\"IncompleteBody\""), "{text}");
        refused(api.get("documents/broken"), 404, "NoSuchKey").await?;
    }
    Ok(())
}

async fn wrong_type(api: Api) -> Result<()> {
    let declared = api.put("avatars/a.txt", "text").header(CONTENT_TYPE, "text/plain");
    let problem = refused(declared, 415, "InvalidContentType").await?;
    ensure!(problem["rule"] == "policy.allowedTypes", "{problem}");
    // Nothing declared: what the bytes are counts, for a held and for a spliced body.
    for size in [10, 300_000] {
        refused(api.put("avatars/found", noise(size)), 415, "InvalidContentType").await?;
    }
    refused(api.get("avatars/found"), 404, "NoSuchKey").await?;
    for (state, s3_key) in api.versions("avatars", "found").await? {
        ensure!(state == "aborting" && !api.is_stored("avatars", &s3_key).await?, "{state}");
    }
    Ok(())
}

async fn quotas(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({ "quotaBytes": 1_000_000 })).await?;
    let path = |key: &str| format!("{bucket}/{key}");
    expect(api.put(&path("first"), noise(900_000)), 201).await?;
    let problem = refused(api.put(&path("second"), noise(200_000)), 403, "QuotaExceeded").await?;
    ensure!(problem["rule"] == "policy.quotaBytes", "{problem}");
    // Without a length the commit finds out.
    let unknown = api.put(&path("third"), chunked(&noise(200_000)));
    refused(unknown, 403, "QuotaExceeded").await?;
    expect(api.put(&path("fourth"), noise(50_000)), 201).await?;
    Ok(())
}

/// More than one step of the quota, and less than the next one would need.
async fn fits(api: Api) -> Result<()> {
    let limits = [json!({ "maxBytes": 80 * MIB }), json!({ "quotaBytes": 80 * MIB })];
    for limit in limits {
        let bucket = api.bucket(&limit).await?;
        let piece = noise(MIB);
        let pieces = |count: usize| {
            let piece = piece.clone();
            let pieces = (0..count).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
            reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
        };
        let put = |count| api.put(&format!("{bucket}/{count}"), pieces(count)).send();
        let too_much = put(81).await?.status().as_u16();
        ensure!(matches!(too_much, 403 | 413), "81 MiB: {too_much}");
        let fits = put(70).await?;
        ensure!(fits.status() == 201, "{limit}: {}", fits.text().await?);
    }
    Ok(())
}

async fn scopes(api: Api) -> Result<()> {
    let token = |scope: &str| api.stack.token("alice", 600, &json!({ "scope": scope }));
    expect(api.put("documents/scoped", "x"), 201).await?;
    let url = format!("{}/v1/upload/documents/scoped", api.url);
    let write = |scope: &str| api.client.put(&url).bearer_auth(token(scope)).body("y");
    let read = |scope: &str| api.anonymous("documents/scoped").bearer_auth(token(scope));
    refused(write("download"), 403, "AccessDenied").await?;
    expect(write("upload"), 200).await?;
    refused(read("upload"), 404, "NoSuchKey").await?;
    expect(read("download"), 200).await?;
    Ok(())
}

async fn deleting(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    api.execute(&format!("update holdfast.bucket set state = 'deleting' where name = '{bucket}'"))
        .await?;
    refused(api.put(&format!("{bucket}/x"), "x"), 409, "BucketNotActive").await?;
    Ok(())
}

async fn tick_secret(api: Api) -> Result<()> {
    let url = format!("{}/internal/tick", api.url);
    refused(api.client.post(&url), 403, "AccessDenied").await?;
    refused(api.client.post(&url).bearer_auth(&api.alice), 403, "AccessDenied").await?;
    refused(api.client.get(&url), 405, "MethodNotAllowed").await?;
    let secret = Stack::tick_secret(&api.stack);
    expect(api.client.post(&url).bearer_auth(secret), 200).await?;
    Ok(())
}

/// The connection stays until the body is through, though the answer is there at once.
async fn sends_all(api: Api) -> Result<()> {
    let body = noise(6 * MIB);
    let length = format!("content-length: {}\r\n", body.len());
    let image = "content-type: image/png\r\n";
    for (method, path, headers, status) in [
        // Refused by its head, by a body that gets too long, and without a look at either.
        ("PUT", "/v1/upload/avatars/sends-all", format!("{length}{image}"), 413),
        (
            "PUT",
            "/v1/upload/avatars/sends-all",
            format!("transfer-encoding: chunked\r\n{image}"),
            413,
        ),
        ("PUT", "/v1/upload/nowhere/sends-all", length.clone(), 404),
        ("POST", "/v1/shares", length.clone(), 413),
        ("PUT", "/v1/download/documents/sends-all", length.clone(), 405),
    ] {
        let mut raw = Raw::open(&api, method, path, &headers).await?;
        for (number, piece) in body.chunks(MIB / 4).enumerate() {
            let taken = if headers.contains("chunked") {
                raw.send_chunk(piece).await?
            } else {
                raw.send(piece).await?
            };
            ensure!(taken, "{method} {path}: reset before piece {number}");
            // Slower than the server reads, so that nothing waits in a socket.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        if headers.contains("chunked") {
            ensure!(raw.send(b"0\r\n\r\n").await?, "{path}: reset before the end");
        }
        let (got, text) = raw.problem().await?;
        ensure!(got == status, "{method} {path}: {text}");
    }
    // Without a token, by a client that we did not write.
    for _ in 0..5 {
        let nobody = api.client.put(format!("{}/v1/upload/documents/sends-all", api.url));
        refused(nobody.body(body.clone()), 401, "MissingAuthentication").await?;
    }
    Ok(())
}

/// What is read for nothing has an end.
async fn never_ends(api: Api) -> Result<()> {
    let headers = format!("content-length: {}\r\n", 6_u64 * 1_024 * 1_024 * 1_024);
    let mut raw = Raw::open(&api, "PUT", "/v1/upload/nowhere/never-ends", &headers).await?;
    let piece = noise(MIB);
    let mut sent = 0;
    while raw.send(&piece).await? {
        sent += 1;
        ensure!(sent < 512, "{sent} MiB were taken");
    }
    Ok(())
}
