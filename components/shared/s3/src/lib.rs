//! S3 without I/O: one struct per operation, signed with Signature Version 4, and the parsers of
//! the answers.
//!
//! An [`Action`] becomes a [`SignedRequest`] (signed in headers) or a presigned URL (signed in the
//! query); sending it, and the clock, are the caller's. Addressing is path-style, which SeaweedFS
//! and every other S3 server understand without DNS.
//!
//! A [`Signer`] signs many requests with one derived key.
//!
//! Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>

mod actions;
pub mod answers;
mod checksum;
mod credentials;
mod endpoint;
mod error;
mod request;
mod signer;
mod sigv4;

pub use actions::{
    AbortMultipartUpload, Action, CompleteMultipartUpload, CopyObject, CorsRule, CreateBucket,
    CreateMultipartUpload, DeleteBucket, DeleteBucketCors, DeleteObject, GetBucketCors, GetObject,
    HeadBucket, HeadObject, ListMultipartUploads, ListObjectsV2, ListObjectsV2Page,
    ListObjectsV2ParseError, ListParts, ListPartsPage, MAX_PART_NUMBER, ObjectEntry, PartEntry,
    PartNumber, PutBucketCors, PutObject, UploadEntry, UploadPart,
};
pub use checksum::{Checksum, ChecksumAlgorithm};
pub use credentials::Credentials;
pub use endpoint::{Endpoint, EndpointError};
pub use error::{S3Error, parse_error};
pub use request::{MAX_PRESIGN_EXPIRES, PresignError, Request, SignedRequest};
pub use signer::Signer;
pub use sigv4::SigningKey;
