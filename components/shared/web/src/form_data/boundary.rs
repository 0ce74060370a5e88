//! What separates the parts of a form.

use holdfast_core::error::{Code, Error};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::malformed;
use super::parameters::{OWS, parameters};
use crate::header;

/// Longest boundary, in characters (RFC 2046, section 5.1.1).
pub const MAX_BOUNDARY_BYTES: usize = 70;

/// The boundary of a form: 1 to [`MAX_BOUNDARY_BYTES`] printable ASCII characters, the last no space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary(String);

impl Boundary {
    /// The boundary that the Content-Type of a request names.
    ///
    /// # Errors
    /// As [`Boundary::parse`]; [`Code::InvalidContentType`] also without a Content-Type, and
    /// [`Code::InvalidArgument`] with two.
    pub fn from_content_type(headers: &HeaderMap) -> Result<Self, Error> {
        Self::parse(header::single(headers, &CONTENT_TYPE)?.unwrap_or_default())
    }

    /// The boundary that a Content-Type names.
    ///
    /// # Errors
    /// * [`Code::InvalidContentType`]: not `multipart/form-data`.
    /// * [`Code::MalformedForm`]: the boundary is missing, named twice, too long, or has characters
    ///   that no boundary may have.
    pub fn parse(content_type: &str) -> Result<Self, Error> {
        let at = content_type.find(';').unwrap_or(content_type.len());
        let (essence, rest) = content_type.split_at(at);
        if !essence.trim_matches(OWS).eq_ignore_ascii_case("multipart/form-data") {
            return Err(Error::new(
                Code::InvalidContentType,
                "A form is sent with Content-Type: multipart/form-data; boundary=...",
            ));
        }
        let all = parameters(rest)
            .ok_or_else(|| malformed("The parameters of the Content-Type are malformed"))?;
        let mut found = all.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("boundary"));
        match (found.next(), found.next()) {
            (Some((_, boundary)), None) => Self::new(boundary),
            (None, _) => Err(malformed(
                "The Content-Type has no boundary: let the client library set this header",
            )),
            (Some(_), Some(_)) => Err(malformed("The Content-Type names two boundaries")),
        }
    }

    /// Checks a boundary.
    ///
    /// More characters are taken than RFC 2046 allows: senders use them, and none of them is CR,
    /// which is all that the parser needs.
    fn new(boundary: String) -> Result<Self, Error> {
        if !(1..=MAX_BOUNDARY_BYTES).contains(&boundary.len()) {
            return Err(malformed(format!(
                "A boundary has 1 to {MAX_BOUNDARY_BYTES} characters; this one has {}",
                boundary.len()
            )));
        }
        let is_printable = boundary.bytes().all(|b| matches!(b, b' '..=b'~'));
        if !is_printable || boundary.ends_with(' ') {
            return Err(malformed("A boundary is printable ASCII and does not end with a space"));
        }
        Ok(Self(boundary))
    }

    /// What stands between two parts: `CRLF--boundary`.
    pub(super) fn delimiter(&self) -> Vec<u8> {
        [b"\r\n--", self.0.as_bytes()].concat()
    }

    /// The boundary, without the dashes before it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn boundaries_as_clients_send_them() {
        let longest = "b".repeat(MAX_BOUNDARY_BYTES);
        for (parameter, wanted) in [
            ("boundary=----WebKitFormBoundaryAbC123", "----WebKitFormBoundaryAbC123"),
            ("Boundary=\"a b'()+_,-./:=?\"", "a b'()+_,-./:=?"),
            ("charset=utf-8; boundary=x", "x"),
            ("boundary=----=_Part_0_12.34", "----=_Part_0_12.34"),
            (&format!("boundary={longest}"), &longest),
        ] {
            let boundary = Boundary::parse(&format!("Multipart/Form-Data; {parameter}"));
            assert_eq!(boundary.expect(parameter).as_str(), wanted);
        }
    }

    #[test]
    fn refusals() {
        let long = format!("multipart/form-data; boundary={}", "b".repeat(MAX_BOUNDARY_BYTES + 1));
        for (content_type, code) in [
            ("", Code::InvalidContentType),
            ("text/plain; boundary=x", Code::InvalidContentType),
            ("multipart/mixed; boundary=x", Code::InvalidContentType),
            ("multipart/form-data", Code::MalformedForm),
            ("multipart/form-data; boundary", Code::MalformedForm),
            ("multipart/form-data; boundary=", Code::MalformedForm),
            ("multipart/form-data; boundary=\"\"", Code::MalformedForm),
            ("multipart/form-data; boundary=\"x \"", Code::MalformedForm),
            ("multipart/form-data; boundary=\"x\u{e9}\"", Code::MalformedForm),
            ("multipart/form-data; boundary=x; boundary=y", Code::MalformedForm),
            (&long, Code::MalformedForm),
        ] {
            let error = Boundary::parse(content_type).expect_err(content_type);
            assert_eq!(error.code, code, "{content_type}");
        }
    }

    #[test]
    fn of_a_request() {
        let mut headers = HeaderMap::new();
        let error = Boundary::from_content_type(&headers).expect_err("no header");
        assert_eq!(error.code, Code::InvalidContentType);
        let value = HeaderValue::from_static("multipart/form-data; boundary=x");
        headers.append(CONTENT_TYPE, value.clone());
        assert_eq!(Boundary::from_content_type(&headers).expect("one").as_str(), "x");
        headers.append(CONTENT_TYPE, value);
        assert!(Boundary::from_content_type(&headers).is_err());
    }
}
