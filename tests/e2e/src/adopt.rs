//! Files that lie in SeaweedFS already become objects, in place.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use holdfast_s3::PutObject;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::buckets::ask;
use crate::harness::{Api, Suite, expect, header, json_of, refused};

/// Files of the large bucket.
const MANY: usize = 20_000;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("adopted_files_are_read_where_they_lie", in_place);
    suite.add("adoption_tells_before_it_does_anything", dry_run);
    suite.add("adoption_refuses_what_is_no_object", refusals);
    suite.add("adoption_leaps_over_our_own_blobs", leap);
    suite.add("thousands_of_files_are_adopted_a_second_and_each_once", thousands);
}

/// A bucket that the store has, taken over by an admin for alice's files.
async fn taken_over(api: &Api, name: &str) -> Result<()> {
    api.s3.ensure_bucket(name).await?;
    let body = json!({"name": name, "policy": {"readers": "owner", "writers": "authenticated"}});
    json_of(ask(api, Method::POST, "", &api.stack.admin_token()).body(body.to_string()), 201)
        .await?;
    Ok(())
}

fn adopt(api: &Api, bucket: &str, asked: &Value) -> RequestBuilder {
    let admin = api.stack.admin_token();
    ask(api, Method::POST, &format!("/{bucket}/adopt"), &admin).body(asked.to_string())
}

async fn put(api: &Api, bucket: &str, key: &str, headers: &[(&str, &str)]) -> Result<()> {
    let put = PutObject {
        bucket,
        key,
        content_type: "application/x-kelp",
        headers,
        ..Default::default()
    };
    api.s3.call(&put, format!("bytes of {key}")).await?;
    Ok(())
}

async fn in_place(api: Api) -> Result<()> {
    taken_over(&api, "adopted").await?;
    let keys =
        ["plain.txt", "deep/er/picture.PNG", "ü %+&#?'😀.pdf", "nothing-known", "a", "a/b", "a-b"];
    for key in keys {
        put(&api, "adopted", key, &[("cache-control", "max-age=9"), ("x-amz-meta-reef", "north")])
            .await?;
    }
    let done =
        json_of(adopt(&api, "adopted", &json!({"owner": "alice", "prefix": "deep/"})), 200).await?;
    ensure!(done["adopted"] == 1 && done["done"] == true && done["nextCursor"].is_null(), "{done}");
    let done = json_of(adopt(&api, "adopted", &json!({"owner": "alice"})), 200).await?;
    ensure!(
        done["adopted"] == keys.len() - 1 && done["skipped"] == 1 && done["refusedCount"] == 0,
        "{done}"
    );
    let done = json_of(adopt(&api, "adopted", &json!({})), 200).await?;
    ensure!(done["adopted"] == 0 && done["skipped"] == keys.len(), "{done}");

    for (key, kind) in keys.into_iter().zip([
        "text/plain",
        "image/png",
        "application/pdf",
        "application/octet-stream",
    ]) {
        let got = expect(api.get(&format!("adopted/{}", encoded(key))), 200).await?;
        ensure!(
            header(&got, "content-type").starts_with(kind),
            "{key}: {}",
            header(&got, "content-type")
        );
        ensure!(got.text().await? == format!("bytes of {key}"));
    }
    refused(
        api.client.get(format!("{}/v1/download/adopted/plain.txt", api.url)).bearer_auth(&api.bob),
        404,
        "NoSuchKey",
    )
    .await?;
    let range = expect(api.get("adopted/plain.txt").header("range", "bytes=0-4"), 206).await?;
    ensure!(range.text().await? == "bytes");
    let tag = expect(api.get("adopted/plain.txt"), 200).await?;
    let tag = header(&tag, "etag");
    expect(api.get("adopted/plain.txt").header("if-none-match", tag), 304).await?;
    let usage = json_of(ask(&api, Method::GET, "/adopted", &api.stack.admin_token()), 200).await?;
    ensure!(usage["usage"]["liveObjects"] == keys.len(), "{usage}");

    // Replaced, restored in the store's eyes, deleted: its blob stays until the worker purges it.
    expect(api.put("adopted/plain.txt", "new"), 200).await?;
    ensure!(api.is_stored("adopted", "plain.txt").await?);
    let known = json_of(adopt(&api, "adopted", &json!({})), 200).await?;
    ensure!(known["adopted"] == 0 && known["refusedCount"] == 0, "{known}");
    api.execute("update holdfast.version v set due_at = now(), replaced_at = now() - interval '25 hours' from holdfast.object o \
        where o.id = v.object_id and o.bucket = 'adopted' and v.s3_key = 'plain.txt'").await?;
    let tick = api.client.post(format!("{}/internal/tick", api.url));
    json_of(tick.bearer_auth(api.stack.tick_secret()), 200).await?;
    api.eventually("select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id where o.bucket = 'adopted' and v.s3_key = 'plain.txt' and v.state <> 'purged'", 0).await?;
    ensure!(!api.is_stored("adopted", "plain.txt").await?);
    ensure!(expect(api.get("adopted/plain.txt"), 200).await?.text().await? == "new");

    // The headers of each, where they are wished.
    taken_over(&api, "adopted-headers").await?;
    for number in 0..40 {
        put(
            &api,
            "adopted-headers",
            &format!("{number}.txt"),
            &[("cache-control", "max-age=9"), ("x-amz-meta-reef", "north")],
        )
        .await?;
    }
    put(&api, "adopted-headers", "packed.txt", &[("content-encoding", "gzip")]).await?;
    let done =
        json_of(adopt(&api, "adopted-headers", &json!({"owner": "alice", "headers": true})), 200)
            .await?;
    ensure!(done["adopted"] == 40 && done["refused"][0]["key"] == "packed.txt", "{done}");
    let got = expect(api.get("adopted-headers/7.txt"), 200).await?;
    ensure!(header(&got, "content-type") == "application/x-kelp");
    ensure!(header(&got, "x-amz-meta-reef") == "north");
    Ok(())
}

fn encoded(key: &str) -> String {
    key.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            path.push(byte.into());
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
        path
    })
}

async fn dry_run(api: Api) -> Result<()> {
    taken_over(&api, "adopt-dry").await?;
    for number in 0..5 {
        put(&api, "adopt-dry", &format!("k{number}"), &[]).await?;
    }
    for _ in 0..2 {
        let told = json_of(adopt(&api, "adopt-dry", &json!({"dryRun": true})), 200).await?;
        ensure!(told["adopted"] == 5 && told["dryRun"] == true, "{told}");
    }
    ensure!(
        api.number("select count(*) from holdfast.object where bucket = 'adopt-dry'").await? == 0
    );
    // The bucket can be deleted only once they are nobody's any more.
    let kept = ask(&api, Method::DELETE, "/adopt-dry", &api.stack.admin_token());
    refused(kept, 409, "BucketNotEmpty").await?;
    Ok(())
}

async fn refusals(api: Api) -> Result<()> {
    taken_over(&api, "adopt-some").await?;
    put(&api, "adopt-some", "ours", &[]).await?;
    put(&api, "adopt-some", "theirs", &[]).await?;
    put(&api, "adopt-some", "tab\there", &[]).await?;
    put(&api, "adopt-some", "hf-not-ours", &[]).await?;
    expect(api.put("adopt-some/ours", "ours"), 201).await?;
    let done = json_of(adopt(&api, "adopt-some", &json!({"owner": "bob"})), 200).await?;
    ensure!(done["adopted"] == 2 && done["refusedCount"] == 2, "{done}");
    let keys: Vec<_> = done["refused"]
        .as_array()
        .context("a list")?
        .iter()
        .filter_map(|it| it["key"].as_str())
        .collect();
    ensure!(keys.contains(&"ours") && keys.contains(&"tab\there"), "{done}");
    // Ours is what it was, and no blob of ours was taken for somebody's file.
    ensure!(expect(api.get("adopt-some/ours"), 200).await?.text().await? == "ours");
    ensure!(
        api.number(
            "select count(*) from holdfast.object where bucket = 'adopt-some' and key like 'hf/%'"
        )
        .await?
            == 0
    );

    refused(adopt(&api, "adopt-some", &json!({"prefix": "hf/2026"})), 400, "InvalidArgument")
        .await?;
    refused(adopt(&api, "adopt-some", &json!({"cursor": "nonsense"})), 400, "InvalidArgument")
        .await?;
    refused(adopt(&api, "adopt-some", &json!({"dryrun": true})), 400, "InvalidArgument").await?;
    refused(adopt(&api, "nowhere", &json!({})), 404, "NoSuchBucket").await?;
    let alice = ask(&api, Method::POST, "/adopt-some/adopt", &api.alice);
    refused(alice, 403, "AccessDenied").await?;
    let nobody = api.client.post(format!("{}/v1/buckets/adopt-some/adopt", api.url));
    refused(nobody, 401, "MissingAuthentication").await?;
    refused(ask(&api, Method::GET, "/adopt-some/adopt", &api.alice), 405, "MethodNotAllowed")
        .await?;
    Ok(())
}

/// More of them than a page of SeaweedFS's listing has; a folder beside theirs has nearly their name.
async fn leap(api: Api) -> Result<()> {
    taken_over(&api, "adopt-leap").await?;
    let ours = (0..2_500).map(|number| format!("hf/2026/11/29/{number}"));
    let keys = ours.chain(["a", "hf", "hf-x", "hf.y/z", "hg", "z"].map(str::to_owned));
    let puts = stream::iter(keys).map(|key| {
        let api = &api;
        async move { put(api, "adopt-leap", &key, &[]).await }
    });
    puts.buffer_unordered(32).try_collect::<Vec<_>>().await?;
    let mut asked = json!({"limit": 1});
    let (mut adopted, mut calls) = (0, 0);
    loop {
        let done = json_of(adopt(&api, "adopt-leap", &asked), 200).await?;
        ensure!(done["refusedCount"] == 0, "{done}");
        adopted += done["adopted"].as_u64().context("a number")?;
        calls += 1;
        match done["nextCursor"].as_str() {
            Some(next) => asked["cursor"] = next.into(),
            None => break,
        }
    }
    ensure!(adopted == 6 && calls == 2, "{adopted} in {calls} calls");
    Ok(())
}

/// Two at once over the same bucket, page by page with cursors; and some of our own blobs between theirs.
async fn thousands(api: Api) -> Result<()> {
    taken_over(&api, "adopt-many").await?;
    for number in 0..30 {
        expect(api.put(&format!("adopt-many/ours-{number}"), "x"), 201).await?;
    }
    let start = Instant::now();
    let files = stream::iter(0..MANY).map(|number| {
        let (api, key) = (&api, format!("folder {}/file {number}.txt", number % 50));
        async move { put(api, "adopt-many", &key, &[]).await }
    });
    files.buffer_unordered(32).try_collect::<Vec<_>>().await?;
    println!("{MANY} files were put in {:.1} s", start.elapsed().as_secs_f64());

    let all = async |asked: &Value| -> Result<(u64, u64)> {
        let (mut adopted, mut skipped, mut asked) = (0, 0, asked.clone());
        loop {
            let done = json_of(adopt(&api, "adopt-many", &asked), 200).await?;
            ensure!(done["refusedCount"] == 0, "{done}");
            adopted += done["adopted"].as_u64().context("a number")?;
            skipped += done["skipped"].as_u64().context("a number")?;
            match done["nextCursor"].as_str() {
                Some(next) => asked["cursor"] = next.into(),
                None => return Ok((adopted, skipped)),
            }
        }
    };
    let many = MANY as u64;
    let start = Instant::now();
    ensure!(all(&json!({"dryRun": true, "limit": 5_000})).await? == (many, 0));
    println!("adopt, dry run: {:.0} objects a second", many as f64 / start.elapsed().as_secs_f64());
    let (start, asked) = (Instant::now(), json!({"owner": "alice", "limit": 5_000}));
    let (one, two) = tokio::join!(all(&asked), all(&asked));
    let ((one, one_skipped), (two, two_skipped)) = (one?, two?);
    println!(
        "adopt, two at once: {:.0} objects a second",
        many as f64 / start.elapsed().as_secs_f64()
    );
    ensure!(
        one + two == many && one_skipped + two_skipped == many,
        "{one} {one_skipped} {two} {two_skipped}"
    );
    let start = Instant::now();
    ensure!(all(&json!({"owner": "alice"})).await? == (0, many));
    println!(
        "adopt, all known: {:.0} objects a second",
        many as f64 / start.elapsed().as_secs_f64()
    );
    let usage =
        json_of(ask(&api, Method::GET, "/adopt-many", &api.stack.admin_token()), 200).await?;
    ensure!(usage["usage"]["liveObjects"] == MANY + 30, "{usage}");
    let drift = api.number("select count(*) from holdfast.usage_drift('adopt-many')").await?;
    ensure!(drift == 0, "{drift}");
    Ok(())
}
