//! The one shape that every operation takes before it is signed.

use std::{borrow::Cow, time::Duration};

use time::OffsetDateTime;

use crate::{
    Endpoint,
    sigv4::{
        self, CanonicalRequest, EMPTY_PAYLOAD, Headers, Scope, SigningKey, UNSIGNED_PAYLOAD,
        canonical_query, uri_encode, uri_encode_path,
    },
};

/// The longest life that Signature Version 4 gives a presigned URL: 7 days.
pub const MAX_PRESIGN_EXPIRES: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The object key nobody has: an empty key would make the path name the bucket, and a DELETE of it
/// delete the bucket. Servers refuse NUL in a key.
const NO_KEY: &str = "\0";

/// An operation's request before it is signed. Only this crate makes one, from typed values: a
/// sub-resource that a server does not know makes some of them overwrite the object.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    method: &'static str,
    path: String,
    query: Vec<(&'static str, Cow<'a, str>)>,
    headers: Headers<'a>,
    payload_hash: &'static str,
}

/// A request signed in its headers, ready to be sent to [`Endpoint::scheme`] and
/// [`Endpoint::authority`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    /// The HTTP method.
    pub method: &'static str,
    /// Percent-encoded; to be sent exactly as it is.
    pub path_and_query: String,
    /// All headers but `host`, in lower case and sorted. All are signed: none may be changed.
    pub headers: Vec<(String, String)>,
}

/// Why a URL was not presigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PresignError {
    /// Under one second, or over [`MAX_PRESIGN_EXPIRES`].
    #[error("a presigned URL lives from 1 second to 7 days")]
    Expires,
}

impl<'a> Request<'a> {
    pub(crate) fn on_bucket(method: &'static str, bucket: &str) -> Self {
        Self::new(method, format!("/{}", uri_encode(bucket)))
    }

    pub(crate) fn on_object(method: &'static str, bucket: &str, key: &str) -> Self {
        let key = if key.is_empty() { NO_KEY } else { key };
        Self::new(method, format!("/{}/{}", uri_encode(bucket), uri_encode_path(key)))
    }

    fn new(method: &'static str, path: String) -> Self {
        Self {
            method,
            path,
            query: Vec::new(),
            headers: Headers::new(),
            payload_hash: EMPTY_PAYLOAD,
        }
    }

    /// Declares a body. Its hash is left unsigned: it is streamed, and not every server compares it.
    pub(crate) fn with_body(mut self) -> Self {
        self.payload_hash = UNSIGNED_PAYLOAD;
        self
    }

    pub(crate) fn with_query(mut self, name: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn with_header(mut self, name: &'a str, value: impl Into<Cow<'a, str>>) -> Self {
        self.headers.set(name, value.into());
        self
    }

    /// The operation's own headers, sorted: whoever uses a presigned URL sends exactly these.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter()
    }

    /// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-auth-using-authorization-header.html>
    pub(crate) fn sign(
        self,
        endpoint: &Endpoint,
        access_key_id: &str,
        key: &SigningKey,
        at: OffsetDateTime,
    ) -> SignedRequest {
        let timestamp = sigv4::timestamp(at);
        let scope = Scope::new(&timestamp, endpoint.region());
        let mut request = self;
        request.headers.set("host", endpoint.authority().into());
        request.headers.set("x-amz-content-sha256", request.payload_hash.into());
        request.headers.set("x-amz-date", timestamp.as_str().into());

        let query = canonical_query(&request.query);
        let canonical = request.canonical(&query, request.payload_hash);
        let signature = sigv4::sign(&canonical, &timestamp, scope, key);
        let authorization = format!(
            "{} Credential={access_key_id}/{scope},SignedHeaders={},Signature={signature}",
            sigv4::ALGORITHM,
            request.headers.names(),
        );

        let mut headers = Vec::with_capacity(request.headers.len());
        headers.push(("authorization".to_owned(), authorization));
        let own = request.headers.iter().filter(|(name, _)| *name != "host");
        headers.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));

        let mut path_and_query = request.path;
        if !query.is_empty() {
            path_and_query.push('?');
            path_and_query.push_str(&query);
        }
        SignedRequest { method: request.method, path_and_query, headers }
    }

    /// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>
    pub(crate) fn presign(
        self,
        endpoint: &Endpoint,
        access_key_id: &str,
        key: &SigningKey,
        at: OffsetDateTime,
        expires: Duration,
    ) -> Result<String, PresignError> {
        if expires < Duration::from_secs(1) || expires > MAX_PRESIGN_EXPIRES {
            return Err(PresignError::Expires);
        }
        let timestamp = sigv4::timestamp(at);
        let scope = Scope::new(&timestamp, endpoint.region());
        let mut request = self;
        request.headers.set("host", endpoint.authority().into());
        let signed_headers = request.headers.names();
        request = request
            .with_query("X-Amz-Algorithm", sigv4::ALGORITHM)
            .with_query("X-Amz-Credential", format!("{access_key_id}/{scope}"))
            .with_query("X-Amz-Date", timestamp.clone())
            .with_query("X-Amz-Expires", expires.as_secs().to_string())
            .with_query("X-Amz-SignedHeaders", signed_headers);

        let query = canonical_query(&request.query);
        let canonical = request.canonical(&query, UNSIGNED_PAYLOAD);
        let signature = sigv4::sign(&canonical, &timestamp, scope, key);
        Ok(format!("{endpoint}{}?{query}&X-Amz-Signature={signature}", request.path))
    }

    fn canonical<'b>(&'b self, query: &'b str, payload_hash: &'b str) -> CanonicalRequest<'b> {
        CanonicalRequest {
            method: self.method,
            path: &self.path,
            query,
            headers: &self.headers,
            payload_hash,
        }
    }
}
