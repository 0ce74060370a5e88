//! `/v1/uppy/s3`: every request that `@uppy/aws-s3` 6 sends, in both of its modes, by plain HTTP.

use anyhow::{Context as _, Result, ensure};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, Response, multipart};
use serde_json::{Value, json};

use crate::clients;
use crate::harness::{Api, Suite, expect, header, json_of, noise, refused, sha256};
use crate::presign::text;

const PART: usize = 5 * 1_024 * 1_024;

pub(crate) fn register(suite: &mut Suite) {
    for way in [Way::Bearer, Way::Token] {
        let name = |what: &str| format!("uppy_{what}_by_{way:?}").to_lowercase();
        suite.add(&name("companion_posts_a_form"), move |api| form(api, way));
        suite.add(&name("companion_sends_parts"), move |api| parts(api, way));
        suite.add(&name("signed_requests_put_a_file"), move |api| signed_put(api, way));
        suite.add(&name("signed_requests_send_parts"), move |api| signed_parts(api, way));
        suite.add(&name("aborts_leave_nothing"), move |api| aborted(api, way));
    }
    suite.add("uppy_signs_nothing_else", nothing_else);
    suite.add("uppy_stays_within_its_token", within);
    suite.add("uppy_uploads_are_nobody_elses", nobody_elses);
    suite.add("a_page_of_another_origin_may_use_uppy", another_origin);
    suite.add("uppy_check_tells_what_is_wrong_for_a_page", check);
}

/// How it is known who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bearer,
    Token,
}

/// The routes of one client.
struct Uppy {
    api: Api,
    way: Way,
    /// Companion's endpoint, and `/s3`.
    url: String,
    bucket: String,
    /// What every key begins with.
    prefix: &'static str,
}

impl Uppy {
    async fn new(api: Api, way: Way) -> Result<Self> {
        let bucket = api.bucket(&json!({})).await?;
        Self::of(api, way, bucket, json!({})).await
    }

    async fn of(api: Api, way: Way, bucket: String, limits: Value) -> Result<Self> {
        let (url, prefix) = match way {
            Way::Bearer => (format!("{}/v1/uppy/s3", api.url), ""),
            Way::Token => {
                let mut asked = json!({"bucket": bucket, "prefix": "inbox/"});
                for (name, value) in limits.as_object().into_iter().flatten() {
                    asked[name] = value.clone();
                }
                let tokens = format!("{}/v1/tokens", api.url);
                let made = api.client.post(tokens).bearer_auth(&api.alice).json(&asked);
                let made = json_of(made, 201).await?;
                (format!("{}/v1/t/{}/uppy/s3", api.url, text(&made, "token")?), "inbox/")
            }
        };
        Ok(Self { api, way, url, bucket, prefix })
    }

    /// The name of the file as Uppy sends it, and the key that it becomes.
    fn names(&self) -> (&'static str, String) {
        let name = "a b+c%&'é😀.bin";
        (name, format!("{}{name}", self.prefix))
    }

    /// What the page has set on the file, beside what Uppy sets itself.
    fn metadata(&self) -> Value {
        let mut metadata = json!({"name": "x.bin", "type": "x", "relativePath": null, "Project": "reef", "year": 2026});
        if self.way == Way::Bearer {
            metadata["bucket"] = json!(self.bucket);
        }
        metadata
    }

    /// A request to Companion's routes.
    fn companion(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.api.client.request(method, format!("{}{path}", self.url));
        match self.way {
            Way::Bearer => request.bearer_auth(&self.api.alice),
            Way::Token => request,
        }
    }

    /// As `signRequest` of a page asks.
    fn ask(&self, body: &Value) -> RequestBuilder {
        let mut body = body.clone();
        if self.way == Way::Bearer {
            body["bucket"] = json!(self.bucket);
        }
        self.companion(Method::POST, "/sign").json(&body)
    }

    /// Signs and sends as Uppy's own client of S3 does: with the headers of the answer, and no other.
    async fn send(&self, body: &Value, kind: Option<&str>, bytes: Vec<u8>) -> Result<Sent> {
        let signed = json_of(self.ask(body), 200).await?;
        let method = Method::from_bytes(text(body, "method")?.as_bytes())?;
        let mut request = self.api.client.request(method, text(&signed, "url")?).body(bytes);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        for (name, value) in signed["headers"].as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().context("a header")?);
        }
        Ok(Sent { response: request.send().await?, signed })
    }

    /// Reads it back as its owner; answers its headers.
    async fn is_stored(&self, key: &str, bytes: &[u8]) -> Result<HeaderMap> {
        let path: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let request = self.api.get(&format!("{}/{path}", self.bucket));
        let found = expect(request, 200).await?;
        let headers = found.headers().clone();
        ensure!(sha256(&found.bytes().await?) == sha256(bytes), "{key} has other bytes");
        Ok(headers)
    }

    async fn nothing_is_left(&self) -> Result<()> {
        ensure!(self.api.listed(&self.bucket).await? == 0, "{} has objects", self.bucket);
        let sql = format!(
            "select count(*) from holdfast.version v join holdfast.object o on o.id = v.object_id \
             where o.bucket = '{}' and v.state in ('pending', 'live')",
            self.bucket
        );
        ensure!(self.api.number(&sql).await? == 0, "{} has versions", self.bucket);
        Ok(())
    }
}

struct Sent {
    response: Response,
    signed: Value,
}

/// `URLSearchParams` of a page.
fn search(pairs: &[(&str, &str)]) -> String {
    let escape = |text: &str| -> String { text.bytes().map(|b| format!("%{b:02X}")).collect() };
    let pairs: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    pairs.join("&")
}

async fn form(api: Api, way: Way) -> Result<()> {
    let uppy = Uppy::new(api, way).await?;
    let (name, key) = uppy.names();
    let mut asked = vec![("filename", name), ("type", "application/x-noise")];
    asked.extend([("metadata[relativePath]", "null"), ("metadata[Project]", "reef")]);
    let bucket = uppy.bucket.clone();
    if way == Way::Bearer {
        asked.push(("metadata[bucket]", &bucket));
    }
    let answer =
        json_of(uppy.companion(Method::GET, &format!("/params?{}", search(&asked))), 200).await?;
    ensure!(answer["method"] == "POST" && answer["fields"]["key"] == key.as_str(), "{answer}");
    let bytes = noise(200_000);
    let post = || -> Result<RequestBuilder> {
        let mut form = multipart::Form::new();
        for (name, value) in answer["fields"].as_object().context("fields")? {
            form = form.text(name.clone(), value.as_str().context("a field")?.to_owned());
        }
        let file = multipart::Part::bytes(bytes.clone()).file_name("blob");
        // Without a header of ours: the URL is enough.
        Ok(uppy.api.client.post(text(&answer, "url")?).multipart(form.part("file", file)))
    };
    let stored = json_of(post()?, 201).await?;
    ensure!(stored["files"][0]["key"] == key.as_str(), "{stored}");
    let found = uppy.is_stored(&key, &bytes).await?;
    ensure!(
        found["content-type"] == "application/x-noise" && found["x-amz-meta-project"] == "reef"
    );
    // Of an answer that was lost: again, as Uppy does.
    expect(post()?, 201).await?;
    if way == Way::Bearer {
        // The URL is for this key, and for so many tries.
        let elsewhere = multipart::Form::new()
            .text("key", "elsewhere")
            .part("file", multipart::Part::bytes(b"x".to_vec()).file_name("x"));
        let sent = uppy.api.client.post(text(&answer, "url")?).multipart(elsewhere);
        let problem = refused(sent, 403, "AccessDenied").await?;
        ensure!(problem["rule"] == "grant.prefix", "{problem}");
        expect(post()?, 201).await?;
        expect(post()?, 201).await?;
        let problem = refused(post()?, 403, "AccessDenied").await?;
        ensure!(problem["rule"] == "grant.uses", "{problem}");
    }
    Ok(())
}

async fn parts(api: Api, way: Way) -> Result<()> {
    let uppy = Uppy::new(api, way).await?;
    let (name, wanted) = uppy.names();
    let bytes = noise(2 * PART + 7);
    let body =
        json!({"filename": name, "type": "application/x-noise", "metadata": uppy.metadata()});
    let begun = json_of(uppy.companion(Method::POST, "/multipart").json(&body), 200).await?;
    ensure!(begun["key"] == wanted.as_str() && begun["bucket"] == uppy.bucket.as_str(), "{begun}");
    let (key, id) = (search(&[("key", &wanted)]), text(&begun, "uploadId")?);
    let put = async |number: usize| -> Result<Value> {
        let sign = format!("/multipart/{id}/{number}?{key}");
        let signed = json_of(uppy.companion(Method::GET, &sign), 200).await?;
        ensure!(
            signed["expires"].as_i64().is_some_and(|it| (3_500..=3_600).contains(&it)),
            "{signed}"
        );
        let url = text(&signed, "url")?;
        ensure!(url.starts_with(uppy.api.stack.s3_endpoint()), "{url} goes through us");
        let chunk = bytes.chunks(PART).nth(number - 1).context("a chunk")?.to_vec();
        let sent = expect(uppy.api.client.put(url).body(chunk), 200).await?;
        Ok(json!({"PartNumber": number, "ETag": header(&sent, "etag").trim_matches('"')}))
    };
    let mut named = vec![put(1).await?, put(2).await?];

    // The page was reloaded: which parts are there is asked for.
    let listed =
        json_of(uppy.companion(Method::GET, &format!("/multipart/{id}?{key}")), 200).await?;
    let plain: Vec<_> = listed
        .as_array()
        .context("a list")?
        .iter()
        .map(|part| json!({"PartNumber": part["PartNumber"], "ETag": part["ETag"]}))
        .collect();
    ensure!(plain == named && listed[0]["Size"] == PART, "{listed}");
    named.push(put(3).await?);

    let complete = |parts: &[Value]| {
        let path = format!("/multipart/{id}/complete?{key}");
        uppy.companion(Method::POST, &path).json(&json!({"parts": parts}))
    };
    let wrong = json!({"PartNumber": 2, "ETag": "aa"});
    refused(complete(&[named[0].clone(), wrong, named[2].clone()]), 400, "InvalidPart").await?;
    refused(complete(&[named[0].clone(), named[2].clone()]), 400, "InvalidPart").await?;
    refused(complete(&[]), 400, "InvalidArgument").await?;
    let done = json_of(complete(&named), 200).await?;
    ensure!(done["key"] == wanted.as_str() && done["bucket"] == uppy.bucket.as_str(), "{done}");
    ensure!(json_of(complete(&named), 200).await? == done, "a repeat has another answer");
    let location = uppy.api.client.get(text(&done, "location")?).bearer_auth(&uppy.api.alice);
    let found = expect(location, 200).await?;
    ensure!(header(&found, "content-type") == "application/x-noise");
    ensure!(header(&found, "x-amz-meta-project") == "reef");
    ensure!(header(&found, "x-amz-meta-year") == "2026");
    for none in ["x-amz-meta-bucket", "x-amz-meta-name", "x-amz-meta-relativepath"] {
        ensure!(header(&found, none).is_empty(), "{none}");
    }
    ensure!(sha256(&found.bytes().await?) == sha256(&bytes));
    // Nothing is signed for what is an object.
    refused(uppy.companion(Method::GET, &format!("/multipart/{id}/1?{key}")), 404, "NoSuchUpload")
        .await?;
    Ok(())
}

async fn signed_put(api: Api, way: Way) -> Result<()> {
    let uppy = Uppy::new(api, way).await?;
    let (name, wanted) = uppy.names();
    let bytes = noise(300_000);
    let body = json!({"method": "PUT", "key": name, "contentType": "application/x-noise", "metadata": {"Project": "reef"}});
    let Sent { response, signed } =
        uppy.send(&body, Some("application/x-noise"), bytes.clone()).await?;
    ensure!(signed["key"] == wanted.as_str(), "{signed}");
    ensure!(text(&signed, "url")?.starts_with(&uppy.api.url), "{signed}");
    ensure!(response.status() == 201, "{}", response.text().await?);
    ensure!(header(&response, "etag").starts_with('"'));
    let found = uppy.is_stored(&wanted, &bytes).await?;
    ensure!(
        found["content-type"] == "application/x-noise" && found["x-amz-meta-project"] == "reef"
    );
    Ok(())
}

async fn signed_parts(api: Api, way: Way) -> Result<()> {
    let uppy = Uppy::new(api, way).await?;
    let (name, wanted) = uppy.names();
    let bytes = noise(2 * PART + 7);
    let create = json!({"method": "POST", "key": name});
    let Sent { response, signed } =
        uppy.send(&create, Some("application/x-noise"), Vec::new()).await?;
    ensure!(response.status() == 200, "{}", response.text().await?);
    ensure!(header(&response, "content-type") == "application/xml");
    ensure!(text(&signed, "url")?.starts_with(&uppy.api.url), "{signed}");
    // Whoever answered with another key is asked with that one from then on.
    let key = text(&signed, "key")?;
    ensure!(key == wanted, "{signed}");
    let id = element(&response.text().await?, "UploadId")?;

    let put = async |number: usize| -> Result<String> {
        let body = json!({"method": "PUT", "key": key, "uploadId": id, "partNumber": number});
        let chunk = bytes.chunks(PART).nth(number - 1).context("a chunk")?.to_vec();
        let Sent { response, signed } = uppy.send(&body, None, chunk).await?;
        ensure!(text(&signed, "url")?.starts_with(uppy.api.stack.s3_endpoint()), "{signed}");
        ensure!(response.status() == 200, "{}", response.text().await?);
        Ok(header(&response, "etag").trim_matches('"').to_owned())
    };
    let mut etags = vec![put(1).await?, put(2).await?];
    let list = json!({"method": "GET", "key": key, "uploadId": id});
    let listed = uppy.send(&list, None, Vec::new()).await?.response;
    ensure!(listed.status() == 200 && header(&listed, "content-type") == "application/xml");
    let listed = listed.text().await?;
    ensure!(listed.matches("<Part>").count() == 2 && listed.contains(&etags[1]), "{listed}");
    etags.push(put(3).await?);

    let xml = |etags: &[String]| {
        let parts: String = etags
            .iter()
            .enumerate()
            .map(|(place, etag)| {
                format!("<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>", place + 1)
            })
            .collect();
        format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>").into_bytes()
    };
    let complete = json!({"method": "POST", "key": key, "uploadId": id});
    let send = async |body: Vec<u8>| -> Result<Response> {
        Ok(uppy.send(&complete, Some("application/xml"), body).await?.response)
    };
    let swapped = [etags[0].clone(), etags[2].clone(), etags[1].clone()];
    for (wrong, code) in [(xml(&swapped), "InvalidPart"), (b"<a".to_vec(), "InvalidArgument")] {
        let answer = send(wrong).await?;
        ensure!(answer.status() == 400, "{}", answer.status());
        let problem: Value = answer.json().await?;
        ensure!(problem["code"] == code, "{problem}");
    }
    let done = send(xml(&etags)).await?;
    ensure!(done.status() == 200, "{}", done.text().await?);
    ensure!(header(&done, "etag").ends_with("-3\""));
    let answer = done.text().await?;
    let location = element(&answer, "Location")?;
    ensure!(
        location.starts_with(&format!("{}/v1/download/{}/", uppy.api.url, uppy.bucket)),
        "{answer}"
    );
    ensure!(send(xml(&etags)).await?.text().await? == answer, "a repeat has another answer");
    let found = uppy.is_stored(&wanted, &bytes).await?;
    ensure!(found["content-type"] == "application/x-noise");
    Ok(())
}

/// The text of the only element of this name.
fn element(xml: &str, name: &str) -> Result<String> {
    let text = xml.split(&format!("<{name}>")).nth(1).and_then(|it| it.split('<').next());
    Ok(text.with_context(|| format!("{name} in {xml}"))?.to_owned())
}

async fn aborted(api: Api, way: Way) -> Result<()> {
    let uppy = Uppy::new(api, way).await?;
    let (name, key) = uppy.names();

    let body = json!({"filename": name, "type": "", "metadata": uppy.metadata()});
    let begun = json_of(uppy.companion(Method::POST, "/multipart").json(&body), 200).await?;
    let path = format!("/multipart/{}?{}", text(&begun, "uploadId")?, search(&[("key", &key)]));
    let signed = uppy.companion(Method::GET, &path.replace('?', "/1?"));
    let url = text(&json_of(signed, 200).await?, "url")?.to_owned();
    expect(uppy.api.client.put(&url).body("part"), 200).await?;
    let answer = json_of(uppy.companion(Method::DELETE, &path), 200).await?;
    ensure!(answer == json!({}), "{answer}");
    ensure!(uppy.api.client.put(&url).body("late").send().await?.status() == 404);
    uppy.nothing_is_left().await?;

    let begin = json!({"method": "POST", "key": name});
    let begun = uppy.send(&begin, None, Vec::new()).await?.response.text().await?;
    let id = element(&begun, "UploadId")?;
    let part = json!({"method": "PUT", "key": key, "uploadId": id, "partNumber": 1});
    let sent = uppy.send(&part, None, b"part".to_vec()).await?;
    ensure!(sent.response.status() == 200, "{}", sent.response.text().await?);
    let abort = json!({"method": "DELETE", "key": key, "uploadId": id});
    let answer = uppy.send(&abort, None, Vec::new()).await?.response;
    ensure!(answer.status() == 204, "{}", answer.text().await?);
    let late = uppy.api.client.put(text(&sent.signed, "url")?).body("late").send().await?;
    ensure!(late.status() == 404, "{}", late.status());
    uppy.nothing_is_left().await
}

async fn nothing_else(api: Api) -> Result<()> {
    let uppy = Uppy::new(api, Way::Bearer).await?;
    let id = "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42";
    for body in [
        json!({"method": "DELETE", "key": "k"}),
        json!({"method": "GET", "key": "k"}),
        json!({"method": "HEAD", "key": "k"}),
        json!({"method": "put", "key": "k"}),
        json!({"method": "PUT", "key": "k", "uploadId": id}),
        json!({"method": "PUT", "key": "k", "partNumber": 1}),
        json!({"method": "PUT", "key": "k", "uploadId": id, "partNumber": 0}),
        json!({"method": "PUT", "key": "k", "uploadId": id, "partNumber": 10_001}),
        json!({"method": "POST", "key": "k", "uploadId": id, "partNumber": 1}),
        json!({"method": "PUT", "key": "a/../b"}),
        json!({"method": "PUT", "key": ""}),
        json!({"method": "PUT", "key": "k", "expiresIn": 0}),
        json!({"key": "k"}),
        json!([]),
    ] {
        let problem = expect(uppy.ask_as_it_is(&body), 400).await?.text().await?;
        ensure!(!problem.contains("http://"), "{body}: {problem}");
    }
    for body in [
        json!({"method": "PUT", "key": "k", "uploadId": id, "partNumber": 1}),
        json!({"method": "POST", "key": "k", "uploadId": id}),
        json!({"method": "POST", "key": "k", "uploadId": "../x"}),
    ] {
        refused(uppy.ask(&body), 404, "NoSuchUpload").await?;
    }
    // An upload is of its key, and of no other.
    let begin = json!({"filename": "mine", "metadata": {"bucket": uppy.bucket}});
    let begun = json_of(uppy.companion(Method::POST, "/multipart").json(&begin), 200).await?;
    let id = text(&begun, "uploadId")?;
    let other = json!({"method": "PUT", "key": "yours", "uploadId": id, "partNumber": 1});
    refused(uppy.ask(&other), 404, "NoSuchUpload").await?;
    refused(
        uppy.companion(Method::GET, &format!("/multipart/{id}/1?key=yours")),
        404,
        "NoSuchUpload",
    )
    .await?;
    refused(uppy.companion(Method::GET, &format!("/multipart/{id}/1")), 400, "InvalidArgument")
        .await?;
    refused(
        uppy.companion(Method::DELETE, &format!("/multipart/{id}?key=yours")),
        404,
        "NoSuchUpload",
    )
    .await?;
    expect(uppy.companion(Method::DELETE, &format!("/multipart/{id}?key=mine")), 200).await?;

    // Where no bucket is named there is none.
    let problem =
        refused(uppy.companion(Method::GET, "/params?filename=x"), 400, "InvalidArgument").await?;
    ensure!(problem["detail"].as_str().is_some_and(|it| it.contains("metadata")), "{problem}");
    refused(uppy.companion(Method::POST, "/params"), 405, "MethodNotAllowed").await?;
    refused(uppy.companion(Method::GET, "/other"), 404, "NoSuchRoute").await?;
    let anonymous = uppy.api.client.post(format!("{}/sign", uppy.url));
    refused(anonymous.json(&json!({"method": "PUT", "key": "k"})), 401, "MissingAuthentication")
        .await?;
    uppy.nothing_is_left().await
}

impl Uppy {
    fn ask_as_it_is(&self, body: &Value) -> RequestBuilder {
        let body = if body.is_object() {
            let mut body = body.clone();
            body["bucket"] = json!(self.bucket);
            body
        } else {
            body.clone()
        };
        self.companion(Method::POST, "/sign").json(&body)
    }
}

async fn within(api: Api) -> Result<()> {
    let bucket = api.bucket(&json!({})).await?;
    let limits = json!({"maxUploads": 2, "maxBytes": PART, "types": ["image/*"]});
    let uppy = Uppy::of(api.clone(), Way::Token, bucket.clone(), limits).await?;
    // Another bucket, type or number than the token's.
    let begin = |metadata: Value, kind: &str| {
        let body = json!({"filename": "a.png", "type": kind, "metadata": metadata});
        uppy.companion(Method::POST, "/multipart").json(&body)
    };
    let problem =
        refused(begin(json!({"bucket": "documents"}), "image/png"), 403, "AccessDenied").await?;
    ensure!(problem["rule"] == "grant.bucket", "{problem}");
    refused(begin(json!({}), "text/html"), 415, "InvalidContentType").await?;
    let one = json_of(begin(json!({"key": "elsewhere/b.png"}), "image/png"), 200).await?;
    ensure!(one["key"] == "inbox/elsewhere/b.png", "{one}");
    json_of(begin(json!({}), "image/png"), 200).await?;
    let problem = refused(begin(json!({}), "image/png"), 403, "AccessDenied").await?;
    ensure!(problem["rule"] == "grant.uses", "{problem}");

    // What its creator began otherwise is not the token's to touch.
    let own = json!({"bucket": bucket, "key": "inbox/own.png"});
    let own =
        api.client.post(format!("{}/v1/multipart", api.url)).bearer_auth(&api.alice).json(&own);
    let own = json_of(own, 201).await?;
    let path = format!("/multipart/{}?key=inbox/own.png", text(&own, "id")?);
    refused(uppy.companion(Method::GET, &path), 404, "NoSuchUpload").await?;
    refused(uppy.companion(Method::DELETE, &path), 404, "NoSuchUpload").await?;

    // A token that is revoked ends what it began.
    let token =
        uppy.url.split("/t/").nth(1).and_then(|it| it.split('/').next()).context("a token")?;
    let end = format!(
        "update holdfast.\"grant\" set revoked_at = now(), revoked_by = 'alice' \
         where hash = sha256(convert_to('{token}', 'UTF8'))"
    );
    api.execute(&end).await?;
    let path = format!("/multipart/{}/1?key=inbox/elsewhere/b.png", text(&one, "uploadId")?);
    refused(uppy.companion(Method::GET, &path), 401, "InvalidToken").await?;
    Ok(())
}

async fn nobody_elses(api: Api) -> Result<()> {
    let uppy = Uppy::new(api, Way::Bearer).await?;
    let begin = json!({"filename": "mine", "metadata": {"bucket": uppy.bucket}});
    let begun = json_of(uppy.companion(Method::POST, "/multipart").json(&begin), 200).await?;
    let id = text(&begun, "uploadId")?.to_owned();
    let mut api = uppy.api.clone();
    api.alice = api.bob.clone();
    let bob = Uppy { api, ..uppy };
    for (method, path) in [
        (Method::GET, format!("/multipart/{id}?key=mine")),
        (Method::GET, format!("/multipart/{id}/1?key=mine")),
        (Method::DELETE, format!("/multipart/{id}?key=mine")),
    ] {
        refused(bob.companion(method, &path), 404, "NoSuchUpload").await?;
    }
    for method in ["GET", "POST", "DELETE"] {
        let body = json!({"method": method, "key": "mine", "uploadId": id});
        refused(bob.ask(&body), 404, "NoSuchUpload").await?;
    }
    Ok(())
}

/// What a browser asks before, and what it lets the page read.
async fn another_origin(api: Api) -> Result<()> {
    const ORIGIN: &str = "https://app.example.org";
    let uppy = Uppy::new(api, Way::Token).await?;
    let signed = json_of(uppy.ask(&json!({"method": "PUT", "key": "k"})), 200).await?;
    let put = text(&signed, "url")?.to_owned();
    let form = json_of(uppy.companion(Method::GET, "/params?filename=k"), 200).await?;
    let uploads = format!("{}/multipart", uppy.url);
    for (url, method, asked) in [
        (put.as_str(), "PUT", "content-type,x-amz-meta-project"),
        (text(&form, "url")?, "POST", ""),
        (&uploads, "POST", "content-type"),
        (&format!("{}/v1/uppy/s3/sign", uppy.api.url), "POST", "authorization,content-type"),
    ] {
        let preflight = uppy.api.client.request(Method::OPTIONS, url).header("origin", ORIGIN);
        let mut preflight = preflight.header("access-control-request-method", method);
        if !asked.is_empty() {
            preflight = preflight.header("access-control-request-headers", asked);
        }
        let answer = expect(preflight, 204).await?;
        ensure!(header(&answer, "access-control-allow-origin") == ORIGIN, "{url}");
        ensure!(header(&answer, "access-control-allow-methods").contains(method), "{url}");
        ensure!(header(&answer, "access-control-allow-headers") == asked, "{url}");
    }
    let sent = uppy.api.client.put(&put).header("origin", ORIGIN).body("x");
    let sent = expect(sent, 201).await?;
    ensure!(header(&sent, "access-control-allow-origin") == ORIGIN);
    let exposed = header(&sent, "access-control-expose-headers");
    ensure!(exposed.contains("etag") && exposed.contains("location"), "{exposed}");
    // And why it is refused.
    let refused = uppy.companion(Method::GET, "/params").header("origin", ORIGIN);
    let refused = expect(refused, 400).await?;
    ensure!(header(&refused, "access-control-allow-origin") == ORIGIN);
    Ok(())
}

async fn check(api: Api) -> Result<()> {
    let uppy = Uppy::new(api, Way::Token).await?;
    let ask = |origin: &str, query: &str| {
        uppy.companion(Method::GET, &format!("/check{query}")).header("origin", origin)
    };
    let failing = async |request: RequestBuilder| -> Result<Vec<String>> {
        let report = json_of(request, 200).await?;
        let checks = report["checks"].as_array().context("checks")?;
        ensure!(checks.len() == 6, "{report}");
        let failing: Vec<_> = checks.iter().filter(|check| check["ok"] == false).collect();
        ensure!(report["ok"] == failing.is_empty(), "{report}");
        failing.iter().map(|check| Ok(text(check, "check")?.to_owned())).collect()
    };
    // A page on this machine has all it needs.
    let found = failing(ask("http://localhost:8080", "")).await?;
    ensure!(found.is_empty(), "{found:?}");
    let found = failing(ask("http://localhost:8080", "?now=1")).await?;
    ensure!(found == ["clock.page"], "{found:?}");
    // For one of another machine, with TLS, SeaweedFS is at its own 127.0.0.1.
    let found = failing(ask("https://app.example.org", "")).await?;
    ensure!(found == ["host.holdfast", "host.store"], "{found:?}");

    // SeaweedFS as an operator may have set it up: for other pages, and without the ETag.
    for (origin, exposed, wanted) in [
        ("http://other.example.org", json!(["ETag"]), &["cors.store"][..]),
        ("http://localhost:8080", json!(["Date"]), &["cors.store"]),
        ("http://localhost:8080", json!(["ETag"]), &[]),
    ] {
        let rule = json!({
            "AllowedOrigins": [origin], "AllowedMethods": ["PUT"], "AllowedHeaders": ["*"],
            "ExposeHeaders": exposed,
        });
        put_bucket_cors(&uppy, &rule).await?;
        let found = failing(ask("http://localhost:8080", "")).await?;
        ensure!(found == wanted, "{rule}: {found:?}");
    }

    refused(uppy.companion(Method::GET, "/check"), 400, "InvalidArgument").await?;
    let bearer = uppy.api.client.get(format!("{}/v1/uppy/s3/check", uppy.api.url));
    let bearer = bearer.bearer_auth(&uppy.api.alice).header("origin", "http://localhost:8080");
    refused(bearer, 400, "InvalidArgument").await?;
    Ok(())
}

/// What an operator does, by boto3, where Holdfast is not told of any origins.
async fn put_bucket_cors(uppy: &Uppy, rule: &Value) -> Result<()> {
    const PROGRAM: &str = "import boto3, json, os\n\
        asked = json.loads(os.environ['HOLDFAST_CORS'])\n\
        boto3.client('s3', **asked['client']).put_bucket_cors(**asked['cors'])\n";
    let keys = uppy.api.stack.s3_keys();
    let asked = json!({
        "client": {
            "endpoint_url": uppy.api.stack.s3_endpoint(),
            "region_name": "us-east-1",
            "aws_access_key_id": keys.access_key_id,
            "aws_secret_access_key": keys.secret_access_key,
        },
        "cors": {"Bucket": uppy.bucket, "CORSConfiguration": {"CORSRules": [rule]}},
    });
    let mut python = tokio::process::Command::new(clients::python().await?);
    python.args(["-c", PROGRAM]).env("HOLDFAST_CORS", asked.to_string());
    let output = python.output().await.context("cannot run boto3")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
