use super::Action;
use super::multipart::on_upload;
use crate::Request;

/// Gives an upload up and frees its parts.
///
/// Never send it where a Complete of the same upload may have been sent and its object be needed: SeaweedFS
/// then frees the bytes of the finished object, which shows only after the next vacuum.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct AbortMultipartUpload<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// The upload.
    pub upload_id: &'a str,
}

impl Action for AbortMultipartUpload<'_> {
    fn request(&self) -> Request<'_> {
        on_upload("DELETE", self.bucket, self.key, self.upload_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        let action = AbortMultipartUpload { bucket: "b", key: "k", upload_id: "u" };
        assert_eq!(wire(&action), "DELETE /b/k?uploadId=u");
        // An empty id must not delete the key.
        let action = AbortMultipartUpload { upload_id: "", ..action };
        assert_eq!(wire(&action), "DELETE /b/k?uploadId=none");
    }
}
