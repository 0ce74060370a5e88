//! Pages of other origins that go straight to SeaweedFS: a bucket's policy says which may, and the worker tells it.

use anyhow::{Context as _, Result, ensure};
use holdfast_s3::GetBucketCors;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::harness::{Api, Suite, expect, header, json_of};
use crate::presign::used;

const PAGE: &str = "https://app.example.org";
const OTHER: &str = "https://other.example.org";

pub(crate) fn register(suite: &mut Suite) {
    suite.add("cors_of_seaweedfs_follows_the_policy", follows);
    suite.add("cors_of_seaweedfs_takes_the_wildcards_that_we_take", wildcards);
    suite.add("cors_is_told_for_a_bucket_that_seaweedfs_does_not_have_yet", not_there_yet);
}

async fn says(api: &Api, bucket: &str, origins: &Value) -> Result<()> {
    let policy = json!({"corsOrigins": origins});
    let set =
        format!("update holdfast.bucket set policy = policy || '{policy}' where name = '{bucket}'");
    api.execute(&set).await
}

/// Ticks until SeaweedFS was told; another test's tick may be at it.
async fn told(api: &Api, bucket: &str) -> Result<()> {
    let tick = api.client.post(format!("{}/internal/tick", api.url));
    json_of(tick.bearer_auth(api.stack.tick_secret()), 200).await?;
    let left = format!(
        "select count(*) from holdfast.bucket where name = '{bucket}' and (cors_claimed_until is not null \
         or cors_applied is distinct from case when jsonb_typeof(policy -> 'corsOrigins') = 'array' \
         then array(select jsonb_array_elements_text(policy -> 'corsOrigins')) end)"
    );
    api.eventually(&left, 0).await
}

/// What a browser asks before it sends a page's PUT.
async fn preflight(api: &Api, url: &str, origin: &str) -> Result<Response> {
    let asked = api.client.request(Method::OPTIONS, url).header("origin", origin);
    let asked = asked.header("access-control-request-method", "PUT");
    Ok(asked.header("access-control-request-headers", "content-type, if-none-match").send().await?)
}

/// Would the browser send it?
async fn may(api: &Api, url: &str, origin: &str) -> Result<bool> {
    let answer = preflight(api, url, origin).await?;
    let has = |name: &str, wanted: &str| {
        header(&answer, name).split(',').any(|it| it.trim().eq_ignore_ascii_case(wanted))
    };
    Ok(answer.status().is_success()
        && [origin, "*"].contains(&&*header(&answer, "access-control-allow-origin"))
        && has("access-control-allow-methods", "PUT")
        && has("access-control-allow-headers", "if-none-match"))
}

async fn presigned(api: &Api, bucket: &str, key: &str, size: usize) -> Result<Value> {
    let asked = json!({"method": "PUT", "bucket": bucket, "key": key, "size": size});
    let ask = api.client.post(format!("{}/v1/presign", api.url)).bearer_auth(&api.alice);
    json_of(ask.body(asked.to_string()), 200).await
}

fn url(answer: &Value) -> Result<&str> {
    answer["url"].as_str().context("a URL")
}

async fn follows(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({"corsOrigins": [PAGE]})).await?;
    let put = presigned(&api, &bucket, "straight", 5).await?;
    let begin = api.client.post(format!("{}/v1/multipart", api.url)).bearer_auth(&api.alice);
    let begun =
        json_of(begin.body(json!({"bucket": bucket, "key": "parts"}).to_string()), 201).await?;
    let sign = api.client.post(format!("{}/sign", url(&begun)?)).bearer_auth(&api.alice);
    let signed = json_of(sign.body(json!({"parts": [1]}).to_string()), 200).await?;
    let part = url(&signed["parts"][0])?;
    told(&api, &bucket).await?;

    for url in [url(&put)?, part] {
        ensure!(may(&api, url, PAGE).await?, "{PAGE} may not PUT to {url}");
        let asked = preflight(&api, url, PAGE).await?;
        ensure!(header(&asked, "access-control-max-age") == "7200");
        ensure!(!may(&api, url, OTHER).await?, "{OTHER} may PUT to {url}");
        let asked = preflight(&api, url, OTHER).await?;
        ensure!(header(&asked, "access-control-allow-origin").is_empty());
    }
    let sent = expect(used(&api, &put, "bytes")?.header("origin", PAGE), 200).await?;
    ensure!(header(&sent, "access-control-allow-origin") == PAGE);
    let exposed = header(&sent, "access-control-expose-headers").to_ascii_lowercase();
    for name in ["etag", "content-range", "content-length", "x-amz-checksum-crc64nvme"] {
        ensure!(exposed.split(", ").any(|it| it == name), "{exposed}");
    }

    // The policy says another, and the next tick follows; the one before counts until then.
    says(&api, &bucket, &json!([OTHER])).await?;
    told(&api, &bucket).await?;
    ensure!(may(&api, part, OTHER).await? && !may(&api, part, PAGE).await?);
    // Nobody.
    says(&api, &bucket, &json!([])).await?;
    told(&api, &bucket).await?;
    ensure!(!may(&api, part, OTHER).await? && !may(&api, part, PAGE).await?);
    // The deployment counts again, and it lets anybody.
    says(&api, &bucket, &Value::Null).await?;
    told(&api, &bucket).await?;
    ensure!(may(&api, part, OTHER).await? && may(&api, part, PAGE).await?);
    let gone = api.s3.call(&GetBucketCors { bucket: &bucket }, "").await;
    ensure!(gone.is_err_and(|error| error.to_string().contains("NoSuchCORSConfiguration")));
    Ok(())
}

async fn wildcards(api: Api) -> Result<()> {
    let origins = json!([
        "https://*.example.org",
        "http://*.test:8080",
        "https://App.example.com",
        "https://*"
    ]);
    let bucket = api.bucket(&json!({"corsOrigins": origins})).await?;
    let put = presigned(&api, &bucket, "k", 1).await?;
    told(&api, &bucket).await?;
    for (origin, allowed) in [
        ("https://a.example.org", true),
        ("https://a.b.example.org", true),
        ("http://a.test:8080", true),
        ("https://app.example.com", true),
        ("https://example.org", false),
        ("http://a.example.org", false),
        ("http://a.test", false),
        ("http://test:8080", false),
        ("https://a.example.org.evil.net", false),
        ("https://aexample.org", false),
        ("null", false),
    ] {
        ensure!(may(&api, url(&put)?, origin).await? == allowed, "{origin} should be {allowed}");
    }
    Ok(())
}

async fn not_there_yet(api: Api) -> Result<()> {
    let bucket = "cors-of-a-bucket-to-come";
    let policy = json!({"visibility": "private", "writers": "authenticated", "readers": "owner",
        "corsOrigins": [PAGE]});
    let make = format!(
        "insert into holdfast.bucket (name, owner, policy) values ('{bucket}', 'system', '{policy}')"
    );
    api.execute(&make).await?;
    told(&api, bucket).await?;
    let rules = GetBucketCors::parse(&api.s3.call(&GetBucketCors { bucket }, "").await?)?;
    ensure!(rules.len() == 1 && rules[0].allowed_origins == [PAGE], "{rules:?}");
    ensure!(rules[0].allowed_methods == ["GET", "HEAD", "PUT"], "{rules:?}");
    expect(api.put(&format!("{bucket}/k"), "x"), 201).await?;
    let put = presigned(&api, bucket, "straight", 1).await?;
    ensure!(may(&api, url(&put)?, PAGE).await? && !may(&api, url(&put)?, OTHER).await?);
    Ok(())
}
