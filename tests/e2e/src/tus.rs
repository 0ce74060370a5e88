//! `/v1/tus`: the protocol by hand. Its real clients are elsewhere.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use holdfast_dev::{Stack, StackOptions};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::harness::{Api, Suite, chunked, expect, header, json_of, noise, refused, sha256};
use crate::multipart::{is_stored, nothing_is_left, restart_host, vacuum};
use crate::raw::Raw;

const MIB: usize = 1_024 * 1_024;
const BYTES: &str = "application/offset+octet-stream";

pub(crate) fn register(suite: &mut Suite) {
    suite.add("tus_an_upload_goes_on_where_it_stopped", goes_on);
    suite.add("tus_pieces_of_any_length_come_together", any_length);
    suite.add("tus_a_large_file_in_one_request", one_request);
    suite.add("tus_what_arrived_before_a_break_is_kept", breaks);
    suite.add("tus_an_upload_may_begin_with_its_bytes", with_creation);
    suite.add("tus_the_length_may_come_later", deferred);
    suite.add("tus_checksums_are_compared_before_anything_is_kept", checksums);
    suite.add("tus_what_is_terminated_leaves_nothing", terminated);
    suite.add("tus_pieces_are_concatenated", concatenated);
    suite.add("tus_the_newer_writer_takes_over", takes_over);
    suite.add("tus_every_refusal_has_its_status", refusals);
    suite.add("tus_an_expired_upload_is_gone", expired);
    suite.add("tus_an_upload_token_stands_for_a_bearer_token", by_token);
    suite.add("tus_browsers_of_other_origins_may_read_its_headers", cross_origin);
    suite.add("tus_quotas_hold_while_bytes_flow", quota);
    suite.add("tus_200_uploads_at_once", two_hundred);
    suite.add("tus_goes_on_after_every_server_was_killed", killed);
}

fn request(api: &Api, method: Method, url: &str) -> RequestBuilder {
    let url = if url.starts_with('/') { format!("{}{url}", api.url) } else { url.to_owned() };
    api.client.request(method, url).bearer_auth(&api.alice).header("tus-resumable", "1.0.0")
}

fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| format!("{name} {}", STANDARD.encode(value)));
    pairs.collect::<Vec<_>>().join(",")
}

fn creation(api: &Api, bucket: &str, key: &str) -> RequestBuilder {
    request(api, Method::POST, "/v1/tus")
        .header("upload-metadata", metadata(&[("bucket", bucket), ("key", key)]))
}

/// Creates an upload; its URL.
async fn create(api: &Api, bucket: &str, key: &str, length: usize) -> Result<String> {
    let made = expect(creation(api, bucket, key).header("upload-length", length), 201).await?;
    Ok(header(&made, "location"))
}

fn patch(api: &Api, url: &str, offset: usize, bytes: &[u8]) -> RequestBuilder {
    request(api, Method::PATCH, url)
        .header("content-type", BYTES)
        .header("upload-offset", offset)
        .body(bytes.to_vec())
}

async fn head(api: &Api, url: &str) -> Result<Response> {
    expect(request(api, Method::HEAD, url), 200).await
}

async fn offset(api: &Api, url: &str) -> Result<usize> {
    header(&head(api, url).await?, "upload-offset").parse().context("an offset")
}

/// Waits until the upload is at this offset, which a broken request comes to a moment later.
async fn comes_to(api: &Api, url: &str, wanted: usize) -> Result<()> {
    for _ in 0..100 {
        if offset(api, url).await? == wanted {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("{} and not {wanted}", offset(api, url).await?)
}

/// Sends all in requests of these lengths, the last one again and again.
async fn send(api: &Api, url: &str, bytes: &[u8], lengths: &[usize]) -> Result<Response> {
    let (mut at, mut lengths) = (0, lengths.iter());
    let mut length = 1;
    loop {
        length = *lengths.next().unwrap_or(&length);
        let end = bytes.len().min(at + length);
        let sent = expect(patch(api, url, at, &bytes[at..end]), 204).await?;
        ensure!(header(&sent, "upload-offset") == end.to_string());
        at = end;
        if at == bytes.len() {
            return Ok(sent);
        }
        ensure!(offset(api, url).await? == at);
    }
}

async fn goes_on(api: Api) -> Result<()> {
    let bytes = noise(300_000);
    let described = metadata(&[
        ("bucket", "documents"),
        ("key", "tus/ü ☂.bin"),
        ("filetype", "image/x-mine"),
        ("team", "blue"),
    ]);
    let made = expect(
        request(&api, Method::POST, "/v1/tus")
            .header("upload-metadata", &described)
            .header("upload-length", bytes.len())
            .header("cache-control", "no-store"),
        201,
    )
    .await?;
    let url = header(&made, "location");
    ensure!(url.starts_with(&format!("{}/v1/tus/", api.url)), "{url}");
    ensure!(header(&made, "tus-resumable") == "1.0.0");
    ensure!(header(&made, "upload-expires").ends_with(" GMT"));

    let first = head(&api, &url).await?;
    ensure!(header(&first, "upload-offset") == "0" && header(&first, "upload-length") == "300000");
    ensure!(header(&first, "upload-metadata") == described);
    ensure!(header(&first, "cache-control") == "no-store");
    let sent = expect(patch(&api, &url, 0, &bytes[..100_001]), 204).await?;
    ensure!(header(&sent, "upload-offset") == "100001");
    ensure!(offset(&api, &url).await? == 100_001);
    refused(api.get("documents/tus/ü ☂.bin"), 404, "NoSuchKey").await?;
    // Not where it is.
    refused(patch(&api, &url, 100_000, b"x"), 409, "OffsetMismatch").await?;
    refused(patch(&api, &url, 100_002, b"x"), 409, "OffsetMismatch").await?;
    let last = expect(patch(&api, &url, 100_001, &bytes[100_001..]), 204).await?;
    ensure!(header(&last, "upload-offset") == "300000");
    is_stored(&api, "documents/tus/ü ☂.bin", &bytes).await?;
    let got = expect(api.get("documents/tus/ü ☂.bin"), 200).await?;
    ensure!(header(&got, "content-type") == "image/x-mine");
    ensure!(
        header(&got, "x-amz-meta-team") == "blue" && header(&got, "cache-control") == "no-store"
    );
    ensure!(header(&got, "etag") == header(&last, "etag"));
    let again =
        expect(api.client.get(header(&last, "content-location")).bearer_auth(&api.alice), 200);
    ensure!(again.await?.bytes().await?.len() == bytes.len());

    // Whoever missed the last answer asks, or sends nothing once more.
    let after = head(&api, &url).await?;
    ensure!(
        header(&after, "upload-offset") == "300000"
            && header(&after, "etag") == header(&last, "etag")
    );
    expect(patch(&api, &url, 300_000, b""), 204).await?;
    refused(patch(&api, &url, 0, &bytes), 409, "OffsetMismatch").await?;
    refused(request(&api, Method::DELETE, &url), 403, "AccessDenied").await?;
    Ok(())
}

async fn any_length(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let bytes = noise(13 * MIB + 17);
    for (key, length, lengths) in [
        ("tiny", 3, &[1, 1][..]),
        ("short", 5 * MIB - 1, &[MIB]),
        ("a-part", 5 * MIB, &[2 * MIB, 3 * MIB]),
        ("parts", 13 * MIB + 17, &[1, 5 * MIB - 1, 5 * MIB, 1_000, MIB]),
        ("tails", 11 * MIB, &[3 * MIB]),
        ("whole", 13 * MIB + 17, &[6 * MIB, 13 * MIB]),
    ] {
        let url = create(&api, &bucket, key, length).await?;
        send(&api, &url, &bytes[..length], lengths).await.context(key)?;
        is_stored(&api, &format!("{bucket}/{key}"), &bytes[..length]).await?;
    }
    let url = create(&api, &bucket, "empty", 0).await?;
    ensure!(offset(&api, &url).await? == 0);
    is_stored(&api, &format!("{bucket}/empty"), b"").await?;
    // Of all those tails nothing is left.
    ensure!(api.listed(&bucket).await? == 7, "{}", api.listed(&bucket).await?);
    Ok(())
}

async fn one_request(api: Api) -> Result<()> {
    let bytes = noise(70 * MIB + 5);
    let url = create(&api, "documents", "tus/large", bytes.len()).await?;
    expect(patch(&api, &url, 0, &bytes), 204).await?;
    is_stored(&api, "documents/tus/large", &bytes).await?;
    let url = create(&api, "documents", "tus/chunked", bytes.len()).await?;
    let without_length = patch(&api, &url, 0, b"").body(chunked(&bytes));
    expect(without_length, 204).await?;
    is_stored(&api, "documents/tus/chunked", &bytes).await
}

async fn breaks(api: Api) -> Result<()> {
    let bytes = noise(40 * MIB);
    let url = create(&api, "documents", "tus/broken", bytes.len()).await?;
    let path = url.strip_prefix(&api.url).context("our URL")?.to_owned();
    let mut at = 0;
    // Within a part, behind one, by a close and by a reset.
    for (index, length) in [1_234, 3 * MIB, 6 * MIB + 7, MIB, 100].into_iter().enumerate() {
        let headers = format!(
            "tus-resumable: 1.0.0\r\ncontent-type: {BYTES}\r\nupload-offset: {at}\r\ncontent-length: {}\r\n",
            bytes.len() - at
        );
        let mut raw = Raw::open(&api, "PATCH", &path, &headers).await?;
        ensure!(raw.send(&bytes[at..at + length]).await?);
        // Until it has all of it: a reset throws away what was not read yet.
        tokio::time::sleep(Duration::from_millis(700)).await;
        if index % 2 == 0 {
            drop(raw)
        } else {
            raw.reset()?
        }
        at += length;
        comes_to(&api, &url, at).await.with_context(|| format!("break {index}"))?;
    }
    expect(patch(&api, &url, at, &bytes[at..]), 204).await?;
    is_stored(&api, "documents/tus/broken", &bytes).await
}

async fn with_creation(api: Api) -> Result<()> {
    for (key, length) in [("small", 10), ("long", 9 * MIB)] {
        let bytes = noise(length);
        let key = format!("tus/created-{key}");
        let whole = creation(&api, "documents", &key)
            .header("upload-length", length)
            .header("content-type", BYTES)
            .body(bytes.clone());
        let made = expect(whole, 201).await?;
        ensure!(header(&made, "upload-offset") == length.to_string());
        ensure!(offset(&api, &header(&made, "location")).await? == length);
        is_stored(&api, &format!("documents/{key}"), &bytes).await?;
    }
    let part = creation(&api, "documents", "tus/created-part")
        .header("upload-length", 10)
        .header("content-type", BYTES)
        .body("12345");
    let made = expect(part, 201).await?;
    let url = header(&made, "location");
    ensure!(header(&made, "upload-offset") == "5" && offset(&api, &url).await? == 5);
    expect(patch(&api, &url, 5, b"67890"), 204).await?;
    is_stored(&api, "documents/tus/created-part", b"1234567890").await
}

async fn deferred(api: Api) -> Result<()> {
    let bytes = noise(6 * MIB);
    let made = creation(&api, "documents", "tus/deferred").header("upload-defer-length", 1);
    let url = header(&expect(made, 201).await?, "location");
    let asked = head(&api, &url).await?;
    ensure!(
        header(&asked, "upload-defer-length") == "1" && header(&asked, "upload-length").is_empty()
    );
    expect(patch(&api, &url, 0, &bytes[..4 * MIB]), 204).await?;
    expect(patch(&api, &url, 4 * MIB, &bytes[4 * MIB..]).header("upload-length", bytes.len()), 204)
        .await?;
    is_stored(&api, "documents/tus/deferred", &bytes).await?;

    // The length may be told with no more bytes; and it is told once.
    let made = creation(&api, "documents", "tus/told").header("upload-defer-length", 1);
    let url = header(&expect(made, 201).await?, "location");
    expect(patch(&api, &url, 0, b"1234"), 204).await?;
    refused(patch(&api, &url, 4, b"").header("upload-length", 3), 413, "EntityTooLarge").await?;
    expect(patch(&api, &url, 4, b"5").header("upload-length", 6), 204).await?;
    refused(patch(&api, &url, 5, b"6").header("upload-length", 7), 400, "InvalidArgument").await?;
    expect(patch(&api, &url, 5, b"6").header("upload-length", 6), 204).await?;
    is_stored(&api, "documents/tus/told", b"123456").await
}

async fn checksums(api: Api) -> Result<()> {
    let bytes = noise(7 * MIB);
    let sum = |bytes: &[u8]| format!("sha1 {}", STANDARD.encode(Sha1::digest(bytes)));
    let url = create(&api, "documents", "tus/summed", bytes.len()).await?;
    let (first, rest) = bytes.split_at(100_000);
    let wrong = patch(&api, &url, 0, first).header("upload-checksum", sum(b"other"));
    refused(wrong, 460, "ChecksumMismatch").await?;
    let unknown = patch(&api, &url, 0, first).header("upload-checksum", "crc9 AAAA");
    refused(unknown, 400, "InvalidDigest").await?;
    ensure!(offset(&api, &url).await? == 0, "something was kept");
    expect(patch(&api, &url, 0, first).header("upload-checksum", sum(first)), 204).await?;
    // Longer than a part: still all or nothing.
    let wrong = patch(&api, &url, 100_000, rest).header("upload-checksum", sum(first));
    refused(wrong, 460, "ChecksumMismatch").await?;
    ensure!(offset(&api, &url).await? == 100_000, "something was kept");

    // Behind the body.
    let path = url.strip_prefix(&api.url).context("our URL")?;
    for (digest, kept) in [(sum(b"other"), false), (sum(rest), true)] {
        let headers = format!(
            "tus-resumable: 1.0.0\r\ncontent-type: {BYTES}\r\nupload-offset: 100000\r\n\
             transfer-encoding: chunked\r\ntrailer: upload-checksum\r\n"
        );
        let mut raw = Raw::open(&api, "PATCH", path, &headers).await?;
        for chunk in rest.chunks(MIB) {
            ensure!(raw.send_chunk(chunk).await?);
        }
        ensure!(raw.send(format!("0\r\nupload-checksum: {digest}\r\n\r\n").as_bytes()).await?);
        let answer = String::from_utf8_lossy(&raw.receive(12).await?).into_owned();
        ensure!(answer.contains(if kept { " 204" } else { " 460" }), "{answer}");
        ensure!(offset(&api, &url).await? == if kept { bytes.len() } else { 100_000 });
    }
    is_stored(&api, "documents/tus/summed", &bytes).await
}

async fn terminated(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let bytes = noise(8 * MIB);
    // Nothing, a tail, a part and a tail.
    for length in [0, 1_000, 7 * MIB] {
        let url = create(&api, &bucket, "gone", bytes.len()).await?;
        if length > 0 {
            send(&api, &url, &bytes[..length], &[6 * MIB]).await.ok();
            ensure!(offset(&api, &url).await? == length);
        }
        expect(request(&api, Method::DELETE, &url), 204).await?;
        refused(patch(&api, &url, length, b"x"), 410, "UploadGone").await?;
        expect(request(&api, Method::HEAD, &url), 410).await?;
        refused(request(&api, Method::DELETE, &url), 410, "UploadGone").await?;
        nothing_is_left(&api, &bucket).await.with_context(|| format!("after {length} bytes"))?;
    }
    Ok(())
}

async fn concatenated(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let bytes = noise(19 * MIB + 11);
    let cuts = [0, 7 * MIB, 7 * MIB + 3, 13 * MIB, 13 * MIB, bytes.len()];
    let partial = async |from: usize, to: usize| {
        let made = request(&api, Method::POST, "/v1/tus")
            .header("upload-metadata", metadata(&[("bucket", &bucket)]))
            .header("upload-concat", "partial")
            .header("upload-length", to - from);
        let url = header(&expect(made, 201).await?, "location");
        if to > from {
            send(&api, &url, &bytes[from..to], &[5 * MIB + 9]).await?;
        }
        ensure!(header(&head(&api, &url).await?, "upload-concat") == "partial");
        Ok::<_, anyhow::Error>(url)
    };
    let urls: Vec<_> = join_all(cuts.windows(2).map(|cut| partial(cut[0], cut[1])))
        .await
        .into_iter()
        .collect::<Result<_>>()?;
    let concat = format!("final;{}", urls.join(" "));
    let joined = creation(&api, &bucket, "joined").header("upload-concat", &concat);
    let made = expect(joined, 201).await?;
    let url = header(&made, "location");
    is_stored(&api, &format!("{bucket}/joined"), &bytes).await?;
    let after = head(&api, &url).await?;
    ensure!(
        header(&after, "upload-concat") == concat
            && header(&after, "upload-length") == bytes.len().to_string()
    );
    refused(patch(&api, &url, bytes.len(), b"x"), 403, "AccessDenied").await?;
    // The pieces are over, and nothing of them is left.
    expect(request(&api, Method::HEAD, &urls[0]), 410).await?;
    ensure!(api.listed(&bucket).await? == 1, "{} objects", api.listed(&bucket).await?);

    let unfinished = header(
        &expect(
            request(&api, Method::POST, "/v1/tus?bucket=documents")
                .header("upload-concat", "partial")
                .header("upload-length", 5),
            201,
        )
        .await?,
        "location",
    );
    let early =
        creation(&api, &bucket, "early").header("upload-concat", format!("final;{unfinished}"));
    refused(early, 409, "OffsetMismatch").await?;
    let not_partial =
        creation(&api, &bucket, "early").header("upload-concat", format!("final;{url}"));
    refused(not_partial, 400, "InvalidArgument").await?;
    expect(request(&api, Method::DELETE, &unfinished), 204).await?;
    Ok(())
}

async fn takes_over(api: Api) -> Result<()> {
    let bytes = noise(12 * MIB);
    let url = create(&api, "documents", "tus/taken", bytes.len()).await?;
    let path = url.strip_prefix(&api.url).context("our URL")?.to_owned();
    let headers = format!(
        "tus-resumable: 1.0.0\r\ncontent-type: {BYTES}\r\nupload-offset: 0\r\ncontent-length: {}\r\n",
        bytes.len()
    );
    let mut older = Raw::open(&api, "PATCH", &path, &headers).await?;
    ensure!(older.send(&vec![b'o'; 2 * MIB]).await?);
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Nobody waits for the older one, and nothing of it counts any more.
    expect(patch(&api, &url, 0, &bytes[..6 * MIB]), 204).await?;
    older.send(&vec![b'o'; 10 * MIB]).await?;
    let (status, problem) = older.problem().await?;
    ensure!(status == 409 && problem.contains("UploadTakenOver"), "{problem}");
    ensure!(offset(&api, &url).await? == 6 * MIB);
    expect(patch(&api, &url, 6 * MIB, &bytes[6 * MIB..]), 204).await?;
    is_stored(&api, "documents/tus/taken", &bytes).await?;

    // Many at once: one at a time gets through, and the file is one of theirs.
    let url = create(&api, "documents", "tus/raced", 200_000).await?;
    let writers = (0..8_u8).map(|n| patch(&api, &url, 0, &vec![n; 200_000]).send());
    let answers = join_all(writers).await;
    let stored = answers.into_iter().filter(|it| it.as_ref().is_ok_and(|it| it.status() == 204));
    ensure!(stored.count() >= 1, "nobody got through");
    let got = expect(api.get("documents/tus/raced"), 200).await?.bytes().await?;
    ensure!(got.len() == 200_000 && got.iter().all(|byte| *byte == got[0]), "it is mixed");
    Ok(())
}

async fn refusals(api: Api) -> Result<()> {
    let url = create(&api, "documents", "tus/refused", 10).await?;
    let tus = |method| api.client.request(method, &url).bearer_auth(&api.alice);
    let old = expect(tus(Method::HEAD).header("tus-resumable", "0.2.2"), 412).await?;
    ensure!(header(&old, "tus-version") == "1.0.0");
    refused(tus(Method::PATCH), 412, "UnsupportedVersion").await?;
    let typed = patch(&api, &url, 0, b"x").header("content-type", "text/plain");
    expect(typed, 400).await?;
    let other = request(&api, Method::PATCH, &url).header("upload-offset", 0);
    refused(other.header("content-type", "text/plain").body("x"), 415, "InvalidContentType")
        .await?;
    let no_offset = request(&api, Method::PATCH, &url).header("content-type", BYTES).body("x");
    refused(no_offset, 400, "InvalidArgument").await?;
    refused(patch(&api, &url, 0, b"12345678901"), 413, "EntityTooLarge").await?;
    refused(request(&api, Method::GET, &url), 405, "MethodNotAllowed").await?;
    let missing = "/v1/tus/019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42";
    refused(patch(&api, missing, 0, b"x"), 404, "NoSuchUpload").await?;
    // Bob learns nothing of alice's, and an old token is no missing upload.
    let bobs = api.client.head(&url).header("tus-resumable", "1.0.0").bearer_auth(&api.bob);
    expect(bobs, 404).await?;
    let old = api.client.head(&url).header("tus-resumable", "1.0.0").bearer_auth(&api.expired);
    expect(old, 401).await?;
    // By another method.
    let over = request(&api, Method::POST, &url).header("x-http-method-override", "PATCH");
    expect(over.header("content-type", BYTES).header("upload-offset", 0).body("12345"), 204)
        .await?;
    let over = request(&api, Method::POST, &url).header("x-http-method-override", "HEAD");
    ensure!(header(&expect(over, 200).await?, "upload-offset") == "5");
    // An upload of the JSON API is none of these, and the other way round.
    let id = url.rsplit('/').next().context("an id")?;
    let part =
        api.client.put(format!("{}/v1/multipart/{id}/parts/1", api.url)).bearer_auth(&api.alice);
    refused(part.body("x"), 404, "NoSuchUpload").await?;
    let sign =
        api.client.post(format!("{}/v1/multipart/{id}/sign", api.url)).bearer_auth(&api.alice);
    refused(sign.body(r#"{"parts": [1]}"#), 404, "NoSuchUpload").await?;
    let listed = api.client.get(format!("{}/v1/multipart/{id}", api.url)).bearer_auth(&api.alice);
    let shown = json_of(listed, 200).await?;
    ensure!(shown["protocol"] == "tus" && shown["bytes"] == 5, "{shown}");
    let json = json!({"bucket": "documents", "key": "tus/json", "size": 5});
    let made = api.client.post(format!("{}/v1/multipart", api.url)).bearer_auth(&api.alice);
    let made: Value = json_of(made.body(json.to_string()), 201).await?;
    let theirs = format!("/v1/tus/{}", made["id"].as_str().unwrap_or_default());
    refused(patch(&api, &theirs, 0, b"x"), 404, "NoSuchUpload").await?;
    expect(request(&api, Method::HEAD, &theirs), 404).await?;

    let options =
        expect(api.client.request(Method::OPTIONS, format!("{}/v1/tus", api.url)), 204).await?;
    // By a token too, whichever.
    let by_token = format!("{}/v1/t/{}/tus", api.url, "x".repeat(43));
    expect(api.client.request(Method::OPTIONS, by_token), 204).await?;
    let extensions = header(&options, "tus-extension");
    for extension in [
        "creation",
        "creation-with-upload",
        "creation-defer-length",
        "expiration",
        "checksum",
        "checksum-trailer",
        "termination",
        "concatenation",
    ] {
        ensure!(extensions.split(',').any(|it| it == extension), "{extensions}");
    }
    ensure!(header(&options, "tus-max-size") == "5497558138880");
    ensure!(header(&options, "tus-checksum-algorithm") == "sha1,md5,sha256,sha512");

    for (name, value, status, code) in [
        ("upload-length", "x", 400, "InvalidArgument"),
        ("upload-length", "5497558138881", 413, "EntityTooLarge"),
        ("upload-defer-length", "2", 400, "InvalidArgument"),
        ("upload-concat", "final;", 400, "InvalidArgument"),
    ] {
        refused(creation(&api, "documents", "k").header(name, value), status, code).await?;
    }
    let nowhere = request(&api, Method::POST, "/v1/tus").header("upload-length", 1);
    refused(nowhere, 400, "InvalidArgument").await?;
    refused(creation(&api, "no-such-bucket", "k").header("upload-length", 1), 404, "NoSuchBucket")
        .await?;
    let images = api.bucket(&json!({"allowedTypes": ["image/*"], "maxBytes": 100})).await?;
    refused(creation(&api, &images, "k").header("upload-length", 101), 413, "EntityTooLarge")
        .await?;
    // What it is shows at its end, and then nothing of it stays.
    let url = create(&api, &images, "k", 5).await?;
    refused(patch(&api, &url, 0, b"%PDF-"), 415, "InvalidContentType").await?;
    expect(request(&api, Method::HEAD, &url), 410).await?;
    nothing_is_left(&api, &images).await
}

async fn expired(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let url = create(&api, &bucket, "late", 9 * MIB).await?;
    expect(patch(&api, &url, 0, &noise(6 * MIB)), 204).await?;
    expect(patch(&api, &url, 6 * MIB, &noise(1_000)), 204).await?;
    let id = url.rsplit('/').next().context("an id")?;
    let over = format!(
        "update holdfast.upload_session set expires_at = now() where version = '{id}'; \
         update holdfast.version set lease_until = now() where id = '{id}'"
    );
    api.execute(&over).await?;
    refused(patch(&api, &url, 6 * MIB + 1_000, b"x"), 410, "UploadGone").await?;
    expect(request(&api, Method::HEAD, &url), 410).await?;
    api.stack.tick().await?;
    expect(request(&api, Method::HEAD, &url), 410).await?;
    nothing_is_left(&api, &bucket).await
}

async fn by_token(api: Api) -> Result<()> {
    let body =
        json!({"bucket": "documents", "prefix": "inbox/", "maxUploads": 1, "maxBytes": 1_000_000});
    let made = api.client.post(format!("{}/v1/tokens", api.url)).bearer_auth(&api.alice);
    let made: Value = json_of(made.body(body.to_string()), 201).await?;
    let token = made["token"].as_str().context("a token")?.to_owned();
    let anonymous = |method: Method, url: &str| {
        api.client.request(method, url).header("tus-resumable", "1.0.0")
    };
    let begin = |pairs: &[(&str, &str)]| {
        anonymous(Method::POST, &format!("{}/v1/t/{token}/tus", api.url))
            .header("upload-metadata", metadata(pairs))
            .header("upload-length", 10)
    };
    refused(begin(&[("key", "elsewhere/x")]), 403, "AccessDenied").await?;
    let url = header(&expect(begin(&[("filename", "a b.txt")]), 201).await?, "location");
    ensure!(url.starts_with(&format!("{}/v1/t/{token}/tus/", api.url)), "{url}");
    // It was for one upload, and that one goes on.
    refused(begin(&[("filename", "b.txt")]), 403, "AccessDenied").await?;
    let send = |at: usize, bytes: &'static str| {
        anonymous(Method::PATCH, &url)
            .header("content-type", BYTES)
            .header("upload-offset", at)
            .body(bytes)
    };
    expect(send(0, "12345"), 204).await?;
    ensure!(header(&expect(anonymous(Method::HEAD, &url), 200).await?, "upload-offset") == "5");
    // Over, and not as if it never was.
    let id = made["id"].as_str().context("an id")?;
    let end = |ends: &str| {
        format!(
            "update holdfast.\"grant\" set created_at = now() - interval '9 days', expires_at = {ends} where id = '{id}'"
        )
    };
    api.execute(&end("now() - interval '1 second'")).await?;
    refused(send(5, "67890"), 401, "ExpiredToken").await?;
    // Another token of the same creator for the same place goes on with it.
    let body = json!({"bucket": "documents", "prefix": "inbox/", "maxUploads": 1});
    let another = api.client.post(format!("{}/v1/tokens", api.url)).bearer_auth(&api.alice);
    let another: Value = json_of(another.body(body.to_string()), 201).await?;
    let url = url.replace(&token, another["token"].as_str().context("a token")?);
    let rest =
        anonymous(Method::PATCH, &url).header("content-type", BYTES).header("upload-offset", 5);
    expect(rest.body("67890"), 204).await?;
    is_stored(&api, "documents/inbox/a b.txt", b"1234567890").await?;

    // One for another place does not, nor does any for what a bearer began.
    let body = json!({"bucket": "documents", "prefix": "other/"});
    let other = api.client.post(format!("{}/v1/tokens", api.url)).bearer_auth(&api.alice);
    let other: Value = json_of(other.body(body.to_string()), 201).await?;
    let other = other["token"].as_str().context("a token")?.to_owned();
    let by_other = url.replace(another["token"].as_str().unwrap_or_default(), &other);
    expect(anonymous(Method::HEAD, &by_other), 404).await?;
    let bearers = create(&api, "documents", "other/bearer", 5).await?;
    let by_other = bearers.replace("/v1/tus/", &format!("/v1/t/{other}/tus/"));
    expect(anonymous(Method::HEAD, &by_other), 404).await?;
    Ok(())
}

async fn cross_origin(api: Api) -> Result<()> {
    let page = "https://app.example.org";
    let ask = |path: &str, origin: &str| {
        api.client
            .request(Method::OPTIONS, format!("{}{path}", api.url))
            .header("origin", origin)
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "authorization,tus-resumable,upload-offset")
    };
    for path in ["/v1/tus", "/v1/tus/x", "/v1/upload/documents/x", "/v1/multipart", "/v1/presign"] {
        let asked = expect(ask(path, page), 204).await.with_context(|| path.to_owned())?;
        ensure!(header(&asked, "access-control-allow-origin") == page, "{path}");
        ensure!(header(&asked, "access-control-allow-methods").contains("PATCH"));
        ensure!(
            header(&asked, "access-control-allow-headers")
                == "authorization,tus-resumable,upload-offset"
        );
        ensure!(header(&asked, "access-control-max-age") == "7200");
    }
    let made =
        creation(&api, "documents", "tus/cors").header("upload-length", 1).header("origin", page);
    let made = expect(made, 201).await?;
    ensure!(
        header(&made, "access-control-allow-origin") == page && header(&made, "vary") == "origin"
    );
    let exposed = header(&made, "access-control-expose-headers");
    for name in ["location", "upload-offset", "tus-resumable", "etag", "upload-expires"] {
        ensure!(exposed.split(", ").any(|it| it == name), "{exposed}");
    }
    // A refusal can be read too.
    let refusal =
        expect(api.client.head(header(&made, "location")).header("origin", page), 412).await?;
    ensure!(header(&refusal, "access-control-allow-origin") == page);

    let bucket = api.bucket(&json!({"corsOrigins": ["https://one.example.org"]})).await?;
    // What an instance knows of the policies may be a minute old; a new one knows more.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let path = format!("/v1/upload/{bucket}/x");
    let mut told = String::new();
    for _ in 0..30 {
        told = header(&expect(ask(&path, page), 204).await?, "access-control-allow-origin");
        if told.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    ensure!(told.is_empty(), "{told} may write to {bucket}");
    let one = expect(ask(&path, "https://one.example.org"), 204).await?;
    ensure!(header(&one, "access-control-allow-origin") == "https://one.example.org");
    Ok(())
}

async fn quota(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({"quotaBytes": 10 * MIB})).await?;
    refused(
        creation(&api, &bucket, "k").header("upload-length", 10 * MIB + 1),
        403,
        "QuotaExceeded",
    )
    .await?;
    let made = creation(&api, &bucket, "k").header("upload-defer-length", 1);
    let url = header(&expect(made, 201).await?, "location");
    let bytes = noise(10 * MIB);
    expect(patch(&api, &url, 0, &bytes[..8 * MIB]), 204).await?;
    let much = patch(&api, &url, 8 * MIB, b"").body(chunked(&noise(3 * MIB)));
    refused(much, 403, "QuotaExceeded").await?;
    // As much as there was room for was kept, and the client can end it there.
    let at = offset(&api, &url).await?;
    ensure!(at == 10 * MIB, "{at}");
    expect(patch(&api, &url, at, b"").header("upload-length", at), 204).await?;
    let mut whole = bytes[..8 * MIB].to_vec();
    whole.extend_from_slice(&noise(3 * MIB)[..2 * MIB]);
    is_stored(&api, &format!("{bucket}/k"), &whole).await
}

async fn two_hundred(api: Api) -> Result<()> {
    let bytes = Arc::new(noise(300_000));
    let uploads = (0..200).map(|n| {
        let (api, bytes) = (api.clone(), Arc::clone(&bytes));
        async move {
            let key = format!("tus/200/{n}");
            let url = create(&api, "documents", &key, bytes.len()).await?;
            send(&api, &url, &bytes, &[100_000 + n]).await?;
            is_stored(&api, &format!("documents/{key}"), &bytes).await
        }
    });
    for done in join_all(uploads).await {
        done?;
    }
    Ok(())
}

async fn killed(shared: Api) -> Result<()> {
    drop(shared);
    let folder = tempfile::tempdir()?;
    let mut options = StackOptions::new(folder.path().join("data"));
    options.tick_every = None;
    let stack = Arc::new(Stack::start(options).await?);
    let result = in_the_middle(&Api::of(Arc::clone(&stack))?).await;
    stack.stop().await?;
    result
}

/// What was acknowledged is there, whatever died; and what a client sends behind it makes the whole.
async fn in_the_middle(api: &Api) -> Result<()> {
    let seaweedfs = api.stack.seaweedfs().context("a SeaweedFS of our own")?;
    let postgres = api.stack.postgres().context("a PostgreSQL of our own")?;
    let bytes = noise(80 * MIB);
    let url = create(api, "documents", "tus/killed", bytes.len()).await?;
    let path = url.strip_prefix(&api.url).context("our URL")?.to_owned();
    let mut acknowledged = 0;
    for round in 0..6 {
        let sent = expect(
            patch(api, &url, acknowledged, &bytes[acknowledged..acknowledged + 1_500_000]),
            204,
        );
        acknowledged = header(&sent.await?, "upload-offset").parse()?;
        let headers = format!(
            "tus-resumable: 1.0.0\r\ncontent-type: {BYTES}\r\nupload-offset: {acknowledged}\r\n\
             content-length: {}\r\n",
            bytes.len() - acknowledged
        );
        let mut under_way = Raw::open(api, "PATCH", &path, &headers).await?;
        under_way.send(&bytes[acknowledged..acknowledged + 7 * MIB]).await?;
        match round % 3 {
            0 => {
                seaweedfs.kill9();
                seaweedfs.restart().await?;
            }
            1 => {
                postgres.kill9();
                // At a 503 many a client would begin anew.
                let locked = expect(request(api, Method::HEAD, &url), 423).await?;
                ensure!(!header(&locked, "retry-after").is_empty(), "no Retry-After");
                postgres.restart().await?;
            }
            _ => restart_host(api).await?,
        }
        drop(under_way);
        // It may still be at work with what it got.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = offset(api, &url).await?;
        ensure!(now >= acknowledged, "{now} is less than {acknowledged}, which was acknowledged");
        acknowledged = now;
    }
    loop {
        let answer = patch(api, &url, acknowledged, &bytes[acknowledged..]).send().await?;
        match answer.status().as_u16() {
            204 => break,
            // One of the broken requests wrote something down yet.
            409 => acknowledged = offset(api, &url).await?,
            status => anyhow::bail!("status {status}: {}", answer.text().await?),
        }
    }
    vacuum(api).await?;
    let back = expect(api.get("documents/tus/killed"), 200).await?.bytes().await?;
    ensure!(sha256(&back) == sha256(&bytes), "another file");
    Ok(())
}
