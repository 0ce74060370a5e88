//! The two sides of a comparison, and the requests that each of them takes.

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use holdfast_dev::Stack;
use holdfast_s3::{Action, Endpoint, GetObject, PutObject, Signer};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::request::Builder;
use http::{Method, Request};
use serde_json::json;
use time::OffsetDateTime;

use crate::payload::Payload;

/// A private bucket without a limit on types; both sides use it.
pub(crate) const BUCKET: &str = "documents";
/// What anybody may read.
const PUBLIC: &str = "assets";
const CONTENT: &str = "application/octet-stream";
const TOKEN_SECONDS: i64 = 24 * 3600;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// To SeaweedFS, signed by the client.
    Direct,
    /// Through the components.
    Holdfast,
}

/// The addresses and credentials of both sides.
pub(crate) struct Target {
    signer: Signer,
    authority: String,
    token: String,
}

impl Target {
    pub(crate) fn of(stack: &Stack) -> Result<Self> {
        let endpoint = Endpoint::parse(stack.s3_endpoint(), "us-east-1")?;
        let credentials = stack.s3_keys().credentials();
        let url = stack.url();
        let authority = url.strip_prefix("http://").context("the application's URL is not http")?;
        Ok(Self {
            signer: Signer::new(endpoint, credentials, OffsetDateTime::now_utc()),
            authority: authority.to_owned(),
            token: format!("Bearer {}", stack.token("bench", TOKEN_SECONDS, &json!({}))),
        })
    }

    /// `host:port`
    pub(crate) fn authority(&self, side: Side) -> &str {
        match side {
            Side::Direct => self.signer.endpoint().authority(),
            Side::Holdfast => &self.authority,
        }
    }

    /// Stores `payload`; `key` is plain ASCII.
    pub(crate) fn put(&self, side: Side, key: &str, payload: Payload) -> Result<Request<Payload>> {
        self.put_into(BUCKET, side, key, payload)
    }

    /// Stores `payload` where anybody may read it.
    pub(crate) fn put_public(
        &self,
        side: Side,
        key: &str,
        payload: Payload,
    ) -> Result<Request<Payload>> {
        self.put_into(PUBLIC, side, key, payload)
    }

    fn put_into(
        &self,
        bucket: &str,
        side: Side,
        key: &str,
        payload: Payload,
    ) -> Result<Request<Payload>> {
        let content_length = payload.content_length();
        let request = match side {
            Side::Direct => self.signed(&PutObject {
                bucket,
                key,
                content_type: CONTENT,
                content_length,
                ..PutObject::default()
            }),
            Side::Holdfast => {
                let request = self.bearer(Method::PUT, &format!("/v1/upload/{bucket}/{key}"));
                let request = request.header(CONTENT_TYPE, CONTENT);
                match content_length {
                    Some(bytes) => request.header(CONTENT_LENGTH, bytes),
                    None => request,
                }
            }
        };
        Ok(request.body(payload)?)
    }

    /// Reads an object.
    pub(crate) fn get(&self, side: Side, key: &str) -> Result<Request<Payload>> {
        let request = match side {
            Side::Direct => self.signed(&GetObject { bucket: BUCKET, key, ..GetObject::default() }),
            Side::Holdfast => self.bearer(Method::GET, &format!("/v1/download/{BUCKET}/{key}")),
        };
        Ok(request.body(Payload::empty())?)
    }

    /// Reads an object of [`Target::put_public`]: signed on the one side, without a token on the other.
    pub(crate) fn get_public(&self, side: Side, key: &str) -> Result<Request<Payload>> {
        let request = match side {
            Side::Direct => self.signed(&GetObject { bucket: PUBLIC, key, ..GetObject::default() }),
            Side::Holdfast => Request::builder()
                .uri(format!("/v1/download/{PUBLIC}/{key}"))
                .header(HOST, &self.authority),
        };
        Ok(request.body(Payload::empty())?)
    }

    /// Asks for signed URLs; `body` is JSON.
    pub(crate) fn presign(&self, body: Bytes) -> Result<Request<Payload>> {
        let request = self.bearer(Method::POST, "/v1/presign").header(CONTENT_LENGTH, body.len());
        Ok(request.body(Payload::held(body))?)
    }

    /// The cheapest answer that a component gives.
    pub(crate) fn healthz(&self) -> Result<Request<Payload>> {
        Ok(self.bearer(Method::GET, "/healthz").body(Payload::empty())?)
    }

    /// An operation of SeaweedFS on `documents`.
    pub(crate) fn direct(&self, action: &impl Action, body: Payload) -> Result<Request<Payload>> {
        Ok(self.signed(action).body(body)?)
    }

    /// A request to Holdfast with its token.
    pub(crate) fn holdfast(
        &self,
        method: Method,
        path: &str,
        body: Payload,
    ) -> Result<Request<Payload>> {
        let request = self.bearer(method, path);
        let request = match body.content_length() {
            Some(bytes) => request.header(CONTENT_LENGTH, bytes),
            None => request,
        };
        Ok(request.body(body)?)
    }

    /// Begins an upload of TUS of `bytes`, with the first of them.
    pub(crate) fn tus_create(
        &self,
        key: &str,
        bytes: u64,
        first: Payload,
    ) -> Result<Request<Payload>> {
        let metadata = format!("bucket {},key {}", STANDARD.encode(BUCKET), STANDARD.encode(key));
        let request = self.tus(Method::POST, "/v1/tus", first.bytes());
        Ok(request
            .header("upload-length", bytes)
            .header("upload-metadata", metadata)
            .body(first)?)
    }

    /// Sends bytes of an upload of TUS.
    pub(crate) fn tus_append(
        &self,
        path: &str,
        offset: u64,
        bytes: Payload,
    ) -> Result<Request<Payload>> {
        let request = self.tus(Method::PATCH, path, bytes.bytes());
        Ok(request.header("upload-offset", offset).body(bytes)?)
    }

    fn tus(&self, method: Method, path: &str, bytes: u64) -> Builder {
        self.bearer(method, path)
            .header("tus-resumable", "1.0.0")
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .header(CONTENT_LENGTH, bytes)
    }

    /// A request by a URL that SeaweedFS takes as it is.
    pub(crate) fn by_url(&self, url: &str, body: Payload) -> Result<Request<Payload>> {
        let authority = self.authority(Side::Direct);
        let path = url.split_once(authority).context("a URL of SeaweedFS")?.1;
        let request = Request::builder().method(Method::PUT).uri(path).header(HOST, authority);
        Ok(request.header(CONTENT_LENGTH, body.bytes()).body(body)?)
    }

    fn signed(&self, action: &impl Action) -> Builder {
        let signed = self.signer.sign(action, OffsetDateTime::now_utc());
        let request = Request::builder().method(signed.method).uri(signed.path_and_query);
        let request = request.header(HOST, self.authority(Side::Direct));
        signed
            .headers
            .into_iter()
            .fold(request, |request, (name, value)| request.header(name, value))
    }

    fn bearer(&self, method: Method, path: &str) -> Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.authority)
            .header(AUTHORIZATION, &self.token)
    }
}
