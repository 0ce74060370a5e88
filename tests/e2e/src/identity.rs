//! Who asks: tokens of public keys, and API keys. The first have stacks of their own, because the
//! algorithm is configuration; they share the servers of the common one.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use holdfast_dev::{ExternalS3, Stack, StackOptions};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{Api, Suite, expect, json_of, refused};
use crate::issuer::{Issuer, Signing};

/// The time between two fetches of the keys, and a little more.
const REFETCH: Duration = Duration::from_secs(61);

pub(crate) fn register(suite: &mut Suite) {
    suite.add("rs256_and_eddsa_tokens_of_a_published_key_are_taken", algorithms);
    suite.add("keys_rotate_and_an_unknown_kid_fetches_once_a_minute", rotation);
    suite.add("an_api_key_lives_and_ends", api_key_life);
    suite.add("an_api_key_does_what_its_scopes_say", api_key_scopes);
    suite.add("an_api_key_expires", api_key_expiry);
}

/// An application of its own beside the common one, with tokens of `issuer`.
async fn application(
    api: &Api,
    issuer: &Issuer,
    algorithm: &str,
) -> Result<(tempfile::TempDir, Stack)> {
    let folder = tempfile::tempdir()?;
    let mut options = StackOptions::new(folder.path().join("data"));
    options.pg_url = Some(api.stack.database_url().to_owned());
    options.s3 = Some(ExternalS3 {
        endpoint: api.stack.s3_endpoint().to_owned(),
        region: "us-east-1".to_owned(),
        keys: api.stack.s3_keys().clone(),
    });
    options.tick_every = None;
    options.variables = [
        ("jwt_algorithm", algorithm),
        ("jwt_jwks_url", &format!("{}/keys.json", issuer.host)),
        ("jwt_jwks_host", &issuer.host),
        ("jwt_roles_claim", "realm_access.roles"),
        ("jwt_issuer", "tests"),
        ("jwt_audience", "holdfast"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let stack = Stack::start(options).await?;
    Ok((folder, stack))
}

fn claims(sub: &str, changes: &Value) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut claims = json!({"sub": sub, "iss": "tests", "aud": "holdfast", "exp": now.unwrap_or_default().as_secs() + 3_600});
    for (name, value) in changes.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    claims
}

fn put(api: &Api, url: &str, path: &str, token: &str) -> RequestBuilder {
    api.client.put(format!("{url}/v1/upload/{path}")).bearer_auth(token).body("x")
}

async fn algorithms(api: Api) -> Result<()> {
    for key in [Signing::rs256(), Signing::ed25519(3)] {
        let issuer = Issuer::start().await?;
        issuer.publish(Some(&[Signing::es256(9)?.jwk("other"), key.jwk("k")]));
        let (_folder, stack) = application(&api, &issuer, key.algorithm()).await?;
        let (url, path) = (stack.url(), format!("documents/identity/{}", key.algorithm()));
        let alice = key.token("k", &claims("alice", &json!({})));
        expect(put(&api, &url, &path, &alice), 201).await?;
        // Roles are where they are configured to be, and nowhere else.
        let nowhere = key.token("k", &claims("root", &json!({"roles": ["admin"]})));
        refused(put(&api, &url, &path, &nowhere), 403, "AccessDenied").await?;
        let admin = key.token("k", &claims("root", &json!({"realm_access": {"roles": ["admin"]}})));
        expect(put(&api, &url, &path, &admin), 200).await?;
        let expired = key.token("k", &claims("alice", &json!({"exp": 1})));
        refused(put(&api, &url, &path, &expired), 401, "ExpiredToken").await?;
        let foreign = key.token("k", &claims("alice", &json!({"iss": "others"})));
        refused(put(&api, &url, &path, &foreign), 401, "InvalidToken").await?;
        // The common stack's HS256 token, signed by a secret that this one knows too.
        let hs256 = stack.token("alice", 3_600, &json!({"iss": "tests"}));
        refused(put(&api, &url, &path, &hs256), 401, "InvalidToken").await?;
        ensure!(issuer.asked() <= 1, "asked {} times", issuer.asked());
        stack.stop().await?;
    }
    Ok(())
}

async fn rotation(api: Api) -> Result<()> {
    let (old, new) = (Signing::es256(1)?, Signing::es256(2)?);
    let issuer = Issuer::start().await?;
    let (_folder, stack) = application(&api, &issuer, "ES256").await?;
    let url = stack.url();
    let by_old = old.token("old", &claims("alice", &json!({})));
    let by_new = new.token("new", &claims("alice", &json!({})));
    let ask = |token: &str| put(&api, &url, "documents/identity/rotation", token);

    // Without any key there is nothing to say about a token.
    refused(ask(&by_old), 503, "ServiceUnavailable").await?;
    issuer.publish(Some(&[old.jwk("old")]));
    tokio::time::sleep(Duration::from_secs(6)).await;
    expect(ask(&by_old), 201).await?;
    let first = issuer.asked();
    ensure!(first == 2, "asked {first} times");

    issuer.publish(Some(&[new.jwk("new")]));
    let many = join_all((0..32).map(|_| ask(&by_new).send())).await;
    for answer in many {
        ensure!(answer?.status() == 401);
    }
    expect(ask(&by_old), 200).await?;
    ensure!(issuer.asked() == first, "an unknown kid fetched within a minute");

    tokio::time::sleep(REFETCH).await;
    // All at once, on instances that know the old keys and on new ones: whoever does not fetch waits for who does.
    issuer.delay(3_000);
    let many = join_all((0..32).map(|_| ask(&by_new).send())).await;
    for answer in many {
        ensure!(answer?.status() == 200);
    }
    issuer.delay(0);
    refused(ask(&by_old), 401, "InvalidToken").await?;
    // Two instances that begin at the same moment may both fetch: key-value has no compare-and-swap.
    let second = issuer.asked();
    ensure!((first + 1..=first + 2).contains(&second), "asked {second} times");

    issuer.publish(None);
    tokio::time::sleep(REFETCH).await;
    // It may be a key that came since: only the issuer could say.
    refused(ask(&by_old), 503, "ServiceUnavailable").await?;
    ensure!(issuer.asked() > second, "the issuer was not asked again");
    expect(ask(&by_new), 200).await?;
    stack.stop().await
}

fn keys(api: &Api) -> String {
    format!("{}/v1/keys", api.url)
}

async fn make(api: &Api, token: &str, body: Value) -> Result<Value> {
    json_of(api.client.post(keys(api)).bearer_auth(token).json(&body), 201).await
}

async fn api_key_life(api: Api) -> Result<()> {
    let made = make(&api, &api.alice, json!({"name": "life"})).await?;
    let key = made["key"].as_str().unwrap_or_default().to_owned();
    let id = made["id"].as_str().unwrap_or_default().to_owned();
    ensure!(key.starts_with(made["prefix"].as_str().unwrap_or("-")), "{made}");
    expect(put(&api, &api.url, "documents/identity/life", &key), 201).await?;
    let own = api.anonymous("documents/identity/life").header("x-api-key", &key);
    ensure!(expect(own, 200).await?.text().await? == "x");
    let both = api.get("documents/identity/life").header("x-api-key", &key);
    refused(both, 401, "InvalidToken").await?;

    let listed = json_of(api.client.get(keys(&api)).bearer_auth(&api.alice), 200).await?;
    let shown =
        listed["keys"].as_array().and_then(|all| all.iter().find(|k| k["id"] == id.as_str()));
    ensure!(shown.is_some_and(|k| k["lastUsedOn"].is_string() && k["key"].is_null()), "{listed}");
    let secret = key.rsplit('_').next().unwrap_or_default();
    ensure!(!listed.to_string().contains(secret), "a list shows a secret");
    let kept = format!("select count(*) from holdfast.api_key k where k::text like '%{secret}%'");
    ensure!(api.number(&kept).await? == 0, "the database has the secret");
    let hers = format!("{}?owner=alice", keys(&api));
    refused(api.client.get(&hers).bearer_auth(&api.bob), 403, "AccessDenied").await?;

    let one = format!("{}/{id}", keys(&api));
    refused(api.client.delete(&one).bearer_auth(&api.bob), 404, "NoSuchApiKey").await?;
    refused(api.client.delete(&one), 401, "MissingAuthentication").await?;
    for _ in 0..2 {
        expect(api.client.delete(&one).bearer_auth(&api.alice), 204).await?;
    }
    // An instance keeps an answer for a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    refused(put(&api, &api.url, "documents/identity/life", &key), 401, "InvalidToken").await?;
    let audited = format!(
        "select count(*) from holdfast.audit where actor = 'alice' and key = '{id}' \
         and (action, outcome) in (('key.create', 'ok'), ('key.revoke', 'ok'), ('key.use', 'InvalidToken'))"
    );
    ensure!(api.number(&audited).await? == 3);
    Ok(())
}

async fn api_key_scopes(api: Api) -> Result<()> {
    let path = "documents/identity/scopes";
    let of = |key: &Value| key["key"].as_str().unwrap_or_default().to_owned();
    let reader = of(&make(&api, &api.alice, json!({"name": "r", "scopes": ["download"]})).await?);
    let writer = of(&make(&api, &api.alice, json!({"name": "w", "scopes": ["upload"]})).await?);
    let admin = of(&make(&api, &api.alice, json!({"name": "a", "scopes": ["admin"]})).await?);
    refused(put(&api, &api.url, path, &reader), 403, "AccessDenied").await?;
    expect(put(&api, &api.url, path, &writer), 201).await?;
    refused(api.anonymous(path).bearer_auth(&writer), 404, "NoSuchKey").await?;
    expect(api.anonymous(path).bearer_auth(&reader), 200).await?;
    for narrow in [&reader, &writer] {
        let request = api.client.post(keys(&api)).bearer_auth(narrow).json(&json!({"name": "x"}));
        refused(request, 403, "AccessDenied").await?;
        refused(api.client.get(keys(&api)).bearer_auth(narrow), 403, "AccessDenied").await?;
    }
    make(&api, &admin, json!({"name": "by a key"})).await?;
    for body in [json!({"name": "x", "roles": ["admin"]}), json!({"name": "x", "owner": "bob"})] {
        let request = api.client.post(keys(&api)).bearer_auth(&admin).json(&body);
        refused(request, 403, "AccessDenied").await?;
    }
    for body in [json!({}), json!({"name": "x", "scopes": ["fly"]}), json!([])] {
        let request = api.client.post(keys(&api)).bearer_auth(&api.alice).json(&body);
        refused(request, 400, "InvalidArgument").await?;
    }
    Ok(())
}

async fn api_key_expiry(api: Api) -> Result<()> {
    let made = make(&api, &api.alice, json!({"name": "short", "expiresIn": 2})).await?;
    let key = made["key"].as_str().unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    refused(put(&api, &api.url, "documents/identity/short", key), 401, "ExpiredToken").await?;
    Ok(())
}
