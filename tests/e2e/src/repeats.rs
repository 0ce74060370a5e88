//! `Idempotency-Key` where grants are made: a request whose answer was lost is sent again, and makes nothing new.

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{Api, Suite, expect, header, json_of, noise, refused};
use crate::presign::{text, used};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_repeated_presign_is_answered_with_the_same_urls", urls);
    suite.add("a_repeated_share_or_token_is_answered_with_the_same_secret", secrets);
    suite.add("one_key_at_once_makes_one_grant", at_once);
    suite.add("a_repeat_brings_nothing_back_to_life", ended);
}

fn post(api: &Api, token: &str, route: &str, key: &str, body: &Value) -> RequestBuilder {
    let request = api.client.post(format!("{}/v1/{route}", api.url)).bearer_auth(token);
    request.header("idempotency-key", key).body(body.to_string())
}

/// The answer, which has to be the first one or a repeat.
async fn answer(request: RequestBuilder, status: u16, is_repeat: bool) -> Result<Value> {
    let response = expect(request, status).await?;
    let repeated = header(&response, "idempotent-replayed");
    ensure!(repeated == if is_repeat { "true" } else { "" }, "replayed: {repeated:?}");
    Ok(response.json().await?)
}

async fn grants(api: &Api, path: &str) -> Result<i64> {
    api.number(&format!("select count(*) from holdfast.\"grant\" where key like '{path}%'")).await
}

async fn urls(api: Api) -> Result<()> {
    expect(api.put("documents/repeats/urls/read", "read me"), 201).await?;
    let of = |method: &str, name: &str, more: Value| {
        let mut body =
            json!({"method": method, "bucket": "documents", "key": format!("repeats/urls/{name}")});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    };
    let batch = json!([
        of("GET", "read", json!({"download": "ü.txt"})),
        of("GET", "read", json!({"direct": true})),
        of("GET", "missing", json!({})),
        of("PUT", "written", json!({"size": 5, "contentType": "text/plain"})),
        of("GET", "read", json!({"expiresIn": 0})),
    ]);
    let ask = || post(&api, &api.alice, "presign", "urls-batch", &batch);
    let first = answer(ask(), 200, false).await?;
    // Signed again later, the URLs that carry their time are the same.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let again = answer(ask(), 200, true).await?;
    ensure!(again == first, "{again} {first}");
    ensure!(grants(&api, "repeats/urls/").await? == 3);
    for place in 0..2 {
        let read = expect(api.client.get(text(&again[place], "url")?), 200).await?;
        ensure!(read.text().await? == "read me");
    }
    expect(used(&api, &again[3], "hello")?, 200).await?;
    json_of(api.client.post(text(&again[3], "complete")?), 201).await?;
    ensure!(answer(ask(), 200, true).await?[3]["url"] == first[3]["url"]);

    let single = of("PUT", "single", json!({"size": 5}));
    let ask = |body| post(&api, &api.alice, "presign", "urls-single", body);
    let first = answer(ask(&single), 200, false).await?;
    ensure!(answer(ask(&single), 200, true).await? == first);
    let other = of("PUT", "single", json!({"size": 6}));
    let problem = refused(ask(&other), 422, "IdempotencyKeyReused").await?;
    ensure!(problem["rule"] == "idempotency-key", "{problem}");
    refused(ask(&json!([single])), 422, "IdempotencyKeyReused").await?;
    let long = post(&api, &api.alice, "presign", &"k".repeat(256), &single);
    refused(long, 400, "InvalidArgument").await?;
    // A refusal takes no key.
    let missing = of("GET", "missing", json!({}));
    let ask = |body| post(&api, &api.alice, "presign", "urls-refused", body);
    refused(ask(&missing), 404, "NoSuchKey").await?;
    answer(ask(&of("GET", "read", json!({}))), 200, false).await?;
    Ok(())
}

async fn secrets(api: Api) -> Result<()> {
    expect(api.put("documents/repeats/shared", "shared"), 201).await?;
    let share = json!({"bucket": "documents", "key": "repeats/shared", "maxDownloads": 2});
    let ask = |token: &str, body: &Value| post(&api, token, "shares", "held", body);
    let first = answer(ask(&api.alice, &share), 201, false).await?;
    ensure!(expect(api.client.get(text(&first, "url")?), 200).await?.text().await? == "shared");
    ensure!(answer(ask(&api.alice, &share), 201, true).await? == first);
    ensure!(grants(&api, "repeats/shared").await? == 1);
    let mut more = share.clone();
    more["maxDownloads"] = 3.into();
    refused(ask(&api.alice, &more), 422, "IdempotencyKeyReused").await?;
    // What is kept opens nothing.
    let secret = text(&first, "url")?.rsplit('/').next().unwrap_or_default();
    let kept = format!(
        "select (select count(*) from holdfast.\"grant\" g where g::text like '%{secret}%') \
         + (select count(*) from holdfast.grant_request r where r::text like '%{secret}%')"
    );
    ensure!(api.number(&kept).await? == 0);

    let token = json!({"bucket": "documents", "prefix": "repeats/in/", "maxUploads": 1});
    let ask = |by: &str| post(&api, by, "tokens", "held-token", &token);
    let first = answer(ask(&api.alice), 201, false).await?;
    let again = answer(ask(&api.alice), 201, true).await?;
    ensure!(again == first, "{again} {first}");
    let url = format!("{}/repeats/in/file", text(&again, "url")?);
    expect(api.client.put(&url).body(noise(10)), 201).await?;
    // The key of somebody else, and of another route, is another one or none.
    let his = answer(ask(&api.bob), 201, false).await?;
    ensure!(his["id"] != first["id"] && his["token"] != first["token"]);
    let other = post(&api, &api.alice, "shares", "held-token", &share);
    refused(other, 422, "IdempotencyKeyReused").await?;
    Ok(())
}

async fn at_once(api: Api) -> Result<()> {
    expect(api.put("documents/repeats/at-once", "x"), 201).await?;
    let share = json!({"bucket": "documents", "key": "repeats/at-once"});
    let url = json!({"bucket": "documents", "key": "repeats/at-once", "method": "GET"});
    for (route, body, status) in [("shares", share, 201), ("presign", url, 200)] {
        let asked = (0..20).map(|_| {
            json_of(post(&api, &api.alice, route, &format!("at-once-{route}"), &body), status)
        });
        let answers: Vec<Value> = join_all(asked).await.into_iter().collect::<Result<_>>()?;
        ensure!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    }
    ensure!(grants(&api, "repeats/at-once").await? == 2);
    Ok(())
}

async fn ended(api: Api) -> Result<()> {
    expect(api.put("documents/repeats/ended", "x"), 201).await?;
    let share = json!({"bucket": "documents", "key": "repeats/ended"});
    let url = json!({"bucket": "documents", "key": "repeats/ended", "method": "GET"});
    let share = || post(&api, &api.alice, "shares", "ended-share", &share);
    let presign = || post(&api, &api.alice, "presign", "ended-url", &url);
    let (link, signed) = (answer(share(), 201, false).await?, answer(presign(), 200, false).await?);
    for (route, made) in [("shares", &link), ("presign", &signed)] {
        let one = format!("{}/v1/{route}/{}", api.url, text(made, "id")?);
        expect(api.client.delete(one).bearer_auth(&api.alice), 204).await?;
    }
    ensure!(answer(share(), 201, true).await? == link);
    ensure!(answer(presign(), 200, true).await? == signed);
    refused(api.client.get(text(&link, "url")?), 404, "NoSuchKey").await?;
    refused(api.client.get(text(&signed, "url")?), 403, "AccessDenied").await?;
    let object = format!("{}/v1/objects/documents/repeats/ended", api.url);
    expect(api.client.delete(object).bearer_auth(&api.alice), 200).await?;
    refused(share(), 404, "NoSuchKey").await?;
    refused(presign(), 404, "NoSuchKey").await?;

    // A key that was revoked says nothing any more.
    let keys = format!("{}/v1/keys", api.url);
    let named = json!({"name": "repeats", "scopes": ["upload"]}).to_string();
    let made = json_of(api.client.post(&keys).bearer_auth(&api.alice).body(named), 201).await?;
    let token = json!({"bucket": "documents", "prefix": "repeats/"});
    let ask = || post(&api, text(&made, "key").unwrap_or_default(), "tokens", "ended", &token);
    answer(ask(), 201, false).await?;
    let one = format!("{keys}/{}", text(&made, "id")?);
    expect(api.client.delete(one).bearer_auth(&api.alice), 204).await?;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    refused(ask(), 401, "InvalidToken").await?;
    Ok(())
}
