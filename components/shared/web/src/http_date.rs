//! Dates in headers: whole seconds, UTC.
//!
//! Spec: RFC 9110, section 5.6.7.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 9999-12-31T23:59:59Z: the format has four digits for the year.
const LAST_SECOND: i64 = 253_402_300_799;

/// A date in seconds of Unix time, from 1970 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HttpDate(i64);

impl HttpDate {
    /// The date of a time in seconds of Unix time; what the format cannot show is clamped.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds.clamp(0, LAST_SECOND))
    }

    /// Parses any of the three formats; `None` is to be ignored, as the RFC says.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let time = httpdate::parse_http_date(text).ok()?;
        let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
        i64::try_from(seconds).ok().map(Self::from_unix)
    }

    /// In seconds of Unix time.
    #[must_use]
    pub fn unix(self) -> i64 {
        self.0
    }

    fn system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.unsigned_abs())
    }
}

impl fmt::Display for HttpDate {
    /// The preferred format, `Sun, 06 Nov 1994 08:49:37 GMT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        httpdate::HttpDate::from(self.system_time()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_formats_of_rfc_9110_are_one_date() {
        let date = HttpDate::from_unix(784_111_777);
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(HttpDate::parse(text), Some(date), "{text}");
        }
        assert_eq!(date.to_string(), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn other_text_is_no_date() {
        for text in
            ["", "0", "1994-11-06T08:49:37Z", "Sun, 07 Nov 1994 08:49:37 GMT", "Sun, 06 Nov"]
        {
            assert_eq!(HttpDate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn years_that_the_format_cannot_show_are_clamped() {
        assert_eq!(HttpDate::from_unix(-1).to_string(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(HttpDate::from_unix(i64::MAX).to_string(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0..=LAST_SECOND) {
            let date = HttpDate::from_unix(seconds);
            prop_assert_eq!(HttpDate::parse(&date.to_string()), Some(date));
        }

        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = HttpDate::parse(&text);
        }
    }
}
