//! The Idempotency-Key of a request.
//!
//! Spec: <https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header>, where it is
//! a string of RFC 9651; many clients send it without the quotes.

use std::borrow::Cow;

use holdfast_core::error::{Code, Error};
use http::{HeaderMap, HeaderName};
use sfv::{Parser, StringRef};

use crate::header;

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
