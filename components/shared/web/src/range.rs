//! The Range header, and the Content-Range that answers it.
//!
//! Spec: RFC 9110, section 14. Range is defined for GET only: a HEAD is answered as if it had none.

use http::HeaderMap;
use http::header::RANGE;

/// Which part of a body a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeOutcome {
    /// All of it (200).
    Full,
    /// The bytes from `start` to `end_inclusive` (206); both lie within the body.
    Partial {
        /// The first byte.
        start: u64,
        /// The last byte.
        end_inclusive: u64,
    },
    /// There is no such part (416).
    Unsatisfiable,
}

impl RangeOutcome {
    /// The Content-Range of a 206 or 416; `size` is that of the whole body.
    #[must_use]
    pub fn content_range(self, size: u64) -> Option<String> {
        match self {
            Self::Full => None,
            Self::Partial { start, end_inclusive } => {
                Some(format!("bytes {start}-{end_inclusive}/{size}"))
            }
            Self::Unsatisfiable => Some(format!("bytes */{size}")),
        }
    }

    /// The Content-Length of a 200 or 206, in bytes; `size` is that of the whole body.
    #[must_use]
    pub fn content_length(self, size: u64) -> u64 {
        match self {
            Self::Full => size,
            Self::Partial { start, end_inclusive } => (end_inclusive - start).saturating_add(1),
            Self::Unsatisfiable => 0,
        }
    }

    /// This part of a body that is held whole.
    #[must_use]
    pub fn part_of(self, body: &[u8]) -> &[u8] {
        match self {
            Self::Full => body,
            Self::Partial { start, end_inclusive } => {
                let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(body.len());
                &body[at(start)..at(end_inclusive.saturating_add(1))]
            }
            Self::Unsatisfiable => &[],
        }
    }

    /// The Range header that fetches this part from the store; `None` for all of it.
    #[must_use]
    pub fn to_header(self) -> Option<String> {
        match self {
            Self::Partial { start, end_inclusive } => {
                Some(format!("bytes={start}-{end_inclusive}"))
            }
            Self::Full | Self::Unsatisfiable => None,
        }
    }
}

/// The Range header of a request; one that came twice, or is not ASCII, is ignored like any other
/// malformed one.
#[must_use]
pub fn header(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(RANGE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Which part of a body of `size` bytes a Range header asks for.
///
/// A unit other than bytes and a malformed header are ignored. So are several ranges at once, which
/// the RFC leaves to the server (section 14.2) and S3 does not answer either: it costs the client a
/// whole body, never a wrong one. Any first byte is behind the end of an empty body; a suffix of
/// one is all of it.
#[must_use]
pub fn parse(header: Option<&str>, size: u64) -> RangeOutcome {
    header.and_then(single_range).map_or(RangeOutcome::Full, |range| range.within(size))
}

/// One range as it was written.
#[derive(Clone, Copy)]
enum Spec {
    From { first: u64, last: Option<u64> },
    Suffix { length: u64 },
}

impl Spec {
    fn within(self, size: u64) -> RangeOutcome {
        match self {
            Self::Suffix { length: 0 } => RangeOutcome::Unsatisfiable,
            Self::Suffix { .. } if size == 0 => RangeOutcome::Full,
            Self::Suffix { length } => RangeOutcome::Partial {
                start: size.saturating_sub(length),
                end_inclusive: size - 1,
            },
            Self::From { first, .. } if first >= size => RangeOutcome::Unsatisfiable,
            Self::From { first, last } => RangeOutcome::Partial {
                start: first,
                end_inclusive: last.unwrap_or(u64::MAX).min(size - 1),
            },
        }
    }
}

/// The range of a header that has exactly one, or `None` for what is to be ignored.
fn single_range(header: &str) -> Option<Spec> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim_matches(OWS).eq_ignore_ascii_case("bytes") {
        return None;
    }
    // A list may have empty elements (section 5.6.1.2).
    let mut specs = set.split(',').map(|spec| spec.trim_matches(OWS)).filter(|s| !s.is_empty());
    match (specs.next(), specs.next()) {
        (Some(spec), None) => range_spec(spec),
        _ => None,
    }
}

/// Optional white space.
const OWS: [char; 2] = [' ', '\t'];

fn range_spec(spec: &str) -> Option<Spec> {
    let (first, last) = spec.split_once('-')?;
    match (first, last) {
        ("", length) => Some(Spec::Suffix { length: digits(length)? }),
        (first, "") => Some(Spec::From { first: digits(first)?, last: None }),
        (first, last) => {
            let spec = Spec::From { first: digits(first)?, last: Some(digits(last)?) };
            is_at_most(first, last).then_some(spec)
        }
    }
}

/// A number of any length; beyond `u64` it is as far away as can be.
fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Whether one number is not greater than another, both of digits only and of any length.
fn is_at_most(first: &str, last: &str) -> bool {
    let (first, last) = (first.trim_start_matches('0'), last.trim_start_matches('0'));
    (first.len(), first) <= (last.len(), last)
}

#[cfg(test)]
mod tests {
    use super::RangeOutcome::{Full, Partial, Unsatisfiable};
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn part(start: u64, end_inclusive: u64) -> RangeOutcome {
        Partial { start, end_inclusive }
    }

    #[test]
    fn examples_of_rfc_9110_section_14_1_2() {
        for (header, wanted) in [
            ("bytes=0-499", part(0, 499)),
            ("bytes=500-999", part(500, 999)),
            ("bytes=-500", part(9500, 9999)),
            ("bytes=9500-", part(9500, 9999)),
            ("bytes=0-0,-1", Full),
            ("bytes= 0-999, 4500-5499, -1000", Full),
            ("bytes=500-600,601-999", Full),
        ] {
            assert_eq!(parse(Some(header), 10_000), wanted, "{header}");
        }
    }

    #[test]
    fn edges() {
        for (header, size, wanted) in [
            ("bytes=0-", 10, part(0, 9)),
            ("bytes=9-9", 10, part(9, 9)),
            ("bytes=0-99", 10, part(0, 9)),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=10-20", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=-1", 10, part(9, 9)),
            ("bytes=-99", 10, part(0, 9)),
            ("BYTES = 1-2 ,", 10, part(1, 2)),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=0-0", 0, Unsatisfiable),
            ("bytes=-1", 0, Full),
            ("bytes=-0", 0, Unsatisfiable),
            ("bytes=0-99999999999999999999999", 10, part(0, 9)),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=-99999999999999999999999", 10, part(0, 9)),
        ] {
            assert_eq!(parse(Some(header), size), wanted, "{header} of {size}");
        }
        assert_eq!(parse(None, 10), Full);
    }

    #[test]
    fn what_is_malformed_or_another_unit_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=2-1",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=1",
            "bytes=--1",
            "bytes=1-2-3",
            "bytes:1-2",
            "items=0-1",
            "=0-1",
        ] {
            assert_eq!(parse(Some(header), 10), Full, "{header}");
        }
    }

    /// Found by fuzzing: two numbers beyond `u64` were the same one.
    #[test]
    fn a_range_that_ends_before_it_starts_is_ignored_however_long_its_numbers_are() {
        for (first, last, wanted) in [
            ("66666666666333333200012000", "00000020000000000000063237", Full),
            ("18446744073709551617", "18446744073709551616", Full),
            ("18446744073709551616", "0018446744073709551616", Unsatisfiable),
            ("18446744073709551616", "100000000000000000000", Unsatisfiable),
            ("0", "00", part(0, 0)),
            ("9", "10", part(9, 9)),
        ] {
            assert_eq!(parse(Some(&format!("bytes={first}-{last}")), 10), wanted, "{first}-{last}");
        }
    }

    #[test]
    fn two_range_headers_are_ignored() {
        let mut headers = HeaderMap::new();
        assert_eq!(super::header(&headers), None);
        headers.append(RANGE, HeaderValue::from_static("bytes=0-1"));
        assert_eq!(super::header(&headers), Some("bytes=0-1"));
        headers.append(RANGE, HeaderValue::from_static("bytes=2-3"));
        assert_eq!(super::header(&headers), None);
    }

    #[test]
    fn rendering() {
        assert_eq!(part(42, 1233).content_range(1234).as_deref(), Some("bytes 42-1233/1234"));
        assert_eq!(Unsatisfiable.content_range(1234).as_deref(), Some("bytes */1234"));
        assert_eq!(Full.content_range(1234), None);
        assert_eq!(part(0, u64::MAX).content_length(u64::MAX), u64::MAX);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(header in ".*", size: u64) {
            let _ = parse(Some(&header), size);
        }

        #[test]
        fn a_part_lies_within_the_body(spec in "bytes=[0-9]{0,21}-[0-9]{0,21}", size: u64) {
            let outcome = parse(Some(&spec), size);
            if let Partial { start, end_inclusive } = outcome {
                prop_assert!(start <= end_inclusive && end_inclusive < size);
                prop_assert_eq!(outcome.content_length(size), end_inclusive - start + 1);
            }
        }

        #[test]
        fn what_we_ask_the_store_is_what_we_answer(start: u64, more: u64, size in 1u64..) {
            let start = start % size;
            let outcome = part(start, start + more % (size - start));
            prop_assert_eq!(parse(outcome.to_header().as_deref(), size), outcome);
        }
    }
}
