use super::Action;
use crate::{Checksum, Request};

/// Stores a body under a key, in place of what was there.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>
#[derive(Clone, Copy, Debug, Default)]
pub struct PutObject<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// The body's media type; without one SeaweedFS sniffs the content.
    pub content_type: &'a str,
    /// The body's bytes, signed as `content-length`. `None` sends it chunked, which SeaweedFS takes
    /// and AWS does not.
    pub content_length: Option<u64>,
    /// What to do about the body's digest.
    pub checksum: Option<Checksum<'a>>,
    /// Further headers such as `if-none-match` or `x-amz-meta-*`, each name once and in ASCII. The
    /// fields above, and what signing sets, win over them.
    pub headers: &'a [(&'a str, &'a str)],
}

impl Action for PutObject<'_> {
    fn request(&self) -> Request<'_> {
        let mut request = Request::on_object("PUT", self.bucket, self.key).with_body();
        for (name, value) in self.headers {
            request = request.with_header(name, *value);
        }
        request = request.with_header("content-type", self.content_type);
        if let Some(bytes) = self.content_length {
            request = request.with_header("content-length", bytes.to_string());
        }
        if let Some((name, value)) = self.checksum.map(Checksum::header) {
            request = request.with_header(name, value);
        }
        request
    }
}
