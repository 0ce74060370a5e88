//! Time as SQL tells it and as JSON carries it.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Microseconds of Unix time as RFC 3339 in UTC; `None` outside of the years 0 to 9999.
#[must_use]
pub fn rfc3339(microseconds: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(microseconds) * 1_000).ok()?;
    at.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn microseconds_are_kept() {
        let text = rfc3339(1_795_543_200_123_456);
        assert_eq!(text.as_deref(), Some("2026-11-24T18:00:00.123456Z"));
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(rfc3339(i64::MAX), None);
    }
}
