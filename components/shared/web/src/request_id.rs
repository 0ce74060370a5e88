//! What ties a request to the log and to the trace that it belongs to.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header of the id, in requests and responses.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header of the trace.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Longest id that is taken from a client, in bytes.
pub const MAX_REQUEST_ID_BYTES: usize = 128;

/// The id of a request: 1 to 128 of `A-Z a-z 0-9 . _ -`, so it is safe in a log and in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The client's id if it sent one that is valid, else one of 16 random bytes.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap, random: [u8; 16]) -> Self {
        let sent = only(headers, &X_REQUEST_ID).and_then(Self::parse);
        sent.unwrap_or_else(|| Self(format!("{:032x}", u128::from_be_bytes(random))))
    }

    /// Parses an id; `None` if it is not valid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let valid = (1..=MAX_REQUEST_ID_BYTES).contains(&text.len()) && text.bytes().all(is_safe);
        valid.then(|| Self(text.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as the value of `x-request-id`.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        // Its characters are all valid there.
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("-"))
    }
}

/// A `traceparent` that is valid, kept as it came to be passed on.
///
/// Spec: <https://www.w3.org/TR/trace-context/#traceparent-header>
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// The trace of a request; one that is malformed or came twice is dropped, as the spec says.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        only(headers, &TRACEPARENT).and_then(Self::parse)
    }

    /// Parses `version-traceid-parentid-flags`; a later version may have more behind it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let (version, trace, parent, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let has_more = parts.next().is_some();
        let valid = is_hex(version, 2)
            && version != "ff"
            && !(version == "00" && has_more)
            && is_hex(trace, 32)
            && is_hex(parent, 16)
            && is_hex(flags, 2)
            && [trace, parent].iter().all(|id| id.bytes().any(|b| b != b'0'));
        valid.then(|| Self(text.to_owned()))
    }

    /// The header's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the trace: 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.0.split('-').nth(1).unwrap_or_default()
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The value of a header that came exactly once, in ASCII.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    crate::header::single(headers, name).ok().flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn id(values: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(X_REQUEST_ID, HeaderValue::from_static(value));
        }
        RequestId::from_headers(&headers, [0x0a; 16]).0
    }

    #[test]
    fn a_valid_id_is_kept_and_any_other_replaced() {
        let made = "0a".repeat(16);
        assert_eq!(id(&["abc-1.2_3"]), "abc-1.2_3");
        for bad in [&[][..], &[""], &["a b"], &["a\"b"], &["a/b"], &["a", "b"]] {
            assert_eq!(id(bad), made, "{bad:?}");
        }
        assert!(RequestId::parse(&"a".repeat(128)).is_some());
        assert_eq!(RequestId::parse(&"a".repeat(129)), None);
    }

    #[test]
    fn a_made_id_has_all_its_zeros() {
        assert_eq!(RequestId::from_headers(&HeaderMap::new(), [0; 16]).as_str(), "0".repeat(32));
    }

    #[test]
    fn traces_as_the_spec_writes_them() {
        let trace = TraceParent::parse(TRACE).expect("valid");
        assert_eq!(trace.as_str(), TRACE);
        assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(TraceParent::parse(&TRACE.replacen("00", "cc", 1)).is_some());
        let later = format!("{}-what-comes", TRACE.replacen("00", "cc", 1));
        assert!(TraceParent::parse(&later).is_some());
    }

    #[test]
    fn other_traces_are_dropped() {
        for bad in [
            "".to_owned(),
            "00".to_owned(),
            TRACE.to_uppercase(),
            format!("{TRACE}-more"),
            TRACE.replacen("00", "ff", 1),
            TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            TRACE.replace("00f067aa0ba902b7", &"0".repeat(16)),
            TRACE.replace("4736", "473"),
            TRACE.replace("-01", ""),
        ] {
            assert_eq!(TraceParent::parse(&bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_keeps_what_it_takes(text in ".*") {
            if let Some(id) = RequestId::parse(&text) {
                prop_assert_eq!(id.to_header(), text.as_str());
            }
            let _ = TraceParent::parse(&text);
        }

        #[test]
        fn whatever_is_random_makes_a_valid_id(random: [u8; 16]) {
            let made = RequestId::from_headers(&HeaderMap::new(), random);
            prop_assert_eq!(RequestId::parse(made.as_str()), Some(made));
        }
    }
}
