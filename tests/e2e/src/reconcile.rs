//! `POST /internal/reconcile`, each test in a bucket of its own: usage is the bucket's.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use futures_util::stream;
use holdfast_s3::{DeleteObject, PutObject};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{Api, Suite, expect, json_of, noise, refused};

/// A blob without a row is old after this long here. What has to be young has a name from the future.
const ORPHAN_AGE: Duration = Duration::from_secs(2);

/// How long a test waits for a blob to get old.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn variables() -> [(String, String); 1] {
    [("orphan_age_seconds".to_owned(), ORPHAN_AGE.as_secs().to_string())]
}

pub(crate) fn register(suite: &mut Suite) {
    suite.add("the_reconciler_finds_what_is_wrong_and_mends_it", finds_and_mends);
    suite.add("the_reconciler_goes_on_where_its_caller_stopped", goes_on);
    suite.add("the_reconciler_never_touches_a_running_upload", running_uploads);
    suite.add("the_reconciler_is_for_the_operator", refusals);
}

fn call(api: &Api, members: &Value) -> RequestBuilder {
    let request = api.client.post(format!("{}/internal/reconcile", api.url));
    request.bearer_auth(api.stack.tick_secret()).json(members)
}

/// A whole day of the bucket; the lists of all its batches.
async fn through(api: &Api, bucket: &str, day: &str, apply: bool) -> Result<Found> {
    let mut found = Found::default();
    let mut cursor = Value::Null;
    loop {
        let members = json!({ "day": day, "bucket": bucket, "apply": apply, "cursor": cursor });
        let answer = json_of(call(api, &members), 200).await?;
        ensure!(answer["dryRun"] == !apply && answer["bucket"] == bucket, "{answer}");
        found.add(&answer);
        cursor = answer["cursor"].clone();
        if cursor.is_null() {
            return Ok(found);
        }
    }
}

#[derive(Debug, Default)]
struct Found {
    orphans: Vec<Value>,
    lost: Vec<Value>,
    drift: Vec<Value>,
    deleted: u64,
}

impl Found {
    fn add(&mut self, answer: &Value) {
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        self.orphans.extend(list("blobsWithoutRow"));
        self.lost.extend(list("rowsWithoutBlob"));
        self.drift.extend(list("drift"));
        self.deleted += answer["applied"]["deleted"].as_u64().unwrap_or_default();
    }

    fn verdict(&self, s3_key: &str) -> Option<&str> {
        self.orphans.iter().find(|orphan| orphan["key"] == s3_key)?["verdict"].as_str()
    }
}

/// An S3 key as the product makes them, of a moment in milliseconds of Unix time.
fn s3_key(day: &str, millis: u64, number: usize) -> String {
    let folder = day.replace('-', "/");
    let (high, low) = (millis >> 16, millis & 0xffff);
    format!("hf/{folder}/{high:08x}-{low:04x}-7000-8000-{number:012x}")
}

async fn plant(api: &Api, bucket: &str, key: &str) -> Result<()> {
    let put =
        PutObject { bucket, key, content_type: "application/octet-stream", ..Default::default() };
    api.s3.call(&put, "planted").await?;
    Ok(())
}

/// Dry runs until the blob is old enough.
async fn ripen(api: &Api, bucket: &str, day: &str, s3_key: &str) -> Result<Found> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = through(api, bucket, day, false).await?;
        if found.verdict(s3_key) == Some("deletable") {
            return Ok(found);
        }
        ensure!(found.verdict(s3_key) == Some("young"), "{found:?}");
        ensure!(tokio::time::Instant::now() < deadline, "it never got old");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn today(api: &Api) -> Result<String> {
    api.text("select to_char(now() at time zone 'utc', 'YYYY-MM-DD')").await
}

const DRIFT: &str = "select count(*) from holdfast.usage_drift('reconciled')";

async fn finds_and_mends(api: Api) -> Result<()> {
    const BUCKET: &str = "reconciled";
    api.create_bucket(BUCKET, &json!({})).await?;
    // 2021-03-04T12:00Z, and 2099-01-01T00:00Z.
    let (past, future) = ("2021-03-04", "2099-01-01");
    let old = s3_key(past, 1_614_859_200_000, 1);
    let young = s3_key(future, 4_070_908_800_000, 1);
    let foreign = "hf/2021/03/04/not-ours".to_owned();
    let adopted = "photos/2021/a.jpg".to_owned();
    for key in [&old, &young, &foreign, &adopted] {
        plant(&api, BUCKET, key).await?;
    }
    json_of(api.put("reconciled/reconcile/kept", "x"), 201).await?;
    let put = json_of(api.put("reconciled/reconcile/lost", "x"), 201).await?;
    let version = put["version"].as_str().unwrap_or_default();
    let lost =
        api.text(&format!("select s3_key from holdfast.version where id = '{version}'")).await?;
    api.s3.call(&DeleteObject { bucket: BUCKET, key: &lost }, "").await?;
    api.execute(
        "insert into holdfast.usage_delta (bucket, owner, live_bytes, pending_objects) values ('reconciled', 'zoe', 777, 1)",
    )
    .await?;

    // The days of both uploads, should midnight come between.
    let days = [lost[3..13].replace('/', "-"), today(&api).await?];
    let found = ripen(&api, BUCKET, past, &old).await?;
    ensure!(found.verdict(&foreign) == Some("foreign") && found.orphans.len() == 2, "{found:?}");
    let drift = &found.drift;
    ensure!(drift.len() == 2, "zoe, and with her the bucket: {drift:?}");
    ensure!(drift.iter().any(|it| it["owner"] == "zoe"
        && it["kept"]["liveBytes"] == 777
        && it["counted"]["liveBytes"] == 0));
    let found = through(&api, BUCKET, future, false).await?;
    ensure!(found.verdict(&young) == Some("young") && found.orphans.len() == 1, "{found:?}");
    let found = through(&api, BUCKET, &days[0], false).await?;
    ensure!(
        found.lost.iter().any(|it| it["version"] == version && it["state"] == "live"),
        "{found:?}"
    );
    ensure!(!found.lost.iter().any(|it| it["key"] == "reconcile/kept"), "{found:?}");
    ensure!(found.orphans.is_empty(), "{found:?}");

    let told =
        "select count(*) from holdfast.audit where action = 'reconcile' and bucket = 'reconciled'";
    ensure!(
        api.is_stored(BUCKET, &old).await? && api.number(told).await? == 0,
        "a dry run changed something"
    );
    ensure!(api.number(DRIFT).await? == 2);

    let found = through(&api, BUCKET, past, true).await?;
    ensure!(found.deleted == 1 && found.verdict(&old) == Some("deleted"), "{found:?}");
    ensure!(found.drift.len() == 2, "{found:?}");
    through(&api, BUCKET, future, true).await?;
    ensure!(!api.is_stored(BUCKET, &old).await?);
    for key in [&young, &foreign, &adopted] {
        ensure!(api.is_stored(BUCKET, key).await?, "{key} was deleted");
    }
    ensure!(api.number(DRIFT).await? == 0);
    let found = through(&api, BUCKET, &days[0], true).await?;
    ensure!(found.lost.iter().any(|it| it["version"] == version), "{found:?}");
    let critical = format!(
        "select count(*) from holdfast.audit where action = 'reconcile' and version = '{version}' \
         and outcome = 'row-without-blob' and rule = 'severity.critical'"
    );
    ensure!(api.number(&critical).await? == 1, "the operator was not told");
    let kept =
        format!("select count(*) from holdfast.version where id = '{version}' and state = 'live'");
    ensure!(api.number(&kept).await? == 1, "a row was changed");

    for day in [past, &days[0], &days[1]] {
        let again = through(&api, BUCKET, day, true).await?;
        ensure!(again.deleted == 0 && again.drift.is_empty(), "{again:?}");
        ensure!(again.orphans.iter().all(|it| it["verdict"] == "foreign"), "{again:?}");
    }
    Ok(())
}

/// More than two pages of orphans, and a caller for each page who knows only the last cursor.
async fn goes_on(api: Api) -> Result<()> {
    const BUCKET: &str = "reconciled-in-steps";
    api.create_bucket(BUCKET, &json!({})).await?;
    const COUNT: usize = 1_100;
    let day = "2021-03-05";
    let keys: Vec<_> = (0..COUNT).map(|number| s3_key(day, 1_614_945_600_000, number)).collect();
    for some in keys.chunks(32) {
        try_join_all(some.iter().map(|key| plant(&api, BUCKET, key))).await?;
    }
    tokio::time::sleep(ORPHAN_AGE + Duration::from_secs(1)).await;
    let step = async |cursor: &Value, force: bool| {
        let members = json!({ "day": day, "bucket": BUCKET, "apply": true, "force": force, "cursor": cursor });
        json_of(call(&api, &members), 200).await
    };
    // That many of them and nothing else: a wrong database sooner than a crash.
    let held = step(&Value::Null, false).await?;
    ensure!(
        held["applied"]["deleted"] == 0 && held["blobsWithoutRow"][0]["verdict"] == "held",
        "{held}"
    );

    let first = step(&Value::Null, true).await?;
    ensure!(first["applied"]["deleted"] == 500 && first["blobs"] == 500, "{first}");
    let mut deleted = 500;
    let mut cursor = first["cursor"].clone();
    while !cursor.is_null() {
        // Its caller died before it could use the cursor: asked twice, it does no harm.
        let (answer, repeated) = (step(&cursor, true).await?, step(&cursor, true).await?);
        ensure!(
            repeated["applied"]["deleted"] == 0 || answer["cursor"] != repeated["cursor"],
            "{repeated}"
        );
        deleted += answer["applied"]["deleted"].as_u64().unwrap_or_default();
        deleted += repeated["applied"]["deleted"].as_u64().unwrap_or_default();
        cursor = answer["cursor"].clone();
    }
    ensure!(deleted == COUNT as u64, "{deleted} of {COUNT}");
    for key in [&keys[0], &keys[600], &keys[COUNT - 1]] {
        ensure!(!api.is_stored(BUCKET, key).await?, "{key}");
    }
    let told = "select count(*) from holdfast.audit where action = 'reconcile' and outcome = 'blob-without-row' and bucket = 'reconciled-in-steps'";
    ensure!(api.number(told).await? == COUNT as i64);
    ensure!(through(&api, BUCKET, day, true).await?.orphans.is_empty());
    Ok(())
}

async fn running_uploads(api: Api) -> Result<()> {
    const BUCKET: &str = "reconciled-beside";
    api.create_bucket(BUCKET, &json!({})).await?;
    // One whose bytes are all there, old by every clock, and whose commit is still to come.
    let day = "2021-03-06";
    let (pending, orphan) = (s3_key(day, 1_615_032_000_000, 1), s3_key(day, 1_615_032_000_000, 2));
    let begin = format!(
        "select outcome from holdfast.begin('{}', 'reconciled-beside', 'reconcile/pending', '{pending}', 'zoe', null, null, \
         7, null, null, null, null, 600, null, null, null)",
        &pending[14..]
    );
    ensure!(api.text(&begin).await? == "ok");
    plant(&api, BUCKET, &pending).await?;
    plant(&api, BUCKET, &orphan).await?;
    ripen(&api, BUCKET, day, &orphan).await?;

    // And one whose bytes are on their way.
    let (release, wait) = tokio::sync::oneshot::channel::<()>();
    let bytes = noise(300_000);
    let (head, tail) = (bytes[..200_000].to_vec(), bytes[200_000..].to_vec());
    let body =
        stream::unfold((0, Some(wait), head, tail), async |(at, wait, head, tail)| match at {
            0 => Some((Ok::<_, std::io::Error>(head), (1, wait, Vec::new(), tail))),
            1 => {
                if let Some(wait) = wait {
                    wait.await.ok();
                }
                Some((Ok(tail), (2, None, Vec::new(), Vec::new())))
            }
            _ => None,
        });
    let put = api.put("reconciled-beside/reconcile/running", reqwest::Body::wrap_stream(body));
    let upload = tokio::spawn(json_of(put, 201));
    let begun = "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
        where o.key = 'reconcile/running' and v.state = 'pending'";
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while api.number(begun).await? == 0 {
        ensure!(tokio::time::Instant::now() < deadline, "the upload does not begin");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(ORPHAN_AGE + Duration::from_millis(500)).await;

    let found = through(&api, BUCKET, day, true).await?;
    ensure!(found.deleted == 1 && found.verdict(&orphan) == Some("deleted"), "{found:?}");
    ensure!(
        found.verdict(&pending).is_none() && api.is_stored(BUCKET, &pending).await?,
        "{found:?}"
    );
    let running = through(&api, BUCKET, &today(&api).await?, true).await?;
    ensure!(running.deleted == 0, "{running:?}");
    release.send(()).ok();
    upload.await??;
    ensure!(
        expect(api.get("reconciled-beside/reconcile/running"), 200).await?.bytes().await? == bytes
    );
    Ok(())
}

async fn refusals(api: Api) -> Result<()> {
    let url = format!("{}/internal/reconcile", api.url);
    let day = json!({ "day": "2021-03-04" });
    refused(api.client.post(&url).json(&day), 403, "AccessDenied").await?;
    refused(api.client.post(&url).bearer_auth(&api.alice).json(&day), 403, "AccessDenied").await?;
    refused(api.client.get(&url).bearer_auth(api.stack.tick_secret()), 405, "MethodNotAllowed")
        .await?;
    for wrong in [
        json!({}),
        json!({ "day": "yesterday" }),
        json!({ "day": "2021-03-04", "apply": "true" }),
        json!({ "day": "2021-03-04", "aply": true }),
        json!({ "day": "2021-03-04", "cursor": "nonsense" }),
        json!([]),
    ] {
        refused(call(&api, &wrong), 400, "InvalidArgument").await?;
    }
    let nowhere = json!({ "day": "2021-03-04", "bucket": "nowhere" });
    refused(call(&api, &nowhere), 404, "NoSuchBucket").await?;

    // The query does as well, and without a bucket it begins with the first one.
    let query = api.client.post(format!("{url}?day=2021-03-04&apply=false"));
    let answer = json_of(query.bearer_auth(api.stack.tick_secret()), 200).await?;
    // Other tests make buckets, some of them before the first of the default ones.
    let is_first = answer["bucket"].as_str().is_some_and(|bucket| bucket <= "assets");
    ensure!(is_first && answer["dryRun"] == true, "{answer}");
    let other_day = json!({ "day": "2021-03-05", "cursor": answer["cursor"] });
    refused(call(&api, &other_day), 400, "InvalidArgument").await?;
    Ok(())
}
