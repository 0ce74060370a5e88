//! `Upload-Metadata`: pairs of a key and a value in base64.

use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use holdfast_core::error::{Code, Error};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::metadata;

/// Longest value of the header, in bytes.
pub const MAX_METADATA_BYTES: usize = 8 * 1_024;

/// With or without its padding: clients do both.
const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes of base64.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    ANY_PADDING.decode(text).ok()
}

/// The keys with a meaning of their own.
const KNOWN: [&str; 4] = ["bucket", "key", "filename", "filetype"];

/// What the header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// `bucket`
    pub bucket: Option<String>,
    /// `key`
    pub key: Option<String>,
    /// `filename`, without folders.
    pub filename: Option<String>,
    /// `filetype`
    pub filetype: Option<String>,
    /// The rest: user metadata, as the headers of a PUT have it.
    pub rest: BTreeMap<String, String>,
}

impl Metadata {
    /// Reads the header's value. A pair without a value is one with an empty one, which is nothing.
    ///
    /// # Errors
    /// * [`Code::InvalidArgument`]: malformed, a key that comes twice, a known one in capitals, or what no header could carry.
    /// * [`Code::MetadataTooLarge`]: longer than [`MAX_METADATA_BYTES`], or more than an object may have.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_METADATA_BYTES {
            let message = format!("Upload-Metadata has at most {MAX_METADATA_BYTES} bytes");
            return Err(Error::new(Code::MetadataTooLarge, message).rule("limits.maxMetadataBytes"));
        }
        let invalid = |key: &str, why: &str| {
            let message = format!("Upload-Metadata: the key {key:?} {why}");
            Error::new(Code::InvalidArgument, message)
        };
        let mut found = Self::default();
        let mut seen = Vec::new();
        let mut headers = HeaderMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            if !key.is_ascii() || seen.contains(&key) {
                return Err(invalid(key, "is not ASCII, or comes twice"));
            }
            seen.push(key);
            let value = base64(value.trim_start()).and_then(|value| String::from_utf8(value).ok());
            let value = value.ok_or_else(|| invalid(key, "has no text in base64 as its value"))?;
            if value.is_empty() {
                continue;
            }
            match key {
                "bucket" => found.bucket = Some(value),
                "key" => found.key = Some(value),
                "filename" => {
                    // Some clients send a path.
                    let name = value.rsplit(['/', '\\']).next().unwrap_or_default();
                    found.filename = (!name.is_empty()).then(|| name.to_owned());
                }
                "filetype" => found.filetype = Some(value),
                _ => {
                    let lower = key.to_ascii_lowercase();
                    // Names of headers have no case: it would be user metadata, and the file in the wrong place.
                    if KNOWN.contains(&lower.as_str()) {
                        return Err(invalid(key, "is written in lower case"));
                    }
                    let name = format!("{}{lower}", metadata::PREFIX);
                    let name = HeaderName::try_from(name)
                        .map_err(|_| invalid(key, "is none that an object can have"))?;
                    let value = HeaderValue::from_bytes(value.as_bytes())
                        .map_err(|_| invalid(key, "has control characters in its value"))?;
                    headers.append(name, value);
                }
            }
        }
        found.rest = metadata::from_headers(&headers)?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_read() {
        // documents, a/b.png, image/png, Ünï
        let text = "bucket ZG9jdW1lbnRz,key YS9iLnBuZw==, filetype aW1hZ2UvcG5n,relativePath w5xuw68,is_public";
        let found = Metadata::parse(text).expect("metadata");
        assert_eq!(found.bucket.as_deref(), Some("documents"));
        assert_eq!(found.key.as_deref(), Some("a/b.png"));
        assert_eq!(found.filetype.as_deref(), Some("image/png"));
        assert_eq!(found.rest, BTreeMap::from([("relativepath".to_owned(), "Ünï".to_owned())]));
        // C:\x\b.png
        let found = Metadata::parse("filename QzpceFxiLnBuZw==").expect("a name");
        assert_eq!(found.filename.as_deref(), Some("b.png"));
        assert_eq!(Metadata::parse("").expect("nothing"), Metadata::default());
    }

    #[test]
    fn a_known_key_in_capitals_is_no_user_metadata() {
        for key in ["Bucket", "KEY", "fileName", "Filetype"] {
            let error = Metadata::parse(&format!("{key} YQ==")).expect_err(key);
            assert_eq!(error.code, Code::InvalidArgument, "{key}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let long = format!("a {}", "YWFh".repeat(MAX_METADATA_BYTES));
        let much = format!("a {}", "YWFh".repeat(800));
        for (text, code) in [
            ("key %", Code::InvalidArgument),
            ("key /w==", Code::InvalidArgument),
            ("key YQ==,key YQ==", Code::InvalidArgument),
            ("k\u{e9}y YQ==", Code::InvalidArgument),
            ("a(b YQ==", Code::InvalidArgument),
            ("a Cg==", Code::InvalidArgument),
            (&long, Code::MetadataTooLarge),
            (&much, Code::MetadataTooLarge),
        ] {
            assert_eq!(Metadata::parse(text).expect_err("refused").code, code, "{text:.20}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            key in "[a-z]{1,12}x",
            value in "[^\\p{Cc}\\p{Z}]{1,40}",
        ) {
            let text = format!("{key} {}", ANY_PADDING.encode(&value));
            let found = Metadata::parse(&text).expect("metadata");
            prop_assert_eq!(found.rest.get(&key), Some(&value));
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC*") {
            let _ = Metadata::parse(&text);
        }
    }
}
