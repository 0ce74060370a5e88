//! Upload tokens: a form or a raw body without a header.

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{Api, Suite, chunked, expect, json_of, noise, refused};
use crate::presign::text;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("an_upload_token_stores_files_of_a_form_without_a_header", form);
    suite.add("an_upload_token_stays_within_its_limits", limits);
    suite.add("an_upload_token_counts_and_ends", ends);
}

fn token(api: &Api, by: &str, body: &Value) -> RequestBuilder {
    api.client.post(format!("{}/v1/tokens", api.url)).bearer_auth(by).body(body.to_string())
}

/// A raw upload by the token.
fn put(
    api: &Api,
    made: &Value,
    key: &str,
    body: impl Into<reqwest::Body>,
) -> Result<RequestBuilder> {
    Ok(api.client.put(format!("{}/{key}", text(made, "url")?)).body(body))
}

async fn form(api: Api) -> Result<()> {
    let asked = json!({"bucket": "documents", "prefix": "tokens/in/"});
    let made = json_of(token(&api, &api.alice, &asked), 201).await?;
    let (url, secret) = (text(&made, "url")?, text(&made, "token")?);
    ensure!(url == format!("{}/v1/t/{secret}/upload/documents", api.url), "{made}");
    // As a browser sends a form: multipart, and no header of ours.
    let body = "--b\r\ncontent-disposition: form-data; name=\"key\"\r\n\r\ntokens/in/${filename}\r\n\
                --b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\ncontent-type: text/plain\r\n\r\n\
                from a form\r\n--b--\r\n";
    let sent = api.client.post(url).header("content-type", "multipart/form-data; boundary=b");
    let answer = json_of(sent.body(body), 201).await?;
    ensure!(answer["files"][0]["key"] == "tokens/in/a.txt", "{answer}");
    ensure!(
        expect(api.get("documents/tokens/in/a.txt"), 200).await?.text().await? == "from a form"
    );
    // A raw body of known length, and one of unknown; the file is the creator's.
    expect(put(&api, &made, "tokens/in/raw%20%E6%97%A5", noise(200_000))?, 201).await?;
    let bytes = noise(300_000);
    expect(put(&api, &made, "tokens/in/chunked", chunked(&bytes))?, 201).await?;
    let back = expect(api.get("documents/tokens/in/chunked"), 200).await?.bytes().await?;
    ensure!(back == bytes);
    let owners = "select count(distinct owner) from holdfast.object where key like 'tokens/in/%' and owner = 'alice'";
    ensure!(api.number(owners).await? == 1);
    let list = api.client.get(format!("{}/v1/tokens", api.url)).bearer_auth(&api.alice);
    let list = json_of(list, 200).await?;
    let found = list["tokens"].as_array().into_iter().flatten().find(|it| it["id"] == made["id"]);
    ensure!(found.is_some_and(|it| it["uploads"] == 3), "{list}");
    ensure!(!list.to_string().contains(secret), "{list}");
    // It writes, and reads nothing.
    let read = url.replace("/upload/", "/download/");
    ensure!(api.client.get(format!("{read}/tokens/in/a.txt")).send().await?.status() == 404);
    refused(api.client.get(format!("{url}/tokens/in/a.txt")), 405, "MethodNotAllowed").await?;
    let bearer = api.client.get(format!("{}/v1/download/documents/tokens/in/a.txt", api.url));
    refused(bearer.bearer_auth(secret), 401, "InvalidToken").await?;
    Ok(())
}

async fn limits(api: Api) -> Result<()> {
    let asked = json!({"bucket": "documents", "prefix": "tokens/l/", "maxBytes": 100_000, "types": ["text/*"]});
    let made = json_of(token(&api, &api.alice, &asked), 201).await?;
    let text_of = |count: usize| "x".repeat(count);
    expect(put(&api, &made, "tokens/l/fits", text_of(100_000))?, 201).await?;
    for (key, status, code) in [
        ("tokens/l/large", 413, "EntityTooLarge"),
        ("tokens/out", 403, "AccessDenied"),
        ("tokens/l", 403, "AccessDenied"),
    ] {
        let body = text_of(if key.ends_with("large") { 100_001 } else { 5 });
        refused(put(&api, &made, key, body)?, status, code).await?;
    }
    // Without a length it is cut where the limit is, and nothing of it stays.
    let long = chunked(text_of(150_000).as_bytes());
    refused(put(&api, &made, "tokens/l/long", long)?, 413, "EntityTooLarge").await?;
    refused(api.get("documents/tokens/l/long"), 404, "NoSuchKey").await?;
    let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &[0; 100]].concat();
    refused(put(&api, &made, "tokens/l/png", png.clone())?, 415, "InvalidContentType").await?;
    let lied = put(&api, &made, "tokens/l/png", png)?.header("content-type", "text/plain");
    refused(lied, 415, "InvalidContentType").await?;
    let elsewhere = text(&made, "url")?.replace("/documents", "/assets");
    refused(api.client.put(format!("{elsewhere}/tokens/l/x")).body("x"), 403, "AccessDenied")
        .await?;
    // None of the refused ones is a use.
    let uses = format!("select uses from holdfast.\"grant\" where id = '{}'", text(&made, "id")?);
    api.eventually(&uses, 1).await?;
    refused(token(&api, &api.alice, &json!({"bucket": "nowhere"})), 404, "NoSuchBucket").await?;
    refused(token(&api, &api.alice, &json!({"prefix": "x"})), 400, "InvalidArgument").await?;
    let narrow = api.stack.token("alice", 60, &json!({"scope": "download"}));
    refused(token(&api, &narrow, &json!({"bucket": "documents"})), 403, "AccessDenied").await?;
    Ok(())
}

async fn ends(api: Api) -> Result<()> {
    let asked = json!({"bucket": "documents", "prefix": "tokens/n/", "maxUploads": 5});
    let made = json_of(token(&api, &api.alice, &asked), 201).await?;
    let sent = (0..20).map(|n| put(&api, &made, &format!("tokens/n/{n}"), "x"));
    let sent: Vec<_> = sent.collect::<Result<_>>()?;
    let mut good = 0;
    for answer in join_all(sent.into_iter().map(RequestBuilder::send)).await {
        let status = answer?.status().as_u16();
        ensure!([201, 403].contains(&status), "{status}");
        good += u32::from(status == 201);
    }
    ensure!(good == 5, "{good} uploads");
    let problem = refused(put(&api, &made, "tokens/n/more", "x")?, 403, "AccessDenied").await?;
    ensure!(problem["rule"] == "grant.uses", "{problem}");
    ensure!(problem["instance"] == "/v1/t/-/upload/documents/tokens/n/more", "{problem}");

    let other =
        json_of(token(&api, &api.alice, &json!({"bucket": "documents", "expiresIn": 1})), 201)
            .await?;
    let one = |by: &str| {
        let id = made["id"].as_str().unwrap_or_default();
        api.client.delete(format!("{}/v1/tokens/{id}", api.url)).bearer_auth(by)
    };
    refused(one(&api.bob), 404, "NoSuchGrant").await?;
    expect(one(&api.alice), 204).await?;
    refused(put(&api, &made, "tokens/n/late", "x")?, 401, "InvalidToken").await?;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    refused(put(&api, &other, "tokens/n/late", "x")?, 401, "ExpiredToken").await?;
    let unknown = format!("{}/v1/t/{}/upload/documents/tokens/x", api.url, "A".repeat(43));
    refused(api.client.put(&unknown).body("x"), 401, "InvalidToken").await?;
    // A header does not help a token that is not good.
    refused(api.client.put(&unknown).bearer_auth(&api.alice).body("x"), 401, "InvalidToken")
        .await?;
    for (action, outcome) in [("token.create", "ok"), ("token.revoke", "ok")] {
        let audit = format!(
            "select count(*) from holdfast.audit where action = '{action}' and outcome = '{outcome}' and rule = '{}'",
            text(&made, "id")?
        );
        ensure!(api.number(&audit).await? == 1, "{action}");
    }
    Ok(())
}
