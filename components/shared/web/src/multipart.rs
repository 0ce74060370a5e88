//! The paths and bodies of `/v1/multipart`.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::{
    MAX_PARTS, MAX_SESSION_SECONDS, MAX_SIGNED_PARTS, SESSION_SECONDS, SIGNED_PART_SECONDS,
};
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use holdfast_core::parts::Plan;
use holdfast_core::session::{NamedPart, NewUpload, Protocol};
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LANGUAGE, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::conditional::{EntityTags, Preconditions};
use crate::json::object;
use crate::{content_headers, content_type, metadata};

/// What the paths begin with.
pub const ROUTE: &str = "/v1/multipart";

/// The header with the session's epoch.
pub const EPOCH: HeaderName = HeaderName::from_static("x-holdfast-epoch");

/// Longest body, in bytes: 10,000 named parts.
pub const MAX_BODY_BYTES: usize = 2 * 1_024 * 1_024;

/// Longest ETag of a named part, in bytes.
const MAX_ETAG_BYTES: usize = 256;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/v1/multipart`
    Sessions,
    /// `/v1/multipart/{id}`
    Session(VersionId),
    /// `/v1/multipart/{id}/parts/{number}`
    Part(VersionId, u16),
    /// `/v1/multipart/{id}/complete`
    Complete(VersionId),
    /// `/v1/multipart/{id}/resume`
    Resume(VersionId),
    /// `/v1/multipart/{id}/sign`
    Sign(VersionId),
}

impl Resource {
    /// Reads a raw path.
    ///
    /// # Errors
    /// * [`Code::NoSuchRoute`]: none of these.
    /// * [`Code::NoSuchUpload`]: the id is none.
    /// * [`Code::InvalidArgument`]: the part's number is none.
    pub fn parse(path: &str) -> Result<Self, Error> {
        let missing = || Error::new(Code::NoSuchRoute, "There is no such route");
        let rest = path.strip_prefix(ROUTE).ok_or_else(missing)?;
        if rest.is_empty() {
            return Ok(Self::Sessions);
        }
        let rest = rest.strip_prefix('/').ok_or_else(missing)?;
        let (id, rest) = rest.split_once('/').map_or((rest, None), |(id, rest)| (id, Some(rest)));
        if id.is_empty() {
            return Err(missing());
        }
        let id = VersionId::parse(id)
            .map_err(|_| Error::new(Code::NoSuchUpload, "There is no such upload"));
        Ok(match rest {
            None => Self::Session(id?),
            Some("complete") => Self::Complete(id?),
            Some("resume") => Self::Resume(id?),
            Some("sign") => Self::Sign(id?),
            Some(rest) => {
                let number = rest.strip_prefix("parts/").filter(|n| !n.contains('/'));
                Self::Part(id?, part_number(number.ok_or_else(missing)?)?)
            }
        })
    }
}

/// Digits only: no sign, no spaces, no leading zero.
pub(crate) fn part_number(text: &str) -> Result<u16, Error> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse()
        .ok()
        .filter(|number| plain && (1..=MAX_PARTS).contains(number))
        .ok_or_else(|| invalid(format!("The number of a part is 1 to {MAX_PARTS}")))
}

/// The epoch that a request carries, if any.
///
/// # Errors
/// [`Code::InvalidArgument`]: not a number from 1.
pub fn epoch(headers: &HeaderMap) -> Result<Option<i32>, Error> {
    let mut values = headers.get_all(EPOCH).iter();
    let (value, more) = (values.next(), values.next());
    let number = |value: &HeaderValue| value.to_str().ok()?.parse().ok().filter(|n| *n >= 1);
    match (value, more) {
        (None, _) => Ok(None),
        (Some(value), None) if number(value).is_some() => Ok(number(value)),
        _ => Err(invalid(format!("{EPOCH} is one number, as the status of the upload has it"))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Create {
    bucket: String,
    key: String,
    size: Option<u64>,
    part_size: Option<u64>,
    content_type: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
    cache_control: Option<String>,
    content_disposition: Option<String>,
    content_language: Option<String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    expires_in: Option<i32>,
}

/// Reads the body of `POST /v1/multipart`.
///
/// # Errors
/// [`Code::InvalidArgument`] and what names, plans and headers refuse.
pub fn create(body: &[u8]) -> Result<NewUpload, Error> {
    let body: Create = object(body)?;
    let seconds = body.expires_in.unwrap_or(SESSION_SECONDS);
    if !(1..=MAX_SESSION_SECONDS).contains(&seconds) {
        return Err(invalid(format!(
            "expiresIn is a number of seconds from 1 to {MAX_SESSION_SECONDS}"
        )));
    }
    // Read as the headers of a PUT, so that both take the same.
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, member: &str, value: Option<String>| {
        let Some(value) = value else { return Ok(()) };
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| invalid(format!("{member} is no value of a header")))?;
        headers.append(name, value);
        Ok(())
    };
    add(CONTENT_TYPE, "contentType", body.content_type)?;
    add(CACHE_CONTROL, "cacheControl", body.cache_control)?;
    add(CONTENT_DISPOSITION, "contentDisposition", body.content_disposition)?;
    add(CONTENT_LANGUAGE, "contentLanguage", body.content_language)?;
    add(IF_MATCH, "ifMatch", body.if_match)?;
    add(IF_NONE_MATCH, "ifNoneMatch", body.if_none_match)?;
    for (name, value) in body.metadata.unwrap_or_default() {
        let header = HeaderName::try_from(format!("{}{name}", metadata::PREFIX))
            .map_err(|_| invalid(format!("metadata has a name that is none: {name:?}")))?;
        add(header, "metadata", Some(value))?;
    }
    let conditions = Preconditions::from_headers(&headers)?;
    Ok(NewUpload {
        bucket: BucketName::parse(&body.bucket)?,
        key: ObjectKey::parse(&body.key)?,
        plan: Plan::new(body.size, body.part_size)?,
        content_type: content_type::from_headers(&headers)?.map(str::to_owned),
        user_metadata: metadata::from_headers(&headers)?,
        if_match: conditions.if_match.as_ref().map(EntityTags::canonical).transpose()?,
        if_none_match: conditions.if_none_match.as_ref().map(EntityTags::canonical).transpose()?,
        headers: content_headers::from_headers(&headers)?,
        seconds,
        protocol: Protocol::Parts,
        described: None,
        idempotency: None,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Complete {
    parts: Option<Vec<CompletePart>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CompletePart {
    number: u16,
    etag: String,
}

/// Reads the body of `POST /v1/multipart/{id}/complete`, which may be empty: the parts that the client names, if it
/// does.
///
/// # Errors
/// [`Code::InvalidArgument`].
pub fn complete(body: &[u8]) -> Result<Option<Vec<NamedPart>>, Error> {
    if body.trim_ascii().is_empty() {
        return Ok(None);
    }
    let Complete { parts } = object(body)?;
    let parts = parts.map(|parts| parts.into_iter().map(|it| (it.number, it.etag)).collect());
    parts.map(named_parts).transpose()
}

/// Parts as a client names them: their numbers, and their ETags with or without quotes.
///
/// # Errors
/// [`Code::InvalidArgument`].
pub fn named_parts(parts: Vec<(u16, String)>) -> Result<Vec<NamedPart>, Error> {
    if parts.is_empty() || parts.len() > MAX_PARTS.into() {
        return Err(invalid(format!("Name 1 to {MAX_PARTS} parts")));
    }
    let named = parts.into_iter().map(|(number, etag)| {
        let bare = etag.strip_prefix('"').and_then(|e| e.strip_suffix('"')).unwrap_or(&etag);
        let good = (1..=MAX_ETAG_BYTES).contains(&bare.len())
            && bare.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
        if !(1..=MAX_PARTS).contains(&number) || !good {
            return Err(invalid(format!(
                "A part has a number from 1 to {MAX_PARTS} and the etag that it was answered with"
            )));
        }
        Ok(NamedPart { number, etag: bare.to_owned() })
    });
    named.collect()
}

/// Which URLs shall be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignRequest {
    /// The parts' numbers, ascending.
    pub parts: Vec<u16>,
    /// How long they live, in seconds.
    pub seconds: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Sign {
    parts: Vec<u16>,
    expires_in: Option<i32>,
}

/// Reads the body of `POST /v1/multipart/{id}/sign`.
///
/// # Errors
/// [`Code::InvalidArgument`].
pub fn sign(body: &[u8]) -> Result<SignRequest, Error> {
    let Sign { parts, expires_in } = object(body)?;
    let seconds = expires_in.unwrap_or(SIGNED_PART_SECONDS);
    if !(1..=MAX_SESSION_SECONDS).contains(&seconds) {
        return Err(invalid(format!(
            "expiresIn is a number of seconds from 1 to {MAX_SESSION_SECONDS}"
        )));
    }
    let count = parts.len();
    let parts: BTreeSet<_> = parts.into_iter().collect();
    let numbers = parts.iter().all(|number| (1..=MAX_PARTS).contains(number));
    if !(1..=MAX_SIGNED_PARTS).contains(&count) || parts.len() != count || !numbers {
        return Err(invalid(format!(
            "parts has 1 to {MAX_SIGNED_PARTS} different numbers from 1 to {MAX_PARTS}"
        )));
    }
    Ok(SignRequest { parts: parts.into_iter().collect(), seconds })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ID: &str = "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42";

    #[test]
    fn paths() {
        let id = VersionId::parse(ID).expect("an id");
        for (path, resource) in [
            (String::new(), Resource::Sessions),
            (format!("/{ID}"), Resource::Session(id)),
            (format!("/{ID}/parts/10000"), Resource::Part(id, 10_000)),
            (format!("/{ID}/complete"), Resource::Complete(id)),
            (format!("/{ID}/resume"), Resource::Resume(id)),
            (format!("/{ID}/sign"), Resource::Sign(id)),
        ] {
            assert_eq!(Resource::parse(&format!("{ROUTE}{path}")).expect("a path"), resource);
        }
        for (path, code) in [
            ("/", Code::NoSuchRoute),
            ("s", Code::NoSuchRoute),
            ("/x", Code::NoSuchUpload),
            ("/x/complete", Code::NoSuchUpload),
            ("/ID/", Code::NoSuchRoute),
            ("/ID/parts", Code::NoSuchRoute),
            ("/ID/parts/1/2", Code::NoSuchRoute),
            ("/ID/complete/", Code::NoSuchRoute),
            ("/ID/parts/", Code::InvalidArgument),
            ("/ID/parts/0", Code::InvalidArgument),
            ("/ID/parts/01", Code::InvalidArgument),
            ("/ID/parts/+1", Code::InvalidArgument),
            ("/ID/parts/-1", Code::InvalidArgument),
            ("/ID/parts/10001", Code::InvalidArgument),
            ("/ID/parts/%31", Code::InvalidArgument),
        ] {
            let error = Resource::parse(&format!("{ROUTE}{}", path.replace("ID", ID)));
            assert_eq!(error.expect_err(path).code, code, "{path}");
        }
    }

    #[test]
    fn epochs() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(EPOCH, HeaderValue::from_str(value).expect("a value"));
            }
            epoch(&headers)
        };
        assert_eq!(of(&[]).expect("none"), None);
        assert_eq!(of(&["7"]).expect("one"), Some(7));
        for bad in [&["0"][..], &["-1"], &["x"], &["1", "1"], &["99999999999"]] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn uploads() {
        let new = create(br#"{"bucket": "documents", "key": "a"}"#).expect("the least");
        assert_eq!((new.plan.size, new.seconds, new.content_type), (None, SESSION_SECONDS, None));
        let all = json!({
            "bucket": "documents", "key": "a", "size": 20_000_000, "partSize": 5_242_880,
            "contentType": "text/plain", "metadata": {"Team": "blue"}, "cacheControl": "no-store",
            "contentDisposition": "inline", "contentLanguage": "en", "ifNoneMatch": "*", "expiresIn": 60
        });
        let new = create(all.to_string().as_bytes()).expect("all");
        assert_eq!(new.user_metadata["team"], "blue");
        assert_eq!(new.if_none_match.as_deref(), Some("*"));
        assert_eq!(new.plan.count(), Some(4));
        for (member, value, code) in [
            ("bucket", json!("x"), Code::InvalidBucketName),
            ("key", json!(""), Code::InvalidArgument),
            ("size", json!(0), Code::InvalidArgument),
            ("size", json!(-1), Code::InvalidArgument),
            ("size", json!(u64::MAX), Code::EntityTooLarge),
            ("partSize", json!(1), Code::InvalidArgument),
            ("contentType", json!("nonsense"), Code::InvalidArgument),
            ("contentType", json!("a\nb"), Code::InvalidArgument),
            ("metadata", json!({"a b": "c"}), Code::InvalidArgument),
            ("metadata", json!({"": "c"}), Code::InvalidArgument),
            ("metadata", json!({"a": "c".repeat(3_000)}), Code::MetadataTooLarge),
            ("expiresIn", json!(0), Code::InvalidArgument),
            ("expiresIn", json!(MAX_SESSION_SECONDS + 1), Code::InvalidArgument),
            ("other", json!(1), Code::InvalidArgument),
        ] {
            let mut body = all.clone();
            body[member] = value;
            let error = create(body.to_string().as_bytes()).expect_err(member);
            assert_eq!(error.code, code, "{body}");
        }
    }

    #[test]
    fn completions() {
        for none in [&b""[..], b" ", b"{}", br#"{"parts": null}"#] {
            assert_eq!(complete(none).expect("none"), None);
        }
        let parts =
            complete(br#"{"parts": [{"number": 2, "etag": "\"a\""}, {"number": 1, "etag": "b"}]}"#);
        let named = |number, etag: &str| NamedPart { number, etag: etag.to_owned() };
        assert_eq!(parts.expect("named"), Some(vec![named(2, "a"), named(1, "b")]));
        for bad in [
            json!([]),
            json!({"parts": []}),
            json!({"parts": [{"number": 0, "etag": "a"}]}),
            json!({"parts": [{"number": 1, "etag": ""}]}),
            json!({"parts": [{"number": 1, "etag": "a\"b"}]}),
            json!({"parts": [{"number": 1}]}),
        ] {
            assert!(complete(bad.to_string().as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn signings() {
        let request = sign(br#"{"parts": [3, 1]}"#).expect("two");
        assert_eq!(request, SignRequest { parts: vec![1, 3], seconds: SIGNED_PART_SECONDS });
        for bad in [
            json!({"parts": []}),
            json!({"parts": [0]}),
            json!({"parts": [10_001]}),
            json!({"parts": [1, 1]}),
            json!({"parts": (1..=1_001).collect::<Vec<_>>()}),
            json!({"parts": [1], "expiresIn": 0}),
            json!({}),
        ] {
            assert!(sign(bad.to_string().as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_parser_panic(bytes: Vec<u8>, path in ".*", text in "\\{\"(parts|key)\": .*\\}") {
            for body in [&bytes[..], text.as_bytes()] {
                let _ = create(body);
                let _ = complete(body);
                let _ = sign(body);
            }
            let _ = Resource::parse(&format!("{ROUTE}{path}"));
        }
    }
}
