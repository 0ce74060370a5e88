use quick_xml::{DeError, de};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Action;
use super::multipart::{PartNumber, on_upload};
use crate::Request;

/// Lists the stored parts of an upload by their numbers, a page at a time.
///
/// SeaweedFS lists a number that was sent twice twice, once for each body.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListParts.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct ListParts<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// The upload.
    pub upload_id: &'a str,
    /// List only higher numbers than this.
    pub part_number_marker: Option<u16>,
    /// The most parts in a page; the server's default is 1,000.
    pub max_parts: Option<u16>,
}

/// One page of [`ListParts`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPartsPage {
    /// The page's parts.
    pub parts: Vec<PartEntry>,
    /// [`ListParts::part_number_marker`] of the next page, unless this was the last one.
    pub next_part_number_marker: Option<u16>,
}

/// One stored body of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartEntry {
    /// Which part.
    pub part_number: PartNumber,
    /// Its bytes.
    pub size: u64,
    /// The entity tag without its quotes: the MD5 of the body.
    pub etag: String,
    /// When it was stored; `None` where the server does not say.
    pub last_modified: Option<OffsetDateTime>,
}

impl Action for ListParts<'_> {
    fn request(&self) -> Request<'_> {
        let mut request = on_upload("GET", self.bucket, self.key, self.upload_id);
        if let Some(marker) = self.part_number_marker {
            request = request.with_query("part-number-marker", marker.to_string());
        }
        if let Some(parts) = self.max_parts {
            request = request.with_query("max-parts", parts.to_string());
        }
        request
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListPartsResult {
    // Required: without it an error's body would read as an upload without parts.
    is_truncated: bool,
    next_part_number_marker: Option<u16>,
    #[serde(default, rename = "Part")]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    part_number: u16,
    size: u64,
    #[serde(rename = "ETag")]
    etag: String,
    last_modified: Option<String>,
}

impl ListParts<'_> {
    /// Reads the body of a 200.
    ///
    /// # Errors
    /// The body is no such listing, or one that is cut and does not say how to go on.
    pub fn parse(body: &[u8]) -> Result<ListPartsPage, DeError> {
        let result: ListPartsResult = de::from_reader(body)?;
        let last = result.parts.iter().map(|part| part.part_number).max();
        let next = match (result.is_truncated, result.next_part_number_marker.or(last)) {
            (true, None) => {
                return Err(DeError::Custom("truncated, and without a marker".to_owned()));
            }
            (true, marker) => marker,
            (false, _) => None,
        };
        let parts = result.parts.into_iter().filter_map(|part| {
            Some(PartEntry {
                part_number: PartNumber::new(part.part_number)?,
                size: part.size,
                etag: part.etag.trim_matches('"').to_owned(),
                last_modified: part
                    .last_modified
                    .and_then(|text| OffsetDateTime::parse(&text, &Rfc3339).ok()),
            })
        });
        Ok(ListPartsPage { parts: parts.collect(), next_part_number_marker: next })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        let action = ListParts { bucket: "b", key: "k", upload_id: "u", ..ListParts::default() };
        assert_eq!(wire(&action), "GET /b/k?uploadId=u");
        let action = ListParts { part_number_marker: Some(7), max_parts: Some(2), ..action };
        assert_eq!(wire(&action), "GET /b/k?max-parts=2&part-number-marker=7&uploadId=u");
    }

    #[test]
    fn a_number_that_was_sent_twice_is_there_twice() {
        let body = r#"<ListPartsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>b</Bucket>
            <PartNumberMarker>0</PartNumberMarker><NextPartNumberMarker>2</NextPartNumberMarker>
            <IsTruncated>true</IsTruncated>
            <Part><PartNumber>2</PartNumber><LastModified>2026-11-24T18:00:00.5Z</LastModified>
            <ETag>&#34;aa&#34;</ETag><Size>5</Size></Part>
            <Part><PartNumber>2</PartNumber><ETag>bb</ETag><Size>6</Size></Part>
            <Part><PartNumber>0</PartNumber><ETag>cc</ETag><Size>7</Size></Part></ListPartsResult>"#;
        let part_number = PartNumber::new(2).unwrap();
        let at = Some(datetime!(2026-11-24 18:00:00.5 UTC));
        assert_eq!(
            ListParts::parse(body.as_bytes()).unwrap(),
            ListPartsPage {
                parts: vec![
                    PartEntry { part_number, size: 5, etag: "aa".into(), last_modified: at },
                    PartEntry { part_number, size: 6, etag: "bb".into(), last_modified: None },
                ],
                next_part_number_marker: Some(2),
            }
        );
    }

    #[test]
    fn what_is_no_listing_is_refused() {
        for bad in [
            "",
            "<Error><Code>NoSuchUpload</Code></Error>",
            "<a><IsTruncated>true</IsTruncated></a>",
        ] {
            assert!(ListParts::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let last =
            "<a><IsTruncated>false</IsTruncated><NextPartNumberMarker>0</NextPartNumberMarker></a>";
        assert_eq!(ListParts::parse(last.as_bytes()).unwrap(), ListPartsPage::default());
    }
}
