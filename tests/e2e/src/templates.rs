//! `/v1/templates`, and what buckets take of images by each way of an upload.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use holdfast_dev::{Stack, StackOptions};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Api, Suite, chunked, expect, header, json_of, refused, sha256};
use crate::multipart::Memory;
use crate::presign::{text, used};

const MIB: usize = 1_024 * 1_024;

/// The most that the host's memory may grow by while long images come in at once.
const LONG_MEMORY: usize = 64 * MIB;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("us_003_a_template_gets_its_background", background);
    suite.add("us_003_backgrounds_of_any_length_come_either_way", lengths);
    suite.add("us_003_hostile_images_are_refused_and_nothing_is_stored", hostile);
    suite.add("us_003_a_template_is_made_changed_listed_and_deleted", life);
    suite.add("us_003_a_template_is_nobody_else_s", whose);
    suite.add("us_003_what_is_no_template_is_refused", naughty);
    suite.add("us_003_an_old_background_comes_back", restored);
    suite.add("us_003_the_record_does_not_lie_whatever_way_its_background_goes", by_other_ways);
    suite.add("us_003_of_backgrounds_at_once_the_record_names_the_live_one", at_once);
    suite.add("us_003_long_images_take_no_memory", memory);
    suite.add("a_bucket_of_images_takes_no_other_by_any_way", every_way);
}

/// Of real encoders, 48 x 32 pixels each.
const IMAGES: [(&str, &str, &[u8]); 7] = [
    ("image/png", "rgb", include_bytes!("../../images/rgb.png")),
    ("image/png", "animated", include_bytes!("../../images/animated.png")),
    ("image/jpeg", "progressive", include_bytes!("../../images/progressive.jpg")),
    ("image/webp", "lossy", include_bytes!("../../images/lossy.webp")),
    ("image/webp", "animated", include_bytes!("../../images/animated.webp")),
    ("image/gif", "animated", include_bytes!("../../images/animated.gif")),
    ("image/avif", "plain", include_bytes!("../../images/plain.avif")),
];

const PNG: &[u8] = IMAGES[0].2;

/// A PNG that says this of its size, with `more` bytes in a chunk that nobody knows.
pub(crate) fn png(width: u32, height: u32, more: usize) -> Vec<u8> {
    let mut header = PNG[12..29].to_vec();
    header[4..8].copy_from_slice(&width.to_be_bytes());
    header[8..12].copy_from_slice(&height.to_be_bytes());
    let sum = crc32(&header).to_be_bytes();
    let length = u32::try_from(more).unwrap_or_default().to_be_bytes();
    let chunk = [&length[..], b"prVt", &vec![0xa5; more + 4]].concat();
    [&PNG[..12], &header, &sum, if more > 0 { &chunk } else { &[] }, &PNG[33..]].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

fn route(api: &Api, method: Method, path: &str) -> RequestBuilder {
    api.client.request(method, format!("{}/v1/templates{path}", api.url)).bearer_auth(&api.alice)
}

async fn create(api: &Api, body: &Value) -> Result<String> {
    let made = json_of(route(api, Method::POST, "").body(body.to_string()), 201).await?;
    Ok(text(&made, "id")?.to_owned())
}

async fn record(api: &Api, id: &str) -> Result<Value> {
    json_of(route(api, Method::GET, &format!("/{id}")), 200).await
}

fn put(api: &Api, id: &str, bytes: impl Into<reqwest::Body>) -> RequestBuilder {
    route(api, Method::PUT, &format!("/{id}/background")).body(bytes)
}

async fn background(api: Api) -> Result<()> {
    let made = route(&api, Method::POST, "").body(json!({"name": "Card"}).to_string());
    let made = expect(made, 201).await?;
    let location = header(&made, "location");
    let made: Value = made.json().await?;
    let id = text(&made, "id")?;
    ensure!(location == format!("{}/v1/templates/{id}", api.url) && made["background"].is_null());
    ensure!((&made["owner"], &made["version"]) == (&json!("alice"), &json!(1)), "{made}");
    refused(route(&api, Method::GET, &format!("/{id}/background")), 404, "NoSuchKey").await?;

    for (index, (format, name, bytes)) in IMAGES.into_iter().enumerate() {
        // Whatever it is declared as.
        let request = put(&api, id, bytes).header("content-type", "image/x-whatever");
        let answer = expect(request, if index == 0 { 201 } else { 200 }).await.context(name)?;
        let etag = header(&answer, "etag");
        let answer: Value = answer.json().await?;
        let background = &answer["background"];
        ensure!(background["contentType"] == format, "{answer}");
        ensure!((&background["width"], &background["height"]) == (&json!(48), &json!(32)));
        ensure!(
            background["size"] == bytes.len()
                && etag == format!("\"{}\"", text(background, "etag")?)
        );

        let now = record(&api, id).await?;
        ensure!(now["background"] == *background && now["version"] == index + 2, "{now} {answer}");
        let back = expect(route(&api, Method::GET, &format!("/{id}/background")), 200).await?;
        ensure!(header(&back, "content-type") == format);
        ensure!(back.bytes().await? == bytes, "other bytes came back");
        let url = api.client.get(text(background, "url")?).bearer_auth(&api.alice);
        ensure!(expect(url, 200).await?.bytes().await? == bytes);
    }
    let kinds = format!(
        "select count(*) from holdfast.outbox where bucket = 'templates' and key = '{id}' and kind = 'template.updated' \
         and data -> 'background' ->> 'width' = '48'"
    );
    ensure!(api.number(&kinds).await? == i64::try_from(IMAGES.len())?);
    Ok(())
}

async fn lengths(api: Api) -> Result<()> {
    let id = create(&api, &json!({"name": "Lengths"})).await?;
    for more in [0, 5_000, 65_000, 100_000, 3 * MIB, 12 * MIB] {
        let bytes = png(48, 32, more);
        expect(put(&api, &id, bytes.clone()), if more == 0 { 201 } else { 200 }).await?;
        expect(put(&api, &id, chunked(&bytes)), 200).await?;
        let back = expect(route(&api, Method::GET, &format!("/{id}/background")), 200).await?;
        ensure!(sha256(&back.bytes().await?) == sha256(&bytes), "{more}");
    }
    Ok(())
}

/// What is no image, or not what it says, and the rule that refuses it.
fn bad_files() -> Vec<(&'static str, Vec<u8>)> {
    let zip = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let mut wrong_sum = png(48, 32, 0);
    wrong_sum[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    let mut bad = vec![
        ("image.format", b"<html><script>alert(1)</script>".to_vec()),
        ("image.format", b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()),
        ("image.format", zip.to_vec()),
        ("image.format", Vec::new()),
        ("image.format", wrong_sum),
        ("image.dimensions", png(0, 32, 0)),
        ("policy.image", png(16_385, 1, 0)),
        ("policy.image", png(1, 16_385, 0)),
        ("policy.image", png(10_001, 10_000, 0)),
        ("policy.image", png(0x7fff_ffff, 0x7fff_ffff, 100_000)),
        ("image.dimensions", png(0x8000_0000, 1, 0)),
        // What a long file has behind its end is found, too.
        ("image.trailing", [&png(48, 32, 200_000)[..], b"<script>"].concat()),
    ];
    let mut long = png(48, 32, 200_000);
    long.truncate(150_000);
    bad.push(("image.truncated", long));
    for (_, _, bytes) in IMAGES {
        bad.push(("image.truncated", bytes[..bytes.len() - 1].to_vec()));
        bad.push(("image.trailing", [bytes, zip].concat()));
        bad.push(("image.trailing", [bytes, b"<script>alert(1)</script>"].concat()));
    }
    bad
}

async fn hostile(api: Api) -> Result<()> {
    let id = create(&api, &json!({"name": "Hostile"})).await?;
    let first = json_of(put(&api, &id, PNG), 201).await?;
    for (rule, bytes) in bad_files() {
        let (status, code) = match rule {
            "image.format" => (415, "InvalidContentType"),
            _ => (422, "InvalidImage"),
        };
        let seen = &bytes[..bytes.len().min(16)];
        for body in [reqwest::Body::from(bytes.clone()), chunked(&bytes)] {
            let request = put(&api, &id, body).header("content-type", "image/png");
            let problem =
                refused(request, status, code).await.with_context(|| format!("{rule} {seen:?}"))?;
            ensure!(problem["rule"] == rule, "{rule} {seen:?} {problem}");
        }
    }
    let now = record(&api, &id).await?;
    ensure!(now["background"] == first["background"] && now["version"] == 2, "{now}");
    // Nothing of them is left, in SQL or in the store.
    let versions = api.versions("templates", &format!("{id}/background")).await?;
    ensure!(versions.len() == 1 + 2 * bad_files().len());
    for (state, s3_key) in versions {
        let stored = api.is_stored("templates", &s3_key).await?;
        ensure!(stored == (state == "live"), "{state} {s3_key}");
    }
    Ok(())
}

async fn life(api: Api) -> Result<()> {
    let body = json!({"name": "Card", "data": {"font": "Inter", "boxes": [{"x": 1}]}});
    let post = || {
        route(&api, Method::POST, "")
            .header("idempotency-key", "us-003-life")
            .body(body.to_string())
    };
    let first = json_of(post(), 201).await?;
    let again = expect(post(), 201).await?;
    ensure!(
        header(&again, "idempotent-replayed") == "true" && again.json::<Value>().await? == first
    );
    let other = route(&api, Method::POST, "").header("idempotency-key", "us-003-life");
    refused(other.body(json!({"name": "x"}).to_string()), 422, "IdempotencyKeyReused").await?;

    let id = text(&first, "id")?;
    let got = expect(route(&api, Method::GET, &format!("/{id}")), 200).await?;
    let tag = header(&got, "etag");
    ensure!(got.json::<Value>().await? == first);
    let head = expect(route(&api, Method::HEAD, &format!("/{id}")), 200).await?;
    ensure!(header(&head, "etag") == tag);

    let patch = |body: Value, tag: &str| {
        let request = route(&api, Method::PATCH, &format!("/{id}")).body(body.to_string());
        request.header("content-type", "application/merge-patch+json").header("if-match", tag)
    };
    let changed = json!({"name": "Ticket", "data": {"font": null, "page": {"w": 85.6}}});
    let now = expect(patch(changed.clone(), &tag), 200).await?;
    let next = header(&now, "etag");
    let now: Value = now.json().await?;
    ensure!(
        now["name"] == "Ticket" && now["data"] == json!({"boxes": [{"x": 1}], "page": {"w": 85.6}}),
        "{now}"
    );
    ensure!(
        now["version"] == 2 && next != tag && text(&now, "updatedAt")? > text(&first, "updatedAt")?
    );
    refused(patch(changed, &tag), 412, "PreconditionFailed").await?;
    let large = json!({"data": {"a": "x".repeat(66_000)}});
    let problem = refused(patch(large, "*"), 413, "EntityTooLarge").await?;
    ensure!(problem["rule"] == "limits.maxTemplateDataBytes", "{problem}");

    // Listed page by page, the newest first.
    for index in 0..4 {
        create(&api, &json!({"name": format!("Listed {index}")})).await?;
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = json_of(route(&api, Method::GET, &format!("?limit=3{cursor}")), 200).await?;
        for template in page["templates"].as_array().context("templates")? {
            names.push(text(template, "name")?.to_owned());
        }
        let Some(next) = page["cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let listed: Vec<_> = names.iter().filter(|name| name.starts_with("Listed")).collect();
    ensure!(listed == ["Listed 3", "Listed 2", "Listed 1", "Listed 0"], "{names:?}");

    json_of(put(&api, id, PNG), 201).await?;
    let deletion = route(&api, Method::DELETE, &format!("/{id}"));
    refused(deletion.header("if-match", &next), 412, "PreconditionFailed").await?;
    let deleted = json_of(route(&api, Method::DELETE, &format!("/{id}")), 200).await?;
    ensure!(
        text(&deleted["background"], "purgeAfter")? > text(&deleted, "deletedAt")?,
        "{deleted}"
    );
    for request in [
        route(&api, Method::GET, &format!("/{id}")),
        route(&api, Method::DELETE, &format!("/{id}")),
        route(&api, Method::GET, &format!("/{id}/background")),
        put(&api, id, PNG),
        api.put(&format!("templates/{id}/background"), PNG),
    ] {
        refused(request, 404, "NoSuchTemplate").await?;
    }
    refused(api.get(&format!("templates/{id}/background")), 404, "NoSuchKey").await?;
    let sql = format!(
        "select string_agg(kind, ' ' order by sequence) from holdfast.outbox where bucket = 'templates' and key = '{id}'"
    );
    let kinds = "template.created template.updated template.updated template.deleted";
    ensure!(api.text(&sql).await? == kinds);
    let sql = format!("select count(*) from holdfast.audit where key = '{id}' and outcome = 'ok'");
    ensure!(api.number(&sql).await? == 3);
    Ok(())
}

/// Every route of a template.
fn routes(id: &str, version: &str) -> Vec<(Method, String, Value)> {
    let of = |method, rest: &str, body| (method, format!("/{id}{rest}"), body);
    vec![
        of(Method::GET, "", Value::Null),
        of(Method::PATCH, "", json!({"name": "x"})),
        of(Method::GET, "/background", Value::Null),
        of(Method::PUT, "/background", json!("no image")),
        of(Method::GET, "/backgrounds", Value::Null),
        of(Method::POST, "/background/restore", json!({ "version": version })),
        of(Method::DELETE, "", Value::Null),
    ]
}

async fn whose(api: Api) -> Result<()> {
    let id = create(&api, &json!({"name": "Mine"})).await?;
    let put = json_of(put(&api, &id, PNG), 201).await?;
    let version = text(&put["background"], "version")?;
    let admin = api.stack.token("root", 3_600, &json!({"roles": ["admin"]}));
    for (method, path, body) in routes(&id, version) {
        let url = format!("{}/v1/templates{path}", api.url);
        let request = || api.client.request(method.clone(), &url).body(body.to_string());
        refused(request().bearer_auth(&api.bob), 404, "NoSuchTemplate").await?;
        refused(request(), 401, "MissingAuthentication").await?;
        refused(request().bearer_auth(&api.expired), 401, "ExpiredToken").await?;
    }
    // Nor by what is behind it.
    let theirs = |path: &str| {
        let url = format!("{}/v1/upload/templates/{path}", api.url);
        api.client.put(url).bearer_auth(&api.bob).body(PNG)
    };
    refused(theirs(&format!("{id}/background")), 403, "AccessDenied").await?;
    let empty = create(&api, &json!({"name": "Empty"})).await?;
    refused(theirs(&format!("{empty}/background")), 403, "AccessDenied").await?;

    let list = |query: &str, token: &str| {
        api.client.get(format!("{}/v1/templates{query}", api.url)).bearer_auth(token)
    };
    let bobs = json_of(list("?limit=200", &api.bob), 200).await?;
    ensure!(!bobs.to_string().contains(&id), "{bobs}");
    for query in ["?owner=alice", "?all=true"] {
        refused(list(query, &api.bob), 403, "AccessDenied").await?;
        let all = json_of(list(&format!("{query}&limit=200"), &admin), 200).await?;
        ensure!(all.to_string().contains(&id), "{all}");
    }
    for query in ["?owner=", "?all=1", "?all=true&owner=alice", "?cursor=x"] {
        refused(list(query, &admin), 400, "InvalidArgument").await?;
    }
    // What an admin puts is its owner's.
    let url = format!("{}/v1/templates/{empty}/background", api.url);
    json_of(api.client.put(url).bearer_auth(&admin).body(PNG), 201).await?;
    ensure!(record(&api, &empty).await?["background"]["width"] == 48);
    expect(api.get(&format!("templates/{empty}/background")), 200).await?;
    Ok(())
}

async fn naughty(api: Api) -> Result<()> {
    for name in [
        "../../etc/passwd",
        "<img src=x onerror=alert(1)>",
        "'; drop table holdfast.template; --",
        "\u{202e}gnp.exe",
        "Z\u{334}a\u{335}l\u{336}g\u{337}o",
        "\u{1f469}\u{200d}\u{1f680} カード",
        "%00 %2e%2e",
        "${jndi:ldap://x}",
        " ",
    ] {
        let id = create(&api, &json!({ "name": name })).await.with_context(|| name.to_owned())?;
        ensure!(record(&api, &id).await?["name"] == name);
        json_of(put(&api, &id, PNG), 201).await?;
    }
    let post = |body: String| route(&api, Method::POST, "").body(body);
    for body in [
        json!({}),
        json!({"name": ""}),
        json!({"name": "a\u{0}b"}),
        json!({"name": "a\nb"}),
        json!({"name": "x".repeat(256)}),
        json!({"name": 7}),
        json!({"name": "a", "data": []}),
        json!({"name": "a", "data": {"x": "\u{0}"}}),
        json!({"name": "a", "owner": "bob"}),
        json!(["a"]),
    ] {
        refused(post(body.to_string()), 400, "InvalidArgument").await?;
    }
    refused(post("{".to_owned()), 400, "InvalidArgument").await?;
    let large = json!({"name": "a", "data": {"x": "x".repeat(300_000)}});
    refused(post(large.to_string()), 413, "EntityTooLarge").await?;
    let large = json!({"name": "a", "data": {"x": "x".repeat(65_536)}});
    refused(post(large.to_string()), 413, "EntityTooLarge").await?;

    let id = create(&api, &json!({"name": "Routes"})).await?;
    for path in [
        "/",
        "//background",
        &format!("/{id}/"),
        &format!("/{id}/other"),
        &format!("/{id}/background/x"),
        &format!("/{id}/background/restore/x"),
    ] {
        refused(route(&api, Method::GET, path), 404, "NoSuchRoute").await?;
    }
    for path in ["/x", "/%2e%2e", "/019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42"] {
        refused(route(&api, Method::GET, path), 404, "NoSuchTemplate").await?;
    }
    refused(route(&api, Method::POST, &format!("/{id}")), 405, "MethodNotAllowed").await?;
    refused(route(&api, Method::DELETE, &format!("/{id}/background")), 405, "MethodNotAllowed")
        .await?;
    Ok(())
}

async fn restored(api: Api) -> Result<()> {
    let id = create(&api, &json!({"name": "Old"})).await?;
    let first = json_of(put(&api, &id, PNG), 201).await?;
    let second = json_of(put(&api, &id, png(64, 16, 0)), 200).await?;
    let listed = json_of(route(&api, Method::GET, &format!("/{id}/backgrounds")), 200).await?;
    let listed = listed["backgrounds"].as_array().context("backgrounds")?;
    ensure!(
        listed.len() == 2 && listed[0]["current"] == true && listed[1]["width"] == 48,
        "{listed:?}"
    );
    let old = api.client.get(text(&listed[1], "url")?).bearer_auth(&api.alice);
    ensure!(expect(old, 200).await?.bytes().await? == PNG);

    let restore = |version: &str| {
        let request = route(&api, Method::POST, &format!("/{id}/background/restore"));
        request.body(json!({ "version": version }).to_string())
    };
    let version = text(&first["background"], "version")?;
    let now = json_of(restore(version), 200).await?;
    ensure!(now["background"] == first["background"] && now["version"] == 4, "{now}");
    let back = expect(route(&api, Method::GET, &format!("/{id}/background")), 200).await?;
    ensure!(back.bytes().await? == PNG);
    // The other one is there in its place.
    let now = json_of(restore(text(&second["background"], "version")?), 200).await?;
    ensure!(now["background"]["width"] == 64, "{now}");
    refused(restore("019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42"), 404, "NoSuchVersion").await?;
    refused(restore("x"), 400, "InvalidArgument").await?;
    Ok(())
}

async fn by_other_ways(api: Api) -> Result<()> {
    let id = create(&api, &json!({"name": "Ways"})).await?;
    let path = format!("templates/{id}/background");
    // By the route of uploads: it is the background, and held to the same.
    let put = json_of(api.put(&path, png(100, 50, 0)), 201).await?;
    let now = record(&api, &id).await?;
    ensure!(
        now["background"]["version"] == put["version"] && now["background"]["width"] == 100,
        "{now}"
    );
    let problem = refused(api.put(&path, "text"), 415, "InvalidContentType").await?;
    ensure!(problem["rule"] == "image.format", "{problem}");
    // Elsewhere in the bucket anything may lie.
    expect(api.put(&format!("templates/{id}/notes.txt"), "text"), 201).await?;

    // Straight to the store.
    let asked = json!({"method": "PUT", "bucket": "templates", "key": format!("{id}/background"), "size": PNG.len()});
    let presign = || {
        api.client
            .post(format!("{}/v1/presign", api.url))
            .bearer_auth(&api.alice)
            .body(asked.to_string())
    };
    let url = json_of(presign(), 200).await?;
    expect(used(&api, &url, PNG)?, 200).await?;
    ensure!(record(&api, &id).await?["background"]["width"] == 100, "it is not complete yet");
    json_of(api.client.post(text(&url, "complete")?), 200).await?;
    ensure!(record(&api, &id).await?["background"]["width"] == 48);
    let mut other = PNG.to_vec();
    other[20] ^= 1;
    let url = json_of(presign(), 200).await?;
    expect(used(&api, &url, other)?, 200).await?;
    refused(api.client.post(text(&url, "complete")?), 415, "InvalidContentType").await?;

    // Deleted as an object, and brought back.
    let tag = header(&expect(route(&api, Method::GET, &format!("/{id}")), 200).await?, "etag");
    expect(
        api.client.delete(format!("{}/v1/objects/{path}", api.url)).bearer_auth(&api.alice),
        200,
    )
    .await?;
    let gone = expect(route(&api, Method::GET, &format!("/{id}")), 200).await?;
    ensure!(header(&gone, "etag") != tag && gone.json::<Value>().await?["background"].is_null());
    let listed = json_of(route(&api, Method::GET, &format!("/{id}/backgrounds")), 200).await?;
    ensure!(
        listed["backgrounds"][0]["current"] == false && listed["backgrounds"][0]["url"].is_null(),
        "{listed}"
    );
    let body = json!({"version": listed["backgrounds"][0]["version"]});
    let restore =
        route(&api, Method::POST, &format!("/{id}/background/restore")).body(body.to_string());
    ensure!(json_of(restore, 200).await?["background"]["width"] == 48);
    Ok(())
}

async fn at_once(api: Api) -> Result<()> {
    let id = create(&api, &json!({"name": "Races"})).await?;
    let puts = (1..=16).map(|side| {
        let bytes = png(side, side, if side % 2 == 0 { 100_000 } else { 0 });
        json_of(put(&api, &id, bytes), 200)
    });
    // One of them creates it: that one is 201.
    let answers = join_all(puts).await;
    ensure!(answers.iter().filter(|it| it.is_err()).count() == 1, "{answers:?}");
    let now = record(&api, &id).await?;
    ensure!(
        now["version"] == 17 && now["background"]["width"] == now["background"]["height"],
        "{now}"
    );
    let sql = format!(
        "select v.id::text from holdfast.version v join holdfast.object o on o.id = v.object_id \
         where o.key = '{id}/background' and v.state = 'live'"
    );
    ensure!(now["background"]["version"] == api.text(&sql).await?);
    let back =
        expect(route(&api, Method::GET, &format!("/{id}/background")), 200).await?.bytes().await?;
    let width = u32::from_be_bytes(back[16..20].try_into()?);
    ensure!(now["background"]["width"] == width, "{now} {width}");
    Ok(())
}

async fn memory(shared: Api) -> Result<()> {
    drop(shared);
    let folder = tempfile::tempdir()?;
    let mut options = StackOptions::new(folder.path().join("data"));
    options.tick_every = None;
    let stack = Arc::new(Stack::start(options).await?);
    let api = Api::of(Arc::clone(&stack))?;
    let result = memory_on(&api).await;
    stack.stop().await?;
    result
}

/// A JPEG is looked at byte by byte, so that none of its stretches is passed over.
async fn memory_on(api: &Api) -> Result<()> {
    let id = create(api, &json!({"name": "Long"})).await?;
    expect(put(api, &id, PNG), 201).await?;
    let jpeg = IMAGES[2].2;
    let behind = jpeg.len() - 2;
    let long = Arc::new([&jpeg[..behind], &vec![0x5a; 48 * MIB], &jpeg[behind..]].concat());
    let memory = Memory::watch(api.stack.host().pid())?;
    let puts = (0..6).map(|index| {
        let bytes = bytes::Bytes::from_owner(Arc::clone(&long).as_ref().clone());
        let body = if index % 2 == 0 { reqwest::Body::from(bytes) } else { chunked(&bytes) };
        expect(put(api, &id, body), 200)
    });
    join_all(puts).await.into_iter().collect::<Result<Vec<_>>>()?;
    let grown = memory.grown()?;
    ensure!(grown < LONG_MEMORY, "the host grew by {} MiB", grown / MIB);
    Ok(())
}

async fn every_way(api: Api) -> Result<()> {
    let policy = json!({"image": {"minWidth": 32, "maxWidth": 64, "maxPixels": 2_000}});
    let bucket = api.bucket(&policy).await?;
    let text_file = b"no image at all".to_vec();
    let cases = [
        ("good", png(48, 32, 10), None),
        ("narrow", png(31, 32, 10), Some((422, "InvalidImage", "policy.image"))),
        ("wide", png(65, 10, 10), Some((422, "InvalidImage", "policy.image"))),
        ("pixels", png(64, 32, 10), Some((422, "InvalidImage", "policy.image"))),
        ("text", text_file, Some((415, "InvalidContentType", "image.format"))),
    ];
    for (name, bytes, refusal) in cases {
        for way in ["put", "form", "presigned", "parts", "tus"] {
            let key = format!("{way}/{name}");
            let last = by(&api, way, &bucket, &key, &bytes).await.with_context(|| key.clone())?;
            let Some((status, code, rule)) = refusal else {
                let status = last.send().await?.status();
                ensure!(status.is_success(), "{key} {status}");
                let got = expect(api.get(&format!("{bucket}/{key}")), 200).await?;
                ensure!(header(&got, "content-type") == "image/png", "{key}");
                ensure!(got.bytes().await? == bytes, "{key}");
                continue;
            };
            let problem = refused(last, status, code).await.with_context(|| key.clone())?;
            ensure!(problem["rule"] == rule, "{key} {problem}");
            refused(api.get(&format!("{bucket}/{key}")), 404, "NoSuchKey").await?;
        }
    }
    let sql = format!(
        "select count(*) from holdfast.image i join holdfast.version v on v.id = i.version \
         join holdfast.object o on o.id = v.object_id where o.bucket = '{bucket}' and i.width = 48 and v.state = 'live'"
    );
    ensure!(api.number(&sql).await? == 5);
    Ok(())
}

/// The last request of an upload, whose answer says whether it is taken.
async fn by(api: &Api, way: &str, bucket: &str, key: &str, bytes: &[u8]) -> Result<RequestBuilder> {
    let post = |path: &str| api.client.post(format!("{}{path}", api.url)).bearer_auth(&api.alice);
    match way {
        "put" => Ok(api.put(&format!("{bucket}/{key}"), bytes.to_vec())),
        "form" => {
            let file = reqwest::multipart::Part::bytes(bytes.to_vec()).file_name("f.png");
            let form =
                reqwest::multipart::Form::new().text("key", key.to_owned()).part("file", file);
            Ok(post(&format!("/v1/upload/{bucket}")).multipart(form))
        }
        "presigned" => {
            let asked = json!({"method": "PUT", "bucket": bucket, "key": key, "size": bytes.len()});
            let url = json_of(post("/v1/presign").body(asked.to_string()), 200).await?;
            expect(used(api, &url, bytes.to_vec())?, 200).await?;
            Ok(api.client.post(text(&url, "complete")?))
        }
        "parts" => {
            let asked = json!({"bucket": bucket, "key": key, "size": bytes.len()});
            let begun = json_of(post("/v1/multipart").body(asked.to_string()), 201).await?;
            let url = text(&begun, "url")?;
            let part = api
                .client
                .put(format!("{url}/parts/1"))
                .bearer_auth(&api.alice)
                .body(bytes.to_vec());
            expect(part, 200).await?;
            Ok(api.client.post(format!("{url}/complete")).bearer_auth(&api.alice))
        }
        _ => {
            let pair = |name: &str, value: &str| format!("{name} {}", STANDARD.encode(value));
            let described = format!("{},{}", pair("bucket", bucket), pair("key", key));
            let create = post("/v1/tus")
                .header("tus-resumable", "1.0.0")
                .header("upload-length", bytes.len());
            let made = expect(create.header("upload-metadata", described), 201).await?;
            let patch = api.client.patch(header(&made, "location")).bearer_auth(&api.alice);
            let patch = patch.header("tus-resumable", "1.0.0").header("upload-offset", 0);
            Ok(patch.header("content-type", "application/offset+octet-stream").body(bytes.to_vec()))
        }
    }
}
