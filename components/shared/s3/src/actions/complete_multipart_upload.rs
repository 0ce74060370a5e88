use std::fmt::Write as _;

use quick_xml::de;
use quick_xml::escape::escape;
use serde::Deserialize;

use super::Action;
use super::multipart::{PartNumber, on_upload};
use crate::{Request, S3Error, parse_error};

/// Joins the parts of an upload into the object. Safe to repeat.
///
/// Its body is [`CompleteMultipartUpload::body`].
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct CompleteMultipartUpload<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// The upload.
    pub upload_id: &'a str,
}

impl Action for CompleteMultipartUpload<'_> {
    fn request(&self) -> Request<'_> {
        on_upload("POST", self.bucket, self.key, self.upload_id)
            .with_body()
            .with_header("content-type", "application/xml")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CompleteMultipartUploadResult {
    #[serde(rename = "ETag")]
    etag: String,
}

impl CompleteMultipartUpload<'_> {
    /// The body: which parts, in ascending order, each with its bare `ETag`.
    pub fn body<'a>(parts: impl IntoIterator<Item = (PartNumber, &'a str)>) -> String {
        let mut body = "<CompleteMultipartUpload>".to_owned();
        for (number, etag) in parts {
            // Writing into a String does not fail.
            let _ = write!(
                body,
                "<Part><PartNumber>{}</PartNumber><ETag>&quot;{}&quot;</ETag></Part>",
                number.get(),
                escape(etag)
            );
        }
        body.push_str("</CompleteMultipartUpload>");
        body
    }

    /// Reads an answer: the bare `ETag` of the object. A 200 may carry an error in its body, since a server may have
    /// sent its head before it knew.
    ///
    /// # Errors
    /// The server's; of a 200 that is neither, an `InternalError`, which leaves open what happened.
    pub fn parse(status: u16, body: &[u8]) -> Result<String, S3Error> {
        if status != 200 {
            return Err(parse_error(status, body));
        }
        match de::from_reader::<_, CompleteMultipartUploadResult>(body) {
            Ok(result) if !result.etag.is_empty() => Ok(result.etag.trim_matches('"').to_owned()),
            _ => {
                let mut error = parse_error(status, body);
                // What `parse_error` calls a body without a code, by its status.
                if !body.windows(6).any(|window| window == b"<Code>") {
                    error.code = "InternalError".to_owned();
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        let action = CompleteMultipartUpload { bucket: "b", key: "k", upload_id: "u" };
        assert_eq!(
            wire(&action),
            "POST /b/k?uploadId=u\ncontent-type: application/xml\nx-amz-content-sha256: UNSIGNED-PAYLOAD"
        );
        let one = PartNumber::new(1).unwrap();
        let two = PartNumber::new(2).unwrap();
        assert_eq!(
            CompleteMultipartUpload::body([(one, "aa"), (two, "<\"&")]),
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;aa&quot;</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>&quot;&lt;&quot;&amp;&quot;</ETag></Part></CompleteMultipartUpload>"
        );
    }

    #[test]
    fn the_etag_is_read() {
        let body = r#"<?xml version="1.0" encoding="UTF-8"?>
            <CompleteMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Location>http://x/b/k</Location><Bucket>b</Bucket><Key>k</Key>
            <ETag>&#34;9f-2&#34;</ETag></CompleteMultipartUploadResult>"#;
        assert_eq!(CompleteMultipartUpload::parse(200, body.as_bytes()).unwrap(), "9f-2");
    }

    #[test]
    fn a_200_may_be_an_error() {
        let body = b"<Error><Code>InvalidPart</Code><Message>m</Message></Error>";
        let error = CompleteMultipartUpload::parse(200, body).unwrap_err();
        assert_eq!((error.code.as_str(), error.is_transient()), ("InvalidPart", false));
        for unknown in [
            &b""[..],
            b"<html>",
            b"<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>",
        ] {
            assert!(CompleteMultipartUpload::parse(200, unknown).unwrap_err().is_transient());
        }
        assert_eq!(CompleteMultipartUpload::parse(404, b"").unwrap_err().code, "NotFound");
    }
}
