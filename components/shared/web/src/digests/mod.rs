//! The digests that a client declares of what it sends, and the field that tells ours.
//!
//! Read are Content-MD5 (RFC 1864), Content-Digest and Repr-Digest (RFC 9530) and three of S3's
//! `x-amz-checksum-*`. A body is sent whole and without a Content-Range, so all of them are digests
//! of the same bytes. `x-amz-content-sha256` belongs to a signature and is not read.

mod dictionary;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use holdfast_core::digest::Digests;
use holdfast_core::error::{Code, Error};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::header;

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");
/// Tells the digests of a whole file (RFC 9530).
pub const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CHECKSUM_CRC32C: HeaderName = HeaderName::from_static("x-amz-checksum-crc32c");
const CHECKSUM_CRC64NVME: HeaderName = HeaderName::from_static("x-amz-checksum-crc64nvme");
const CHECKSUM_SHA256: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");

/// Reads the digests that a request declares. Algorithms of Content-Digest and Repr-Digest that are
/// not known here are ignored, as RFC 9530 says.
///
/// # Errors
/// [`Code::InvalidDigest`]: a malformed header or one sent twice, a value of another length than
/// its algorithm has, or two values of one algorithm that differ.
pub fn from_headers(headers: &HeaderMap) -> Result<Digests, Error> {
    let mut declared = Digests::default();
    whole(headers, &CONTENT_MD5, &mut declared.md5)?;
    whole(headers, &CHECKSUM_CRC32C, &mut declared.crc32c)?;
    whole(headers, &CHECKSUM_CRC64NVME, &mut declared.crc64nvme)?;
    whole(headers, &CHECKSUM_SHA256, &mut declared.sha256)?;
    for name in [&CONTENT_DIGEST, &REPR_DIGEST] {
        for line in headers.get_all(name) {
            // Several lines are one dictionary (RFC 9651, section 4.2), and a member that comes
            // twice is compared here instead of replaced.
            dictionary::read(name, line.as_bytes(), &mut declared)?;
        }
    }
    Ok(declared)
}

/// Whether a client wants to have a SHA-256 of what it sends: `Want-Repr-Digest: sha-256=10`
/// (RFC 9530, section 4; 0 means that it does not).
///
/// A preference and no condition, so what is malformed is ignored.
#[must_use]
pub fn wants_sha256(headers: &HeaderMap) -> bool {
    headers.get_all(WANT_REPR_DIGEST).iter().any(|line| dictionary::wants_sha256(line.as_bytes()))
}

/// The value of a Repr-Digest (RFC 9530) for digests of a stored file; `None` without one.
///
/// There are no others than these two: of the registered algorithms they alone are not deprecated,
/// and S3's CRC-64/NVME is not registered.
#[must_use]
pub fn repr_digest(sha256: Option<&[u8; 32]>, sha512: Option<&[u8; 64]>) -> Option<HeaderValue> {
    let member = |name: &str, digest: &[u8]| format!("{name}=:{}:", STANDARD.encode(digest));
    let members = [
        sha256.map(|digest| member("sha-256", digest)),
        sha512.map(|digest| member("sha-512", digest)),
    ];
    let members: Vec<_> = members.into_iter().flatten().collect();
    HeaderValue::try_from(members.join(", ")).ok().filter(|value| !value.is_empty())
}

/// Reads a header that is one digest in base64.
fn whole<const N: usize>(
    headers: &HeaderMap,
    name: &HeaderName,
    slot: &mut Option<[u8; N]>,
) -> Result<(), Error> {
    let value = header::single(headers, name)
        .map_err(|error| Error { code: Code::InvalidDigest, ..error })?;
    let Some(value) = value else { return Ok(()) };
    let bytes =
        STANDARD.decode(value).map_err(|_| invalid(name, "is not the base64 of a digest"))?;
    set(name, &bytes, slot)
}

/// Keeps a digest, if it is the only one of its algorithm or the same as the other.
fn set<const N: usize>(
    name: &HeaderName,
    bytes: &[u8],
    slot: &mut Option<[u8; N]>,
) -> Result<(), Error> {
    let digest = <[u8; N]>::try_from(bytes).map_err(|_| {
        invalid(name, &format!("has a digest of {} bytes where {N} belong", bytes.len()))
    })?;
    match slot.replace(digest) {
        Some(other) if other != digest => {
            Err(invalid(name, "has another digest than was declared before: send one of the two"))
        }
        _ => Ok(()),
    }
}

fn invalid(name: &HeaderName, why: &str) -> Error {
    Error { code: Code::InvalidDigest, ..header::malformed(name, why) }
}

#[cfg(test)]
mod tests;
