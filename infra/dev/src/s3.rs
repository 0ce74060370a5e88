//! A small S3 client: what the supervisor needs, and what a test needs to look behind the product.

use anyhow::{Context, Result, bail};
use holdfast_s3::{Action, CreateBucket, Endpoint, GetObject, PutObject, parse_error};
use time::OffsetDateTime;

use crate::keys::S3Keys;

/// Signs and sends S3 operations to one server.
#[derive(Debug, Clone)]
pub struct S3Client {
    http: reqwest::Client,
    endpoint: Endpoint,
    keys: S3Keys,
}

impl S3Client {
    /// A client of `endpoint`: `http://127.0.0.1:8333`.
    ///
    /// # Errors
    /// The endpoint is no `http` or `https` origin.
    pub fn new(endpoint: &str, region: &str, keys: &S3Keys) -> Result<Self> {
        let endpoint = Endpoint::parse(endpoint, region)
            .with_context(|| format!("the S3 endpoint {endpoint:?} is of no use"))?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { http, endpoint, keys: keys.clone() })
    }

    /// Sends one operation; any status is an answer.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn send(
        &self,
        action: &impl Action,
        body: impl Into<reqwest::Body>,
    ) -> Result<reqwest::Response> {
        let now = OffsetDateTime::now_utc();
        let signed = action.sign(&self.endpoint, &self.keys.credentials(), now);
        let (scheme, authority) = (self.endpoint.scheme(), self.endpoint.authority());
        let url = format!("{scheme}://{authority}{}", signed.path_and_query);
        let mut request = self.http.request(signed.method.parse()?, url).body(body);
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        request.send().await.with_context(|| format!("cannot reach S3 at {authority}"))
    }

    /// As [`S3Client::send`], with anything but success as an error that says what the server said.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn call(
        &self,
        action: &impl Action,
        body: impl Into<reqwest::Body>,
    ) -> Result<Vec<u8>> {
        let answer = self.send(action, body).await?;
        let (status, path) = (answer.status(), answer.url().path().to_owned());
        let body = answer.bytes().await?.to_vec();
        if !status.is_success() {
            let error = parse_error(status.as_u16(), &body);
            bail!("S3 answered {path} with {} {}: {}", status, error.code, error.message);
        }
        Ok(body)
    }

    /// Creates a bucket unless it is there.
    ///
    /// # Errors
    /// The server cannot be reached or refuses.
    pub async fn ensure_bucket(&self, bucket: &str) -> Result<()> {
        let answer = self.send(&CreateBucket { bucket }, "").await?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await?;
        if (200..300).contains(&status) {
            return Ok(());
        }
        let error = parse_error(status, &body);
        match error.code.as_str() {
            "BucketAlreadyOwnedByYou" | "BucketAlreadyExists" => Ok(()),
            code => bail!("S3 did not create the bucket {bucket}: {code} {}", error.message),
        }
    }

    /// Stores something and reads it back.
    pub(crate) async fn canary(&self, bucket: &str) -> Result<()> {
        self.ensure_bucket(bucket).await?;
        let written = OffsetDateTime::now_utc().unix_timestamp_nanos().to_string();
        let put =
            PutObject { bucket, key: "canary", content_type: "text/plain", ..Default::default() };
        self.call(&put, written.clone()).await?;
        let get = GetObject { bucket, key: "canary", ..Default::default() };
        if self.call(&get, "").await? != written.as_bytes() {
            bail!("S3 does not give back what it was given");
        }
        Ok(())
    }
}
