//! The Idempotency-Key of a request.
//!
//! Spec: <https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header>, where it is
//! a string of RFC 9651; many clients send it without the quotes.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use holdfast_core::error::{Code, Error};
use holdfast_core::ports::Idempotency;
use http::{HeaderMap, HeaderName};
use serde_json::Value;
use sfv::{Parser, StringRef};
use sha2::{Digest as _, Sha256};

use crate::header;

/// Says of an answer that it is the one of an earlier request under the same key.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest key, in characters, without the quotes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;

/// A key that names a request: 1 to [`MAX_IDEMPOTENCY_KEY_BYTES`] visible ASCII characters.
///
/// With and without quotes it is the same key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of a request, if it has one.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: sent twice, or as [`IdempotencyKey::parse`].
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, Error> {
        header::single(headers, &IDEMPOTENCY_KEY)?.map(Self::parse).transpose()
    }

    /// Reads the value of the header: `"key"`, with `\"` and `\\` in it, or `key`.
    ///
    /// Parameters behind the quoted form are ignored: the draft defines none.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: empty, too long, a character that is not visible ASCII, or a first
    /// quote without its last.
    pub fn parse(value: &str) -> Result<Self, Error> {
        let key: Cow<'_, str> = if value.starts_with('"') {
            unquoted(value)
                .ok_or_else(|| header::malformed(&IDEMPOTENCY_KEY, "is not one string in quotes"))?
        } else {
            value.into()
        };
        let is_visible = key.bytes().all(|b| b.is_ascii_graphic());
        if !(1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len()) || !is_visible {
            let message = format!(
                "The header {IDEMPOTENCY_KEY} is 1 to {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII \
                 characters, such as a UUID"
            );
            return Err(Error::new(Code::InvalidArgument, message));
        }
        Ok(Self(key.into_owned()))
    }

    /// The key with what stands for its request: the route, and the JSON of the body. Spaces and the order of members
    /// make no other request.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: the body is not JSON.
    pub fn of_json(self, route: &str, body: &[u8]) -> Result<Idempotency, Error> {
        let body: Value = serde_json::from_slice(body).map_err(|error| {
            Error::new(Code::InvalidArgument, format!("The body is not JSON: {error}"))
        })?;
        // No route has a line end in it, and serde_json sorts the members of an object.
        let fingerprint = Sha256::digest(format!("{route}\n{body}"));
        Ok(Idempotency { key: self.0, fingerprint: STANDARD.encode(fingerprint) })
    }

    /// The key, without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn unquoted(value: &str) -> Option<Cow<'_, str>> {
    match Parser::new(value).parse_item::<Cow<'_, StringRef>>().ok()? {
        Cow::Borrowed(text) => Some(text.as_str().into()),
        Cow::Owned(text) => Some(text.as_str().to_owned().into()),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quoted_and_bare_keys_are_the_same() {
        for (value, wanted) in [
            ("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
            ("\"k\";p=1", "k"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            ("!~,;=", "!~,;="),
            ("a\"", "a\""),
        ] {
            assert_eq!(IdempotencyKey::parse(value).expect(value).as_str(), wanted, "{value}");
        }
    }

    #[test]
    fn refusals() {
        for value in [
            "",
            "\"\"",
            "\"",
            "\"a",
            "\"a\"b",
            "\"a\", \"b\"",
            "\"a b\"",
            "a b",
            "a\tb",
            "\"a\\b\"",
        ] {
            let error = IdempotencyKey::parse(value).expect_err(value);
            assert_eq!(error.code, Code::InvalidArgument, "{value}");
            assert!(error.message.contains("idempotency-key"), "{value}");
        }
    }

    #[test]
    fn the_limit_counts_the_key_and_not_its_quotes() {
        let key = "k".repeat(MAX_IDEMPOTENCY_KEY_BYTES);
        assert!(IdempotencyKey::parse(&key).is_ok());
        assert!(IdempotencyKey::parse(&format!("\"{key}\"")).is_ok());
        assert!(IdempotencyKey::parse(&format!("{key}k")).is_err());
        assert!(IdempotencyKey::parse(&format!("\"{key}k\"")).is_err());
    }

    #[test]
    fn a_request_is_its_route_and_its_members() {
        let of = |route: &str, body: &str| {
            IdempotencyKey::parse("k").expect("valid").of_json(route, body.as_bytes())
        };
        let print = |route: &str, body: &str| of(route, body).expect("valid").fingerprint;
        let first = print("/v1/shares", r#"{"a": {"c": 1, "d": [1, 2]}, "b": null}"#);
        assert_eq!(first, print("/v1/shares", r#"{"b":null,"a":{"d":[1,2],"c":1}}"#));
        for (route, body) in [
            ("/v1/tokens", r#"{"a": {"c": 1, "d": [1, 2]}, "b": null}"#),
            ("/v1/shares", r#"{"a": {"c": 1, "d": [2, 1]}, "b": null}"#),
            ("/v1/shares", r#"{"a": {"c": 1, "d": [1, 2]}}"#),
            ("/v1/shares", r#"[{"a": {"c": 1, "d": [1, 2]}, "b": null}]"#),
        ] {
            assert_ne!(first, print(route, body), "{route} {body}");
        }
        assert_eq!(of("/v1/shares", "{").expect_err("refused").code, Code::InvalidArgument);
    }

    #[test]
    fn a_request_has_one_or_none() {
        let mut headers = HeaderMap::new();
        assert_eq!(IdempotencyKey::from_headers(&headers).expect("none"), None);
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static(" k "));
        let key = IdempotencyKey::from_headers(&headers).expect("one").expect("a key");
        assert_eq!(key.as_str(), "k");
        headers.append(IDEMPOTENCY_KEY, HeaderValue::from_static("k"));
        assert!(IdempotencyKey::from_headers(&headers).is_err());
    }

    proptest! {
        #[test]
        fn any_visible_key_is_taken_in_quotes(key in "[!-~]{1,255}") {
            let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
            let parsed = IdempotencyKey::parse(&quoted).expect("valid");
            prop_assert_eq!(parsed.as_str(), key);
        }

        #[test]
        fn parsing_never_panics(value in ".*", tail in ".*") {
            let _ = IdempotencyKey::parse(&value);
            let _ = IdempotencyKey::parse(&format!("\"{tail}"));
        }
    }
}
