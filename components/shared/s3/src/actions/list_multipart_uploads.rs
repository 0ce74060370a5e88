use quick_xml::{DeError, de};
use serde::Deserialize;

use super::Action;
use crate::Request;

/// Lists the uploads below a prefix that were begun and neither completed nor aborted: the first page of them.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct ListMultipartUploads<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// What the keys start with; empty for all.
    pub prefix: &'a str,
}

/// An upload that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadEntry {
    /// The object's key.
    pub key: String,
    /// The upload's id.
    pub upload_id: String,
}

impl Action for ListMultipartUploads<'_> {
    fn request(&self) -> Request<'_> {
        let request = Request::on_bucket("GET", self.bucket).with_query("uploads", "");
        if self.prefix.is_empty() { request } else { request.with_query("prefix", self.prefix) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListMultipartUploadsResult {
    // Required: without it an error's body would read as a bucket without uploads.
    #[serde(rename = "IsTruncated")]
    _is_truncated: bool,
    #[serde(default, rename = "Upload")]
    uploads: Vec<Upload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
}

impl ListMultipartUploads<'_> {
    /// Reads the body of a 200.
    ///
    /// # Errors
    /// The body is no such listing.
    pub fn parse(body: &[u8]) -> Result<Vec<UploadEntry>, DeError> {
        let result: ListMultipartUploadsResult = de::from_reader(body)?;
        let entry = |upload: Upload| UploadEntry { key: upload.key, upload_id: upload.upload_id };
        Ok(result.uploads.into_iter().map(entry).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        let action = ListMultipartUploads { bucket: "b", prefix: "" };
        assert_eq!(wire(&action), "GET /b?uploads=");
        let action = ListMultipartUploads { prefix: "hf/x", ..action };
        assert_eq!(wire(&action), "GET /b?prefix=hf%2Fx&uploads=");
    }

    #[test]
    fn uploads_are_read() {
        let body = "<ListMultipartUploadsResult><Bucket>b</Bucket><IsTruncated>false</IsTruncated>\
            <Upload><Key>hf/x</Key><UploadId>u1</UploadId></Upload></ListMultipartUploadsResult>";
        let entry = UploadEntry { key: "hf/x".into(), upload_id: "u1".into() };
        assert_eq!(ListMultipartUploads::parse(body.as_bytes()).unwrap(), [entry]);
        assert!(ListMultipartUploads::parse(b"<Error><Code>SlowDown</Code></Error>").is_err());
    }
}
