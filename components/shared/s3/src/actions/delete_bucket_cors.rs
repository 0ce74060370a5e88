use super::Action;
use crate::Request;

/// Forgets what was said of pages of other origins: the server's own setting counts again. 204, also where nothing was
/// said.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteBucketCors.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct DeleteBucketCors<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
}

impl Action for DeleteBucketCors<'_> {
    fn request(&self) -> Request<'_> {
        Request::on_bucket("DELETE", self.bucket).with_query("cors", "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        // Without the sub-resource this would delete the bucket.
        assert_eq!(wire(&DeleteBucketCors { bucket: "b" }), "DELETE /b?cors=");
    }
}
