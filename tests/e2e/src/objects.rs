//! `DELETE /v1/objects/{bucket}/{key...}`: soft, and for good.

use anyhow::{Result, ensure};
use reqwest::RequestBuilder;
use serde_json::Value;

use crate::harness::{Api, Suite, expect, json_of, refused};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_deleted_file_is_gone_and_kept_in_the_trash", deleted);
    suite.add("a_deletion_is_refused_with_the_right_code", refusals);
    suite.add("what_is_deleted_for_good_cannot_be_restored", for_good);
}

/// A deletion by the bearer of `token`.
fn delete(api: &Api, path: &str, token: &str) -> RequestBuilder {
    api.client.delete(format!("{}/v1/objects/{path}", api.url)).bearer_auth(token)
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_default()
}

async fn deleted(api: Api) -> Result<()> {
    let path = "documents/objects/a%20b+%E6%97%A5.txt";
    let put = json_of(api.put(path, "hello"), 201).await?;
    let answer = json_of(delete(&api, path, &api.alice), 200).await?;
    ensure!(answer["bucket"] == "documents" && answer["key"] == "objects/a b+日.txt", "{answer}");
    ensure!(answer["version"] == put["version"], "{answer}");
    ensure!(text(&answer, "deletedAt") > text(&put, "createdAt"), "{answer}");
    ensure!(text(&answer, "purgeAfter") > text(&answer, "deletedAt"), "{answer}");

    refused(api.get(path), 404, "NoSuchKey").await?;
    let named = format!("{path}?version={}", text(&put, "version"));
    refused(api.get(&named), 404, "NoSuchVersion").await?;
    refused(delete(&api, path, &api.alice), 404, "NoSuchKey").await?;

    // The key is free for its owner, and the trash keeps both.
    json_of(api.put(path, "again").header("if-none-match", "*"), 201).await?;
    ensure!(expect(api.get(path), 200).await?.text().await? == "again");
    json_of(delete(&api, path, &api.alice), 200).await?;
    let trash = "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
        where o.key like 'objects/a b%' and v.state = 'trashed' and v.deleted_by = 'alice'";
    ensure!(api.number(trash).await? == 2);
    let events = "select count(*) from holdfast.outbox where key like 'objects/a b%' and kind = 'object.deleted'";
    ensure!(api.number(events).await? == 2);
    Ok(())
}

async fn for_good(api: Api) -> Result<()> {
    let path = "documents/objects/for-good";
    let first = json_of(api.put(path, "first"), 201).await?;
    let second = json_of(api.put(path, "second"), 200).await?;
    json_of(delete(&api, path, &api.alice), 200).await?;
    let third = json_of(api.put(path, "third"), 201).await?;

    let one = format!("{path}?permanent=true&version={}", text(&first, "version"));
    refused(delete(&api, &one, &api.bob), 404, "NoSuchKey").await?;
    let answer = json_of(delete(&api, &one, &api.alice), 200).await?;
    ensure!(answer["permanent"] == true && answer["versions"] == 1, "{answer}");
    refused(delete(&api, &one, &api.alice), 404, "NoSuchVersion").await?;
    ensure!(expect(api.get(path), 200).await?.text().await? == "third");

    let all = format!("{path}?permanent=true");
    let other = delete(&api, &all, &api.alice).header("if-match", "\"other\"");
    refused(other, 412, "PreconditionFailed").await?;
    let answer = json_of(delete(&api, &all, &api.alice), 200).await?;
    ensure!(answer["versions"] == 2 && answer["version"] == third["version"], "{answer}");
    refused(api.get(path), 404, "NoSuchKey").await?;
    refused(delete(&api, &all, &api.alice), 404, "NoSuchKey").await?;
    let url = format!("{}/v1/objects/documents", api.url);
    for version in [&first, &second, &third] {
        let restore = serde_json::json!({
            "operation": "restore", "key": "objects/for-good", "version": version["version"],
        });
        let restore = api.client.post(&url).bearer_auth(&api.alice).json(&restore);
        refused(restore, 404, "NoSuchVersion").await?;
    }
    Ok(())
}

async fn refusals(api: Api) -> Result<()> {
    let put = json_of(api.put("documents/objects/kept", "x"), 201).await?;
    expect(api.put("assets/objects/kept", "x"), 201).await?;
    let by_alice = |path: &str| delete(&api, path, &api.alice);

    let nobody = api.client.delete(format!("{}/v1/objects/assets/objects/kept", api.url));
    refused(nobody, 401, "MissingAuthentication").await?;
    refused(delete(&api, "documents/objects/kept", &api.expired), 401, "ExpiredToken").await?;
    refused(delete(&api, "documents/objects/kept", &api.bob), 404, "NoSuchKey").await?;
    let seen = refused(delete(&api, "assets/objects/kept", &api.bob), 403, "AccessDenied").await?;
    ensure!(seen["rule"] == "object.delete", "{seen}");
    refused(by_alice("documents/objects/missing"), 404, "NoSuchKey").await?;
    refused(by_alice("nowhere/x"), 404, "NoSuchBucket").await?;
    refused(by_alice("A/x"), 400, "InvalidBucketName").await?;
    refused(by_alice("documents"), 405, "MethodNotAllowed").await?;
    let url = format!("{}/v1/objects/documents/objects/kept", api.url);
    refused(api.client.post(&url).bearer_auth(&api.alice), 405, "MethodNotAllowed").await?;
    // A parameter that is misspelled deletes nothing.
    for query in ["permanent=yes", "permanant=true", "tag", "version=x&permanent=true"] {
        let query = by_alice(&format!("documents/objects/kept?{query}"));
        refused(query, 400, "InvalidArgument").await?;
    }
    let version = format!("documents/objects/kept?version={}", text(&put, "version"));
    refused(by_alice(&version), 400, "InvalidArgument").await?;

    let conditional =
        |name: &str, value: &str| by_alice("documents/objects/kept").header(name, value);
    refused(conditional("if-match", "\"other\""), 412, "PreconditionFailed").await?;
    refused(conditional("if-match", "nonsense, \""), 400, "InvalidArgument").await?;
    refused(conditional("if-none-match", "*"), 400, "InvalidArgument").await?;
    let date = "Tue, 24 Nov 2026 18:00:00 GMT";
    refused(conditional("if-unmodified-since", date), 400, "InvalidArgument").await?;

    ensure!(expect(api.get("documents/objects/kept"), 200).await?.text().await? == "x");
    expect(conditional("if-match", &format!("\"{}\"", text(&put, "etag"))), 200).await?;
    Ok(())
}
