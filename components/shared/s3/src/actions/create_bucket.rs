use super::Action;
use crate::Request;

/// Creates a bucket in the endpoint's region.
///
/// One that exists answers 409, `BucketAlreadyOwnedByYou` or `BucketAlreadyExists`.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct CreateBucket<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
}

impl Action for CreateBucket<'_> {
    fn request(&self) -> Request<'_> {
        Request::on_bucket("PUT", self.bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        assert_eq!(wire(&CreateBucket { bucket: "documents" }), "PUT /documents");
    }
}
