//! One HTTP client of the application, which measures every request and looks at every refusal.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::content::sha;
use crate::history::{Key, Outcome, Seen};

/// The longest that a request may take. What can lie behind one another for a request that meets one fault of at
/// most 20 s: 5 s for a connection of the pool, 30 s for a statement and 20 s for an answer of SeaweedFS
/// (`OPEN_LIMIT`, `STATEMENT_LIMIT`, `ANSWER_LIMIT` of the components), and 5 s for the work itself.
pub(crate) const REQUEST_LIMIT: Duration = Duration::from_secs(5 + 30 + 20 + 5);
/// A request above the limit is waited for this much longer, so that the report can say by how much.
const GRACE: Duration = Duration::from_secs(30);

/// What was seen of all requests.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) requests: u64,
    pub(crate) longest: Duration,
    /// How many answers of each status; 0 is none.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// How many uploads by TUS went on behind what they had, after a request of theirs had failed.
    pub(crate) resumed: u64,
    /// Promises about answers that were broken, a sentence each.
    pub(crate) broken: Vec<String>,
}

/// The application, over one address of it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    observed: Arc<Mutex<Observed>>,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: Option<String>,
    pub(crate) content_range: Option<String>,
    /// Of an upload by TUS: how many bytes are kept.
    pub(crate) offset: Option<u64>,
    /// Its URL, or what it became: a version and its bare tag.
    pub(crate) location: Option<String>,
    pub(crate) object: Option<(String, String)>,
    /// Does it say when to come back?
    pub(crate) retry_after: bool,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn new(
        base: &str,
        token: &str,
        connections: usize,
        observed: Arc<Mutex<Observed>>,
    ) -> Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(connections)
            .timeout(REQUEST_LIMIT + GRACE)
            .build()?;
        Ok(Self { http, base: base.to_owned(), token: token.to_owned(), observed })
    }

    pub(crate) fn observed(&self) -> MutexGuard<'_, Observed> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `PUT /v1/upload/...`, without a body yet.
    pub(crate) fn upload(&self, key: &Key) -> RequestBuilder {
        let url = format!("{}/v1/upload/{}/{}", self.base, key.bucket, key.name);
        self.http.put(url).bearer_auth(&self.token)
    }

    /// `GET /v1/download/...`, of the current version.
    pub(crate) fn download(&self, key: &Key) -> RequestBuilder {
        self.version(key.bucket, &key.name, None)
    }

    /// The same of a named version.
    pub(crate) fn version(&self, bucket: &str, key: &str, version: Option<&str>) -> RequestBuilder {
        let mut url = format!("{}/v1/download/{bucket}/{key}", self.base);
        if let Some(version) = version {
            url = format!("{url}?version={version}");
        }
        self.http.get(url).bearer_auth(&self.token)
    }

    /// `DELETE /v1/objects/...`, to the trash or as `query` says.
    pub(crate) fn delete(&self, key: &Key, query: &str) -> RequestBuilder {
        let url = format!("{}/v1/objects/{}/{}{query}", self.base, key.bucket, key.name);
        self.http.delete(url).bearer_auth(&self.token)
    }

    /// `POST /v1/objects/...`: an operation on objects of a bucket.
    pub(crate) fn operation(&self, bucket: &str, operation: &Value) -> RequestBuilder {
        self.post(&format!("/v1/objects/{bucket}"), operation)
    }

    /// `PUT /v1/batches/...`: the card at this key, without a body yet.
    pub(crate) fn card(&self, key: &Key) -> RequestBuilder {
        let (batch, record) = key.name.split_once('/').unwrap_or_default();
        let url = format!("{}/v1/batches/{batch}/records/{record}", self.base);
        self.http.put(url).bearer_auth(&self.token)
    }

    /// A document that is posted to `path`.
    pub(crate) fn post(&self, path: &str, document: &Value) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        self.http.post(url).bearer_auth(&self.token).body(document.to_string())
    }

    /// A request to `/v1/multipart` or to what is below it.
    pub(crate) fn multipart(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/v1/multipart{path}", self.base);
        self.http.request(method, url).bearer_auth(&self.token)
    }

    /// A request to `/v1/tus` or to what is below it.
    pub(crate) fn tus(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}/v1/tus{path}", self.base);
        self.http.request(method, url).bearer_auth(&self.token).header("tus-resumable", "1.0.0")
    }

    /// `POST` to a route of the operator.
    pub(crate) fn operate(&self, route: &str, secret: &str) -> RequestBuilder {
        self.http.post(format!("{}{route}", self.base)).bearer_auth(secret)
    }

    /// Sends, reads the answer to its end, and holds it against what is promised of every answer.
    ///
    /// # Errors
    /// There is no whole answer; the text says why.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, String> {
        let begun = Instant::now();
        let answer = whole(request).await;
        let took = begun.elapsed();
        let mut observed = self.observed();
        observed.requests += 1;
        observed.longest = observed.longest.max(took);
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        *observed.statuses.entry(status).or_default() += 1;
        if took > REQUEST_LIMIT {
            let line = format!("a request took {:.1} s (answer {status})", took.as_secs_f64());
            observed.broken.push(line);
        }
        let answer = answer?;
        let text = || String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]);
        match (answer.status, answer.retry_after) {
            (429 | 503, false) => {
                observed.broken.push(format!("{} without Retry-After: {}", answer.status, text()));
            }
            (429 | 503, true) | (..500, _) => {}
            (status, _) => observed.broken.push(format!("an answer {status}: {}", text())),
        }
        Ok(answer)
    }

    /// Sends what changes an object.
    pub(crate) async fn write(&self, request: RequestBuilder) -> Outcome {
        let answer = match self.send(request).await {
            Ok(answer) => answer,
            Err(why) => return Outcome::Unknown { why },
        };
        match answer.status {
            204 => Outcome::Acknowledged { version: String::new(), etag: String::new() },
            200 | 201 => {
                let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                Outcome::Acknowledged { version: text("version"), etag: text("etag") }
            }
            status @ ..500 => Outcome::Refused { status },
            status => Outcome::Failed { status },
        }
    }

    /// Reads; `None` where there is no answer to learn from.
    pub(crate) async fn read(&self, request: RequestBuilder) -> Option<Seen> {
        let answer = self.send(request).await.ok()?;
        let version = answer.version.clone().unwrap_or_default();
        let digest = sha(&answer.body);
        match answer.status {
            200 => Some(Seen::Whole { version, sha: digest }),
            206 => {
                let (start, total) = content_range(answer.content_range.as_deref()?)?;
                Some(Seen::Part { version, total, start, length: answer.body.len(), sha: digest })
            }
            404 => Some(Seen::Nothing),
            _ => None,
        }
    }
}

/// `bytes 5-9/100` as 5 and 100.
fn content_range(header: &str) -> Option<(u64, u64)> {
    let (range, total) = header.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()?))
}

async fn whole(request: RequestBuilder) -> Result<Answer, String> {
    let sent: reqwest::Result<Response> = request.send().await;
    let response = sent.map_err(|error| reason(&error))?;
    let text = |name: &str| {
        response.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned)
    };
    let (version, content_range) = (text("x-amz-version-id"), text("content-range"));
    let retry_after = text("retry-after").is_some_and(|it| it.parse::<u32>().is_ok());
    let (offset, location) =
        (text("upload-offset").and_then(|it| it.parse().ok()), text("location"));
    let tag = text("etag").map(|tag| tag.trim_matches('"').to_owned());
    let object = text("x-holdfast-version").zip(tag);
    let status: StatusCode = response.status();
    let body = response.bytes().await.map_err(|error| reason(&error))?;
    let status = status.as_u16();
    Ok(Answer { status, version, content_range, offset, location, object, retry_after, body })
}

/// The last cause says the most: "connection reset by peer".
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 5-9/100"), Some((5, 100)));
        assert_eq!(content_range("bytes */100"), None);
    }
}
