//! Share links.

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{Api, Suite, expect, header, json_of, refused};
use crate::presign::text;

pub(crate) fn register(suite: &mut Suite) {
    suite.add("a_share_link_is_read_by_anybody_until_it_is_revoked", life);
    suite.add("a_share_link_is_good_for_so_many_downloads", limited);
    suite.add("links_that_give_nothing_look_alike", alike);
}

fn share(api: &Api, token: &str, body: &Value) -> RequestBuilder {
    api.client.post(format!("{}/v1/shares", api.url)).bearer_auth(token).body(body.to_string())
}

fn revoke(api: &Api, token: &str, id: &str) -> RequestBuilder {
    api.client.delete(format!("{}/v1/shares/{id}", api.url)).bearer_auth(token)
}

fn of(key: &str) -> Value {
    json!({"bucket": "documents", "key": key})
}

async fn life(api: Api) -> Result<()> {
    let key = "shares/a b 日.txt";
    expect(api.put("documents/shares/a%20b%20%E6%97%A5.txt", "0123456789"), 201).await?;
    let mut asked = of(key);
    asked["download"] = "".into();
    let made = expect(share(&api, &api.alice, &asked), 201).await?;
    ensure!(header(&made, "cache-control") == "no-store");
    let location = header(&made, "location");
    let made: Value = made.json().await?;
    let (url, id) = (text(&made, "url")?, text(&made, "id")?);
    ensure!(location.ends_with(&format!("/v1/shares/{id}")), "{location}");
    ensure!(url.contains("/s/") && made["downloads"] == 0 && made["key"] == key, "{made}");

    let whole = expect(api.client.get(url), 200).await?;
    ensure!(
        header(&whole, "content-disposition").contains("filename*=UTF-8''a%20b%20%E6%97%A5.txt")
    );
    ensure!(header(&whole, "cache-control") == "private, no-cache");
    let etag = header(&whole, "etag");
    ensure!(whole.text().await? == "0123456789");
    let part = expect(api.client.get(url).header("range", "bytes=2-4"), 206).await?;
    ensure!(part.text().await? == "234");
    expect(api.client.get(url).header("if-none-match", etag), 304).await?;
    expect(api.client.head(url), 200).await?;
    refused(api.client.put(url).body("x"), 405, "MethodNotAllowed").await?;
    // What is replaced is what it gives from then on.
    expect(api.put("documents/shares/a%20b%20%E6%97%A5.txt", "new"), 200).await?;
    ensure!(expect(api.client.get(url), 200).await?.text().await? == "new");

    let list = api.client.get(format!("{}/v1/shares?limit=200", api.url)).bearer_auth(&api.alice);
    let list = json_of(list, 200).await?;
    let found = list["shares"].as_array().into_iter().flatten().find(|it| it["id"] == id);
    ensure!(found.is_some_and(|it| it["downloads"] == 4), "{list}");
    ensure!(!list.to_string().contains("/s/"), "{list}");
    let uses = format!(
        "select count(*) from holdfast.access_log where grant_id = '{id}' and key = '{key}'"
    );
    api.eventually(&uses, 5).await?;
    let audited = format!(
        "select coalesce(sum(count), 0)::int8 from holdfast.audit where grant_id = '{id}' and action = 'share.use' and outcome = 'ok'"
    );
    api.eventually(&audited, 5).await?;
    // Only a hash of it is kept.
    let secret = url.rsplit('/').next().unwrap_or_default();
    let kept = format!("select count(*) from holdfast.\"grant\" g where g::text like '%{secret}%'");
    ensure!(api.number(&kept).await? == 0);

    refused(revoke(&api, &api.bob, id), 404, "NoSuchGrant").await?;
    let elsewhere = api.client.delete(format!("{}/v1/presign/{id}", api.url));
    refused(elsewhere.bearer_auth(&api.alice), 404, "NoSuchGrant").await?;
    expect(revoke(&api, &api.alice, id), 204).await?;
    expect(revoke(&api, &api.alice, id), 204).await?;
    refused(api.client.get(url), 404, "NoSuchKey").await?;
    for action in ["share.create", "share.revoke"] {
        let audit = format!(
            "select count(*) from holdfast.audit where action = '{action}' and rule = '{id}' and actor = 'alice'"
        );
        ensure!(api.number(&audit).await? == 1, "{action}");
    }
    Ok(())
}

async fn limited(api: Api) -> Result<()> {
    expect(api.put("documents/shares/ten.txt", "x"), 201).await?;
    let mut asked = of("shares/ten.txt");
    asked["maxDownloads"] = 10.into();
    let made = json_of(share(&api, &api.alice, &asked), 201).await?;
    let url = text(&made, "url")?;
    let answers = join_all((0..40).map(|_| api.client.get(url).send())).await;
    let mut good = 0;
    for answer in answers {
        let status = answer?.status().as_u16();
        ensure!([200, 404].contains(&status), "{status}");
        good += u32::from(status == 200);
    }
    ensure!(good == 10, "{good} downloads");
    Ok(())
}

async fn alike(api: Api) -> Result<()> {
    let put = json_of(api.put("documents/shares/gone.txt", "x"), 201).await?;
    expect(api.put("documents/shares/gone.txt", "y"), 200).await?;
    let named = json!({"bucket": "documents", "key": "shares/gone.txt", "version": put["version"]});
    let named = json_of(share(&api, &api.alice, &named), 201).await?;
    ensure!(expect(api.client.get(text(&named, "url")?), 200).await?.text().await? == "x");
    let mut once = of("shares/gone.txt");
    once["maxDownloads"] = 1.into();
    let used = json_of(share(&api, &api.alice, &once), 201).await?;
    expect(api.client.get(text(&used, "url")?), 200).await?;
    let mut brief = of("shares/gone.txt");
    brief["expiresIn"] = 1.into();
    let over = json_of(share(&api, &api.alice, &brief), 201).await?;
    let gone = json_of(share(&api, &api.alice, &of("shares/gone.txt")), 201).await?;
    let object = format!("{}/v1/objects/documents/shares/gone.txt", api.url);
    expect(api.client.delete(object).bearer_auth(&api.alice), 200).await?;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;

    let unknown = format!("{}/s/{}", api.url, "A".repeat(43));
    let mut details = Vec::new();
    for url in [
        text(&used, "url")?,
        text(&over, "url")?,
        text(&gone, "url")?,
        &unknown,
        &format!("{}/s/short", api.url),
    ] {
        let mut problem = refused(api.client.get(url), 404, "NoSuchKey").await?;
        ensure!(problem["instance"] == "/s/-", "the secret is in {problem}");
        problem["requestId"] = Value::Null;
        details.push(problem);
    }
    ensure!(details.windows(2).all(|pair| pair[0] == pair[1]), "{details:?}");

    refused(share(&api, &api.bob, &of("shares/gone.txt")), 404, "NoSuchKey").await?;
    refused(share(&api, &api.alice, &json!({"bucket": "documents"})), 400, "InvalidArgument")
        .await?;
    let nobody = api.client.post(format!("{}/v1/shares", api.url)).body(of("k").to_string());
    refused(nobody, 401, "MissingAuthentication").await?;
    Ok(())
}
