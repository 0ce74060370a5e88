//! The body of `POST /v1/presign`: one request for a signed URL, or an array of them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::{
    DEFAULT_PRESIGN_SECONDS, MAX_PRESIGN_BATCH, MAX_PRESIGN_SECONDS, MAX_PUT_BYTES,
};
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use crate::conditional::{EntityTags, Preconditions};
use crate::{content_type, metadata};

/// Longest `download`, in bytes.
pub const MAX_DOWNLOAD_BYTES: usize = 1_024;

/// A signed URL that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresignRequest {
    /// The object's bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: ObjectKey,
    /// How long the URL shall live: 1 to [`MAX_PRESIGN_SECONDS`].
    pub seconds: i64,
    /// For what.
    pub purpose: Purpose,
}

/// What a signed URL is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Reading, through us.
    Get {
        /// This version and no other.
        version: Option<VersionId>,
        /// The name to save it under; empty for the object's own.
        download: Option<String>,
        /// The one client that may use it.
        client_ip: Option<String>,
        /// One URL for all who ask within a window.
        cacheable: bool,
    },
    /// Reading, straight from the store.
    Direct {
        /// This version; without one that which is current.
        version: Option<VersionId>,
        /// The name to save it under; empty for the object's own.
        download: Option<String>,
        /// The content type of the answer, in place of the stored one.
        content_type: Option<String>,
    },
    /// Writing, straight to the store.
    Put {
        /// The length of the body, in bytes.
        size: u64,
        /// Its content type.
        content_type: Option<String>,
        /// User metadata, names in lower case.
        metadata: BTreeMap<String, String>,
        /// The If-Match of the write, in its one spelling.
        if_match: Option<String>,
        /// The If-None-Match of the write, in its one spelling.
        if_none_match: Option<String>,
    },
}

/// What a body asks for.
#[derive(Debug)]
pub struct Asked {
    /// Each request, or why it is none.
    pub requests: Vec<Result<PresignRequest, Error>>,
    /// Whether the body was an array.
    pub many: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    method: String,
    bucket: String,
    key: String,
    expires_in: Option<i64>,
    #[serde(default)]
    direct: bool,
    version: Option<String>,
    download: Option<String>,
    response_content_type: Option<String>,
    client_ip: Option<String>,
    #[serde(default)]
    cacheable: bool,
    size: Option<u64>,
    content_type: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    if_match: Option<String>,
    if_none_match: Option<String>,
}

/// Reads a body.
///
/// # Errors
/// [`Code::InvalidArgument`]: neither an object nor an array of 1 to [`MAX_PRESIGN_BATCH`].
pub fn parse(body: &[u8]) -> Result<Asked, Error> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| invalid(format!("The body is not JSON: {error}")))?;
    match body {
        Value::Array(items) if (1..=MAX_PRESIGN_BATCH).contains(&items.len()) => Ok(Asked {
            requests: items.into_iter().map(PresignRequest::parse).collect(),
            many: true,
        }),
        Value::Object(_) => Ok(Asked { requests: vec![PresignRequest::parse(body)], many: false }),
        _ => Err(invalid(format!(
            "The body is an object, or an array of 1 to {MAX_PRESIGN_BATCH} of them"
        ))),
    }
}

impl PresignRequest {
    /// Reads one request.
    ///
    /// # Errors
    /// * [`Code::InvalidArgument`]: a member is missing, unknown, or outside of its limits.
    /// * [`Code::EntityTooLarge`], [`Code::MetadataTooLarge`], and those of names.
    fn parse(value: Value) -> Result<Self, Error> {
        // serde would take an array of the fields in their order, too.
        if !value.is_object() {
            return Err(invalid("A request for a URL is a JSON object"));
        }
        let body: Body = serde_json::from_value(value)
            .map_err(|error| invalid(format!("This is not what the route takes: {error}")))?;
        let seconds = body.expires_in.unwrap_or(DEFAULT_PRESIGN_SECONDS);
        if !(1..=MAX_PRESIGN_SECONDS).contains(&seconds) {
            return Err(invalid(format!(
                "expiresIn is a number of seconds from 1 to {MAX_PRESIGN_SECONDS}"
            )));
        }
        let (bucket, key) = (BucketName::parse(&body.bucket)?, ObjectKey::parse(&body.key)?);
        let purpose = match body.method.as_str() {
            "GET" => body.get()?,
            "PUT" => body.put()?,
            _ => return Err(invalid("method is GET, which covers HEAD, or PUT")),
        };
        Ok(Self { bucket, key, seconds, purpose })
    }
}

impl Body {
    fn get(self) -> Result<Purpose, Error> {
        only(
            "GET",
            &[
                ("size", self.size.is_some()),
                ("contentType", self.content_type.is_some()),
                ("metadata", self.metadata.is_some()),
                ("ifMatch", self.if_match.is_some()),
                ("ifNoneMatch", self.if_none_match.is_some()),
            ],
        )?;
        let version = self.version.as_deref().map(VersionId::parse).transpose()?;
        let download = self.download.map(|name| save_as("download", name)).transpose()?;
        if self.direct {
            only(
                "a direct GET",
                &[("clientIp", self.client_ip.is_some()), ("cacheable", self.cacheable)],
            )?;
            let content_type = self.response_content_type;
            if content_type.as_deref().is_some_and(|it| !content_type::is_media_type(it)) {
                return Err(invalid("responseContentType is a media type"));
            }
            return Ok(Purpose::Direct { version, download, content_type });
        }
        only(
            "a GET through Holdfast",
            &[("responseContentType", self.response_content_type.is_some())],
        )?;
        let client_ip = self.client_ip.map(|ip| {
            let ip = ip.parse::<IpAddr>().map_err(|_| invalid("clientIp is an IP address"))?;
            // As the address of a request is read.
            Ok::<_, Error>(ip.to_canonical().to_string())
        });
        if client_ip.is_some() && self.cacheable {
            return Err(invalid("A cacheable URL is for every client; leave clientIp out"));
        }
        let client_ip = client_ip.transpose()?;
        Ok(Purpose::Get { version, download, client_ip, cacheable: self.cacheable })
    }

    fn put(self) -> Result<Purpose, Error> {
        only(
            "PUT",
            &[
                ("version", self.version.is_some()),
                ("download", self.download.is_some()),
                ("responseContentType", self.response_content_type.is_some()),
                ("clientIp", self.client_ip.is_some()),
                ("cacheable", self.cacheable),
            ],
        )?;
        let size = self.size.ok_or_else(|| {
            invalid("A PUT needs its size in bytes, which is signed; else use POST /v1/multipart")
        })?;
        if size > MAX_PUT_BYTES {
            let message = format!("A single PUT has at most {MAX_PUT_BYTES} bytes");
            return Err(Error::new(Code::EntityTooLarge, message).rule("limits.maxPutBytes"));
        }
        // What a header of an upload may be.
        let mut headers = HeaderMap::new();
        let mut add = |name: HeaderName, value: &str| {
            let value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| invalid(format!("{name} is no value of a header")))?;
            headers.append(name, value);
            Ok::<_, Error>(())
        };
        for (name, value) in [
            (CONTENT_TYPE, &self.content_type),
            (IF_MATCH, &self.if_match),
            (IF_NONE_MATCH, &self.if_none_match),
        ] {
            if let Some(value) = value {
                add(name, value)?;
            }
        }
        for (name, value) in self.metadata.unwrap_or_default() {
            let name = HeaderName::try_from(format!("{}{name}", metadata::PREFIX))
                .map_err(|_| invalid("A name of metadata is no part of a header's name"))?;
            add(name, &value)?;
        }
        let conditions = Preconditions::from_headers(&headers)?;
        Ok(Purpose::Put {
            size,
            content_type: content_type::from_headers(&headers)?.map(str::to_owned),
            metadata: metadata::from_headers(&headers)?,
            if_match: conditions.if_match.as_ref().map(EntityTags::canonical).transpose()?,
            if_none_match: conditions
                .if_none_match
                .as_ref()
                .map(EntityTags::canonical)
                .transpose()?,
        })
    }
}

/// A name to save a file under.
///
/// # Errors
/// [`Code::InvalidArgument`]: too long, or with control characters.
pub fn save_as(member: &str, name: String) -> Result<String, Error> {
    if name.len() > MAX_DOWNLOAD_BYTES || name.chars().any(char::is_control) {
        return Err(invalid(format!(
            "{member} has at most {MAX_DOWNLOAD_BYTES} bytes and no control characters"
        )));
    }
    Ok(name)
}

/// Refuses members that mean nothing here: whoever sends one expects something of it.
fn only(what: &str, members: &[(&str, bool)]) -> Result<(), Error> {
    match members.iter().find(|(_, there)| *there) {
        Some((name, _)) => Err(invalid(format!("{name} means nothing for {what}; leave it out"))),
        None => Ok(()),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn one(changes: &Value) -> Result<PresignRequest, Error> {
        let mut body = json!({"method": "GET", "bucket": "documents", "key": "a/日.txt"});
        for (name, value) in changes.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        parse(body.to_string().as_bytes()).expect("an object").requests.remove(0)
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let request = one(&json!({})).expect("valid");
        let purpose =
            Purpose::Get { version: None, download: None, client_ip: None, cacheable: false };
        assert_eq!((request.seconds, request.purpose), (3_600, purpose));
        let put = json!({"method": "PUT", "size": 3, "metadata": {"A": "b"}, "ifNoneMatch": "*", "contentType": "text/csv"});
        let Purpose::Put { size, content_type, metadata, if_match, if_none_match } =
            one(&put).expect("valid").purpose
        else {
            panic!("a PUT")
        };
        assert_eq!((size, content_type.as_deref(), if_match), (3, Some("text/csv"), None));
        assert_eq!(if_none_match.as_deref(), Some("*"));
        assert_eq!(metadata, BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        let ip = one(&json!({"clientIp": "2001:0DB8::1"})).expect("valid").purpose;
        let Purpose::Get { client_ip, .. } = ip else { panic!("a GET") };
        assert_eq!(client_ip.as_deref(), Some("2001:db8::1"));
    }

    #[test]
    fn what_is_outside_of_its_limits_is_refused() {
        for changes in [
            json!({"method": "get"}),
            json!({"method": "DELETE"}),
            json!({"expiresIn": 0}),
            json!({"expiresIn": 604_801}),
            json!({"expiresIn": 1.5}),
            json!({"expiresAt": 1}),
            json!({"key": ""}),
            json!({"key": "a/../b"}),
            json!({"version": "x"}),
            json!({"download": "a\u{0}"}),
            json!({"download": "a".repeat(1_025)}),
            json!({"clientIp": "host"}),
            json!({"clientIp": "192.0.2.1", "cacheable": true}),
            json!({"clientIp": "192.0.2.1", "direct": true}),
            json!({"cacheable": true, "direct": true}),
            json!({"responseContentType": "text/plain"}),
            json!({"responseContentType": "text", "direct": true}),
            json!({"size": 1}),
            json!({"method": "PUT"}),
            json!({"method": "PUT", "size": -1}),
            json!({"method": "PUT", "size": 1, "version": "x"}),
            json!({"method": "PUT", "size": 1, "contentType": "text"}),
            json!({"method": "PUT", "size": 1, "ifMatch": "nonsense, \""}),
            json!({"method": "PUT", "size": 1, "metadata": {"a b": "c"}}),
            json!({"method": "PUT", "size": 1, "metadata": {"a": "b\n"}}),
            json!({"method": "PUT", "size": 1, "metadata": {"": "b"}}),
        ] {
            let error = one(&changes).expect_err("refused");
            assert_eq!(error.code, Code::InvalidArgument, "{changes}");
        }
        let large = one(&json!({"method": "PUT", "size": MAX_PUT_BYTES + 1}));
        assert_eq!(large.expect_err("refused").code, Code::EntityTooLarge);
    }

    #[test]
    fn an_array_keeps_its_places() {
        let good = json!({"method": "GET", "bucket": "documents", "key": "k"});
        let body = json!([good, {"method": "GET"}, [], good]);
        let asked = parse(body.to_string().as_bytes()).expect("an array");
        let good: Vec<_> = asked.requests.iter().map(Result::is_ok).collect();
        assert!(asked.many && good == [true, false, false, true]);
        for body in [json!([]), json!(vec![0; 101]), json!(1), json!(null)] {
            assert!(parse(body.to_string().as_bytes()).is_err(), "{body}");
        }
        assert!(parse(b"{").is_err());
    }

    proptest! {
        #[test]
        fn any_body_is_a_request_or_refused(bytes: Vec<u8>, text in "\\{\"method\": .*\\}") {
            let _ = parse(&bytes);
            let _ = parse(text.as_bytes());
        }
    }
}
