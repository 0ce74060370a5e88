//! `GET|HEAD /v1/download/{bucket}/{key...}`, and what the operator sees.

use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::header::RANGE;

use crate::harness::{Api, Suite, expect, header, json_of, noise, refused};
use crate::raw::Raw;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("us_002_content_headers_and_a_tracked_download", us_002);
    suite.add("ranges", ranges);
    suite.add("conditionals_are_answered_from_metadata", conditionals);
    suite.add("two_users_cannot_see_each_others_files", strangers);
    suite.add("an_older_version_is_readable_by_its_owner", versions);
    suite.add("a_slow_reader_gets_the_version_that_it_began", slow_reader);
    suite.add("anybody_sees_a_new_version_within_a_second", freshness);
    suite.add("readyz_names_each_dependency", readyz);
}

async fn us_002(api: Api) -> Result<()> {
    expect(api.put("documents/us-002", "hello").header("content-type", "text/html"), 201).await?;
    let response = expect(api.get("documents/us-002?download=caf%C3%A9.html"), 200).await?;
    ensure!(header(&response, "content-type") == "text/html");
    ensure!(header(&response, "content-length") == "5");
    ensure!(header(&response, "accept-ranges") == "bytes");
    ensure!(header(&response, "x-content-type-options") == "nosniff");
    ensure!(header(&response, "content-disposition").contains("filename*=UTF-8''caf%C3%A9.html"));
    ensure!(
        !header(&response, "last-modified").is_empty()
            && header(&response, "etag").starts_with('"')
    );
    ensure!(response.text().await? == "hello");
    let url = format!("{}/v1/download/documents/us-002", api.url);
    let head = expect(api.client.head(url).bearer_auth(&api.alice), 200).await?;
    ensure!(header(&head, "content-length") == "5");
    let tracked = "select count(*) from holdfast.access_log where key = 'us-002' and actor = 'alice' \
        and method = 'GET' and status = 200 and bytes = 5 and outcome = 'ok'";
    api.eventually(tracked, 1).await
}

async fn ranges(api: Api) -> Result<()> {
    let bytes = noise(200_000);
    expect(api.put("documents/ranges", bytes.clone()), 201).await?;
    for (range, from, to) in
        [("bytes=0-0", 0, 1), ("bytes=-5", 199_995, 200_000), ("bytes=100-", 100, 200_000)]
    {
        let response = expect(api.get("documents/ranges").header(RANGE, range), 206).await?;
        let told = header(&response, "content-range");
        ensure!(told == format!("bytes {from}-{}/200000", to - 1), "{told}");
        ensure!(response.bytes().await? == bytes[from..to], "{range}");
    }
    // Several ranges at once get the whole: RFC 9110, section 14.2, leaves that to the server.
    let several = api.get("documents/ranges").header(RANGE, "bytes=0-1,5-6");
    ensure!(expect(several, 200).await?.bytes().await? == bytes);
    let whole = expect(api.get("documents/ranges"), 200).await?;
    let (etag, date) = (header(&whole, "etag"), header(&whole, "last-modified"));
    let conditional = |value: &str| {
        api.get("documents/ranges").header(RANGE, "bytes=0-9").header("if-range", value)
    };
    ensure!(expect(conditional(&etag), 206).await?.bytes().await? == bytes[..10]);
    for other in ["\"another\"", &format!("W/{etag}"), "Tue, 01 Jan 2019 00:00:00 GMT"] {
        ensure!(expect(conditional(other), 200).await?.bytes().await? == bytes, "{other}");
    }
    // A date is a strong validator once it is a second older than the answer (RFC 9110, section 8.8.2.2).
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let by_date = conditional(&date).send().await?.status().as_u16();
    ensure!(matches!(by_date, 200 | 206), "{by_date}");
    let outside = api.get("documents/ranges").header(RANGE, "bytes=200000-");
    let response = expect(outside, 416).await?;
    ensure!(header(&response, "content-range") == "bytes */200000");
    Ok(())
}

async fn conditionals(api: Api) -> Result<()> {
    let answer = json_of(api.put("documents/conditional", "x"), 201).await?;
    let etag = format!("\"{}\"", answer["etag"].as_str().unwrap_or_default());
    let response =
        expect(api.get("documents/conditional").header("if-none-match", &etag), 304).await?;
    ensure!(header(&response, "etag") == etag);
    let whole = expect(api.get("documents/conditional"), 200).await?;
    let since = header(&whole, "last-modified");
    expect(api.get("documents/conditional").header("if-modified-since", &since), 304).await?;
    let changed = api.get("documents/conditional").header("if-match", "\"other\"");
    refused(changed, 412, "PreconditionFailed").await?;
    Ok(())
}

async fn strangers(api: Api) -> Result<()> {
    expect(api.put("documents/secret", "x"), 201).await?;
    refused(api.anonymous("documents/secret").bearer_auth(&api.bob), 404, "NoSuchKey").await?;
    refused(api.anonymous("documents/secret"), 404, "NoSuchKey").await?;
    refused(api.get("documents/missing"), 404, "NoSuchKey").await?;
    Ok(())
}

async fn versions(api: Api) -> Result<()> {
    let old = json_of(api.put("assets/versions", "old"), 201).await?;
    json_of(api.put("assets/versions", "new"), 200).await?;
    let path = format!("assets/versions?version={}", old["version"].as_str().unwrap_or_default());
    ensure!(expect(api.get("assets/versions"), 200).await?.text().await? == "new");
    let named = expect(api.get(&path), 200).await?;
    // For its owner alone, so no shared cache may keep it, though the bucket is public.
    ensure!(header(&named, "cache-control") == "private, no-cache", "{named:?}");
    ensure!(header(&named, "cache-tag").is_empty());
    ensure!(named.text().await? == "old");
    refused(api.anonymous(&path), 404, "NoSuchVersion").await?;
    Ok(())
}

/// Its version is superseded while it reads, and the worker runs.
async fn slow_reader(api: Api) -> Result<()> {
    let bytes = noise(8 * 1_024 * 1_024);
    expect(api.put("documents/slow", bytes.clone()), 201).await?;
    let mut raw = Raw::open(&api, "GET", "/v1/download/documents/slow", "").await?;
    let mut got = raw.receive(100_000).await?;
    expect(api.put("documents/slow", "new"), 200).await?;
    api.stack.tick().await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let head = got.windows(4).position(|it| it == b"\r\n\r\n").unwrap_or_default() + 4;
    let missing = head + bytes.len() - got.len();
    got.extend(raw.receive(missing).await?);
    ensure!(got[head..] == bytes, "{} bytes of {}", got.len() - head, bytes.len());
    ensure!(expect(api.get("documents/slow"), 200).await?.text().await? == "new");
    Ok(())
}

/// Who owns a file sees its new version at once, anybody else within a second.
async fn freshness(api: Api) -> Result<()> {
    expect(api.put("assets/fresh", "old"), 201).await?;
    for _ in 0..4 {
        ensure!(expect(api.anonymous("assets/fresh"), 200).await?.text().await? == "old");
    }
    expect(api.put("assets/fresh", "new"), 200).await?;
    for _ in 0..4 {
        ensure!(expect(api.get("assets/fresh"), 200).await?.text().await? == "new");
    }
    let fresh = api.anonymous("assets/fresh").header("cache-control", "no-cache");
    ensure!(expect(fresh, 200).await?.text().await? == "new");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    ensure!(expect(api.anonymous("assets/fresh"), 200).await?.text().await? == "new");
    Ok(())
}

async fn readyz(api: Api) -> Result<()> {
    let ready = json_of(api.client.get(format!("{}/readyz", api.url)), 200).await?;
    for name in ["postgresql", "s3", "keyValue"] {
        ensure!(ready[name] == "ok", "{ready}");
    }
    Ok(())
}
