use super::Action;
use crate::Request;

/// Deletes a bucket.
///
/// One that is not empty answers 409 `BucketNotEmpty`, or, where SeaweedFS runs without
/// `-s3.allowDeleteBucketNotEmpty=false`, goes with all that it holds: look into it first.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucket.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct DeleteBucket<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
}

impl Action for DeleteBucket<'_> {
    fn request(&self) -> Request<'_> {
        Request::on_bucket("DELETE", self.bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        assert_eq!(wire(&DeleteBucket { bucket: "documents" }), "DELETE /documents");
    }
}
