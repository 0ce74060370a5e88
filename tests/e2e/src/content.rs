//! What is known of content: digests, magic bytes, headers, and requests that may be repeated.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

use crate::harness::{Api, Suite, chunked, expect, header, json_of, noise, refused};
use crate::raw::Raw;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_declared_digest_is_verified_on_every_way", digests);
    suite.add("a_digest_that_is_none_is_refused", malformed_digests);
    suite.add("a_wished_sha_256_is_kept_and_given_back", repr_digest);
    suite.add("content_is_checked_by_its_magic_bytes", magic);
    suite.add("content_headers_are_kept_and_given_back", headers);
    suite.add("pages_are_attachments_in_a_sandbox", pages);
    suite.add("a_repeated_request_gets_the_first_answer", repeated);
    suite.add("a_repeated_body_is_compared_by_whatever_digest_is_known", repeated_with_digest);
    suite.add("a_request_that_runs_is_not_run_twice", running);
    suite.add("if_match_is_asked_again_at_the_commit", if_match);
    suite.add("expect_100_continue_is_answered_before_the_body", expectation);
}

/// How a body is sent: held, spliced, held without a length, pumped.
const WAYS: [(usize, bool); 4] = [(10, true), (300_000, true), (10, false), (300_000, false)];

/// A PUT with a Content-Length or without.
fn put(api: &Api, path: &str, bytes: &[u8], with_length: bool) -> reqwest::RequestBuilder {
    let body = if with_length { bytes.to_vec().into() } else { chunked(bytes) };
    api.put(path, body)
}

/// Every header that declares a digest of these bytes.
fn declared(bytes: &[u8]) -> Vec<(&'static str, String)> {
    let sha256 = STANDARD.encode(Sha256::digest(bytes));
    let crc64 = {
        let mut digest = crc64fast_nvme::Digest::new();
        digest.write(bytes);
        STANDARD.encode(digest.sum64().to_be_bytes())
    };
    vec![
        ("content-md5", STANDARD.encode(md5::Md5::digest(bytes))),
        ("content-digest", format!("sha-256=:{sha256}:")),
        ("content-digest", format!("sha-512=:{}:", STANDARD.encode(Sha512::digest(bytes)))),
        ("repr-digest", format!("sha-256=:{sha256}:, unknown=:AAAA:")),
        ("x-amz-checksum-sha256", sha256),
        ("x-amz-checksum-crc32c", STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())),
        ("x-amz-checksum-crc64nvme", crc64),
    ]
}

async fn digests(api: Api) -> Result<()> {
    for (size, with_length) in WAYS {
        let bytes = noise(size);
        let other = noise(size + 1);
        let path = |name: &str| format!("documents/digests/{size}-{with_length}/{name}");
        for (number, (name, value)) in declared(&bytes).into_iter().enumerate() {
            let key = path(&format!("{number}"));
            expect(put(&api, &key, &bytes, with_length).header(name, value), 201)
                .await
                .with_context(|| format!("{name}, {size} bytes, with_length={with_length}"))?;
            ensure!(expect(api.get(&key), 200).await?.bytes().await? == bytes);
        }
        for (name, value) in declared(&other) {
            let key = path("wrong");
            refused(put(&api, &key, &bytes, with_length).header(name, value), 400, "BadDigest")
                .await
                .with_context(|| format!("{name}, {size} bytes, with_length={with_length}"))?;
            refused(api.get(&key), 404, "NoSuchKey").await?;
        }
        for (state, s3_key) in
            api.versions("documents", &path("wrong")["documents/".len()..]).await?
        {
            ensure!(state == "aborting" && !api.is_stored("documents", &s3_key).await?, "{state}");
        }
        // All of them at once.
        let all: HeaderMap = declared(&bytes)
            .into_iter()
            .filter(|(name, value)| *name != "content-digest" || value.starts_with("sha-512"))
            .map(|(name, value)| Ok((HeaderName::try_from(name)?, HeaderValue::try_from(value)?)))
            .collect::<Result<_>>()?;
        expect(put(&api, &path("all"), &bytes, with_length).headers(all), 201).await?;
    }
    Ok(())
}

async fn malformed_digests(api: Api) -> Result<()> {
    for (name, value) in [
        ("content-md5", "AAAA"),
        ("content-digest", "sha-256=:AAAA:"),
        ("content-digest", "sha-256"),
        ("x-amz-checksum-crc32c", "not base64"),
    ] {
        let put = api.put("documents/digests/malformed", "x").header(name, value);
        refused(put, 400, "InvalidDigest").await.context(name)?;
    }
    Ok(())
}

async fn repr_digest(api: Api) -> Result<()> {
    for (size, with_length) in WAYS {
        let bytes = noise(size);
        let path = format!("documents/repr-digest/{size}-{with_length}");
        let wished = put(&api, &path, &bytes, with_length).header("want-repr-digest", "sha-256=5");
        let told = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&bytes)));
        ensure!(header(&expect(wished, 201).await?, "repr-digest") == told);
        ensure!(header(&expect(api.get(&path), 200).await?, "repr-digest") == told);
        // Of the whole file, also where a part of it is sent (RFC 9530, section 3).
        let part = expect(api.get(&path).header("range", "bytes=1-2"), 206).await?;
        ensure!(header(&part, "repr-digest") == told);
    }
    Ok(())
}

/// A PNG of one pixel, and more bytes behind it.
fn png(size: usize) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0".to_vec();
    bytes.extend(noise(size));
    bytes
}

async fn magic(api: Api) -> Result<()> {
    let page = |size: usize| {
        let mut page = b"<!DOCTYPE html><html><body>".to_vec();
        page.resize(size + 30, b'x');
        page
    };
    for (size, with_length) in WAYS {
        let path = format!("avatars/magic/{size}-{with_length}.png");
        let declared = |bytes: &[u8], content_type: &'static str| {
            put(&api, &path, bytes, with_length).header(CONTENT_TYPE, content_type)
        };
        for lie in [page(size), noise(size), vec![b'x'; size]] {
            let problem = refused(declared(&lie, "image/png"), 415, "InvalidContentType").await?;
            ensure!(problem["rule"] == "policy.allowedTypes", "{problem}");
            refused(api.get(&path), 404, "NoSuchKey").await?;
        }
        refused(declared(&png(size), "text/html"), 415, "InvalidContentType").await?;
        let answer = json_of(declared(&png(size), "image/png"), 201).await?;
        ensure!(answer["foundType"] == "image/png", "{answer}");

        // Any content is taken where the policy says nothing, and both types are kept.
        let path = format!("documents/magic/{size}-{with_length}");
        let answer = put(&api, &path, &png(size), with_length).header(CONTENT_TYPE, "text/x-mine");
        let answer = json_of(answer, 201).await?;
        ensure!(answer["contentType"] == "text/x-mine", "{answer}");
        let kept = format!(
            "select count(*) from holdfast.version where id = '{}' and declared_type = 'text/x-mine' \
             and content_type = 'text/x-mine' and found_type = 'image/png'",
            answer["version"].as_str().unwrap_or_default()
        );
        ensure!(api.number(&kept).await? == 1);
    }
    Ok(())
}

async fn headers(api: Api) -> Result<()> {
    let sent = |path: &str| {
        api.put(path, "text")
            .header("cache-control", "public, max-age=60, immutable")
            .header("content-disposition", "inline; filename=\"a.txt\"")
            .header("content-language", "de, en")
    };
    expect(sent("assets/content-headers"), 201).await?;
    expect(sent("documents/content-headers"), 201).await?;
    let public = expect(api.anonymous("assets/content-headers"), 200).await?;
    ensure!(header(&public, "cache-control") == "public, max-age=60");
    ensure!(header(&public, "content-disposition") == "inline; filename=\"a.txt\"");
    ensure!(header(&public, "content-language") == "de, en");
    ensure!(header(&public, "cache-tag").starts_with("holdfast-bucket-assets, holdfast-object-"));
    let private = expect(api.get("documents/content-headers"), 200).await?;
    ensure!(header(&private, "cache-control") == "private, max-age=60");
    ensure!(header(&private, "cache-tag").is_empty());
    let saved = expect(api.get("documents/content-headers?download=b.txt"), 200).await?;
    ensure!(header(&saved, "content-disposition") == "attachment; filename=\"b.txt\"");
    let etag = header(&private, "etag");
    let unchanged = api.get("documents/content-headers").header("if-none-match", etag);
    ensure!(header(&expect(unchanged, 304).await?, "cache-control") == "private, max-age=60");

    expect(api.put("assets/default", "x"), 201).await?;
    let default = expect(api.anonymous("assets/default"), 200).await?;
    ensure!(header(&default, "cache-control") == "public, max-age=300");
    expect(api.put("documents/default", "x"), 201).await?;
    let default = expect(api.get("documents/default"), 200).await?;
    ensure!(header(&default, "cache-control") == "private, no-cache");
    let long = api.put("documents/default", "x").header("content-language", "x".repeat(1_025));
    refused(long, 400, "InvalidArgument").await?;
    Ok(())
}

async fn pages(api: Api) -> Result<()> {
    for (key, content_type) in
        [("p.html", "text/html"), ("p.svg", "image/svg+xml"), ("p.atom", "application/atom+xml")]
    {
        let put = api.put(&format!("assets/{key}"), "<svg onload=alert(1)>");
        let put = put.header(CONTENT_TYPE, content_type).header("content-disposition", "inline");
        expect(put, 201).await?;
        let page = expect(api.anonymous(&format!("assets/{key}")), 200).await?;
        ensure!(header(&page, "content-disposition").starts_with("attachment"));
        ensure!(header(&page, "content-security-policy").contains("sandbox"));
        ensure!(header(&page, "x-content-type-options") == "nosniff");
    }
    Ok(())
}

async fn repeated(api: Api) -> Result<()> {
    for (size, with_length) in WAYS {
        let bytes = noise(size);
        let path = format!("documents/idempotent/{size}-{with_length}");
        let key = format!("\"key-{size}-{with_length}\"");
        let put = |bytes: &[u8]| {
            put(&api, &path, bytes, with_length)
                .header("idempotency-key", &key)
                .header("if-none-match", "*")
        };
        let first = expect(put(&bytes), 201).await?;
        ensure!(header(&first, "idempotent-replayed").is_empty());
        let first: Value = first.json().await?;
        let again = expect(put(&bytes), 201).await?;
        ensure!(header(&again, "idempotent-replayed") == "true");
        ensure!(again.json::<Value>().await? == first);
        ensure!(api.versions("documents", &path["documents/".len()..]).await?.len() == 1);

        let mut other = bytes.clone();
        other[size - 1] ^= 1;
        refused(put(&other), 422, "IdempotencyKeyReused").await?;
        refused(put(&noise(size + 1)), 422, "IdempotencyKeyReused").await?;
        let elsewhere = api.put("documents/idempotent/elsewhere", bytes.clone());
        let elsewhere = elsewhere.header("idempotency-key", &key);
        refused(elsewhere, 422, "IdempotencyKeyReused").await?;
        // Bob's key of the same name is another one.
        let his =
            api.client.put(format!("{}/v1/upload/documents/bobs-{size}-{with_length}", api.url));
        expect(his.bearer_auth(&api.bob).header("idempotency-key", &key).body(other), 201).await?;
    }
    Ok(())
}

/// SeaweedFS keeps one checksum: of a body with a SHA-256 there is no CRC.
async fn repeated_with_digest(api: Api) -> Result<()> {
    for (number, (name, value)) in declared(&noise(300_000)).into_iter().enumerate() {
        let path = format!("documents/idempotent/digest-{number}");
        let put =
            |bytes: Vec<u8>| api.put(&path, bytes).header("idempotency-key", format!("d-{number}"));
        expect(put(noise(300_000)).header(name, value), 201).await?;
        ensure!(header(&expect(put(noise(300_000)), 201).await?, "idempotent-replayed") == "true");
        let mut other = noise(300_000);
        other[7] ^= 1;
        refused(put(other), 422, "IdempotencyKeyReused").await.context(name)?;
    }
    Ok(())
}

async fn running(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let headers = "transfer-encoding: chunked\r\nidempotency-key: run-1\r\n";
    let mut raw = Raw::open(&api, "PUT", &format!("/v1/upload/{bucket}/running"), headers).await?;
    ensure!(raw.send_chunk(&noise(300_000)).await?);
    let pending = format!(
        "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
         where o.bucket = '{bucket}' and v.state = 'pending'"
    );
    api.eventually(&pending, 1).await?;
    let put =
        || api.put(&format!("{bucket}/running"), noise(300_000)).header("idempotency-key", "run-1");
    let response = expect(put(), 409).await?;
    ensure!(!header(&response, "retry-after").is_empty());
    refused(put(), 409, "IdempotencyKeyInUse").await?;
    ensure!(raw.send(b"0\r\n\r\n").await?);
    ensure!(raw.receive(12).await?.starts_with(b"HTTP/1.1 201"));
    let answer = expect(put(), 201).await?;
    ensure!(header(&answer, "idempotent-replayed") == "true");
    Ok(())
}

async fn if_match(api: Api) -> Result<()> {
    let path = "documents/if-match";
    let etag = header(&expect(api.put(path, "first"), 201).await?, "etag");
    let headers = format!("transfer-encoding: chunked\r\nif-match: {etag}\r\n");
    let mut raw = Raw::open(&api, "PUT", &format!("/v1/upload/{path}"), &headers).await?;
    ensure!(raw.send_chunk(&noise(100_000)).await?);
    api.eventually(
        "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
         where o.key = 'if-match' and v.state = 'pending'",
        1,
    )
    .await?;
    expect(api.put(path, "second"), 200).await?;
    ensure!(raw.send(b"0\r\n\r\n").await?);
    let (status, text) = raw.problem().await?;
    ensure!(status == 412 && text.contains("\"PreconditionFailed\""), "{text}");
    ensure!(expect(api.get(path), 200).await?.text().await? == "second");
    Ok(())
}

async fn expectation(api: Api) -> Result<()> {
    let headers = "expect: 100-continue\r\ncontent-length: 5\r\n";
    let mut raw = Raw::open(&api, "PUT", "/v1/upload/documents/expected", headers).await?;
    ensure!(raw.receive(21).await?.starts_with(b"HTTP/1.1 100 Continue"));
    ensure!(raw.send(b"hello").await?);
    ensure!(raw.receive(12).await?.starts_with(b"HTTP/1.1 201"));

    let headers = "expect: 100-continue\r\ncontent-length: 6000000\r\ncontent-type: image/png\r\n";
    let mut raw = Raw::open(&api, "PUT", "/v1/upload/avatars/expected", headers).await?;
    let (status, text) = raw.problem().await?;
    ensure!(status == 413 && !text.contains("100 Continue"), "{text}");
    Ok(())
}
