//! US-004: batches of cards, from their creation to their archive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, stream};
use holdfast_dev::{Stack, StackOptions};
use holdfast_s3::DeleteObject;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::clients::python;
use crate::harness::{Api, Suite, expect, header, json_of, noise, refused, sha256};
use crate::multipart::Memory;

const MIB: usize = 1_024 * 1_024;

/// How much the host may grow while it sends archives, in bytes: what is under way in both directions.
const ARCHIVE_MEMORY: usize = 64 * MIB;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("us_004_cards_are_stored_by_batch_and_record_and_their_job_has_a_status", us_004);
    suite.add("a_batch_counts_cards_whatever_way_they_come_and_go", every_way);
    suite.add("sixteen_render_workers_fill_a_batch", workers);
    suite.add("who_waits_for_a_batch_is_told_of_progress", waits);
    suite.add("a_batch_is_its_owners_alone", its_owners);
    suite.add("what_is_no_batch_and_no_record_is_refused", refusals);
    suite.add("a_batch_is_made_once", made_once);
    suite.add("a_deleted_batch_takes_its_cards_along", deleted);
    suite.add("an_archive_opens_in_other_programs", archive);
    suite.add("an_archive_is_sent_as_it_is_made", archive_is_flat);
}

fn batches(api: &Api, method: Method, path: &str) -> RequestBuilder {
    let url = format!("{}/v1/batches{path}", api.url);
    api.client.request(method, url).bearer_auth(&api.alice)
}

async fn create(api: &Api, body: &Value) -> Result<String> {
    let batch = json_of(batches(api, Method::POST, "").body(body.to_string()), 201).await?;
    Ok(batch["id"].as_str().context("an id")?.to_owned())
}

fn card(api: &Api, id: &str, record: &str, bytes: Vec<u8>) -> RequestBuilder {
    batches(api, Method::PUT, &format!("/{id}/records/{record}")).body(bytes)
}

async fn status(api: &Api, id: &str) -> Result<Value> {
    json_of(batches(api, Method::GET, &format!("/{id}")), 200).await
}

fn report(api: &Api, id: &str, records: &Value) -> RequestBuilder {
    batches(api, Method::POST, &format!("/{id}/records"))
        .body(json!({ "records": records }).to_string())
}

/// Pending, rendering, complete, failed.
fn counts(batch: &Value) -> [i64; 4] {
    ["pending", "rendering", "complete", "failed"]
        .map(|name| batch["counts"][name].as_i64().unwrap_or(-1))
}

async fn is(api: &Api, id: &str, wanted: &str, count: [i64; 4]) -> Result<()> {
    let batch = status(api, id).await?;
    ensure!(batch["status"] == wanted && counts(&batch) == count, "{batch}");
    Ok(())
}

async fn us_004(api: Api) -> Result<()> {
    let id = create(
        &api,
        &json!({"name": "Spring cards", "records": ["alice", "bøb 2", "c+d%"], "data": {"font": "Inter"}}),
    )
    .await?;
    let batch = status(&api, &id).await?;
    ensure!(batch["status"] == "pending" && batch["expected"] == 3, "{batch}");
    ensure!(batch["data"]["font"] == "Inter" && batch["progress"] == 0.0, "{batch}");
    ensure!(batch["endedAt"].is_null(), "{batch}");

    report(&api, &id, &json!([{"recordId": "alice", "status": "rendering"}])).send().await?;
    is(&api, &id, "rendering", [2, 1, 0, 0]).await?;
    let bytes = noise(30_000);
    let put = card(&api, &id, "alice", bytes.clone()).header("content-type", "image/png");
    let stored = json_of(put, 201).await?;
    ensure!(stored["bucket"] == "batches" && stored["key"] == format!("{id}/alice"), "{stored}");
    let url = stored["url"].as_str().context("a url")?;
    let back = expect(api.client.get(url).bearer_auth(&api.alice), 200).await?.bytes().await?;
    ensure!(sha256(&back) == sha256(&bytes));
    is(&api, &id, "rendering", [2, 0, 1, 0]).await?;
    // Rendered once more: another version of the same record.
    let again = card(&api, &id, "alice", bytes).header("content-type", "image/png");
    json_of(again, 200).await?;
    is(&api, &id, "rendering", [2, 0, 1, 0]).await?;

    let failed = json!([{"recordId": "bøb 2", "status": "failed", "reason": "no glyph for ø"}]);
    let answer = json_of(report(&api, &id, &failed), 200).await?;
    ensure!(answer["changed"] == 1 && answer["complete"] == json!([]), "{answer}");
    json_of(card(&api, &id, "c%2Bd%25", b"third".to_vec()), 201).await?;
    let batch = status(&api, &id).await?;
    ensure!(batch["status"] == "failed" && batch["progress"] == 1.0, "{batch}");
    let record = batches(&api, Method::GET, &format!("/{id}/records/b%C3%B8b%202"));
    let record = json_of(record, 200).await?;
    ensure!(record["status"] == "failed" && record["reason"] == "no glyph for ø", "{record}");
    ensure!(record["failures"] == 1 && record["version"].is_null(), "{record}");

    json_of(card(&api, &id, "b%C3%B8b%202", b"second".to_vec()), 201).await?;
    is(&api, &id, "complete", [0, 0, 3, 0]).await?;
    let list = batches(&api, Method::GET, &format!("/{id}/records?status=complete&limit=2"));
    let page = json_of(list, 200).await?;
    ensure!(page["records"].as_array().map(Vec::len) == Some(2), "{page}");
    let cursor = page["cursor"].as_str().context("another page")?;
    let list = batches(&api, Method::GET, &format!("/{id}/records")).query(&[("cursor", cursor)]);
    let page = json_of(list, 200).await?;
    ensure!(page["records"][0]["recordId"] == "c+d%" && page["cursor"].is_null(), "{page}");
    ensure!(page["records"][0]["size"] == 5, "{page}");

    // The worker writes down its end, and one event of it.
    let ended =
        format!("select count(*) from holdfast.batch where id = '{id}' and ended_as = 'complete'");
    api.eventually(&ended, 1).await?;
    ensure!(!status(&api, &id).await?["endedAt"].is_null());
    let events = format!(
        "select count(*) from holdfast.outbox where key = '{id}' and kind = 'batch.completed'"
    );
    ensure!(api.number(&events).await? == 1);
    let list = json_of(batches(&api, Method::GET, "?limit=1"), 200).await?;
    ensure!(list["batches"].as_array().map(Vec::len) == Some(1), "{list}");
    Ok(())
}

/// By a form, by TUS, by a signed URL straight to SeaweedFS, and deleted by the route of objects.
async fn every_way(api: Api) -> Result<()> {
    let id = create(&api, &json!({"expected": 3})).await?;
    let part = reqwest::multipart::Part::bytes(noise(1_000)).file_name("x.bin");
    let form = reqwest::multipart::Form::new().text("key", format!("{id}/form")).part("file", part);
    let upload = format!("{}/v1/upload/batches", api.url);
    json_of(api.client.post(upload).bearer_auth(&api.alice).multipart(form), 201).await?;
    is(&api, &id, "rendering", [2, 0, 1, 0]).await?;

    let presign = json!({"method": "PUT", "bucket": "batches", "key": format!("{id}/signed"), "size": 4, "contentType": "text/plain"});
    let presigned = api.client.post(format!("{}/v1/presign", api.url)).bearer_auth(&api.alice);
    let made = json_of(presigned.body(presign.to_string()), 200).await?;
    let url = made["url"].as_str().context("a url")?;
    let put = api.client.put(url).header("content-type", "text/plain").header("if-none-match", "*");
    expect(put.body("card"), 200).await?;
    is(&api, &id, "rendering", [2, 0, 1, 0]).await?;
    expect(api.client.post(made["complete"].as_str().context("a url")?), 201).await?;
    is(&api, &id, "rendering", [1, 0, 2, 0]).await?;

    let begun = json!({"bucket": "batches", "key": format!("{id}/parts"), "size": 6_000_000});
    let begun = api.client.post(format!("{}/v1/multipart", api.url)).body(begun.to_string());
    let begun = json_of(begun.bearer_auth(&api.alice), 201).await?;
    let upload = begun["url"].as_str().context("a url")?;
    let part = api.client.put(format!("{upload}/parts/1")).bearer_auth(&api.alice);
    expect(part.body(noise(6_000_000)), 200).await?;
    expect(api.client.post(format!("{upload}/complete")).bearer_auth(&api.alice), 200).await?;
    is(&api, &id, "complete", [0, 0, 3, 0]).await?;

    let object = format!("{}/v1/objects/batches/{id}/form", api.url);
    expect(api.client.delete(object).bearer_auth(&api.alice), 200).await?;
    is(&api, &id, "rendering", [1, 0, 2, 0]).await?;
    // Of a deeper key it is no record.
    let deep = format!("{}/v1/upload/batches/{id}/a/b", api.url);
    expect(api.client.put(deep).bearer_auth(&api.alice).body("x"), 201).await?;
    is(&api, &id, "rendering", [1, 0, 2, 0]).await
}

async fn workers(api: Api) -> Result<()> {
    const RECORDS: usize = 600;
    const WORKERS: usize = 16;
    let id = create(&api, &json!({"expected": RECORDS})).await?;
    let start = Instant::now();
    // Every tenth is rendered twice, maybe at the same time.
    let all = (0..RECORDS).chain((0..RECORDS).step_by(10));
    let stored = stream::iter(all.map(|record| {
        let request = card(&api, &id, &record.to_string(), noise(2_000 + record));
        async move { request.send().await?.error_for_status().map(|_| ()) }
    }))
    .buffer_unordered(WORKERS)
    .collect::<Vec<_>>()
    .await;
    for one in stored {
        one?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("{RECORDS} records by {WORKERS} workers: {:.0} a second", RECORDS as f64 / seconds);
    is(&api, &id, "complete", [0, 0, i64::try_from(RECORDS)?, 0]).await?;
    let left = format!("select count(*) from holdfast.batch_delta where batch = '{id}'");
    api.eventually(&left, 0).await?;
    is(&api, &id, "complete", [0, 0, i64::try_from(RECORDS)?, 0]).await
}

async fn waits(api: Api) -> Result<()> {
    let id = create(&api, &json!({"expected": 2})).await?;
    let now = expect(batches(&api, Method::GET, &format!("/{id}")), 200).await?;
    let etag = header(&now, "etag");
    let wait = |etag: &str, seconds: u32| {
        let path = format!("/{id}?wait={seconds}");
        batches(&api, Method::GET, &path).header("if-none-match", etag)
    };
    let start = Instant::now();
    let none = expect(wait(&etag, 1), 304).await?;
    ensure!(start.elapsed() >= Duration::from_secs(1) && header(&none, "etag") == etag);
    let told = tokio::spawn(wait(&etag, 20).send());
    tokio::time::sleep(Duration::from_millis(700)).await;
    expect(card(&api, &id, "1", b"x".to_vec()), 201).await?;
    let stored = Instant::now();
    let told: Response = told.await??;
    ensure!(told.status() == 200 && stored.elapsed() < Duration::from_secs(5));
    ensure!(header(&told, "etag") != etag);
    let batch: Value = told.json().await?;
    ensure!(counts(&batch) == [1, 0, 1, 0], "{batch}");
    // What it does not know is answered at once.
    expect(wait("\"another\"", 20), 200).await?;
    refused(wait(&etag, 31), 400, "InvalidArgument").await?;
    Ok(())
}

async fn its_owners(api: Api) -> Result<()> {
    let id = create(&api, &json!({"expected": 2})).await?;
    expect(card(&api, &id, "1", b"x".to_vec()), 201).await?;
    let admin = api.stack.token("root", 3_600, &json!({"roles": ["admin"]}));
    let paths = ["", "/records", "/records/1", "/archive"].map(|path| format!("/{id}{path}"));
    for path in &paths {
        let url = format!("{}/v1/batches{path}", api.url);
        refused(api.client.get(&url).bearer_auth(&api.bob), 404, "NoSuchBatch").await?;
        refused(api.client.get(&url), 401, "MissingAuthentication").await?;
        expect(api.client.get(&url).bearer_auth(&admin), 200).await?;
    }
    let url = format!("{}/v1/batches/{id}", api.url);
    for token in [&api.bob, &admin] {
        let put = api.client.put(format!("{url}/records/2")).bearer_auth(token).body("x");
        refused(put, 404, "NoSuchBatch").await?;
        let body = json!({"records": [{"recordId": "2", "status": "rendering"}]}).to_string();
        let report = api.client.post(format!("{url}/records")).bearer_auth(token).body(body);
        refused(report, 404, "NoSuchBatch").await?;
    }
    refused(api.client.delete(&url).bearer_auth(&api.bob), 404, "NoSuchBatch").await?;
    // Somebody else's object at the key of a record is no card of it.
    let upload = format!("{}/v1/upload/batches/{id}/2", api.url);
    expect(api.client.put(upload).bearer_auth(&api.bob).body("not a card"), 201).await?;
    is(&api, &id, "rendering", [1, 0, 1, 0]).await?;
    let list = format!("{}/v1/batches?owner=alice", api.url);
    refused(api.client.get(&list).bearer_auth(&api.bob), 403, "AccessDenied").await?;
    expect(api.client.get(&list).bearer_auth(&admin), 200).await?;
    Ok(())
}

async fn refusals(api: Api) -> Result<()> {
    for body in ["", "[]", "{}", r#"{"expected": 0}"#, r#"{"expected": 2, "records": ["a", "a"]}"#]
    {
        let create = batches(&api, Method::POST, "").body(body);
        refused(create, 400, "InvalidArgument").await?;
    }
    let huge = r#"{"expected": 1, "data": {"a": 1.7976931348623155e308}}"#;
    refused(batches(&api, Method::POST, "").body(huge), 400, "InvalidArgument").await?;
    let digits = format!(r#"{{"expected": 1, "data": {{"a": [{}1]}}}}"#, "1e300,".repeat(250));
    refused(batches(&api, Method::POST, "").body(digits), 413, "EntityTooLarge").await?;
    let unknown = json!({"expected": 1, "templateId": "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42"});
    let create_unknown = batches(&api, Method::POST, "").body(unknown.to_string());
    refused(create_unknown, 404, "NoSuchTemplate").await?;
    let id = create(&api, &json!({"expected": 1})).await?;
    for path in ["/x", "/019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42"] {
        refused(batches(&api, Method::GET, path), 404, "NoSuchBatch").await?;
    }
    for (path, status, code) in [
        (format!("/{id}/records/none"), 404, "NoSuchKey"),
        (format!("/{id}/other"), 404, "NoSuchRoute"),
        (format!("/{id}/records?status=done"), 400, "InvalidArgument"),
        (format!("/{id}/records?limit=0"), 400, "InvalidArgument"),
        (format!("/{id}/archive?limit=0"), 400, "InvalidArgument"),
        (format!("/{id}/records/{}", "x".repeat(513)), 400, "InvalidArgument"),
    ] {
        refused(batches(&api, Method::GET, &path), status, code).await?;
    }
    for body in [
        json!([]),
        json!([{"recordId": "a", "status": "complete"}]),
        json!([{"recordId": "a", "status": "failed"}]),
        json!([{"recordId": "a/b", "status": "pending"}]),
    ] {
        refused(report(&api, &id, &body), 400, "InvalidArgument").await?;
    }
    let put = card(&api, &id, "a%2Fb", b"x".to_vec());
    refused(put, 400, "InvalidArgument").await?;
    refused(batches(&api, Method::PATCH, &format!("/{id}")), 405, "MethodNotAllowed").await?;
    let missing = card(&api, "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42", "a", b"x".to_vec());
    refused(missing, 404, "NoSuchBatch").await?;
    let stored = "select count(*) from holdfast.object where key like '019ab7c4-5f0e%'";
    ensure!(api.number(stored).await? == 0);
    Ok(())
}

async fn made_once(api: Api) -> Result<()> {
    let body = json!({"expected": 2, "name": "once"}).to_string();
    let key = format!("batch-{}", sha256(&noise(17)));
    let once = || batches(&api, Method::POST, "").header("idempotency-key", &key);
    let all = try_join_all((0..8).map(|_| json_of(once().body(body.clone()), 201))).await?;
    ensure!(all.iter().all(|it| it["id"] == all[0]["id"]), "{all:?}");
    let again = expect(once().body(body), 201).await?;
    ensure!(header(&again, "idempotent-replayed") == "true");
    refused(once().body(r#"{"expected": 3}"#), 422, "IdempotencyKeyReused").await?;
    Ok(())
}

async fn deleted(api: Api) -> Result<()> {
    let id = create(&api, &json!({"expected": 3})).await?;
    for record in ["1", "2", "3"] {
        expect(card(&api, &id, record, noise(100)), 201).await?;
    }
    expect(batches(&api, Method::DELETE, &format!("/{id}")), 204).await?;
    refused(batches(&api, Method::GET, &format!("/{id}")), 404, "NoSuchBatch").await?;
    refused(card(&api, &id, "4", b"x".to_vec()), 404, "NoSuchBatch").await?;
    refused(batches(&api, Method::DELETE, &format!("/{id}")), 404, "NoSuchBatch").await?;
    let in_trash = format!(
        "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
         where o.key like '{id}/%' and v.state = 'trashed' and v.deleted_by = 'alice'"
    );
    api.eventually(&in_trash, 3).await
}

/// Python's zipfile reads every byte of it, and so does unzip.
const READ: &str = r#"
import sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
for info in archive.infolist():
    assert info.compress_type == zipfile.ZIP_STORED
    print(info.filename, info.file_size, info.date_time[0], sep="\t")
"#;

async fn names(zip: &[u8]) -> Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("archive.zip");
    tokio::fs::write(&path, zip).await?;
    let read = Command::new(python().await?).args(["-c", READ]).arg(&path).output().await?;
    ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let unzip = Command::new("unzip").arg("-t").arg(&path).output().await.context("unzip")?;
    ensure!(unzip.status.success(), "{}", String::from_utf8_lossy(&unzip.stdout));
    Ok(String::from_utf8(read.stdout)?.lines().map(str::to_owned).collect())
}

async fn archive(api: Api) -> Result<()> {
    let id = create(&api, &json!({"expected": 4, "name": "Frühling 🌷"})).await?;
    let large = noise(3_000_000);
    for (record, bytes) in
        [("1.png", &large[..1_000]), ("%C3%BC%20%2B.png", &large), ("empty", b"")]
    {
        expect(card(&api, &id, record, bytes.to_vec()), 201).await?;
    }
    let failed = json!([{"recordId": "4.png", "status": "failed", "reason": "no font"}]);
    expect(report(&api, &id, &failed), 200).await?;
    let get = |query: &str| batches(&api, Method::GET, &format!("/{id}/archive{query}"));
    let answer = expect(get(""), 200).await?;
    ensure!(header(&answer, "content-type") == "application/zip");
    let disposition = header(&answer, "content-disposition");
    ensure!(disposition.contains("Fr%C3%BChling%20"), "{disposition}");
    let zip = answer.bytes().await?;
    let found = names(&zip).await?;
    ensure!(
        found.iter().map(|line| line.rsplit_once('\t').map_or("", |it| it.0)).collect::<Vec<_>>()
            == ["1.png\t1000", "empty\t0", "ü +.png\t3000000", "LEFT-OUT.txt\t14"],
        "{found:?}"
    );
    // Files are stored as they are.
    ensure!(zip.windows(large.len()).any(|window| window == large), "not stored as it is");

    // In two archives.
    let first = expect(get("?limit=2"), 200).await?;
    let next = header(&first, "archive-next");
    ensure!(next == "empty", "{next}");
    ensure!(names(&first.bytes().await?).await?.len() == 2);
    let second = expect(get("?after=empty&limit=2"), 200).await?;
    ensure!(header(&second, "archive-next").is_empty());
    let found = names(&second.bytes().await?).await?;
    ensure!(found.len() == 2 && found[0].starts_with("ü +.png"), "{found:?}");

    // Bytes that SeaweedFS lost are told in the archive, and the others are there.
    let lost = api.versions("batches", &format!("{id}/1.png")).await?;
    api.s3.call(&DeleteObject { bucket: "batches", key: &lost[0].1 }, "").await?;
    let found = names(&expect(get(""), 200).await?.bytes().await?).await?;
    ensure!(found.len() == 3 && found[2].starts_with("LEFT-OUT.txt\t30"), "{found:?}");
    // Of nothing it is an archive, too.
    let empty = create(&api, &json!({"expected": 1})).await?;
    let zip = expect(batches(&api, Method::GET, &format!("/{empty}/archive")), 200).await?;
    ensure!(zip.bytes().await?.starts_with(b"PK\x05\x06"));
    let head = expect(batches(&api, Method::HEAD, &format!("/{id}/archive")), 200).await?;
    ensure!(header(&head, "content-type") == "application/zip");
    // The reconciler would find what was deleted above.
    expect(batches(&api, Method::DELETE, &format!("/{id}")), 204).await?;
    Ok(())
}

async fn archive_is_flat(shared: Api) -> Result<()> {
    drop(shared);
    let folder = tempfile::tempdir()?;
    let mut options = StackOptions::new(folder.path().join("data"));
    options.tick_every = None;
    let stack = Arc::new(Stack::start(options).await?);
    let result = flat_on(&Api::of(Arc::clone(&stack))?).await;
    stack.stop().await?;
    result
}

/// 320 MB in ten files, by three clients at once.
async fn flat_on(api: &Api) -> Result<()> {
    const FILES: usize = 10;
    const BYTES: usize = 32_000_000;
    let id = create(api, &json!({"expected": FILES})).await?;
    let bytes = noise(BYTES);
    for record in 0..FILES {
        expect(card(api, &id, &record.to_string(), bytes.clone()), 201).await?;
    }
    let memory = Memory::watch(api.stack.host().pid())?;
    let start = Instant::now();
    let lengths = try_join_all((0..3).map(|_| async {
        let answer = expect(batches(api, Method::GET, &format!("/{id}/archive")), 200).await?;
        let (mut body, mut length) = (answer.bytes_stream(), 0);
        while let Some(chunk) = body.next().await {
            length += chunk?.len();
        }
        anyhow::Ok(length)
    }))
    .await?;
    let seconds = start.elapsed().as_secs_f64();
    let grown = memory.grown()?;
    let all: usize = lengths.iter().sum();
    println!("archives: {:.0} MB/s, host +{} MiB", all as f64 / 1e6 / seconds, grown / MIB);
    ensure!(lengths.iter().all(|length| (0..4_096).contains(&(length - FILES * BYTES))));
    ensure!(grown < ARCHIVE_MEMORY, "the host grew by {} MiB", grown / MIB);
    Ok(())
}
