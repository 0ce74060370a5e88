//! The one table of errors: a code, its HTTP status, and what the client may read.

use std::collections::BTreeMap;
use std::fmt;

/// Error codes. The S3 name where S3 has one, so that S3 clients know what to do.
///
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The principal may not do this.
    AccessDenied,
    /// The digest or length of what arrived is not what was declared.
    BadDigest,
    /// The bucket's name is taken: by somebody else's, by one with another policy, or in the store.
    BucketAlreadyExists,
    /// The bucket is being made or deleted.
    BucketNotActive,
    /// The bucket holds something; `counts` says what.
    BucketNotEmpty,
    /// The body of a PATCH is not what its Upload-Checksum says.
    ChecksumMismatch,
    /// The body is larger than the limit named by `rule`.
    EntityTooLarge,
    /// A part but the last is smaller than the limit named by `rule`.
    EntityTooSmall,
    /// The bearer token is past its `exp`, or the API key past its end.
    ExpiredToken,
    /// The first request under this Idempotency-Key is still under way.
    IdempotencyKeyInUse,
    /// The Idempotency-Key belongs to a request that asked for something else.
    IdempotencyKeyReused,
    /// The body ended before its declared length.
    IncompleteBody,
    /// Something broke on our side.
    InternalError,
    /// A parameter, header or name is not valid; the message says which.
    InvalidArgument,
    /// A bucket name is not valid.
    InvalidBucketName,
    /// The content type is not one that the bucket takes.
    InvalidContentType,
    /// A digest that the client declares is malformed, or two that it declares differ.
    InvalidDigest,
    /// The content is no image, not a whole one, or not as large or small as the bucket takes.
    InvalidImage,
    /// A part of an upload is missing, or is not the one that was stored.
    InvalidPart,
    /// The parts are not named in ascending order.
    InvalidPartOrder,
    /// The range starts behind the end.
    InvalidRange,
    /// A tag is not valid, or there are too many.
    InvalidTag,
    /// The bearer token is malformed, not signed by its issuer, or not for us; the API key is unknown or revoked.
    InvalidToken,
    /// The key is longer than 1,024 bytes or a segment of it longer than the store takes.
    KeyTooLongError,
    /// A body that is no well-formed `multipart/form-data`. S3 names it `MalformedPOSTRequest`.
    MalformedForm,
    /// The headers for user metadata are larger than the limit.
    MetadataTooLarge,
    /// The route does not answer this method.
    MethodNotAllowed,
    /// A token is needed and none was sent.
    MissingAuthentication,
    /// A part is sent without its Content-Length.
    MissingContentLength,
    /// There is no such API key, or it is not for this principal to know.
    NoSuchApiKey,
    /// There is no such batch, or it is not for this principal to know.
    NoSuchBatch,
    /// There is no such bucket.
    NoSuchBucket,
    /// There is no such signed URL, share link or upload token, or it is not for this principal to know.
    NoSuchGrant,
    /// There is no such object, or it is not for this principal to know.
    NoSuchKey,
    /// There is no such renaming of a folder, or it is not for this principal to know.
    NoSuchRename,
    /// There is no such route.
    NoSuchRoute,
    /// There is no such template, or it is not for this principal to know.
    NoSuchTemplate,
    /// The upload was aborted or its lease ran out.
    NoSuchUpload,
    /// There is no such version of the object.
    NoSuchVersion,
    /// It cannot be called back: it works without asking us.
    NotRevocable,
    /// A presigned PUT is to be completed, and nothing was put yet.
    NotUploaded,
    /// The upload goes on at another offset.
    OffsetMismatch,
    /// If-Match or If-None-Match does not hold.
    PreconditionFailed,
    /// A quota would be passed.
    QuotaExceeded,
    /// The client sent its body too slowly or stopped.
    RequestTimeout,
    /// PostgreSQL, SeaweedFS or the key-value store does not answer; try again.
    ServiceUnavailable,
    /// Too many requests; try again later.
    SlowDown,
    /// The request speaks another version of TUS.
    UnsupportedVersion,
    /// The upload is being completed, which nothing can change any more.
    UploadCompleting,
    /// The upload was ended without an object: given up, or its time was over.
    UploadGone,
    /// Somebody else took the upload over.
    UploadTakenOver,
}

impl Code {
    /// Every code, for tests and for the OpenAPI document.
    pub const ALL: [Self; 51] = [
        Self::AccessDenied,
        Self::BadDigest,
        Self::BucketAlreadyExists,
        Self::BucketNotActive,
        Self::BucketNotEmpty,
        Self::ChecksumMismatch,
        Self::EntityTooLarge,
        Self::EntityTooSmall,
        Self::ExpiredToken,
        Self::IdempotencyKeyInUse,
        Self::IdempotencyKeyReused,
        Self::IncompleteBody,
        Self::InternalError,
        Self::InvalidArgument,
        Self::InvalidBucketName,
        Self::InvalidContentType,
        Self::InvalidDigest,
        Self::InvalidImage,
        Self::InvalidPart,
        Self::InvalidPartOrder,
        Self::InvalidRange,
        Self::InvalidTag,
        Self::InvalidToken,
        Self::KeyTooLongError,
        Self::MalformedForm,
        Self::MetadataTooLarge,
        Self::MethodNotAllowed,
        Self::MissingAuthentication,
        Self::MissingContentLength,
        Self::NoSuchApiKey,
        Self::NoSuchBatch,
        Self::NoSuchBucket,
        Self::NoSuchGrant,
        Self::NoSuchKey,
        Self::NoSuchRename,
        Self::NoSuchRoute,
        Self::NoSuchTemplate,
        Self::NoSuchUpload,
        Self::NoSuchVersion,
        Self::NotRevocable,
        Self::NotUploaded,
        Self::OffsetMismatch,
        Self::PreconditionFailed,
        Self::QuotaExceeded,
        Self::RequestTimeout,
        Self::ServiceUnavailable,
        Self::SlowDown,
        Self::UnsupportedVersion,
        Self::UploadCompleting,
        Self::UploadGone,
        Self::UploadTakenOver,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDenied",
            Self::BadDigest => "BadDigest",
            Self::BucketAlreadyExists => "BucketAlreadyExists",
            Self::BucketNotActive => "BucketNotActive",
            Self::BucketNotEmpty => "BucketNotEmpty",
            Self::ChecksumMismatch => "ChecksumMismatch",
            Self::EntityTooLarge => "EntityTooLarge",
            Self::EntityTooSmall => "EntityTooSmall",
            Self::ExpiredToken => "ExpiredToken",
            Self::IdempotencyKeyInUse => "IdempotencyKeyInUse",
            Self::IdempotencyKeyReused => "IdempotencyKeyReused",
            Self::IncompleteBody => "IncompleteBody",
            Self::InternalError => "InternalError",
            Self::InvalidArgument => "InvalidArgument",
            Self::InvalidBucketName => "InvalidBucketName",
            Self::InvalidContentType => "InvalidContentType",
            Self::InvalidDigest => "InvalidDigest",
            Self::InvalidImage => "InvalidImage",
            Self::InvalidPart => "InvalidPart",
            Self::InvalidPartOrder => "InvalidPartOrder",
            Self::InvalidRange => "InvalidRange",
            Self::InvalidTag => "InvalidTag",
            Self::InvalidToken => "InvalidToken",
            Self::KeyTooLongError => "KeyTooLongError",
            Self::MalformedForm => "MalformedPOSTRequest",
            Self::MetadataTooLarge => "MetadataTooLarge",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::MissingAuthentication => "MissingAuthentication",
            Self::MissingContentLength => "MissingContentLength",
            Self::NoSuchApiKey => "NoSuchApiKey",
            Self::NoSuchBatch => "NoSuchBatch",
            Self::NoSuchBucket => "NoSuchBucket",
            Self::NoSuchGrant => "NoSuchGrant",
            Self::NoSuchKey => "NoSuchKey",
            Self::NoSuchRename => "NoSuchRename",
            Self::NoSuchRoute => "NoSuchRoute",
            Self::NoSuchTemplate => "NoSuchTemplate",
            Self::NoSuchUpload => "NoSuchUpload",
            Self::NoSuchVersion => "NoSuchVersion",
            Self::NotRevocable => "NotRevocable",
            Self::NotUploaded => "NotUploaded",
            Self::OffsetMismatch => "OffsetMismatch",
            Self::PreconditionFailed => "PreconditionFailed",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::RequestTimeout => "RequestTimeout",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::SlowDown => "SlowDown",
            Self::UnsupportedVersion => "UnsupportedVersion",
            Self::UploadCompleting => "UploadCompleting",
            Self::UploadGone => "UploadGone",
            Self::UploadTakenOver => "UploadTakenOver",
        }
    }

    /// The HTTP status it is answered with.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadDigest
            | Self::EntityTooSmall
            | Self::IncompleteBody
            | Self::InvalidArgument
            | Self::InvalidBucketName
            | Self::InvalidDigest
            | Self::InvalidPart
            | Self::InvalidPartOrder
            | Self::InvalidTag
            | Self::KeyTooLongError
            | Self::MalformedForm
            | Self::MetadataTooLarge => 400,
            Self::ExpiredToken | Self::InvalidToken | Self::MissingAuthentication => 401,
            Self::AccessDenied | Self::QuotaExceeded => 403,
            Self::NoSuchApiKey
            | Self::NoSuchBatch
            | Self::NoSuchBucket
            | Self::NoSuchGrant
            | Self::NoSuchKey
            | Self::NoSuchRename
            | Self::NoSuchRoute
            | Self::NoSuchTemplate
            | Self::NoSuchUpload
            | Self::NoSuchVersion => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BucketAlreadyExists
            | Self::BucketNotActive
            | Self::BucketNotEmpty
            | Self::IdempotencyKeyInUse
            | Self::NotRevocable
            | Self::NotUploaded
            | Self::OffsetMismatch
            | Self::UploadCompleting
            | Self::UploadTakenOver => 409,
            Self::UploadGone => 410,
            Self::MissingContentLength => 411,
            Self::PreconditionFailed | Self::UnsupportedVersion => 412,
            Self::EntityTooLarge => 413,
            Self::InvalidContentType => 415,
            Self::InvalidRange => 416,
            Self::IdempotencyKeyReused | Self::InvalidImage => 422,
            Self::SlowDown => 429,
            Self::ChecksumMismatch => 460,
            Self::InternalError => 500,
            Self::ServiceUnavailable => 503,
        }
    }

    /// A short title, the same for every occurrence (RFC 9457, section 3.1.4).
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::AccessDenied => "Access denied",
            Self::BadDigest => "The content does not match its digest",
            Self::BucketAlreadyExists => "The bucket exists already",
            Self::BucketNotActive => "The bucket is being made or deleted",
            Self::BucketNotEmpty => "The bucket is not empty",
            Self::ChecksumMismatch => "The content does not match its checksum",
            Self::EntityTooLarge => "The content is too large",
            Self::EntityTooSmall => "A part is too small",
            Self::ExpiredToken => "The token has expired",
            Self::IdempotencyKeyInUse => "The first request is still under way",
            Self::IdempotencyKeyReused => "The idempotency key belongs to another request",
            Self::IncompleteBody => "The body ended early",
            Self::InternalError => "Internal error",
            Self::InvalidArgument => "Invalid argument",
            Self::InvalidBucketName => "Invalid bucket name",
            Self::InvalidContentType => "This content type is not accepted",
            Self::InvalidDigest => "A declared digest is not valid",
            Self::InvalidImage => "The image is not accepted",
            Self::InvalidPart => "A part is missing or another one",
            Self::InvalidPartOrder => "The parts are out of order",
            Self::InvalidRange => "The range cannot be satisfied",
            Self::InvalidTag => "A tag is not valid",
            Self::InvalidToken => "Invalid token",
            Self::KeyTooLongError => "The key is too long",
            Self::MalformedForm => "The form is malformed",
            Self::MetadataTooLarge => "The metadata is too large",
            Self::MethodNotAllowed => "Method not allowed",
            Self::MissingAuthentication => "Authentication is required",
            Self::MissingContentLength => "A Content-Length is required",
            Self::NoSuchApiKey => "No such API key",
            Self::NoSuchBatch => "No such batch",
            Self::NoSuchBucket => "No such bucket",
            Self::NoSuchGrant => "No such grant",
            Self::NoSuchKey => "No such object",
            Self::NoSuchRename => "No such renaming",
            Self::NoSuchRoute => "No such route",
            Self::NoSuchTemplate => "No such template",
            Self::NoSuchUpload => "No such upload",
            Self::NoSuchVersion => "No such version",
            Self::NotRevocable => "It cannot be called back",
            Self::NotUploaded => "Nothing was uploaded yet",
            Self::OffsetMismatch => "The upload is at another offset",
            Self::PreconditionFailed => "Precondition failed",
            Self::QuotaExceeded => "Quota exceeded",
            Self::RequestTimeout => "The request took too long",
            Self::ServiceUnavailable => "Service unavailable",
            Self::SlowDown => "Too many requests",
            Self::UnsupportedVersion => "Another version of TUS",
            Self::UploadCompleting => "The upload is being completed",
            Self::UploadGone => "The upload is gone",
            Self::UploadTakenOver => "The upload was taken over",
        }
    }

    /// The code of a name that SQL or SeaweedFS gave, if it is one of ours.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

/// An error on its way to the client.
///
/// `message` is for the client and says what to do; `source` is for the log and never leaves us.
#[derive(Debug)]
pub struct Error {
    /// What went wrong.
    pub code: Code,
    /// For the client: what is wrong and how to mend it.
    pub message: String,
    /// Which rule refused, for example `policy.maxBytes`.
    pub rule: Option<String>,
    /// When to try again, in seconds.
    pub retry_after_seconds: Option<u32>,
    /// The methods that the route answers, for a 405.
    pub allow: &'static [&'static str],
    /// The size that a 416 tells, in bytes.
    pub size: Option<u64>,
    /// What there is, and how much of it, where that is the reason.
    pub counts: Option<Box<BTreeMap<String, u64>>>,
    /// For the log only.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// How long a client waits before it tries again after a 409, 429 or 503, in seconds.
pub const RETRY_AFTER_SECONDS: u32 = 2;

impl Error {
    /// An error with a message for the client.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let retry_after_seconds = matches!(
            code,
            Code::ServiceUnavailable
                | Code::SlowDown
                | Code::IdempotencyKeyInUse
                | Code::UploadCompleting
        )
        .then_some(RETRY_AFTER_SECONDS);
        Self {
            code,
            message: message.into(),
            rule: None,
            retry_after_seconds,
            allow: &[],
            size: None,
            counts: None,
            source: None,
        }
    }

    /// Names the rule that refused.
    #[must_use]
    pub fn rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Names the methods that the route answers (RFC 9110, section 15.5.6).
    #[must_use]
    pub fn allow(mut self, methods: &'static [&'static str]) -> Self {
        self.allow = methods;
        self
    }

    /// Tells the size of the object that a range lies outside of (RFC 9110, section 15.5.17).
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Tells what there is, and how much of it.
    #[must_use]
    pub fn counts(mut self, counts: BTreeMap<String, u64>) -> Self {
        self.counts = Some(Box::new(counts));
        self
    }

    /// Keeps the cause for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// A dependency does not answer; its name goes to the client, the cause to the log.
    #[must_use]
    pub fn unavailable(
        what: &str,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::new(
            Code::ServiceUnavailable,
            format!("{what} does not answer; nothing was lost, try again"),
        )
        .because(cause)
    }

    /// A fault of ours: the client learns nothing but the request id.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(Code::InternalError, "An internal error occurred; quote the request id")
            .because(cause)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)?;
        if let Some(source) = &self.source {
            write!(f, " ({source})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once_and_found_by_its_name() {
        for code in Code::ALL {
            assert_eq!(Code::from_name(code.as_str()), Some(code));
            assert!((400..=599).contains(&code.status()), "{}", code.as_str());
            assert!(!code.title().is_empty());
        }
        let mut names: Vec<_> = Code::ALL.map(Code::as_str).to_vec();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn the_cause_is_in_the_log_and_not_in_the_message() {
        let error = Error::unavailable("The database", "password=hunter2 refused");
        assert!(!error.message.contains("hunter2"));
        assert!(error.to_string().contains("hunter2"));
        assert_eq!(error.retry_after_seconds, Some(RETRY_AFTER_SECONDS));
    }
}
