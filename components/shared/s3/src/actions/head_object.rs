use super::Action;
use crate::Request;

/// Asks for an object's metadata. Errors have a status and no body.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadObject<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// Whether the answer shall carry the stored digests, as `x-amz-checksum-*`.
    pub checksum_mode: bool,
}

impl Action for HeadObject<'_> {
    fn request(&self) -> Request<'_> {
        let request = Request::on_object("HEAD", self.bucket, self.key);
        if self.checksum_mode {
            request.with_header("x-amz-checksum-mode", "ENABLED")
        } else {
            request
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        let mut action = HeadObject { bucket: "b", key: "a/b", checksum_mode: false };
        assert_eq!(wire(&action), "HEAD /b/a/b");
        action.checksum_mode = true;
        assert_eq!(wire(&action), "HEAD /b/a/b\nx-amz-checksum-mode: ENABLED");
    }
}
