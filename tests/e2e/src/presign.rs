//! Signed URLs: US-006, and what is not taken for one.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::harness::{Api, Suite, expect, header, json_of, noise, refused, sha256};

pub(crate) fn register(suite: &mut Suite) {
    suite.add("us_006_a_time_limited_url_is_used_expires_and_is_logged", us_006);
    suite.add("a_signed_url_that_was_changed_is_refused", tampered);
    suite.add("a_signed_url_is_for_what_it_names", names);
    suite.add("signed_urls_of_any_key_are_made_in_one_call", any_key);
    suite.add("a_revoked_url_is_refused_at_once", revoked);
    suite.add("a_cacheable_url_is_one_for_all_and_says_how_long", cacheable);
    suite.add("a_direct_url_needs_nobody_but_the_store", direct);
    suite.add("a_presigned_put_is_completed_once_and_for_all", put_and_complete);
    suite.add("a_presigned_put_takes_nothing_else", put_refusals);
    suite.add("public_url_makes_every_url", public_url);
}

pub(crate) fn ask(api: &Api, token: &str, body: &Value) -> RequestBuilder {
    api.client.post(format!("{}/v1/presign", api.url)).bearer_auth(token).body(body.to_string())
}

/// A URL for reading `key` of documents, by alice.
pub(crate) fn get(key: &str) -> Value {
    json!({"method": "GET", "bucket": "documents", "key": key})
}

pub(crate) fn text<'a>(answer: &'a Value, name: &str) -> Result<&'a str> {
    answer[name].as_str().with_context(|| format!("{name} in {answer}"))
}

fn with(mut request: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().into_iter().flatten() {
        request[name] = value.clone();
    }
    request
}

/// Uses a presigned URL exactly as its answer says.
pub(crate) fn used(
    api: &Api,
    answer: &Value,
    body: impl Into<reqwest::Body>,
) -> Result<RequestBuilder> {
    let method = Method::from_bytes(text(answer, "method")?.as_bytes())?;
    let mut request = api.client.request(method, text(answer, "url")?).body(body);
    for (name, value) in answer["headers"].as_object().context("headers")? {
        request = request.header(name, value.as_str().context("a header")?);
    }
    Ok(request)
}

async fn us_006(api: Api) -> Result<()> {
    expect(api.put("documents/presign/us-006.txt", "for a while"), 201).await?;
    let asked = with(get("presign/us-006.txt"), &json!({"expiresIn": 3, "download": "später.txt"}));
    let answer = json_of(ask(&api, &api.alice, &asked), 200).await?;
    ensure!(answer["method"] == "GET" && answer["headers"] == json!({}), "{answer}");
    ensure!(answer["revocable"] == true && answer["version"].is_null(), "{answer}");
    let url = text(&answer, "url")?;
    let response = expect(api.client.get(url), 200).await?;
    let disposition = header(&response, "content-disposition");
    ensure!(disposition.contains("filename*=UTF-8''sp%C3%A4ter.txt"), "{disposition}");
    ensure!(header(&response, "cache-control") == "private, no-cache");
    ensure!(response.text().await? == "for a while");
    let head = expect(api.client.head(url), 200).await?;
    ensure!(header(&head, "content-length") == "11");
    let part = expect(api.client.get(url).header("range", "bytes=0-2"), 206).await?;
    ensure!(part.text().await? == "for");

    // It ends by itself.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let over = refused(api.client.get(url), 403, "AccessDenied").await?;
    ensure!(over["rule"] == "url.expires", "{over}");

    // And all of it was written down: who made it, and each use.
    let id = text(&answer, "id")?;
    let made = format!(
        "select count(*) from holdfast.audit where action = 'presign.get' and actor = 'alice' \
         and rule = '{id}' and outcome = 'ok' and ip <> '' and request_id <> ''"
    );
    ensure!(api.number(&made).await? == 1);
    let uses = format!(
        "select count(*) from holdfast.access_log where grant_id = '{id}' and outcome = 'ok' and ip <> ''"
    );
    api.eventually(&uses, 3).await?;
    let audited = format!(
        "select coalesce(sum(count), 0)::int8 from holdfast.audit where grant_id = '{id}' and action = 'url.use' \
         and key = 'presign/us-006.txt' and outcome = 'ok' and ip = '127.0.0.1' and request_id <> ''"
    );
    api.eventually(&audited, 3).await?;
    let refused = "select count(*) from holdfast.audit where action = 'url.use' and bucket = 'documents' \
                   and outcome = 'AccessDenied' and rule like 'url.%' and ip <> ''";
    api.eventually(&format!("select least(1, ({refused}))"), 1).await
}

async fn tampered(api: Api) -> Result<()> {
    expect(api.put("documents/presign/t.txt", "x"), 201).await?;
    expect(api.put("documents/presign/other.txt", "y"), 201).await?;
    let answer = json_of(ask(&api, &api.alice, &get("presign/t.txt")), 200).await?;
    let url = text(&answer, "url")?;
    expect(api.client.get(url), 200).await?;
    let signature = url.rsplit('=').next().context("a signature")?;
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let expires = url.split("expires=").nth(1).and_then(|rest| rest.split('&').next());
    let expires: i64 = expires.context("an end")?.parse()?;
    for changed in [
        url.replace("t.txt", "other.txt"),
        url.replace("/documents/", "/assets/"),
        url.replace(&format!("expires={expires}"), &format!("expires={}", expires + 1)),
        url.replace(signature, &format!("{flipped}{}", &signature[1..])),
        url.replace(signature, ""),
        format!("{url}A"),
        format!("{url}&download=x.html"),
        format!("{url}&version={}", text(&answer, "id")?),
        format!("{url}&cacheable=1"),
    ] {
        let problem = refused(api.client.get(&changed), 403, "AccessDenied").await?;
        ensure!(problem["rule"] == "url.signature", "{changed}: {problem}");
    }
    // Not even for its owner: whoever sends a signature means it.
    let forged = format!("{url}A");
    refused(api.client.get(&forged).bearer_auth(&api.alice), 403, "AccessDenied").await?;
    // Another method is none of a signed URL's.
    refused(api.client.put(url).body("x"), 405, "MethodNotAllowed").await?;
    let upload = url.replace("/v1/download/", "/v1/upload/");
    refused(api.client.put(&upload).body("x"), 401, "MissingAuthentication").await?;
    let delete = url.replace("/v1/download/", "/v1/objects/");
    refused(api.client.delete(&delete), 401, "MissingAuthentication").await?;
    // Without a signature it is an ordinary request.
    let bare = url.split('?').next().context("a path")?;
    refused(api.client.get(bare), 404, "NoSuchKey").await?;
    let logged = "select count(*) from holdfast.access_log where key = 'presign/t.txt' and outcome = 'AccessDenied' and grant_id is null";
    api.eventually(logged, 9).await
}

async fn names(api: Api) -> Result<()> {
    let first = json_of(api.put("documents/presign/v.txt", "first"), 201).await?;
    expect(api.put("documents/presign/v.txt", "second"), 200).await?;
    let version = text(&first, "version")?;
    let current = json_of(ask(&api, &api.alice, &get("presign/v.txt")), 200).await?;
    let named = with(get("presign/v.txt"), &json!({"version": version}));
    let named = json_of(ask(&api, &api.alice, &named), 200).await?;
    ensure!(named["version"] == version, "{named}");
    let body = async |answer: &Value| -> Result<String> {
        Ok(expect(api.client.get(text(answer, "url")?), 200).await?.text().await?)
    };
    ensure!(body(&current).await? == "second" && body(&named).await? == "first");

    // Only for the client that it names.
    for (ip, status) in [("127.0.0.1", 200), ("192.0.2.1", 403)] {
        let asked = with(get("presign/v.txt"), &json!({"clientIp": ip}));
        let answer = json_of(ask(&api, &api.alice, &asked), 200).await?;
        expect(api.client.get(text(&answer, "url")?), status).await?;
    }

    // Who may not read may not sign, and cannot tell hidden from missing.
    refused(ask(&api, &api.bob, &get("presign/v.txt")), 404, "NoSuchKey").await?;
    refused(ask(&api, &api.alice, &get("presign/none")), 404, "NoSuchKey").await?;
    let nobody = api.client.post(format!("{}/v1/presign", api.url)).body(get("k").to_string());
    refused(nobody, 401, "MissingAuthentication").await?;
    refused(ask(&api, &api.alice, &json!({"method": "GET"})), 400, "InvalidArgument").await?;
    refused(ask(&api, &api.alice, &json!([])), 400, "InvalidArgument").await?;
    let narrow = api.stack.token("alice", 60, &json!({"scope": "upload"}));
    refused(ask(&api, &narrow, &get("presign/v.txt")), 404, "NoSuchKey").await?;

    // What is deleted is gone for every URL of it.
    let delete = format!("{}/v1/objects/documents/presign/v.txt", api.url);
    expect(api.client.delete(delete).bearer_auth(&api.alice), 200).await?;
    refused(api.client.get(text(&current, "url")?), 404, "NoSuchKey").await?;
    Ok(())
}

async fn any_key(api: Api) -> Result<()> {
    let keys = [
        "presign/a b+c%&?#.txt",
        "presign/日本/😀.txt",
        "presign//x/",
        "presign/it's \"q\"",
        "presign/\u{202e}x",
    ];
    let mut requests = Vec::new();
    for key in keys {
        let path: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        expect(api.put(&format!("documents/{path}"), key.to_owned()), 201).await?;
        requests.push(get(key));
        requests.push(with(get(key), &json!({"direct": true, "download": key})));
    }
    requests.push(get("presign/missing"));
    requests.push(json!({"method": "GET", "bucket": "documents", "key": ""}));
    let answers = json_of(ask(&api, &api.alice, &json!(requests)), 200).await?;
    let answers = answers.as_array().context("an array")?;
    ensure!(answers.len() == 12);
    for (place, answer) in answers[..10].iter().enumerate() {
        let body = expect(api.client.get(text(answer, "url")?), 200).await?.text().await?;
        ensure!(body == keys[place / 2], "{body} by {answer}");
    }
    ensure!(answers[10]["code"] == "NoSuchKey" && answers[10]["status"] == 404, "{}", answers[10]);
    ensure!(answers[11]["code"] == "InvalidArgument", "{}", answers[11]);
    Ok(())
}

async fn revoked(api: Api) -> Result<()> {
    expect(api.put("documents/presign/r.txt", "x"), 201).await?;
    let answer = json_of(ask(&api, &api.alice, &get("presign/r.txt")), 200).await?;
    let (url, id) = (text(&answer, "url")?, text(&answer, "id")?);
    let one = format!("{}/v1/presign/{id}", api.url);
    let revoke = |token: &str| api.client.delete(&one).bearer_auth(token);
    expect(api.client.get(url), 200).await?;
    let list = api.client.get(format!("{}/v1/presign?limit=1", api.url)).bearer_auth(&api.alice);
    let page = json_of(list, 200).await?;
    let found = &page["presigned"][0];
    ensure!(
        found["id"] == id && found["key"] == "presign/r.txt" && found["method"] == "GET",
        "{page}"
    );
    ensure!(!page.to_string().contains("signature"), "{page}");

    refused(revoke(&api.bob), 404, "NoSuchGrant").await?;
    refused(api.client.delete(&one), 401, "MissingAuthentication").await?;
    expect(api.client.get(url), 200).await?;
    expect(revoke(&api.alice), 204).await?;
    expect(revoke(&api.alice), 204).await?;
    let over = refused(api.client.get(url), 403, "AccessDenied").await?;
    ensure!(over["rule"] == "grant.revoked", "{over}");
    let audit = format!(
        "select count(*) from holdfast.audit where action = 'get.revoke' and rule = '{id}' and actor = 'alice'"
    );
    ensure!(api.number(&audit).await? == 1);
    let missing = format!("{}/v1/presign/nonsense", api.url);
    refused(api.client.delete(missing).bearer_auth(&api.alice), 404, "NoSuchGrant").await?;
    Ok(())
}

async fn cacheable(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({"readers": "authenticated"})).await?;
    let stored = json_of(api.put(&format!("{bucket}/k"), "first"), 201).await?;
    let asked = json!({"method": "GET", "bucket": bucket, "key": "k", "cacheable": true, "expiresIn": 604_800});
    let one = json_of(ask(&api, &api.alice, &asked), 200).await?;
    let other = json_of(ask(&api, &api.bob, &asked), 200).await?;
    ensure!(one["url"] == other["url"] && one["version"] == stored["version"], "{one} {other}");
    let response = expect(api.client.get(text(&one, "url")?), 200).await?;
    let kept = header(&response, "cache-control");
    let age: i64 = kept.strip_prefix("public, max-age=").context(kept.clone())?.parse()?;
    ensure!((400_000..=604_800).contains(&age), "{kept}");
    // What is replaced has another URL, and the old one is of the old bytes.
    expect(api.put(&format!("{bucket}/k"), "second"), 200).await?;
    let next = json_of(ask(&api, &api.alice, &asked), 200).await?;
    ensure!(next["url"] != one["url"]);
    ensure!(expect(api.client.get(text(&one, "url")?), 200).await?.text().await? == "first");
    ensure!(expect(api.client.get(text(&next, "url")?), 200).await?.text().await? == "second");
    Ok(())
}

async fn direct(api: Api) -> Result<()> {
    let bytes = noise(3_000_000);
    let upload = api.put("documents/presign/direct.bin", bytes.clone());
    expect(upload.header("content-type", "application/x-noise"), 201).await?;
    let asked =
        |changes: Value| with(with(get("presign/direct.bin"), &json!({"direct": true})), &changes);
    let answer = json_of(ask(&api, &api.alice, &asked(json!({}))), 200).await?;
    let url = text(&answer, "url")?;
    ensure!(url.starts_with(api.stack.s3_endpoint()), "{url}");
    ensure!(answer["revocable"] == false && answer["version"].is_string(), "{answer}");
    let response = expect(api.client.get(url), 200).await?;
    ensure!(header(&response, "content-type") == "application/x-noise");
    ensure!(sha256(&response.bytes().await?) == sha256(&bytes));
    let id = text(&answer, "id")?;
    let one = api.client.delete(format!("{}/v1/presign/{id}", api.url));
    refused(one.bearer_auth(&api.alice), 409, "NotRevocable").await?;

    let named = asked(json!({"download": "ü.bin", "responseContentType": "text/plain"}));
    let answer = json_of(ask(&api, &api.alice, &named), 200).await?;
    let response = expect(api.client.get(text(&answer, "url")?), 200).await?;
    ensure!(header(&response, "content-type") == "text/plain");
    ensure!(header(&response, "content-disposition").contains("filename*=UTF-8''%C3%BC.bin"));
    // A page is never shown as one, whoever says that it is.
    for kind in ["text/html", "image/svg+xml", "application/unknown"] {
        let page = asked(json!({"responseContentType": kind}));
        let answer = json_of(ask(&api, &api.alice, &page), 200).await?;
        let response = expect(api.client.get(text(&answer, "url")?), 200).await?;
        ensure!(header(&response, "content-disposition").starts_with("attachment"), "{kind}");
    }

    // Signed are the host, the method and every parameter.
    let by_name = url.replacen("127.0.0.1", "localhost", 1);
    ensure!(api.client.get(by_name).send().await?.status() == 403, "another host");
    ensure!(api.client.delete(url).send().await?.status() == 403, "another method");
    let longer = url.replace("X-Amz-Expires=3600", "X-Amz-Expires=36000");
    ensure!(longer != url && api.client.get(longer).send().await?.status() == 403);
    let short = json_of(ask(&api, &api.alice, &asked(json!({"expiresIn": 1}))), 200).await?;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    ensure!(api.client.get(text(&short, "url")?).send().await?.status() == 403, "expired");

    let closed = api.bucket(&json!({"directAllowed": false, "maxPresignSeconds": 60})).await?;
    expect(api.put(&format!("{closed}/k"), "x"), 201).await?;
    let here = json!({"method": "GET", "bucket": closed, "key": "k", "expiresIn": 60});
    json_of(ask(&api, &api.alice, &here), 200).await?;
    let straight = with(here.clone(), &json!({"direct": true}));
    let problem = refused(ask(&api, &api.alice, &straight), 403, "AccessDenied").await?;
    ensure!(problem["rule"] == "policy.directAllowed", "{problem}");
    let long = with(here, &json!({"expiresIn": 61}));
    refused(ask(&api, &api.alice, &long), 400, "InvalidArgument").await?;
    Ok(())
}

fn put(key: &str, size: usize) -> Value {
    json!({"method": "PUT", "bucket": "documents", "key": key, "size": size,
           "contentType": "text/plain", "metadata": {"project": "reef"}})
}

async fn put_and_complete(api: Api) -> Result<()> {
    let bytes = noise(1_000_000);
    let asked = put("presign/put 日.bin", bytes.len());
    let answer = json_of(ask(&api, &api.alice, &asked), 200).await?;
    ensure!(answer["method"] == "PUT" && answer["version"] == answer["id"], "{answer}");
    ensure!(answer["headers"]["if-none-match"] == "*", "{answer}");
    let complete = || api.client.post(text(&answer, "complete").unwrap_or_default());
    refused(complete(), 409, "NotUploaded").await?;
    refused(api.get("documents/presign/put%20%E6%97%A5.bin"), 404, "NoSuchKey").await?;
    expect(used(&api, &answer, bytes.clone())?, 200).await?;
    refused(api.get("documents/presign/put%20%E6%97%A5.bin"), 404, "NoSuchKey").await?;
    let first = json_of(complete(), 201).await?;
    ensure!(first["version"] == answer["id"] && first["size"] == 1_000_000, "{first}");
    ensure!(
        first["key"] == "presign/put 日.bin" && first["contentType"] == "text/plain",
        "{first}"
    );
    ensure!(json_of(complete(), 201).await? == first, "a repeat has the first answer");
    let response = expect(api.get("documents/presign/put%20%E6%97%A5.bin"), 200).await?;
    ensure!(header(&response, "x-amz-meta-project") == "reef");
    ensure!(sha256(&response.bytes().await?) == sha256(&bytes));
    // It writes once, also after the end.
    ensure!(used(&api, &answer, noise(1_000_000))?.send().await?.status() == 412);
    let response = expect(api.get("documents/presign/put%20%E6%97%A5.bin"), 200).await?;
    ensure!(sha256(&response.bytes().await?) == sha256(&bytes));
    let committed = format!(
        "select count(*) from holdfast.audit where action = 'commit' and actor = 'alice' and version = '{}'",
        text(&answer, "id")?
    );
    ensure!(api.number(&committed).await? == 1);

    let empty = json_of(ask(&api, &api.alice, &put("presign/empty", 0)), 200).await?;
    expect(used(&api, &empty, "")?, 200).await?;
    let done = json_of(api.client.post(text(&empty, "complete")?), 201).await?;
    ensure!(done["size"] == 0, "{done}");
    Ok(())
}

async fn put_refusals(api: Api) -> Result<()> {
    let answer = json_of(ask(&api, &api.alice, &put("presign/no", 5)), 200).await?;
    let url = text(&answer, "url")?;
    // Another length, type, or none of the condition: the store takes none of them.
    let right = |kind: &str| api.client.put(url).header("content-type", kind.to_owned());
    let longer = right("text/plain").header("if-none-match", "*").body("longer");
    ensure!(longer.send().await?.status() == 403, "another length");
    let plain = right("text/plain").body("hello");
    ensure!(plain.send().await?.status() == 403, "without If-None-Match");
    let other = right("text/html").header("if-none-match", "*").body("hello");
    ensure!(other.send().await?.status() == 403, "another type");
    let complete = text(&answer, "complete")?;
    refused(api.client.post(complete), 409, "NotUploaded").await?;
    for changed in [complete.replace("expires=1", "expires=2"), format!("{complete}A")] {
        refused(api.client.post(&changed), 403, "AccessDenied").await?;
    }
    let told = "select count(*) from holdfast.audit where action = 'put.complete' and outcome = 'AccessDenied' \
                and rule = 'url.signature' and ip = '127.0.0.1' and count >= 1";
    ensure!(api.number(told).await? >= 1, "a bad signature is in the audit log");
    refused(api.client.get(complete), 405, "MethodNotAllowed").await?;

    // What a bucket does not take is not committed, and its bytes go when the URL is over.
    let images = api.bucket(&json!({"allowedTypes": ["image/*"]})).await?;
    let asked = json!({"method": "PUT", "bucket": images, "key": "k", "size": 5, "contentType": "image/png"});
    let image = json_of(ask(&api, &api.alice, &asked), 200).await?;
    expect(used(&api, &image, "hello")?, 200).await?;
    let problem =
        refused(api.client.post(text(&image, "complete")?), 415, "InvalidContentType").await?;
    ensure!(problem["rule"] == "policy.allowedTypes", "{problem}");
    refused(api.get(&format!("{images}/k")), 404, "NoSuchKey").await?;
    let (state, s3_key) = api.versions(&images, "k").await?.remove(0);
    ensure!(state == "pending" && api.is_stored(&images, &s3_key).await?);
    let over = format!(
        "update holdfast.version set lease_until = clock_timestamp() - interval '1 second' where s3_key = '{s3_key}'"
    );
    api.execute(&over).await?;
    api.eventually(
        &format!("select count(*) from holdfast.version where s3_key = '{s3_key}' and state = 'aborting' and deleted_at is not null"),
        1,
    )
    .await?;
    ensure!(!api.is_stored(&images, &s3_key).await?);
    refused(api.client.post(text(&image, "complete")?), 404, "NoSuchUpload").await?;

    // One that is called back is not completed any more.
    expect(used(&api, &answer, "hello")?, 200).await?;
    let one = api.client.delete(format!("{}/v1/presign/{}", api.url, text(&answer, "id")?));
    expect(one.bearer_auth(&api.alice), 204).await?;
    refused(api.client.post(complete), 404, "NoSuchUpload").await?;

    // Preconditions hold at the end, as with an upload.
    expect(api.put("documents/presign/taken", "first"), 201).await?;
    let new = with(put("presign/taken", 5), &json!({"ifNoneMatch": "*"}));
    refused(ask(&api, &api.alice, &new), 412, "PreconditionFailed").await?;
    let late = with(put("presign/late", 5), &json!({"ifNoneMatch": "*"}));
    let late = json_of(ask(&api, &api.alice, &late), 200).await?;
    expect(used(&api, &late, "hello")?, 200).await?;
    expect(api.put("documents/presign/late", "first"), 201).await?;
    refused(api.client.post(text(&late, "complete")?), 412, "PreconditionFailed").await?;

    refused(ask(&api, &api.bob, &put("presign/taken", 5)), 403, "AccessDenied").await?;
    let huge = with(put("presign/huge", 5), &json!({"size": 6_000_000_000_u64}));
    refused(ask(&api, &api.alice, &huge), 413, "EntityTooLarge").await?;
    Ok(())
}

/// An application beside the common one, on its servers, behind a proxy of another name.
async fn public_url(api: Api) -> Result<()> {
    use holdfast_dev::{ExternalS3, Stack, StackOptions};
    for public in ["https://files.example.com/store", "http://files.example.com:8080"] {
        let folder = tempfile::tempdir()?;
        let mut options = StackOptions::new(folder.path().join("data"));
        options.pg_url = Some(api.stack.database_url().to_owned());
        options.s3 = Some(ExternalS3 {
            endpoint: api.stack.s3_endpoint().to_owned(),
            region: "us-east-1".to_owned(),
            keys: api.stack.s3_keys().clone(),
        });
        options.tick_every = None;
        options.variables =
            [("public_url", public), ("s3_public_endpoint", "https://s3.example.com:9443")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        let stack = Stack::start(options).await?;
        let (token, here) = (stack.token("alice", 3_600, &json!({})), stack.url());
        let key = format!("presign/public-{}.txt", public.len());
        let path: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        expect(api.put(&format!("documents/{path}"), "seen"), 201).await?;
        let made = |body: Value| {
            api.client.post(format!("{here}/v1/presign")).bearer_auth(&token).body(body.to_string())
        };
        let answer = json_of(made(get(&key)), 200).await?;
        let url = text(&answer, "url")?;
        let behind = url.strip_prefix(public).with_context(|| format!("{url} of {public}"))?;
        // What is signed is the object, wherever the proxy is.
        expect(api.client.get(format!("{here}{behind}")), 200).await?;
        // And another application's secret is another one.
        refused(api.client.get(format!("{}{behind}", api.url)), 403, "AccessDenied").await?;
        let put = json_of(made(put(&key, 5)), 200).await?;
        let complete = text(&put, "complete")?.strip_prefix(public).context("a prefix")?.to_owned();
        refused(api.client.post(format!("{here}{complete}")), 409, "NotUploaded").await?;
        ensure!(
            text(&put, "url")?.starts_with("https://s3.example.com:9443/documents/hf/"),
            "{put}"
        );
        stack.stop().await?;
    }
    Ok(())
}
