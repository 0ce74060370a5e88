//! `/v1/multipart`: files in parts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use holdfast_dev::{Stack, StackOptions};
use holdfast_s3::ListMultipartUploads;
use md5::{Digest as _, Md5};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Api, Suite, expect, header, json_of, noise, refused, sha256};
use crate::raw::Raw;

const MIB: usize = 1_024 * 1_024;
const PART: usize = 5 * MIB;

/// How the one gibibyte is cut, and all at once.
const GIBIBYTE_PARTS: usize = 8;
const GIBIBYTE_PART: usize = 128 * MIB;

/// What the host may need for eight parts and a download of any size: far less than one of the parts.
const GIBIBYTE_MEMORY: usize = 48 * MIB;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("us_005_a_large_file_goes_in_parts_and_its_progress_is_told", us_005);
    suite.add("eight_parts_at_once_come_back_as_one", eight_at_once);
    suite.add("one_gibibyte_goes_by_eight_parts_at_once_in_constant_memory", gibibyte);
    suite.add("a_part_that_is_sent_again_replaces_the_first", sent_again);
    suite.add("parts_that_are_wrong_are_named_and_nothing_changes", wrong_parts);
    suite.add("a_part_that_is_not_what_was_declared_is_refused", declared_parts);
    suite.add("an_aborted_upload_leaves_nothing_in_the_store", aborted);
    suite.add("an_expired_upload_leaves_nothing_in_the_store", expired);
    suite.add("a_refused_completion_leaves_nothing_in_the_store", refused_completion);
    suite.add("parts_count_against_the_quota_from_the_beginning", quota);
    suite.add("an_upload_in_parts_is_nobody_elses", nobody_elses);
    suite.add("who_resumes_takes_over", takes_over);
    suite.add("signed_parts_go_to_seaweedfs_and_are_found", signed);
    suite.add("200_uploads_in_parts_at_once", two_hundred);
    suite.add("uploads_are_listed_page_by_page", listed);
    suite.add("an_upload_in_parts_goes_on_after_every_server_was_killed", killed);
}

fn route(api: &Api, method: Method, path: &str) -> RequestBuilder {
    api.client.request(method, format!("{}/v1/multipart{path}", api.url)).bearer_auth(&api.alice)
}

fn post(api: &Api, path: &str) -> RequestBuilder {
    route(api, Method::POST, path)
}

async fn create(api: &Api, body: &Value) -> Result<String> {
    let answer = json_of(post(api, "").body(body.to_string()), 201).await?;
    Ok(answer["id"].as_str().context("an id")?.to_owned())
}

fn part(api: &Api, id: &str, number: usize, bytes: &[u8]) -> RequestBuilder {
    route(api, Method::PUT, &format!("/{id}/parts/{number}")).body(bytes.to_vec())
}

async fn status(api: &Api, id: &str) -> Result<Value> {
    json_of(route(api, Method::GET, &format!("/{id}")), 200).await
}

fn complete(api: &Api, id: &str) -> RequestBuilder {
    post(api, &format!("/{id}/complete"))
}

pub(crate) async fn is_stored(api: &Api, path: &str, bytes: &[u8]) -> Result<()> {
    let back = expect(api.get(path), 200).await?.bytes().await?;
    ensure!(back.len() == bytes.len() && sha256(&back) == sha256(bytes), "{path} is another");
    Ok(())
}

/// How many uploads SeaweedFS lists in a bucket.
async fn uploads(api: &Api, bucket: &str) -> Result<usize> {
    let list = ListMultipartUploads { bucket, prefix: "" };
    Ok(ListMultipartUploads::parse(&api.s3.call(&list, "").await?)?.len())
}

/// Nothing of a bucket is in SeaweedFS: no object, and no part of one.
pub(crate) async fn nothing_is_left(api: &Api, bucket: &str) -> Result<()> {
    ensure!(api.listed(bucket).await? == 0, "{bucket} has objects");
    let uploads = uploads(api, bucket).await?;
    ensure!(uploads == 0, "{bucket} has {uploads} uploads");
    let charged = format!(
        "select (live_bytes + retained_bytes + pending_bytes + pending_objects)::int8 \
         from holdfast.usage('{bucket}', null)"
    );
    ensure!(api.number(&charged).await? == 0, "{bucket}: a quota stays charged");
    Ok(())
}

/// The same once the worker has deleted twice what was given up: the second time, ten minutes later, is for what was
/// under way to SeaweedFS at the first, and its time comes now.
pub(crate) async fn nothing_is_left_after_the_worker(api: &Api, bucket: &str) -> Result<()> {
    let open = |state: &str| {
        format!(
            "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
             where o.bucket = '{bucket}' and v.state = '{state}'"
        )
    };
    api.eventually(&open("pending"), 0).await?;
    api.execute(&format!(
        "update holdfast.version v set due_at = now(), deleted_at = coalesce(v.deleted_at, now()) - interval '1 hour' \
         from holdfast.object o where o.id = v.object_id and o.bucket = '{bucket}' and v.state = 'aborting'"
    ))
    .await?;
    api.stack.tick().await?;
    api.eventually(&open("aborting"), 0).await?;
    nothing_is_left(api, bucket).await
}

async fn us_005(api: Api) -> Result<()> {
    let bytes = noise(20 * MIB);
    let body = json!({
        "bucket": "documents", "key": "us-005/film ☂.mov", "size": bytes.len(),
        "contentType": "video/quicktime", "metadata": {"team": "blue"}, "cacheControl": "no-store"
    });
    let answer = json_of(post(&api, "").body(body.to_string()), 201).await?;
    ensure!(answer["partSize"] == 8 * MIB && answer["partCount"] == 3, "{answer}");
    let id = answer["id"].as_str().context("an id")?.to_owned();
    let mut done = 0;
    for (index, chunk) in bytes.chunks(8 * MIB).enumerate() {
        let sent = expect(part(&api, &id, index + 1, chunk), 200).await?;
        let etag = Md5::digest(chunk).iter().map(|b| format!("{b:02x}")).collect::<String>();
        ensure!(header(&sent, "etag") == format!("\"{etag}\""));
        done += chunk.len();
        let told: Value = sent.json().await?;
        ensure!(told["bytes"] == done && told["partsDone"] == index + 1, "{told}");
        let status = status(&api, &id).await?;
        ensure!(status["bytes"] == done && status["state"] == "open", "{status}");
        refused(api.get("documents/us-005/film ☂.mov"), 404, "NoSuchKey").await?;
    }
    let done = expect(complete(&api, &id), 200).await?;
    let etag = header(&done, "etag");
    let object: Value = done.json().await?;
    ensure!(etag == format!("\"{}\"", object["etag"].as_str().unwrap_or_default()));
    ensure!(etag.ends_with("-3\"") && object["size"] == bytes.len(), "{object}");
    ensure!(object["contentType"] == "video/quicktime" && object["version"] == id, "{object}");
    is_stored(&api, "documents/us-005/film ☂.mov", &bytes).await?;
    let got = expect(api.get("documents/us-005/film ☂.mov"), 200).await?;
    ensure!(
        header(&got, "x-amz-meta-team") == "blue" && header(&got, "cache-control") == "no-store"
    );

    // Again, and after it.
    ensure!(json_of(complete(&api, &id), 200).await? == object);
    let after = status(&api, &id).await?;
    ensure!(after["state"] == "done" && after["object"] == object, "{after}");
    ensure!(after["parts"].as_array().is_some_and(|parts| parts.len() == 3), "{after}");
    refused(part(&api, &id, 1, b"x"), 404, "NoSuchUpload").await?;
    refused(route(&api, Method::DELETE, &format!("/{id}")), 404, "NoSuchUpload").await?;
    is_stored(&api, "documents/us-005/film ☂.mov", &bytes).await
}

async fn eight_at_once(api: Api) -> Result<()> {
    let bytes = noise(128 * MIB);
    let body = json!({"bucket": "documents", "key": "parts/parallel", "size": bytes.len()});
    let id = create(&api, &body).await?;
    let chunks: Vec<_> = bytes.chunks(8 * MIB).enumerate().collect();
    let sent = stream::iter(chunks)
        .map(|(index, chunk)| expect(part(&api, &id, index + 1, chunk), 200))
        .buffer_unordered(8)
        .collect::<Vec<_>>()
        .await;
    sent.into_iter().collect::<Result<Vec<_>>>()?;
    // Many who complete get one answer.
    let answers = join_all((0..8).map(|_| json_of(complete(&api, &id), 200))).await;
    let answers = answers.into_iter().collect::<Result<Vec<_>>>()?;
    ensure!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    is_stored(&api, "documents/parts/parallel", &bytes).await
}

/// Made, sent and compared in pieces, so that nobody holds the file. A stack of its own: what other tests send at the
/// same time is no part of the measure.
async fn gibibyte(shared: Api) -> Result<()> {
    drop(shared);
    let folder = tempfile::tempdir()?;
    let mut options = StackOptions::new(folder.path().join("data"));
    options.tick_every = None;
    let stack = Arc::new(Stack::start(options).await?);
    let api = Api::of(Arc::clone(&stack))?;
    let result = gibibyte_on(&api).await;
    stack.stop().await?;
    result
}

async fn gibibyte_on(api: &Api) -> Result<()> {
    // Components are compiled, and pools are made, when they are first needed.
    let warm = create(api, &json!({"bucket": "documents", "key": "parts/warm"})).await?;
    expect(part(api, &warm, 1, &noise(MIB)), 200).await?;
    expect(complete(api, &warm), 200).await?;
    is_stored(api, "documents/parts/warm", &noise(MIB)).await?;

    let memory = Memory::watch(api.stack.host().pid())?;
    let size = GIBIBYTE_PARTS * GIBIBYTE_PART;
    let body = json!({
        "bucket": "documents", "key": "parts/gibibyte", "size": size, "partSize": GIBIBYTE_PART
    });
    let id = create(api, &body).await?;
    let piece = Arc::new(noise(MIB));
    let sent = stream::iter(0..GIBIBYTE_PARTS)
        .map(|index| {
            let piece = Arc::clone(&piece);
            let first = index * GIBIBYTE_PART / MIB;
            let pieces = stream::iter(first..first + GIBIBYTE_PART / MIB)
                .map(move |number| Ok::<_, std::io::Error>(numbered(&piece, number)));
            let request = route(api, Method::PUT, &format!("/{id}/parts/{}", index + 1))
                .header(CONTENT_LENGTH, GIBIBYTE_PART)
                .body(reqwest::Body::wrap_stream(pieces));
            expect(request, 200)
        })
        .buffer_unordered(GIBIBYTE_PARTS)
        .collect::<Vec<_>>()
        .await;
    sent.into_iter().collect::<Result<Vec<_>>>()?;
    let object = json_of(complete(api, &id), 200).await?;
    ensure!(object["size"] == size, "{object}");

    let (mut wanted, mut found) = (Sha256::new(), Sha256::new());
    (0..size / MIB).for_each(|number| wanted.update(numbered(&piece, number)));
    let mut back = expect(api.get("documents/parts/gibibyte"), 200).await?.bytes_stream();
    while let Some(bytes) = back.next().await {
        found.update(bytes?);
    }
    ensure!(found.finalize() == wanted.finalize(), "other bytes came back");
    let grown = memory.grown()?;
    ensure!(grown < GIBIBYTE_MEMORY, "the host grew by {} MiB", grown / MIB);
    Ok(())
}

/// A piece of its own at each place: one that is at another would be noticed.
fn numbered(piece: &[u8], number: usize) -> Vec<u8> {
    let mut bytes = piece.to_vec();
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    bytes
}

/// What a process needs more than at the beginning, from the kernel's own high-water mark.
pub(crate) struct Memory {
    pid: u32,
    before: usize,
}

impl Memory {
    pub(crate) fn watch(pid: u32) -> Result<Self> {
        // `5` starts the mark anew: proc_pid_clear_refs(5).
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        Ok(Self { pid, before: Self::peak(pid)? })
    }

    pub(crate) fn grown(&self) -> Result<usize> {
        Ok(Self::peak(self.pid)?.saturating_sub(self.before))
    }

    fn peak(pid: u32) -> Result<usize> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib =
            line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok());
        Ok(kib.context("VmHWM")? * 1_024)
    }
}

async fn sent_again(api: Api) -> Result<()> {
    let bytes = noise(PART + 9);
    let id = create(&api, &json!({"bucket": "documents", "key": "parts/again"})).await?;
    let first = json_of(part(&api, &id, 1, &noise(PART + 1)), 200).await?;
    expect(part(&api, &id, 2, b"another"), 200).await?;
    expect(part(&api, &id, 1, &bytes[..PART]), 200).await?;
    let last = json_of(part(&api, &id, 2, &bytes[PART..]), 200).await?;
    ensure!(last["bytes"] == bytes.len() && last["partsDone"] == 2, "{last}");
    let named = json!({"parts": [{"number": 1, "etag": first["etag"]}, {"number": 2, "etag": last["etag"]}]});
    refused(complete(&api, &id).body(named.to_string()), 400, "InvalidPart").await?;
    expect(complete(&api, &id), 200).await?;
    is_stored(&api, "documents/parts/again", &bytes).await
}

async fn wrong_parts(api: Api) -> Result<()> {
    let bytes = noise(2 * PART + 3);
    let mut body = json!({"bucket": "documents", "key": "parts/wrong"});
    let id = create(&api, &body).await?;
    let named = async |parts: Value, code: &str, numbers: &str| {
        let body = json!({"parts": parts}).to_string();
        let problem = refused(complete(&api, &id).body(body), 400, code).await?;
        let detail = problem["detail"].as_str().unwrap_or_default();
        ensure!(detail.ends_with(&format!(": {numbers}")), "{problem}");
        ensure!(status(&api, &id).await?["state"] == "open");
        Ok(())
    };
    let problem = refused(complete(&api, &id), 400, "InvalidPart").await?;
    ensure!(problem["rule"] == "parts.missing", "{problem}");
    let chunks = [&bytes[..PART], &bytes[PART..2 * PART], &bytes[2 * PART..]];
    let mut etags = Vec::new();
    for (index, chunk) in chunks.into_iter().enumerate() {
        etags.push(json_of(part(&api, &id, index + 1, chunk), 200).await?["etag"].clone());
    }
    let it = |number: usize| json!({"number": number, "etag": etags[number - 1]});
    named(json!([it(1), it(3), it(2)]), "InvalidPartOrder", "2").await?;
    named(json!([it(1), it(3)]), "InvalidPart", "2").await?;
    named(json!([it(1), {"number": 2, "etag": "aa"}, it(3)]), "InvalidPart", "2").await?;
    named(json!([it(1), it(2), it(3), {"number": 4, "etag": "aa"}]), "InvalidPart", "4").await?;
    expect(part(&api, &id, 2, &bytes[..PART - 1]), 200).await?;
    let problem = refused(complete(&api, &id), 400, "EntityTooSmall").await?;
    ensure!(problem["detail"].as_str().is_some_and(|d| d.ends_with(": 2")), "{problem}");
    expect(part(&api, &id, 2, chunks[1]), 200).await?;
    expect(complete(&api, &id), 200).await?;
    is_stored(&api, "documents/parts/wrong", &bytes).await?;

    // Of a declared size, each part has its own.
    body["size"] = json!(bytes.len());
    body["partSize"] = json!(PART);
    let id = create(&api, &body).await?;
    refused(part(&api, &id, 1, b"short"), 400, "InvalidPart").await?;
    refused(part(&api, &id, 4, b"x"), 400, "InvalidArgument").await?;
    refused(part(&api, &id, 0, b"x"), 400, "InvalidArgument").await?;
    expect(part(&api, &id, 2, chunks[1]), 200).await?;
    let missing = status(&api, &id).await?["missing"].clone();
    ensure!(missing == json!([{"first": 1, "last": 1}, {"first": 3, "last": 3}]), "{missing}");
    for bad in [json!([]), json!({"bucket": "documents"}), json!({"bucket": "nowhere", "key": "k"})]
    {
        let status = post(&api, "").body(bad.to_string()).send().await?.status();
        ensure!(status == if bad["bucket"] == "nowhere" { 404 } else { 400 }, "{bad}: {status}");
    }
    Ok(())
}

async fn declared_parts(api: Api) -> Result<()> {
    let id = create(&api, &json!({"bucket": "documents", "key": "parts/declared"})).await?;
    let bytes = noise(100_000);
    let sha = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(bytes))
    };
    let md5 = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(Md5::digest(bytes))
    };
    for (name, good, bad) in
        [("x-amz-checksum-sha256", sha(&bytes), sha(b"x")), ("content-md5", md5(&bytes), md5(b"x"))]
    {
        let sent = part(&api, &id, 1, &bytes).header(name, bad);
        refused(sent, 400, "BadDigest").await?;
        expect(part(&api, &id, 1, &bytes).header(name, good), 200).await?;
    }
    let chunked =
        route(&api, Method::PUT, &format!("/{id}/parts/1")).body(crate::harness::chunked(&bytes));
    refused(chunked, 411, "MissingContentLength").await?;

    // Who leaves in the middle has sent no part.
    let headers = format!("content-length: {}\r\n", bytes.len());
    let mut raw = Raw::open(&api, "PUT", &format!("/v1/multipart/{id}/parts/2"), &headers).await?;
    ensure!(raw.send(&bytes[..50_000]).await?);
    raw.reset()?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(status(&api, &id).await?["partsDone"] == 1);
    expect(complete(&api, &id), 200).await?;
    is_stored(&api, "documents/parts/declared", &bytes).await
}

async fn aborted(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let id =
        create(&api, &json!({"bucket": bucket, "key": "k", "size": 2 * PART, "partSize": PART}))
            .await?;
    expect(part(&api, &id, 1, &noise(PART)), 200).await?;
    ensure!(uploads(&api, &bucket).await? == 1, "SeaweedFS lists no upload that is open");
    expect(route(&api, Method::DELETE, &format!("/{id}")), 204).await?;
    nothing_is_left(&api, &bucket).await?;
    ensure!(status(&api, &id).await?["state"] == "aborted");
    refused(part(&api, &id, 2, &noise(PART)), 404, "NoSuchUpload").await?;
    refused(complete(&api, &id), 404, "NoSuchUpload").await?;
    expect(route(&api, Method::DELETE, &format!("/{id}")), 204).await?;
    Ok(())
}

/// Its time ran out, or the host died while it aborted: the worker ends it, also where the id of S3 was lost.
async fn expired(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let of_bucket =
        format!("from holdfast.object o where o.id = v.object_id and o.bucket = '{bucket}'");
    for lost in [false, true] {
        let id = create(&api, &json!({"bucket": bucket, "key": format!("k-{lost}")})).await?;
        expect(part(&api, &id, 1, &noise(PART)), 200).await?;
        if lost {
            let sql = format!(
                "update holdfast.upload_session set upload_id = null where version = '{id}'"
            );
            api.execute(&sql).await?;
        }
    }
    api.execute(&format!("update holdfast.version v set lease_until = now() {of_bucket}")).await?;
    let aborting = format!(
        "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
         where o.bucket = '{bucket}' and v.state = 'aborting' and v.deleted_at is not null"
    );
    api.eventually(&aborting, 2).await?;
    nothing_is_left(&api, &bucket).await
}

async fn refused_completion(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({"allowedTypes": ["image/png"]})).await?;
    let id =
        create(&api, &json!({"bucket": bucket, "key": "k", "contentType": "image/png"})).await?;
    expect(part(&api, &id, 1, b"<html><script>no image</script></html>"), 200).await?;
    refused(complete(&api, &id), 415, "InvalidContentType").await?;
    nothing_is_left(&api, &bucket).await?;
    refused(complete(&api, &id), 404, "NoSuchUpload").await?;

    let bucket = api.bucket(&json!({})).await?;
    let path = format!("{bucket}/k");
    let id = create(&api, &json!({"bucket": bucket, "key": "k", "ifNoneMatch": "*"})).await?;
    expect(part(&api, &id, 1, b"late"), 200).await?;
    expect(api.put(&path, "first"), 201).await?;
    refused(complete(&api, &id), 412, "PreconditionFailed").await?;
    is_stored(&api, &path, b"first").await?;
    ensure!(api.listed(&bucket).await? == 1);
    Ok(())
}

async fn quota(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({"quotaBytes": 20 * MIB})).await?;
    let sized = |size: usize| json!({"bucket": bucket, "key": "k", "size": size}).to_string();
    refused(post(&api, "").body(sized(20 * MIB + 1)), 403, "QuotaExceeded").await?;
    let id = create(&api, &json!({"bucket": bucket, "key": "k", "size": 15 * MIB})).await?;
    refused(post(&api, "").body(sized(6 * MIB)), 403, "QuotaExceeded").await?;
    expect(route(&api, Method::DELETE, &format!("/{id}")), 204).await?;

    // Without a size it gets what there is, and no more.
    let id = create(&api, &json!({"bucket": bucket, "key": "k"})).await?;
    expect(part(&api, &id, 1, &noise(15 * MIB)), 200).await?;
    expect(part(&api, &id, 2, &noise(5 * MIB)), 200).await?;
    // One byte more. Of a large body the refusal could be lost: the connection ends while it is still being sent.
    refused(part(&api, &id, 3, b"x"), 403, "QuotaExceeded").await?;
    expect(part(&api, &id, 2, &noise(MIB)), 200).await?;
    expect(complete(&api, &id), 200).await?;
    let live = format!("select live_bytes from holdfast.usage('{bucket}', null)");
    ensure!(usize::try_from(api.number(&live).await?)? == 16 * MIB);
    Ok(())
}

async fn nobody_elses(api: Api) -> Result<()> {
    let id = create(&api, &json!({"bucket": "documents", "key": "parts/mine"})).await?;
    let mut bob = api.clone();
    bob.alice = api.bob.clone();
    refused(route(&bob, Method::GET, &format!("/{id}")), 404, "NoSuchUpload").await?;
    refused(part(&bob, &id, 1, b"x"), 404, "NoSuchUpload").await?;
    refused(complete(&bob, &id), 404, "NoSuchUpload").await?;
    refused(post(&bob, &format!("/{id}/resume")), 404, "NoSuchUpload").await?;
    refused(post(&bob, &format!("/{id}/sign")).body(r#"{"parts": [1]}"#), 404, "NoSuchUpload")
        .await?;
    refused(route(&bob, Method::DELETE, &format!("/{id}")), 404, "NoSuchUpload").await?;
    let nobody = api.client.get(format!("{}/v1/multipart/{id}", api.url));
    refused(nobody, 401, "MissingAuthentication").await?;
    refused(route(&api, Method::GET, "/no-id"), 404, "NoSuchUpload").await?;
    refused(route(&api, Method::PUT, &format!("/{id}")), 405, "MethodNotAllowed").await?;
    refused(route(&api, Method::GET, &format!("/{id}/other")), 404, "NoSuchRoute").await?;
    let scopes = json!({"scope": "download"});
    let mut reader = api.clone();
    reader.alice = api.stack.token("alice", 3_600, &scopes);
    refused(route(&reader, Method::GET, &format!("/{id}")), 403, "AccessDenied").await?;
    expect(route(&api, Method::DELETE, &format!("/{id}")), 204).await?;
    Ok(())
}

async fn takes_over(api: Api) -> Result<()> {
    let id = create(&api, &json!({"bucket": "documents", "key": "parts/taken"})).await?;
    expect(part(&api, &id, 1, b"old").header("x-holdfast-epoch", 1), 200).await?;
    let resumed = json_of(post(&api, &format!("/{id}/resume")), 200).await?;
    ensure!(resumed["epoch"] == 2 && resumed["bytes"] == 3, "{resumed}");
    let stale = part(&api, &id, 1, b"older").header("x-holdfast-epoch", 1);
    refused(stale, 409, "UploadTakenOver").await?;
    refused(complete(&api, &id).header("x-holdfast-epoch", 1), 409, "UploadTakenOver").await?;
    expect(part(&api, &id, 1, b"new").header("x-holdfast-epoch", 2), 200).await?;
    expect(complete(&api, &id).header("x-holdfast-epoch", 2), 200).await?;
    is_stored(&api, "documents/parts/taken", b"new").await
}

async fn signed(api: Api) -> Result<()> {
    let bytes = noise(2 * PART + 5);
    let body = json!({"bucket": "documents", "key": "parts/signed", "size": bytes.len(), "partSize": PART});
    let id = create(&api, &body).await?;
    let sign =
        |parts: Value| post(&api, &format!("/{id}/sign")).body(json!({"parts": parts}).to_string());
    refused(sign(json!([4])), 400, "InvalidArgument").await?;
    let urls = json_of(sign(json!([1, 2, 3])), 200).await?;
    let urls = urls["parts"].as_array().context("parts")?.clone();
    let send = |signed: &Value, bytes: &[u8]| {
        let request = api.client.put(signed["url"].as_str().unwrap_or_default());
        let length = signed["headers"]["content-length"].as_str().unwrap_or_default();
        request.header(CONTENT_LENGTH, length).body(bytes.to_vec())
    };
    expect(send(&urls[0], &bytes[..PART]), 200).await?;
    // First other bytes, then the right ones.
    expect(send(&urls[1], &noise(PART + 1)[..PART]), 200).await?;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    expect(send(&urls[1], &bytes[PART..2 * PART]), 200).await?;
    expect(part(&api, &id, 3, &bytes[2 * PART..]), 200).await?;
    let found = status(&api, &id).await?;
    ensure!(found["bytes"] == bytes.len() && found["missing"] == json!([]), "{found}");
    // A URL for one part takes no other length.
    let wrong =
        api.client.put(urls[0]["url"].as_str().unwrap_or_default()).body("x").send().await?;
    ensure!(wrong.status() == 403, "{wrong:?}");
    expect(complete(&api, &id), 200).await?;
    is_stored(&api, "documents/parts/signed", &bytes).await?;
    refused(sign(json!([1])), 404, "NoSuchUpload").await?;

    // After the abort a URL stores nothing any more.
    let bucket = api.bucket(&json!({})).await?;
    let id = create(&api, &json!({"bucket": bucket, "key": "k"})).await?;
    let urls = json_of(post(&api, &format!("/{id}/sign")).body(r#"{"parts": [1]}"#), 200).await?;
    expect(api.client.put(urls["parts"][0]["url"].as_str().unwrap_or_default()).body("x"), 200)
        .await?;
    expect(route(&api, Method::DELETE, &format!("/{id}")), 204).await?;
    let late = api.client.put(urls["parts"][0]["url"].as_str().unwrap_or_default()).body("x");
    ensure!(late.send().await?.status() == 404);
    nothing_is_left(&api, &bucket).await
}

async fn two_hundred(api: Api) -> Result<()> {
    let one = async |number: usize| {
        let bytes = noise(50_000 + number);
        let key = format!("parts/many/{number}");
        let id =
            create(&api, &json!({"bucket": "documents", "key": key, "size": bytes.len()})).await?;
        expect(part(&api, &id, 1, &bytes), 200).await?;
        expect(complete(&api, &id), 200).await?;
        is_stored(&api, &format!("documents/{key}"), &bytes).await
    };
    join_all((0..200).map(one)).await.into_iter().collect()
}

async fn listed(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(create(&api, &json!({"bucket": bucket, "key": format!("k{number}")})).await?);
    }
    expect(part(&api, &ids[0], 1, b"abc"), 200).await?;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("?bucket={bucket}&limit=2{cursor}");
        let page = json_of(route(&api, Method::GET, &path), 200).await?;
        for upload in page["uploads"].as_array().context("uploads")? {
            seen.push(upload["id"].as_str().unwrap_or_default().to_owned());
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    seen.reverse();
    ensure!(seen == ids, "{seen:?}");
    refused(route(&api, Method::GET, "?limit=0"), 400, "InvalidArgument").await?;
    for id in ids {
        expect(route(&api, Method::DELETE, &format!("/{id}")), 204).await?;
    }
    Ok(())
}

async fn killed(shared: Api) -> Result<()> {
    drop(shared);
    let folder = tempfile::tempdir()?;
    let mut options = StackOptions::new(folder.path().join("data"));
    options.tick_every = None;
    let stack = Arc::new(Stack::start(options).await?);
    let api = Api::of(Arc::clone(&stack))?;
    let result = match in_the_middle(&api).await {
        Ok(()) => between_complete_and_commit(&api).await,
        broken => broken,
    };
    stack.stop().await?;
    result
}

/// What was acknowledged need not be sent again, whatever died.
async fn in_the_middle(api: &Api) -> Result<()> {
    let seaweedfs = api.stack.seaweedfs().context("a SeaweedFS of our own")?;
    let postgres = api.stack.postgres().context("a PostgreSQL of our own")?;
    let bytes = noise(5 * PART);
    let body =
        json!({"bucket": "documents", "key": "killed", "size": bytes.len(), "partSize": PART});
    let id = create(api, &body).await?;
    let chunk = |number: usize| &bytes[(number - 1) * PART..number * PART];
    expect(part(api, &id, 1, chunk(1)), 200).await?;

    // One part is under way each time.
    let half = async |number: usize| {
        let headers = format!("content-length: {PART}\r\n");
        let path = format!("/v1/multipart/{id}/parts/{number}");
        let mut raw = Raw::open(api, "PUT", &path, &headers).await?;
        raw.send(&chunk(number)[..MIB]).await?;
        Ok::<_, anyhow::Error>(raw)
    };
    let under_way = half(2).await?;
    seaweedfs.kill9();
    seaweedfs.restart().await?;
    drop(under_way);
    expect(part(api, &id, 2, chunk(2)), 200).await?;

    let under_way = half(3).await?;
    postgres.kill9();
    postgres.restart().await?;
    drop(under_way);
    expect(part(api, &id, 3, chunk(3)), 200).await?;

    let under_way = half(4).await?;
    restart_host(api).await?;
    drop(under_way);
    expect(part(api, &id, 4, chunk(4)), 200).await?;

    let resumed = json_of(post(api, &format!("/{id}/resume")), 200).await?;
    ensure!(resumed["missing"] == json!([{"first": 5, "last": 5}]), "{resumed}");
    expect(part(api, &id, 5, chunk(5)), 200).await?;
    expect(complete(api, &id), 200).await?;
    vacuum(api).await?;
    is_stored(api, "documents/killed", &bytes).await
}

/// S3 has joined the parts, and nobody has committed: nothing may be aborted, and the same call or the worker ends it.
async fn between_complete_and_commit(api: &Api) -> Result<()> {
    for by_worker in [false, true] {
        let key = format!("between-{by_worker}");
        let bytes = noise(PART + 77);
        let body =
            json!({"bucket": "documents", "key": key, "size": bytes.len(), "partSize": PART});
        let id = create(api, &body).await?;
        expect(part(api, &id, 1, &bytes[..PART]), 200).await?;
        expect(part(api, &id, 2, &bytes[PART..]), 200).await?;

        let mut locker = holdfast_dev::connect(api.stack.database_url()).await?;
        let lock = locker.transaction().await?;
        lock.execute("select from holdfast.object where key = $1 for update", &[&key]).await?;
        let completing = tokio::spawn(complete(api, &id).send());
        let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%holdfast.commit%'";
        api.eventually(waiting, 1).await?;
        api.stack.host().kill9();
        // Its statement would be done by a server that does not know yet that nobody waits.
        let end =
            "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'";
        api.execute(end).await?;
        api.eventually(waiting, 0).await?;
        lock.rollback().await?;
        ensure!(!completing.await?.is_ok_and(|answer| answer.status().is_success()));
        restart_host(api).await?;

        ensure!(status(api, &id).await?["state"] == "completing");
        refused(route(api, Method::DELETE, &format!("/{id}")), 409, "UploadCompleting").await?;
        refused(part(api, &id, 1, &bytes[..PART]), 409, "UploadCompleting").await?;
        let versions = api.versions("documents", &key).await?;
        ensure!(api.is_stored("documents", &versions[0].1).await?, "S3 has not joined it");
        // However late it is, the reaper does not take it.
        let late = format!("update holdfast.version set lease_until = now() where id = '{id}'");
        api.execute(&late).await?;
        api.stack.tick().await?;
        ensure!(status(api, &id).await?["state"] == "completing");
        if by_worker {
            let due =
                format!("update holdfast.upload_session set due_at = now() where version = '{id}'");
            api.execute(&due).await?;
            api.stack.tick().await?;
            ensure!(status(api, &id).await?["state"] == "done");
        } else {
            expect(complete(api, &id), 200).await?;
        }
        vacuum(api).await?;
        is_stored(api, &format!("documents/{key}"), &bytes).await?;
    }
    Ok(())
}

/// Its key-value store is lost with it: nothing that was acknowledged is only there.
pub(crate) async fn restart_host(api: &Api) -> Result<()> {
    api.stack.host().kill9();
    let lost = find(api.stack.data(), "key-value.redb")?.context("the key-value store")?;
    std::fs::remove_file(lost)?;
    api.stack.host().restart().await?;
    api.stack.host().wait_ready("/readyz").await
}

/// The file of this name below a folder.
fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|it| it == name) {
            return Ok(Some(path));
        }
        let is_folder = std::fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir());
        // PostgreSQL and SeaweedFS delete files of theirs meanwhile.
        if is_folder && let Ok(Some(found)) = find(&path, name) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What an Abort freed is gone only then.
pub(crate) async fn vacuum(api: &Api) -> Result<()> {
    let seaweedfs = api.stack.seaweedfs().context("a SeaweedFS of our own")?;
    let master = seaweedfs.master();
    // `host:port.grpc-port`
    let http = master.rsplit_once('.').map_or(master.as_str(), |(http, _)| http);
    let url = format!("http://{http}/vol/vacuum?garbageThreshold=0.0001");
    expect(api.client.get(url), 200).await?;
    Ok(())
}
