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

#[cfg(test)]
mod tests {
    use time::{
        OffsetDateTime,
        macros::{date, datetime},
    };

    use super::*;
    use crate::sigv4::vectors::{ACCESS_KEY_ID, HOST, SECRET_ACCESS_KEY, VECTORS, Vector};

    const AT: OffsetDateTime = datetime!(2013-05-24 0:00 UTC);

    fn aws() -> (Endpoint, SigningKey) {
        let endpoint = Endpoint::parse(&format!("https://{HOST}"), "us-east-1").unwrap();
        (endpoint, SigningKey::derive(SECRET_ACCESS_KEY, date!(2013 - 05 - 24), "us-east-1"))
    }

    /// The examples address the bucket by its host, so their path has none.
    fn request(vector: &Vector) -> Request<'static> {
        let path = uri_encode_path(vector.path).to_string();
        let mut request = Request::new(vector.method, path);
        request.payload_hash = vector.payload_hash;
        for (name, value) in vector.query {
            request = request.with_query(name, *value);
        }
        for (name, value) in vector.headers {
            request = request.with_header(name, *value);
        }
        request
    }

    #[test]
    fn aws_examples_signed_in_headers() {
        let (endpoint, key) = aws();
        for vector in VECTORS.iter().filter(|vector| !vector.presigned) {
            let signed = request(vector).sign(&endpoint, ACCESS_KEY_ID, &key, AT);
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
                 SignedHeaders={},Signature={}",
                vector.signed_headers().names(),
                vector.signature
            );
            assert_eq!(
                signed.headers[0],
                ("authorization".to_owned(), expected),
                "{}",
                vector.name
            );
            assert!(signed.headers.iter().all(|(name, _)| name != "host"));
        }
    }

    #[test]
    fn aws_example_signed_in_the_query() {
        let (endpoint, key) = aws();
        let day = Duration::from_secs(86_400);
        let url = Request::new("GET", "/test.txt".to_owned())
            .presign(&endpoint, ACCESS_KEY_ID, &key, AT, day)
            .unwrap();
        assert_eq!(
            url,
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn a_presigned_url_lives_from_a_second_to_a_week() {
        let (endpoint, key) = aws();
        let presign = |expires| {
            Request::on_object("GET", "b", "k").presign(&endpoint, ACCESS_KEY_ID, &key, AT, expires)
        };
        for expires in [
            Duration::ZERO,
            Duration::from_millis(999),
            MAX_PRESIGN_EXPIRES + Duration::from_nanos(1),
        ] {
            assert_eq!(presign(expires), Err(PresignError::Expires), "{expires:?}");
        }
        for (expires, seconds) in
            [(Duration::from_millis(1_999), "1"), (MAX_PRESIGN_EXPIRES, "604800")]
        {
            assert!(presign(expires).unwrap().contains(&format!("X-Amz-Expires={seconds}&")));
        }
    }

    #[test]
    fn an_empty_key_never_names_the_bucket() {
        assert_eq!(Request::on_object("DELETE", "b", "").path, "/b/%00");
    }
}
