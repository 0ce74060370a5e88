//! The bodies of `POST /v1/shares` and `POST /v1/tokens`.

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::{
    DEFAULT_GRANT_SECONDS, MAX_GRANT_SECONDS, MAX_GRANT_TYPES, MAX_GRANT_USES, MAX_KEY_BYTES,
};
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use serde::Deserialize;

use crate::content_type::is_media_type;
use crate::json::object;
use crate::presign_request::save_as;

/// Longest body, in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1_024;

/// A share link that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareRequest {
    /// The object's bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: ObjectKey,
    /// This version and no other.
    pub version: Option<VersionId>,
    /// How long it lives, in seconds.
    pub seconds: i64,
    /// How often it may be used.
    pub max_downloads: Option<i64>,
    /// The name to save it under; empty for the object's own.
    pub download: Option<String>,
}

/// An upload token that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// Where it may write.
    pub bucket: BucketName,
    /// What its keys begin with; empty for any.
    pub prefix: String,
    /// The largest file, in bytes.
    pub max_bytes: Option<i64>,
    /// Media types, or patterns of them (`image/*`), in lower case.
    pub types: Option<Vec<String>>,
    /// How many files it may store.
    pub max_uploads: Option<i64>,
    /// How long it lives, in seconds.
    pub seconds: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Share {
    bucket: String,
    key: String,
    version: Option<String>,
    expires_in: Option<i64>,
    max_downloads: Option<i64>,
    download: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Token {
    bucket: String,
    #[serde(default)]
    prefix: String,
    max_bytes: Option<i64>,
    types: Option<Vec<String>>,
    max_uploads: Option<i64>,
    expires_in: Option<i64>,
}

impl ShareRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: not such a JSON object, or a member outside of its limits; those of names.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: Share = object(body)?;
        Ok(Self {
            bucket: BucketName::parse(&body.bucket)?,
            key: ObjectKey::parse(&body.key)?,
            version: body.version.as_deref().map(VersionId::parse).transpose()?,
            seconds: seconds(body.expires_in)?,
            max_downloads: uses("maxDownloads", body.max_downloads)?,
            download: body.download.map(|name| save_as("download", name)).transpose()?,
        })
    }
}

impl TokenRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: not such a JSON object, or a member outside of its limits; those of names.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: Token = object(body)?;
        if body.prefix.len() > MAX_KEY_BYTES || body.prefix.chars().any(char::is_control) {
            return Err(invalid(format!(
                "prefix has at most {MAX_KEY_BYTES} bytes and no control characters"
            )));
        }
        if body.max_bytes.is_some_and(|bytes| bytes < 0) {
            return Err(invalid("maxBytes is a number of bytes"));
        }
        let types = body.types.map(|types| {
            // A pattern is a media type with a star for its kind, or two.
            let good = |it: &String| {
                let plain = it.strip_suffix("/*").map(|family| format!("{family}/x"));
                !it.contains(';') && (it == "*/*" || is_media_type(plain.as_deref().unwrap_or(it)))
            };
            if !(1..=MAX_GRANT_TYPES).contains(&types.len()) || !types.iter().all(good) {
                return Err(invalid(format!(
                    "types has 1 to {MAX_GRANT_TYPES} media types or patterns such as image/*"
                )));
            }
            Ok(types.iter().map(|it| it.to_ascii_lowercase()).collect())
        });
        Ok(Self {
            bucket: BucketName::parse(&body.bucket)?,
            prefix: body.prefix,
            max_bytes: body.max_bytes,
            types: types.transpose()?,
            max_uploads: uses("maxUploads", body.max_uploads)?,
            seconds: seconds(body.expires_in)?,
        })
    }
}

fn seconds(asked: Option<i64>) -> Result<i64, Error> {
    let seconds = asked.unwrap_or(DEFAULT_GRANT_SECONDS);
    if !(1..=MAX_GRANT_SECONDS).contains(&seconds) {
        return Err(invalid(format!(
            "expiresIn is a number of seconds from 1 to {MAX_GRANT_SECONDS}"
        )));
    }
    Ok(seconds)
}

fn uses(name: &str, asked: Option<i64>) -> Result<Option<i64>, Error> {
    if asked.is_some_and(|uses| !(1..=MAX_GRANT_USES).contains(&uses)) {
        return Err(invalid(format!("{name} is a number from 1 to {MAX_GRANT_USES}")));
    }
    Ok(asked)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn with(mut body: Value, changes: &Value) -> Vec<u8> {
        for (name, value) in changes.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body.to_string().into_bytes()
    }

    fn share(changes: &Value) -> Result<ShareRequest, Error> {
        ShareRequest::parse(&with(json!({"bucket": "documents", "key": "k"}), changes))
    }

    fn token(changes: &Value) -> Result<TokenRequest, Error> {
        TokenRequest::parse(&with(json!({"bucket": "documents"}), changes))
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let it = share(&json!({})).expect("valid");
        assert_eq!((it.seconds, it.max_downloads), (DEFAULT_GRANT_SECONDS, None));
        let it = token(&json!({"types": ["Image/*"]})).expect("valid");
        assert_eq!((it.prefix.as_str(), it.types), ("", Some(vec!["image/*".to_owned()])));
    }

    #[test]
    fn what_is_outside_of_its_limits_is_refused() {
        for changes in [
            json!({"bucket": 1}),
            json!({"key": ""}),
            json!({"version": "x"}),
            json!({"expiresIn": 0}),
            json!({"expiresIn": MAX_GRANT_SECONDS + 1}),
            json!({"maxDownloads": 0}),
            json!({"maxDownloads": MAX_GRANT_USES + 1}),
            json!({"download": "a\n"}),
            json!({"maxUploads": 1}),
        ] {
            let error = share(&changes).expect_err("refused");
            assert_eq!(error.code, Code::InvalidArgument, "{changes}");
        }
        for changes in [
            json!({"prefix": "a\u{0}"}),
            json!({"prefix": "a".repeat(1_025)}),
            json!({"maxBytes": -1}),
            json!({"types": []}),
            json!({"types": ["image"]}),
            json!({"types": ["image/png; q=1"]}),
            json!({"types": vec!["image/png"; 65]}),
            json!({"maxUploads": 0}),
            json!({"expiresIn": 0}),
            json!({"key": "k"}),
        ] {
            let error = token(&changes).expect_err("refused");
            assert_eq!(error.code, Code::InvalidArgument, "{changes}");
        }
        assert!(ShareRequest::parse(b"[]").is_err() && TokenRequest::parse(b"").is_err());
    }

    proptest! {
        #[test]
        fn any_body_is_a_request_or_refused(bytes: Vec<u8>, text in "\\{\"bucket\": .*\\}") {
            for body in [&bytes[..], text.as_bytes()] {
                let _ = ShareRequest::parse(body);
                let _ = TokenRequest::parse(body);
            }
        }
    }
}
