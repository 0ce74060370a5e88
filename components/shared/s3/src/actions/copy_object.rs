use quick_xml::de;
use serde::Deserialize;

use super::Action;
use crate::sigv4::{uri_encode, uri_encode_path};
use crate::{Request, S3Error, parse_error};

/// Copies an object of up to 5 GiB, with its content type and metadata; what is at the new place is replaced.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyObject<'a> {
    /// The bucket of the copy.
    pub bucket: &'a str,
    /// The key of the copy.
    pub key: &'a str,
    /// The bucket of the source.
    pub source_bucket: &'a str,
    /// The key of the source.
    pub source_key: &'a str,
}

impl Action for CopyObject<'_> {
    fn request(&self) -> Request<'_> {
        let source =
            format!("/{}/{}", uri_encode(self.source_bucket), uri_encode_path(self.source_key));
        Request::on_object("PUT", self.bucket, self.key).with_header("x-amz-copy-source", source)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CopyObjectResult {
    #[serde(rename = "ETag")]
    etag: String,
}

impl CopyObject<'_> {
    /// Reads an answer: the bare `ETag` of the copy. A 200 may carry an error in its body.
    ///
    /// # Errors
    /// The server's; of a 200 that is neither, an `InternalError`, which leaves open what happened.
    pub fn parse(status: u16, body: &[u8]) -> Result<String, S3Error> {
        if status != 200 {
            return Err(parse_error(status, body));
        }
        match de::from_reader::<_, CopyObjectResult>(body) {
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
        let action =
            CopyObject { bucket: "b", key: "k", source_bucket: "a", source_key: "x y/ä+" };
        assert_eq!(wire(&action), "PUT /b/k\nx-amz-copy-source: /a/x%20y/%C3%A4%2B");
    }

    #[test]
    fn the_etag_is_read_and_a_200_may_be_an_error() {
        let body =
            b"<CopyObjectResult><ETag>9f</ETag><LastModified>x</LastModified></CopyObjectResult>";
        assert_eq!(CopyObject::parse(200, body).unwrap(), "9f");
        let quoted = b"<CopyObjectResult><ETag>&quot;9f-2&quot;</ETag></CopyObjectResult>";
        assert_eq!(CopyObject::parse(200, quoted).unwrap(), "9f-2");
        let error = CopyObject::parse(200, b"<Error><Code>SlowDown</Code></Error>").unwrap_err();
        assert!(error.is_transient());
        for unknown in [&b""[..], b"<html>", b"<CopyObjectResult/>"] {
            assert!(CopyObject::parse(200, unknown).unwrap_err().is_transient());
        }
        assert_eq!(CopyObject::parse(404, b"").unwrap_err().code, "NotFound");
    }
}
