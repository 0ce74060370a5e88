use super::Action;
use crate::Request;

/// Asks whether a bucket exists and may be used: 200, 404 or 403, without a body.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadBucket<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
}

impl Action for HeadBucket<'_> {
    fn request(&self) -> Request<'_> {
        Request::on_bucket("HEAD", self.bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        assert_eq!(wire(&HeadBucket { bucket: "documents" }), "HEAD /documents");
    }
}
