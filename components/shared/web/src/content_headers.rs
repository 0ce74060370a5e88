//! What a request says of its content besides the type: kept with the version and given back.

use holdfast_core::error::Error;
use holdfast_core::ports::ContentHeaders;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LANGUAGE};
use http::{HeaderMap, HeaderName};

use crate::header;

/// Longest value of each of them, in bytes.
pub const MAX_CONTENT_HEADER_BYTES: usize = 1_024;

/// The Cache-Control, Content-Disposition and Content-Language of a request. An empty one is none.
///
/// # Errors
/// [`Code::InvalidArgument`](holdfast_core::error::Code::InvalidArgument): sent twice, too long, or
/// not visible ASCII.
pub fn from_headers(headers: &HeaderMap) -> Result<ContentHeaders, Error> {
    Ok(ContentHeaders {
        cache_control: value(headers, &CACHE_CONTROL)?,
        content_disposition: value(headers, &CONTENT_DISPOSITION)?,
        content_language: value(headers, &CONTENT_LANGUAGE)?,
    })
}

fn value(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Error> {
    let value = header::single(headers, name)?.filter(|value| !value.is_empty());
    if value.is_some_and(|value| value.len() > MAX_CONTENT_HEADER_BYTES) {
        let why = format!("is longer than {MAX_CONTENT_HEADER_BYTES} bytes");
        return Err(header::malformed(name, &why));
    }
    Ok(value.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn they_are_kept_as_they_come() {
        let mut headers = HeaderMap::new();
        assert_eq!(from_headers(&headers).expect("none"), ContentHeaders::default());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(""));
        let read = from_headers(&headers).expect("valid");
        assert_eq!(read.cache_control.as_deref(), Some("max-age=60"));
        assert_eq!(read.content_language, None);

        headers.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        assert!(from_headers(&headers).is_err());
        let long = "x".repeat(MAX_CONTENT_HEADER_BYTES + 1);
        headers.insert(CACHE_CONTROL, HeaderValue::try_from(long).expect("a value"));
        assert!(from_headers(&headers).is_err());
    }
}
