use super::Action;
use crate::Request;

/// Deletes an object. A key that does not exist answers 204 as well.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct DeleteObject<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
}

impl Action for DeleteObject<'_> {
    fn request(&self) -> Request<'_> {
        Request::on_object("DELETE", self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        // Nothing in a key can start a query, which could name a sub-resource.
        assert_eq!(wire(&DeleteObject { bucket: "b", key: "a?acl#b" }), "DELETE /b/a%3Facl%23b");
    }
}
