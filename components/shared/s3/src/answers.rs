//! The other side of uploads in parts: what a client takes from a server of S3, and what it sends to one.

use std::fmt::Write as _;

use quick_xml::escape::escape;
use quick_xml::{DeError, de};
use serde::Deserialize;

/// The media type of all of these.
pub const XML: &str = "application/xml";

#[derive(Deserialize)]
struct Completion {
    #[serde(default, rename = "Part")]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "PartNumber")]
    number: u16,
    #[serde(rename = "ETag")]
    etag: String,
}

/// Reads the body of a CompleteMultipartUpload: numbers and ETags, as they stand there. What else a client says of a
/// part is passed over.
///
/// # Errors
/// It is no such XML.
pub fn parse_completion(body: &[u8]) -> Result<Vec<(u16, String)>, DeError> {
    let Completion { parts } = de::from_reader(body)?;
    Ok(parts.into_iter().map(|part| (part.number, part.etag)).collect())
}

/// The answer to a CreateMultipartUpload.
#[must_use]
pub fn initiated(bucket: &str, key: &str, upload_id: &str) -> String {
    let fields = [("Bucket", bucket), ("Key", key), ("UploadId", upload_id)];
    document("InitiateMultipartUploadResult", &elements(&fields))
}

/// The answer to a CompleteMultipartUpload; `etag` is bare.
#[must_use]
pub fn completed(location: &str, bucket: &str, key: &str, etag: &str) -> String {
    let etag = format!("\"{etag}\"");
    let fields = [("Location", location), ("Bucket", bucket), ("Key", key), ("ETag", &etag)];
    document("CompleteMultipartUploadResult", &elements(&fields))
}

/// The answer to a ListParts: all parts at once, each with its number, its bare ETag and its size.
#[must_use]
pub fn listed<'a>(
    bucket: &str,
    key: &str,
    upload_id: &str,
    parts: impl IntoIterator<Item = (u16, &'a str, u64)>,
) -> String {
    let mut inner = elements(&[
        ("Bucket", bucket),
        ("Key", key),
        ("UploadId", upload_id),
        ("IsTruncated", "false"),
    ]);
    for (number, etag, size) in parts {
        let fields = [
            ("PartNumber", &*number.to_string()),
            ("ETag", &*format!("\"{etag}\"")),
            ("Size", &*size.to_string()),
        ];
        // Writing into a String does not fail.
        let _ = write!(inner, "<Part>{}</Part>", elements(&fields));
    }
    document("ListPartsResult", &inner)
}

fn elements(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, value)| format!("<{name}>{}</{name}>", escape(*value))).collect()
}

fn document(name: &str, inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <{name} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inner}</{name}>"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{CompleteMultipartUpload, CreateMultipartUpload, ListParts, PartNumber};

    #[test]
    fn completions_as_clients_write_them() {
        let uppy = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>aa</ETag></Part>\
                    <Part><PartNumber>2</PartNumber><ETag>\"bb\"</ETag></Part></CompleteMultipartUpload>";
        let two = vec![(1, "aa".to_owned()), (2, "\"bb\"".to_owned())];
        assert_eq!(parse_completion(uppy.as_bytes()).unwrap(), two);
        let aws = r#"<?xml version="1.0" encoding="UTF-8"?>
            <CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Part><ETag>&quot;aa&quot;</ETag><ChecksumCRC32>x</ChecksumCRC32><PartNumber>1</PartNumber></Part>
            </CompleteMultipartUpload>"#;
        assert_eq!(parse_completion(aws.as_bytes()).unwrap(), [(1, "\"aa\"".to_owned())]);
        assert_eq!(parse_completion(b"<CompleteMultipartUpload/>").unwrap(), []);
        for bad in [
            "",
            "{}",
            "<a",
            "<a><Part><PartNumber>70000</PartNumber><ETag>a</ETag></Part></a>",
            "<a><Part><PartNumber>1</PartNumber></Part></a>",
        ] {
            assert!(parse_completion(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        /// Our own client of S3 reads what our server writes, whatever the key.
        #[test]
        fn answers_are_read_by_a_client(key in "\\PC{1,40}", etag in "[0-9a-f]{1,9}") {
            let body = initiated("b", &key, "an-id");
            prop_assert_eq!(CreateMultipartUpload::parse(body.as_bytes()).unwrap(), "an-id");
            let body = completed("http://x/b/k?a&b", "b", &key, &etag);
            prop_assert_eq!(&CompleteMultipartUpload::parse(200, body.as_bytes()).unwrap(), &etag);
            let body = listed("b", &key, "an-id", [(1, &*etag, 5), (7, "cc", 6)]);
            let page = ListParts::parse(body.as_bytes()).unwrap();
            prop_assert_eq!(page.next_part_number_marker, None);
            let parts: Vec<_> =
                page.parts.iter().map(|it| (it.part_number.get(), &*it.etag, it.size)).collect();
            prop_assert_eq!(parts, [(1, &*etag, 5), (7, "cc", 6)]);
        }

        #[test]
        fn a_completion_is_read_as_it_was_written(etags in prop::collection::vec("[!-~]{1,9}", 1..9)) {
            let numbered: Vec<_> = (1_u16..).zip(etags).collect();
            let body = CompleteMultipartUpload::body(
                numbered.iter().map(|(number, etag)| (PartNumber::new(*number).unwrap(), &**etag)),
            );
            let quoted: Vec<_> =
                numbered.iter().map(|(number, etag)| (*number, format!("\"{etag}\""))).collect();
            prop_assert_eq!(parse_completion(body.as_bytes()).unwrap(), quoted);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "<a>(<Part>.{0,40}</Part>)*</a>") {
            let _ = parse_completion(&bytes);
            let _ = parse_completion(text.as_bytes());
        }
    }
}
