use quick_xml::{DeError, de};
use serde::Deserialize;

use super::Action;
use crate::Request;

/// Begins an upload in parts.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct CreateMultipartUpload<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// The media type of the whole; without one SeaweedFS sniffs the content.
    pub content_type: &'a str,
}

impl Action for CreateMultipartUpload<'_> {
    fn request(&self) -> Request<'_> {
        Request::on_object("POST", self.bucket, self.key)
            .with_query("uploads", "")
            .with_header("content-type", self.content_type)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InitiateMultipartUploadResult {
    upload_id: String,
}

impl CreateMultipartUpload<'_> {
    /// Reads the upload's id from the body of a 200.
    ///
    /// # Errors
    /// The body is no such answer, or its id is empty.
    pub fn parse(body: &[u8]) -> Result<String, DeError> {
        let InitiateMultipartUploadResult { upload_id } = de::from_reader(body)?;
        if upload_id.is_empty() {
            return Err(DeError::Custom("the upload has no id".to_owned()));
        }
        Ok(upload_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        let action = CreateMultipartUpload { bucket: "b", key: "k", content_type: "text/plain" };
        assert_eq!(wire(&action), "POST /b/k?uploads=\ncontent-type: text/plain");
    }

    #[test]
    fn the_id_is_read() {
        let body = r#"<?xml version="1.0" encoding="UTF-8"?>
            <InitiateMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Bucket>b</Bucket><Key>k</Key><UploadId>a1_b&amp;c</UploadId></InitiateMultipartUploadResult>"#;
        assert_eq!(CreateMultipartUpload::parse(body.as_bytes()).unwrap(), "a1_b&c");
        for bad in
            ["", "<Error><Code>SlowDown</Code></Error>", "<a><UploadId></UploadId></a>", "<a>"]
        {
            assert!(CreateMultipartUpload::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
