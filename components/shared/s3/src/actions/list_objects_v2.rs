use percent_encoding::percent_decode_str;
use quick_xml::{DeError, de};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Action;
use crate::Request;

/// Lists a bucket's objects, a page at a time.
///
/// SeaweedFS lists in the order of its tree (`a`, `a/b`, `a-b`), not of bytes.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct ListObjectsV2<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// What the keys start with; empty for all.
    pub prefix: &'a str,
    /// [`ListObjectsV2Page::next_continuation_token`] of the page before.
    pub continuation_token: Option<&'a str>,
    /// List only what comes after this key, in the server's order; for the first page.
    pub start_after: Option<&'a str>,
    /// The most objects in a page; the server's default is 1,000.
    pub max_keys: Option<u16>,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListObjectsV2Page {
    /// The page's objects.
    pub objects: Vec<ObjectEntry>,
    /// Present unless this was the last page.
    pub next_continuation_token: Option<String>,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectEntry {
    /// The object's key, decoded.
    pub key: String,
    /// The object's bytes.
    pub size: u64,
    /// The entity tag without its quotes.
    pub etag: String,
    /// When it was stored; `None` where the server does not say.
    pub last_modified: Option<OffsetDateTime>,
}

/// Why an answer is not a page of a listing.
#[derive(Debug, thiserror::Error)]
pub enum ListObjectsV2ParseError {
    /// Not the XML of a listing: cut off, or an error's body.
    #[error("the listing is not a ListBucketResult: {0}")]
    Xml(#[from] DeError),
    /// A key that is not UTF-8 once decoded.
    #[error("the listing holds a key that is not UTF-8")]
    Key,
    /// Truncated, and yet without a token to go on with.
    #[error("the listing is truncated and has no continuation token")]
    Token,
}

impl Action for ListObjectsV2<'_> {
    fn request(&self) -> Request<'_> {
        // Without `encoding-type` a control character in a key would spoil the XML.
        let mut request = Request::on_bucket("GET", self.bucket)
            .with_query("list-type", "2")
            .with_query("encoding-type", "url");
        if !self.prefix.is_empty() {
            request = request.with_query("prefix", self.prefix);
        }
        if let Some(token) = self.continuation_token {
            request = request.with_query("continuation-token", token);
        }
        if let Some(key) = self.start_after {
            request = request.with_query("start-after", key);
        }
        if let Some(keys) = self.max_keys {
            request = request.with_query("max-keys", keys.to_string());
        }
        request
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListBucketResult {
    // Required: without it an error's body would read as an empty bucket.
    is_truncated: bool,
    next_continuation_token: Option<String>,
    #[serde(default)]
    contents: Vec<Contents>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Contents {
    key: String,
    size: u64,
    #[serde(rename = "ETag", default)]
    etag: String,
    last_modified: Option<String>,
}

impl ListObjectsV2<'_> {
    /// Reads the body of a 200.
    ///
    /// # Errors
    /// See [`ListObjectsV2ParseError`].
    pub fn parse(body: &[u8]) -> Result<ListObjectsV2Page, ListObjectsV2ParseError> {
        let result: ListBucketResult = de::from_reader(body)?;
        let token = result.next_continuation_token.filter(|token| !token.is_empty());
        if result.is_truncated && token.is_none() {
            return Err(ListObjectsV2ParseError::Token);
        }
        Ok(ListObjectsV2Page {
            objects: result.contents.into_iter().map(object_entry).collect::<Result<_, _>>()?,
            next_continuation_token: token.filter(|_| result.is_truncated),
        })
    }
}

fn object_entry(contents: Contents) -> Result<ObjectEntry, ListObjectsV2ParseError> {
    // `encoding-type=url` is a form's encoding: a space is `+`, and a plus is `%2B`.
    let key = contents.key.replace('+', " ");
    let key = percent_decode_str(&key).decode_utf8().map_err(|_| ListObjectsV2ParseError::Key)?;
    Ok(ObjectEntry {
        key: key.into_owned(),
        size: contents.size,
        etag: contents.etag.trim_matches('"').to_owned(),
        last_modified: contents
            .last_modified
            .and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok()),
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        let action = ListObjectsV2 { bucket: "b", ..ListObjectsV2::default() };
        assert_eq!(wire(&action), "GET /b?encoding-type=url&list-type=2");
        let action = ListObjectsV2 {
            prefix: "hf/2026/",
            continuation_token: Some("a b+c="),
            max_keys: Some(2),
            start_after: Some("a/b"),
            ..action
        };
        assert_eq!(
            wire(&action),
            "GET /b?continuation-token=a%20b%2Bc%3D&encoding-type=url&list-type=2&max-keys=2\
             &prefix=hf%2F2026%2F&start-after=a%2Fb"
        );
    }

    fn listing(inner: &str) -> String {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Name>b</Name><Prefix></Prefix><EncodingType>url</EncodingType>{inner}</ListBucketResult>"#
        )
    }

    fn parse(inner: &str) -> Result<ListObjectsV2Page, ListObjectsV2ParseError> {
        ListObjectsV2::parse(listing(inner).as_bytes())
    }

    #[test]
    fn a_page_is_read_and_its_keys_decoded() {
        let page = parse(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>a/&amp;+%20</NextContinuationToken>
             <Contents><Key>a+b%2Bc/%F0%9F%A6%80</Key><ETag>&#34;d41d8cd9&#34;</ETag><Size>0</Size>
             <Owner><ID>x</ID></Owner></Contents>
             <Contents><Key>z</Key><LastModified>2026-11-24T18:00:00.5Z</LastModified><ETag>&quot;f-2&quot;</ETag><Size>5368709120</Size></Contents>
             <CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>",
        )
        .unwrap();
        let entry = |key: &str, size, etag: &str, last_modified| ObjectEntry {
            key: key.into(),
            size,
            etag: etag.into(),
            last_modified,
        };
        let stored = datetime!(2026-11-24 18:00:00.5 UTC);
        assert_eq!(
            page,
            ListObjectsV2Page {
                objects: vec![
                    entry("a b+c/🦀", 0, "d41d8cd9", None),
                    entry("z", 5_368_709_120, "f-2", Some(stored)),
                ],
                // Opaque: never decoded.
                next_continuation_token: Some("a/&+%20".into()),
            }
        );
    }

    /// SeaweedFS's token is the last key as it is: trimmed, it would give the same page again.
    #[test]
    fn a_token_keeps_its_spaces() {
        let page = "<IsTruncated>true</IsTruncated><NextContinuationToken> a&#x20; </NextContinuationToken>";
        assert_eq!(parse(page).unwrap().next_continuation_token.as_deref(), Some(" a  "));
    }

    #[test]
    fn the_last_page_has_no_token() {
        let last = "<IsTruncated>false</IsTruncated><NextContinuationToken/>";
        assert_eq!(parse(last).unwrap(), ListObjectsV2Page::default());
    }

    #[test]
    fn what_is_no_listing_is_never_an_empty_page() {
        use ListObjectsV2ParseError::{Key, Token, Xml};
        assert!(matches!(parse("<IsTruncated>true</IsTruncated>"), Err(Token)));
        let entry =
            "<IsTruncated>false</IsTruncated><Contents><Key>%FF</Key><Size>1</Size></Contents>";
        assert!(matches!(parse(entry), Err(Key)));
        for entry in ["<Key>a</Key>", "<Size>1</Size>", "<Key>a</Key><Size>-1</Size>"] {
            let entry = format!("<IsTruncated>false</IsTruncated><Contents>{entry}</Contents>");
            assert!(matches!(parse(&entry), Err(Xml(_))), "{entry}");
        }
        let whole = listing("<IsTruncated>false</IsTruncated>");
        let cut = &whole.as_bytes()[..whole.len() - "</ListBucketResult>".len()];
        for body in [&b""[..], b"<Error><Code>SlowDown</Code></Error>", b"\xff\xfe", cut] {
            assert!(matches!(ListObjectsV2::parse(body), Err(Xml(_))), "{}", body.escape_ascii());
        }
    }
}
