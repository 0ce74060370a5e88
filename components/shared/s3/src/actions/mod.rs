//! The S3 operations, one file each, named as the specification names them.

use std::time::Duration;

use time::OffsetDateTime;

use crate::{Credentials, Endpoint, PresignError, Request, SignedRequest, signer::derive};

mod abort_multipart_upload;
mod complete_multipart_upload;
mod copy_object;
mod create_bucket;
mod create_multipart_upload;
mod delete_bucket;
mod delete_bucket_cors;
mod delete_object;
mod get_bucket_cors;
mod get_object;
mod head_bucket;
mod head_object;
mod list_multipart_uploads;
mod list_objects_v2;
mod list_parts;
mod multipart;
mod put_bucket_cors;
mod put_object;
mod upload_part;

pub use abort_multipart_upload::AbortMultipartUpload;
pub use complete_multipart_upload::CompleteMultipartUpload;
pub use copy_object::CopyObject;
pub use create_bucket::CreateBucket;
pub use create_multipart_upload::CreateMultipartUpload;
pub use delete_bucket::DeleteBucket;
pub use delete_bucket_cors::DeleteBucketCors;
pub use delete_object::DeleteObject;
pub use get_bucket_cors::GetBucketCors;
pub use get_object::GetObject;
pub use head_bucket::HeadBucket;
pub use head_object::HeadObject;
pub use list_multipart_uploads::{ListMultipartUploads, UploadEntry};
pub use list_objects_v2::{ListObjectsV2, ListObjectsV2Page, ListObjectsV2ParseError, ObjectEntry};
pub use list_parts::{ListParts, ListPartsPage, PartEntry};
pub use multipart::{MAX_PART_NUMBER, PartNumber};
pub use put_bucket_cors::{CorsRule, PutBucketCors};
pub use put_object::PutObject;
pub use upload_part::UploadPart;

/// An S3 operation that can be signed. Signing is pure: `at` is the time of sending, which the
/// server accepts within 15 minutes of its own clock.
pub trait Action {
    /// The request before it is signed.
    fn request(&self) -> Request<'_>;

    /// Signs the operation in its headers.
    fn sign(
        &self,
        endpoint: &Endpoint,
        credentials: &Credentials,
        at: OffsetDateTime,
    ) -> SignedRequest {
        let key = derive(endpoint, credentials, at);
        self.request().sign(endpoint, credentials.access_key_id(), &key, at)
    }

    /// Makes an absolute URL with which anyone may do the operation until `at + expires`.
    ///
    /// [`Request::headers`] are signed too and have to be sent with it, unchanged. Parts of a
    /// second of `expires` are dropped.
    ///
    /// # Errors
    /// [`PresignError::Expires`]: not 1 second to 7 days.
    fn presign(
        &self,
        endpoint: &Endpoint,
        credentials: &Credentials,
        at: OffsetDateTime,
        expires: Duration,
    ) -> Result<String, PresignError> {
        let key = derive(endpoint, credentials, at);
        self.request().presign(endpoint, credentials.access_key_id(), &key, at, expires)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What goes over the wire, one line each, without what depends on time and key.
    pub(crate) fn wire(action: &impl Action) -> String {
        let endpoint = Endpoint::parse("http://127.0.0.1:8333", "us-east-1").unwrap();
        let credentials = Credentials::new("id", "secret");
        let signed = action.sign(&endpoint, &credentials, OffsetDateTime::UNIX_EPOCH);
        let mut lines = vec![format!("{} {}", signed.method, signed.path_and_query)];
        for (name, value) in signed.headers {
            match name.as_str() {
                "authorization" | "x-amz-date" => {}
                "x-amz-content-sha256" if value == crate::sigv4::EMPTY_PAYLOAD => {}
                _ => lines.push(format!("{name}: {value}")),
            }
        }
        lines.join("\n")
    }
}
