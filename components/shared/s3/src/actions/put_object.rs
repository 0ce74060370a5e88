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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChecksumAlgorithm, actions::tests::wire};

    #[test]
    fn on_the_wire() {
        let action =
            PutObject { bucket: "b", key: "k", content_type: "text/plain", ..PutObject::default() };
        assert_eq!(
            wire(&action),
            "PUT /b/k\ncontent-type: text/plain\nx-amz-content-sha256: UNSIGNED-PAYLOAD"
        );
        let action = PutObject {
            content_length: Some(0),
            checksum: Some(Checksum::Compute(ChecksumAlgorithm::Crc64Nvme)),
            headers: &[
                ("If-None-Match", "*"),
                ("Content-Type", "text/html"),
                ("HOST", "evil.test"),
            ],
            ..action
        };
        assert_eq!(
            wire(&action),
            "PUT /b/k\ncontent-length: 0\ncontent-type: text/plain\nif-none-match: *\n\
             x-amz-content-sha256: UNSIGNED-PAYLOAD\nx-amz-sdk-checksum-algorithm: CRC64NVME"
        );
    }

    #[test]
    fn a_known_digest_is_sent_to_be_verified() {
        for (algorithm, header) in [
            (ChecksumAlgorithm::Crc32, "x-amz-checksum-crc32"),
            (ChecksumAlgorithm::Crc32c, "x-amz-checksum-crc32c"),
            (ChecksumAlgorithm::Crc64Nvme, "x-amz-checksum-crc64nvme"),
            (ChecksumAlgorithm::Sha1, "x-amz-checksum-sha1"),
            (ChecksumAlgorithm::Sha256, "x-amz-checksum-sha256"),
        ] {
            let checksum = Some(Checksum::Verify { algorithm, value_base64: "AAAA" });
            let wire = wire(&PutObject { checksum, ..PutObject::default() });
            assert!(
                wire.contains(&format!("\n{header}: AAAA\n"))
                    || wire.ends_with(&format!("\n{header}: AAAA")),
                "{wire}"
            );
        }
    }
}
