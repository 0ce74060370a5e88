//! Signature Version 4, one file per step of the specification.
//!
//! Spec: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

mod canonical_request;
mod headers;
mod signature;
mod signing_key;
mod string_to_sign;
mod uri_encode;
#[cfg(test)]
pub(crate) mod vectors;

pub(crate) use canonical_request::{CanonicalRequest, canonical_query, canonical_request};
pub(crate) use headers::Headers;
pub(crate) use signature::signature;
pub use signing_key::SigningKey;
pub(crate) use string_to_sign::{Scope, string_to_sign, timestamp, utc_date};
pub(crate) use uri_encode::{uri_encode, uri_encode_path};

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The SHA-256 of nothing.
pub(crate) const EMPTY_PAYLOAD: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// All the steps in their order.
pub(crate) fn sign(
    request: &CanonicalRequest<'_>,
    timestamp: &str,
    scope: Scope<'_>,
    key: &SigningKey,
) -> String {
    let canonical_request = canonical_request(request);
    let string_to_sign = string_to_sign(timestamp, scope, &canonical_request);
    signature(key, &string_to_sign)
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)].into());
        out.push(DIGITS[usize::from(byte & 15)].into());
    }
}
