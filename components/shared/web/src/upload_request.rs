//! An upload as its headers describe it; the fields of a form are read as the headers of their file.

use holdfast_core::error::Error;
use holdfast_core::names::{BucketName, ObjectKey};
use holdfast_core::ports::Caller;
use holdfast_core::upload::Upload;
use http::HeaderMap;

use crate::conditional::{EntityTags, Preconditions};
use crate::idempotency::IdempotencyKey;
use crate::{content_headers, content_type, digests, metadata};

/// Everything but the length and the Idempotency-Key, which belong to a request and not to a file.
///
/// # Errors
/// [`holdfast_core::error::Code::InvalidArgument`] and the like: a header that is none of its kind.
pub fn upload(
    caller: &Caller,
    bucket: BucketName,
    key: ObjectKey,
    headers: &HeaderMap,
) -> Result<Upload, Error> {
    let conditions = Preconditions::from_headers(headers)?;
    Ok(Upload {
        caller: caller.clone(),
        bucket,
        key,
        length: None,
        content_type: content_type::from_headers(headers)?.map(str::to_owned),
        user_metadata: metadata::from_headers(headers)?,
        if_match: conditions.if_match.as_ref().map(EntityTags::canonical).transpose()?,
        if_none_match: conditions.if_none_match.as_ref().map(EntityTags::canonical).transpose()?,
        headers: content_headers::from_headers(headers)?,
        declared: digests::from_headers(headers)?,
        wants_sha256: digests::wants_sha256(headers),
        idempotency_key: None,
        may_be_long: false,
    })
}

/// The same of a request whose body is the file, with what belongs to it alone.
///
/// # Errors
/// As [`upload`].
pub fn whole(
    caller: &Caller,
    bucket: BucketName,
    key: ObjectKey,
    headers: &HeaderMap,
    length: Option<u64>,
) -> Result<Upload, Error> {
    let upload = upload(caller, bucket, key, headers)?;
    let idempotency_key = IdempotencyKey::from_headers(headers)?;
    let idempotency_key = idempotency_key.map(|key| key.as_str().to_owned());
    Ok(Upload { length, idempotency_key, ..upload })
}
