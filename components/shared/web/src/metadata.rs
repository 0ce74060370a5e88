//! User metadata: `x-amz-meta-*` headers in and out.
//!
//! Spec: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>

use std::collections::BTreeMap;

use holdfast_core::error::{Code, Error};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::header;

/// What every header of user metadata begins with.
pub const PREFIX: &str = "x-amz-meta-";

/// Most user metadata, in bytes: all names (without the prefix) and values together, as S3 counts.
pub const MAX_METADATA_BYTES: usize = 2 * 1_024;

/// The user metadata of a request, names in lower case and without the prefix.
///
/// A name that comes several times has its values joined by commas, as S3 does.
///
/// # Errors
/// * [`Code::InvalidArgument`]: no name behind the prefix, or a value that is not UTF-8 or has
///   control characters.
/// * [`Code::MetadataTooLarge`]: more than [`MAX_METADATA_BYTES`].
pub fn from_headers(headers: &HeaderMap) -> Result<BTreeMap<String, String>, Error> {
    let mut metadata = BTreeMap::<String, String>::new();
    for (header, value) in headers {
        let Some(name) = header.as_str().strip_prefix(PREFIX) else { continue };
        if name.is_empty() {
            return Err(header::malformed(header, "has no name behind its prefix"));
        }
        let value = text(header, value)?;
        metadata
            .entry(name.to_owned())
            .and_modify(|joined| {
                joined.push(',');
                joined.push_str(value);
            })
            .or_insert_with(|| value.to_owned());
    }
    let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MAX_METADATA_BYTES {
        return Err(Error::new(
            Code::MetadataTooLarge,
            format!("User metadata has at most {MAX_METADATA_BYTES} bytes; this has {size}"),
        )
        .rule("limits.maxMetadataBytes"));
    }
    Ok(metadata)
}

/// The same of a JSON object: `{"name": "value"}`, names without the prefix.
///
/// # Errors
/// * [`Code::InvalidArgument`]: a name that no header can have, or a value with control characters.
/// * [`Code::MetadataTooLarge`]: more than [`MAX_METADATA_BYTES`].
pub fn from_json(members: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in members {
        let header = HeaderName::try_from(format!("{PREFIX}{name}"));
        let header =
            header.ok().filter(|header| !headers.contains_key(header)).ok_or_else(|| {
                let message = format!("{name:?} is no name of user metadata, or it is there twice");
                Error::new(Code::InvalidArgument, message)
            })?;
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| header::malformed(&header, "has control characters"))?;
        headers.append(header, value);
    }
    from_headers(&headers)
}

/// Appends user metadata to a response. What no header can carry is left out.
pub fn to_headers(metadata: &BTreeMap<String, String>, headers: &mut HeaderMap) {
    for (name, value) in metadata {
        let name = HeaderName::try_from(format!("{PREFIX}{name}"));
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    }
}

fn text<'a>(header: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, Error> {
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| header::malformed(header, "is not UTF-8"))?;
    let text = text.trim_matches([' ', '\t']);
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(header::malformed(header, "has control characters"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::try_from(*name).expect("a name"),
                HeaderValue::from_bytes(value).expect("a value"),
            );
        }
        headers
    }

    fn code(pairs: &[(&str, &[u8])]) -> Code {
        from_headers(&headers(pairs)).expect_err("refused").code
    }

    #[test]
    fn names_are_lower_case_and_repeated_ones_joined() {
        let metadata = from_headers(&headers(&[
            ("X-Amz-Meta-Color", b"blue"),
            ("x-amz-meta-color", b"green"),
            ("x-amz-meta-name", "gr\u{fc}n".as_bytes()),
            ("x-amz-meta-empty", b""),
            ("x-amz-date", b"no"),
        ]));
        let wanted = [("color", "blue,green"), ("empty", ""), ("name", "gr\u{fc}n")];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(metadata.expect("valid"), BTreeMap::from(wanted));
    }

    #[test]
    fn of_json_it_is_what_headers_would_say() {
        let of = |pairs: &[(&str, &str)]| {
            from_json(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
        };
        let metadata = of(&[("Color", "blau ü"), ("n", "")]).expect("valid");
        assert_eq!(metadata["color"], "blau ü");
        for bad in [&[("a b", "x")][..], &[("", "x")], &[("a", "x\ny")], &[("A", "1"), ("a", "2")]]
        {
            assert_eq!(of(bad).expect_err("refused").code, Code::InvalidArgument, "{bad:?}");
        }
        let long = "x".repeat(MAX_METADATA_BYTES);
        assert_eq!(of(&[("a", &long)]).expect_err("too large").code, Code::MetadataTooLarge);
    }

    #[test]
    fn refusals() {
        assert_eq!(code(&[("x-amz-meta-", b"x")]), Code::InvalidArgument);
        assert_eq!(code(&[("x-amz-meta-a", b"\xff")]), Code::InvalidArgument);
        assert_eq!(code(&[("x-amz-meta-a", "\u{85}".as_bytes())]), Code::InvalidArgument);
    }

    #[test]
    fn the_limit_counts_names_and_values() {
        let value = "v".repeat(MAX_METADATA_BYTES - 1);
        assert!(from_headers(&headers(&[("x-amz-meta-n", value.as_bytes())])).is_ok());
        assert_eq!(code(&[("x-amz-meta-nn", value.as_bytes())]), Code::MetadataTooLarge);
    }

    #[test]
    fn no_header_is_injected() {
        let stored = [("a b", "x"), ("ok", "a\r\nset-cookie: b"), ("fine", "y")];
        let stored = stored.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut out = HeaderMap::new();
        to_headers(&BTreeMap::from(stored), &mut out);
        assert_eq!(out, headers(&[("x-amz-meta-fine", b"y")]));
    }

    proptest! {
        #[test]
        fn what_came_in_goes_out(
            metadata in prop::collection::btree_map("[a-z0-9._-]{1,20}", "(\\PC{0,20}\\S)?", 0..10)
        ) {
            let trimmed: BTreeMap<_, _> = metadata
                .into_iter()
                .map(|(name, value)| (name, value.trim_matches([' ', '\t']).to_owned()))
                .filter(|(_, value)| !value.chars().any(char::is_control))
                .collect();
            let mut headers = HeaderMap::new();
            to_headers(&trimmed, &mut headers);
            prop_assert_eq!(from_headers(&headers).expect("valid"), trimmed);
        }

        #[test]
        fn any_value_is_taken_or_refused(value: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                headers.insert("x-amz-meta-a", value);
                let _ = from_headers(&headers);
            }
        }
    }
}
