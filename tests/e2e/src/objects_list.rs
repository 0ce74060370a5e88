//! `GET /v1/objects/...`: lists, what is known of an object, its versions, the trash.

use anyhow::{Context as _, Result, ensure};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{Api, Suite, expect, header, json_of, refused};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_list_goes_page_by_page_with_folders", pages);
    suite.add("a_list_finds_the_newest_and_by_a_part_of_the_name", newest_and_search);
    suite.add("a_list_has_the_callers_own_files_and_no_others", own);
    suite.add("a_list_refuses_what_it_cannot_do", refusals);
    suite.add("stat_tells_what_an_upload_said", stat);
    suite.add("versions_are_listed_and_the_trash_says_who_and_when", versions_and_trash);
}

fn list(api: &Api, path: &str, query: &str, token: &str) -> RequestBuilder {
    api.client.get(format!("{}/v1/objects/{path}?{query}", api.url)).bearer_auth(token)
}

/// Keys and prefixes of a list, a prefix with `>` in front.
fn names(list: &Value) -> String {
    let entries = list["objects"].as_array().into_iter().flatten();
    let names = entries.map(|entry| match entry["prefix"].as_str() {
        Some(prefix) => format!(">{prefix}"),
        None => entry["key"].as_str().unwrap_or_default().to_owned(),
    });
    names.collect::<Vec<_>>().join(" ")
}

/// Every page of a list, `|` between them.
async fn all(api: &Api, bucket: &str, query: &str, token: &str) -> Result<String> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = json_of(list(api, bucket, &format!("{query}{cursor}"), token), 200).await?;
        pages.push(names(&page));
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(pages.join(" | ")),
        }
        ensure!(pages.len() < 50, "it does not end");
    }
}

async fn pages(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    for key in ["a/1", "a/2", "a%2Fb/3", "b", "c/4", "c/d/5", "%E6%97%A5/%E6%9C%AC", "%2F%2F"] {
        expect(api.put(&format!("{bucket}/{key}"), key.to_owned()), 201).await?;
    }
    let found = async |query: &str| all(&api, &bucket, query, &api.alice).await;
    ensure!(found("").await? == "// a/1 a/2 a/b/3 b c/4 c/d/5 日/本");
    ensure!(found("limit=3").await? == "// a/1 a/2 | a/b/3 b c/4 | c/d/5 日/本");
    ensure!(found("limit=2&delimiter=/").await? == ">/ >a/ | b >c/ | >日/");
    ensure!(found("limit=2&delimiter=/&order=-key").await? == ">日/ >c/ | b >a/ | >/");
    ensure!(found("delimiter=/&prefix=a/&limit=1").await? == "a/1 | a/2 | >a/b/");
    ensure!(found("prefix=%E6%97%A5").await? == "日/本");
    ensure!(found("prefix=none").await?.is_empty());
    let page = json_of(list(&api, &bucket, "limit=1&prefix=b", &api.alice), 200).await?;
    let object = &page["objects"][0];
    ensure!(page["bucket"] == bucket.as_str() && page["cursor"].is_null(), "{page}");
    ensure!(
        object["size"] == 1 && object["owner"] == "alice" && object["tags"] == json!({}),
        "{page}"
    );
    let url = object["url"].as_str().context("a url")?;
    let read = expect(api.client.get(url).bearer_auth(&api.alice), 200).await?;
    ensure!(header(&read, "etag").trim_matches('"') == object["etag"], "{page}");
    let head = api.client.head(format!("{}/v1/objects/{bucket}", api.url)).bearer_auth(&api.alice);
    ensure!(expect(head, 200).await?.text().await?.is_empty());
    Ok(())
}

async fn newest_and_search(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    for key in ["x/Report-2026.pdf", "y/report-2025.pdf", "z/%E6%97%A5%E6%9C%AC%E8%AA%9E.txt", "w"]
    {
        expect(api.put(&format!("{bucket}/{key}"), "x"), 201).await?;
    }
    expect(api.put(&format!("{bucket}/y/report-2025.pdf"), "new"), 200).await?;
    let found = async |query: &str| all(&api, &bucket, query, &api.alice).await;
    let newest = "y/report-2025.pdf w | z/日本語.txt x/Report-2026.pdf";
    ensure!(found("order=newest&limit=2").await? == newest);
    ensure!(found("q=REPORT-").await? == "x/Report-2026.pdf y/report-2025.pdf");
    ensure!(found("q=.pdf&order=-key&limit=1").await? == "y/report-2025.pdf | x/Report-2026.pdf");
    ensure!(found("q=%E6%9C%AC%E8%AA%9E.").await? == "z/日本語.txt");
    ensure!(found("q=port&prefix=y/").await? == "y/report-2025.pdf");
    ensure!(found("q=none-such").await?.is_empty());
    Ok(())
}

async fn own(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    expect(api.put(&format!("{bucket}/alices"), "x"), 201).await?;
    let bobs = api.client.put(format!("{}/v1/upload/{bucket}/bobs", api.url));
    expect(bobs.bearer_auth(&api.bob).body("x"), 201).await?;
    for (token, expected) in [(&api.alice, "alices"), (&api.bob, "bobs")] {
        for query in ["", "order=newest", "order=-key", "delimiter=/"] {
            ensure!(all(&api, &bucket, query, token).await? == expected, "{query}");
        }
    }
    let admin = api.stack.admin_token();
    ensure!(all(&api, &bucket, "", &admin).await? == "alices bobs");
    let shared = api.bucket(&json!({ "readers": "authenticated" })).await?;
    expect(api.put(&format!("{shared}/alices"), "x"), 201).await?;
    ensure!(all(&api, &shared, "", &api.bob).await? == "alices");
    let closed = api.bucket(&json!({ "writers": "owner" })).await?;
    let answer = refused(list(&api, &closed, "", &api.bob), 403, "AccessDenied").await?;
    ensure!(answer["rule"] == "bucket.list", "{answer}");
    Ok(())
}

async fn refusals(api: Api) -> Result<()> {
    let anonymous = api.client.get(format!("{}/v1/objects/assets", api.url));
    refused(anonymous, 401, "MissingAuthentication").await?;
    refused(list(&api, "documents", "", &api.expired), 401, "ExpiredToken").await?;
    refused(list(&api, "nowhere", "", &api.alice), 404, "NoSuchBucket").await?;
    refused(list(&api, "A", "", &api.alice), 400, "InvalidBucketName").await?;
    for query in [
        "limit=0",
        "limit=1001",
        "order=size",
        "q=ab",
        "q=abc&delimiter=/",
        "order=newest&prefix=a",
        "cursor=nonsense",
        "prefx=a",
        "trash&prefix=a",
        "trash&cursor=eA",
        "prefix=%00",
    ] {
        refused(list(&api, "documents", query, &api.alice), 400, "InvalidArgument").await?;
    }
    refused(list(&api, "documents/none", "", &api.alice), 404, "NoSuchKey").await?;
    refused(list(&api, "documents/none", "versions", &api.alice), 404, "NoSuchKey").await?;
    refused(list(&api, "documents/none", "version", &api.alice), 400, "InvalidArgument").await?;
    let rename = "rename=00000000-0000-7000-8000-000000000000";
    refused(list(&api, "documents", rename, &api.alice), 404, "NoSuchRename").await?;
    refused(list(&api, "documents", "rename=x", &api.alice), 404, "NoSuchRename").await?;
    Ok(())
}

async fn stat(api: Api) -> Result<()> {
    let path = "documents/objects/stat%20%2B.txt";
    let put = api.put(path, "hello").header("content-type", "text/plain");
    let put = put.header("x-amz-meta-color", "blue").header("cache-control", "no-store");
    let put = json_of(put, 201).await?;
    let stat = json_of(list(&api, path, "", &api.alice), 200).await?;
    for name in ["bucket", "key", "version", "size", "etag", "contentType", "digest", "url"] {
        ensure!(stat[name] == put[name] && !stat[name].is_null(), "{name}: {stat}, not {put}");
    }
    ensure!(stat["lastModified"] == put["createdAt"] && stat["versions"] == 1, "{stat}");
    ensure!(stat["metadata"] == json!({"color": "blue"}) && stat["owner"] == "alice", "{stat}");
    ensure!(stat["headers"]["cacheControl"] == "no-store", "{stat}");
    refused(list(&api, path, "", &api.bob), 404, "NoSuchKey").await?;
    // Of a public one anybody is told what a download tells, and not whose it is.
    expect(api.put("assets/objects/stat", "x"), 201).await?;
    let anonymous = api.client.get(format!("{}/v1/objects/assets/objects/stat", api.url));
    let stat = json_of(anonymous, 200).await?;
    ensure!(stat["visibility"] == "public-read" && stat["size"] == 1, "{stat}");
    ensure!(stat.get("owner").is_none() && stat.get("versions").is_none(), "{stat}");
    Ok(())
}

async fn versions_and_trash(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let path = format!("{bucket}/k");
    let mut stored = Vec::new();
    for n in 0..3 {
        let put = api.put(&path, format!("{n}"));
        let put = json_of(put, if n == 0 { 201 } else { 200 }).await?;
        stored.insert(0, put["version"].clone());
    }
    let page = json_of(list(&api, &path, "versions&limit=2", &api.alice), 200).await?;
    let cursor = page["cursor"].as_str().context("another page")?;
    let more = format!("versions&cursor={cursor}");
    let last = json_of(list(&api, &path, &more, &api.alice), 200).await?;
    let both = [&page, &last].map(|page| page["versions"].as_array().cloned().unwrap_or_default());
    let found: Vec<_> = both.concat().iter().map(|it| it["version"].clone()).collect();
    ensure!(found == stored && last["cursor"].is_null(), "{page} {last}");
    ensure!(page["versions"][0]["isCurrent"] == true, "{page}");
    ensure!(page["versions"][1]["replacedAt"].is_string(), "{page}");
    refused(list(&api, &path, "versions", &api.bob), 404, "NoSuchKey").await?;

    let url = format!("{}/v1/objects/{path}", api.url);
    let deleted = json_of(api.client.delete(&url).bearer_auth(&api.alice), 200).await?;
    let trash = json_of(list(&api, &bucket, "trash", &api.alice), 200).await?;
    let entry = &trash["trash"][0];
    ensure!(entry["key"] == "k" && entry["deletedBy"] == "alice", "{trash}");
    ensure!(entry["version"] == stored[0] && entry["deletedAt"] == deleted["deletedAt"], "{trash}");
    ensure!(entry["purgeAfter"] == deleted["purgeAfter"], "{trash}");
    let others = json_of(list(&api, &bucket, "trash", &api.bob), 200).await?;
    ensure!(others["trash"] == json!([]), "{others}");
    let admins =
        json_of(list(&api, &bucket, "trash&limit=1", &api.stack.admin_token()), 200).await?;
    ensure!(admins["trash"][0]["key"] == "k" && admins["cursor"].is_null(), "{admins}");
    Ok(())
}
