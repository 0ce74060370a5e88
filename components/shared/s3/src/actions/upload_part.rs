use super::Action;
use super::multipart::{PartNumber, on_upload};
use crate::{Checksum, Request};

/// Stores one part of an upload; the same number again replaces it.
///
/// SeaweedFS keeps both bodies of a number until the upload ends: which one counts is said at
/// [`super::CompleteMultipartUpload`], by its `ETag`.
///
/// Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html>
#[derive(Clone, Copy, Debug)]
pub struct UploadPart<'a> {
    /// The bucket's name.
    pub bucket: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// The upload.
    pub upload_id: &'a str,
    /// Which part.
    pub part_number: PartNumber,
    /// The part's bytes, signed as `content-length`; `None` leaves the length open.
    pub content_length: Option<u64>,
    /// What to do about the part's digest.
    pub checksum: Option<Checksum<'a>>,
}

impl Action for UploadPart<'_> {
    fn request(&self) -> Request<'_> {
        let mut request = on_upload("PUT", self.bucket, self.key, self.upload_id)
            .with_body()
            .with_query("partNumber", self.part_number.get().to_string());
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
    use crate::ChecksumAlgorithm;
    use crate::actions::tests::wire;

    #[test]
    fn on_the_wire() {
        let action = UploadPart {
            bucket: "b",
            key: "k",
            upload_id: "a b",
            part_number: PartNumber::new(7).unwrap(),
            content_length: Some(5),
            checksum: Some(Checksum::Compute(ChecksumAlgorithm::Crc64Nvme)),
        };
        assert_eq!(
            wire(&action),
            "PUT /b/k?partNumber=7&uploadId=a%20b\ncontent-length: 5\n\
             x-amz-content-sha256: UNSIGNED-PAYLOAD\nx-amz-sdk-checksum-algorithm: CRC64NVME"
        );
    }

    /// SeaweedFS takes a part without an upload's id for a whole object, and overwrites the key.
    #[test]
    fn without_an_id_it_names_no_upload_and_never_the_key_alone() {
        let action = UploadPart {
            bucket: "b",
            key: "k",
            upload_id: "",
            part_number: PartNumber::new(1).unwrap(),
            content_length: None,
            checksum: None,
        };
        assert!(wire(&action).starts_with("PUT /b/k?partNumber=1&uploadId=none\n"));
    }
}
