//! The headers and paths of the TUS protocol.
//!
//! Spec: <https://tus.io/protocols/resumable-upload>, version 1.0.0.

mod concat;
mod metadata;

pub use concat::{Concat, Upload};
use holdfast_core::checksum::{Algorithm, Checksum};
use holdfast_core::error::{Code, Error};
use holdfast_core::limits::MAX_OBJECT_BYTES;
use holdfast_core::names::VersionId;
use http::header::{CONTENT_TYPE, TRAILER};
use http::{HeaderMap, HeaderName, Method};
pub use metadata::{MAX_METADATA_BYTES, Metadata};

use crate::header::{malformed, single};

/// What the paths begin with.
pub const ROUTE: &str = "/v1/tus";

/// The one version of the protocol.
pub const VERSION: &str = "1.0.0";

/// The extensions that are there.
pub const EXTENSIONS: &str = "creation,creation-with-upload,creation-defer-length,expiration,checksum,checksum-trailer,termination,concatenation";

/// The content type of a body that is bytes of an upload.
pub const OFFSET_OCTET_STREAM: &str = "application/offset+octet-stream";

/// `Tus-Resumable`
pub const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
/// `Tus-Version`
pub const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
/// `Tus-Extension`
pub const TUS_EXTENSION: HeaderName = HeaderName::from_static("tus-extension");
/// `Tus-Max-Size`
pub const TUS_MAX_SIZE: HeaderName = HeaderName::from_static("tus-max-size");
/// `Tus-Checksum-Algorithm`
pub const TUS_CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("tus-checksum-algorithm");
/// `Upload-Offset`
pub const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// `Upload-Length`
pub const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
/// `Upload-Defer-Length`
pub const UPLOAD_DEFER_LENGTH: HeaderName = HeaderName::from_static("upload-defer-length");
/// `Upload-Metadata`
pub const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
/// `Upload-Concat`
pub const UPLOAD_CONCAT: HeaderName = HeaderName::from_static("upload-concat");
/// `Upload-Checksum`
pub const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");
/// `Upload-Expires`
pub const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");
/// `X-HTTP-Method-Override`
pub const METHOD_OVERRIDE: HeaderName = HeaderName::from_static("x-http-method-override");

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/v1/tus`
    Uploads,
    /// `/v1/tus/{id}`
    Upload(VersionId),
}

impl Resource {
    /// Reads a raw path; a slash at its end is none.
    ///
    /// # Errors
    /// * [`Code::NoSuchRoute`]: none of these.
    /// * [`Code::NoSuchUpload`]: the id is none.
    pub fn parse(path: &str) -> Result<Self, Error> {
        let missing = || Error::new(Code::NoSuchRoute, "There is no such route");
        let rest = path.strip_prefix(ROUTE).ok_or_else(missing)?;
        match rest.strip_prefix('/') {
            None if rest.is_empty() => Ok(Self::Uploads),
            None => Err(missing()),
            Some("") => Ok(Self::Uploads),
            Some(id) if id.contains('/') => Err(missing()),
            Some(id) => VersionId::parse(id)
                .map(Self::Upload)
                .map_err(|_| Error::new(Code::NoSuchUpload, "There is no such upload")),
        }
    }
}

/// The method that counts: `X-HTTP-Method-Override` stands for one that a client or a proxy cannot send.
///
/// # Errors
/// [`Code::InvalidArgument`]: it is none.
pub fn method(method: &Method, headers: &HeaderMap) -> Result<Method, Error> {
    match single(headers, &METHOD_OVERRIDE)? {
        Some(name) if *method == Method::POST => {
            let wrong = || malformed(&METHOD_OVERRIDE, "names none of POST, HEAD, PATCH, DELETE");
            let method = name.to_ascii_uppercase().parse().map_err(|_| wrong())?;
            match method {
                Method::POST | Method::HEAD | Method::PATCH | Method::DELETE => Ok(method),
                _ => Err(wrong()),
            }
        }
        _ => Ok(method.clone()),
    }
}

/// Whether the client speaks our version.
///
/// # Errors
/// [`Code::UnsupportedVersion`].
pub fn check_version(headers: &HeaderMap) -> Result<(), Error> {
    if single(headers, &TUS_RESUMABLE).ok().flatten() == Some(VERSION) {
        return Ok(());
    }
    let message = format!("Send the header Tus-Resumable: {VERSION}");
    Err(Error::new(Code::UnsupportedVersion, message))
}

/// A number of bytes in a header.
///
/// # Errors
/// * [`Code::InvalidArgument`]: not a whole number from 0.
/// * [`Code::EntityTooLarge`]: above [`MAX_OBJECT_BYTES`].
pub fn bytes(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Error> {
    let Some(text) = single(headers, name)? else { return Ok(None) };
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed(name, "is not a whole number from 0"));
    }
    // More digits than fit are a larger number than may be.
    match text.parse() {
        Ok(bytes) if bytes <= MAX_OBJECT_BYTES => Ok(Some(bytes)),
        _ => {
            let message = format!("An upload may have at most {MAX_OBJECT_BYTES} bytes");
            Err(Error::new(Code::EntityTooLarge, message).rule("limits.maxObjectBytes"))
        }
    }
}

/// The length that a new upload declares; `None` if it is told later.
///
/// # Errors
/// As [`bytes`], and [`Code::InvalidArgument`]: neither or both.
pub fn length(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let deferred = match single(headers, &UPLOAD_DEFER_LENGTH)? {
        None => false,
        Some("1") => true,
        Some(_) => return Err(malformed(&UPLOAD_DEFER_LENGTH, "is 1 or left out")),
    };
    match (bytes(headers, &UPLOAD_LENGTH)?, deferred) {
        (Some(length), false) => Ok(Some(length)),
        (None, true) => Ok(None),
        _ => {
            let message = "Send either Upload-Length, or Upload-Defer-Length: 1 if it is not known";
            Err(Error::new(Code::InvalidArgument, message))
        }
    }
}

/// Whether the body is bytes of the upload.
///
/// # Errors
/// [`Code::InvalidArgument`]: the header is malformed.
pub fn has_bytes(headers: &HeaderMap) -> Result<bool, Error> {
    Ok(single(headers, &CONTENT_TYPE)?
        .is_some_and(|it| it.eq_ignore_ascii_case(OFFSET_OCTET_STREAM)))
}

/// The digest that a request declares of its body.
///
/// # Errors
/// As [`checksum`].
pub fn declared_checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Error> {
    single(headers, &UPLOAD_CHECKSUM)?.map(checksum).transpose()
}

/// Whether the digest comes behind the body.
#[must_use]
pub fn checksum_trails(headers: &HeaderMap) -> bool {
    headers
        .get_all(TRAILER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case(UPLOAD_CHECKSUM.as_str()))
}

/// Reads `Upload-Checksum`: an algorithm, a space, the value in base64.
///
/// # Errors
/// [`Code::InvalidDigest`]: another algorithm, or no value of it. The protocol wants 400 for both.
pub fn checksum(text: &str) -> Result<Checksum, Error> {
    let wrong = || {
        let names = Algorithm::ALL.map(Algorithm::as_str).join(", ");
        let message = format!(
            "Upload-Checksum is one of {names}, a space, and the digest of the body in base64"
        );
        Error::new(Code::InvalidDigest, message)
    };
    let (name, value) = text.trim().split_once(' ').ok_or_else(wrong)?;
    let algorithm = Algorithm::from_name(name).ok_or_else(wrong)?;
    let value = metadata::base64(value.trim_start()).ok_or_else(wrong)?;
    if value.len() != algorithm.length() {
        return Err(wrong());
    }
    Ok(Checksum { algorithm, value })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).clone(), HeaderValue::from_str(value).expect("a value")));
        pairs.collect()
    }

    #[test]
    fn paths_lead_to_uploads() {
        let id = "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42";
        let upload = Resource::Upload(VersionId::parse(id).expect("an id"));
        for (path, wanted) in [
            ("/v1/tus", Ok(Resource::Uploads)),
            ("/v1/tus/", Ok(Resource::Uploads)),
            (&*format!("/v1/tus/{id}"), Ok(upload)),
            (&*format!("/v1/tus/{id}/x"), Err(Code::NoSuchRoute)),
            ("/v1/tusk", Err(Code::NoSuchRoute)),
            ("/v1/tus/x", Err(Code::NoSuchUpload)),
        ] {
            assert_eq!(Resource::parse(path).map_err(|e| e.code), wanted, "{path}");
        }
    }

    #[test]
    fn a_post_may_stand_for_another_method() {
        let over = |name| headers(&[(&METHOD_OVERRIDE, name)]);
        assert_eq!(method(&Method::POST, &over("patch")).expect("one"), Method::PATCH);
        assert_eq!(method(&Method::POST, &HeaderMap::new()).expect("one"), Method::POST);
        // Whoever can send the method itself needs no other.
        assert_eq!(method(&Method::HEAD, &over("DELETE")).expect("one"), Method::HEAD);
        assert_eq!(
            method(&Method::POST, &over("PUT")).expect_err("none").code,
            Code::InvalidArgument
        );
    }

    #[test]
    fn lengths_are_declared_once() {
        let length = |pairs: &[(&HeaderName, &str)]| length(&headers(pairs)).map_err(|e| e.code);
        assert_eq!(length(&[(&UPLOAD_LENGTH, "0")]), Ok(Some(0)));
        assert_eq!(length(&[(&UPLOAD_LENGTH, "5497558138880")]), Ok(Some(MAX_OBJECT_BYTES)));
        assert_eq!(length(&[(&UPLOAD_DEFER_LENGTH, "1")]), Ok(None));
        for (pairs, code) in [
            (&[][..], Code::InvalidArgument),
            (&[(&UPLOAD_DEFER_LENGTH, "2")], Code::InvalidArgument),
            (&[(&UPLOAD_LENGTH, "1"), (&UPLOAD_DEFER_LENGTH, "1")], Code::InvalidArgument),
            (&[(&UPLOAD_LENGTH, "-1")], Code::InvalidArgument),
            (&[(&UPLOAD_LENGTH, "+1")], Code::InvalidArgument),
            (&[(&UPLOAD_LENGTH, "1"), (&UPLOAD_LENGTH, "1")], Code::InvalidArgument),
            (&[(&UPLOAD_LENGTH, "5497558138881")], Code::EntityTooLarge),
            (&[(&UPLOAD_LENGTH, "99999999999999999999999999")], Code::EntityTooLarge),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in pairs {
                map.append((*name).clone(), HeaderValue::from_static(value));
            }
            assert_eq!(super::length(&map).expect_err("refused").code, code, "{pairs:?}");
        }
    }

    #[test]
    fn checksums_have_the_length_of_their_algorithm() {
        let sum = checksum("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").expect("a checksum");
        assert_eq!((sum.algorithm, sum.value.len()), (Algorithm::Sha1, 20));
        for wrong in ["", "sha1", "sha1 ", "sha1 Kq5s", "crc32 Kq5sNg==", "md5 %", "SHA1 Kq5s"] {
            assert_eq!(checksum(wrong).expect_err(wrong).code, Code::InvalidDigest);
        }
        assert!(checksum_trails(&headers(&[(&TRAILER, "x-a, Upload-Checksum")])));
        assert!(!checksum_trails(&headers(&[(&TRAILER, "x-a")])));
    }

    proptest! {
        #[test]
        fn no_checksum_makes_it_panic(text in "\\PC*") {
            let _ = checksum(&text);
        }
    }
}
