use std::fmt;

use sha2::{Digest, Sha256};
use time::{Date, OffsetDateTime, UtcOffset};

use super::{ALGORITHM, push_hex};

/// What a signature is good for: one day, one region, S3.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    date: &'a str,
    region: &'a str,
}

impl<'a> Scope<'a> {
    /// Takes the day from a [`timestamp`].
    pub(crate) fn new(timestamp: &'a str, region: &'a str) -> Self {
        let date = timestamp.split_once('T').map_or(timestamp, |(date, _)| date);
        Self { date, region }
    }
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/s3/aws4_request", self.date, self.region)
    }
}

/// `20130524T000000Z`.
pub(crate) fn timestamp(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let (hour, minute, second) = at.to_hms();
    format!("{}T{hour:02}{minute:02}{second:02}Z", yyyymmdd(at.date()))
}

/// The day that the scope and the signing key name.
pub(crate) fn utc_date(at: OffsetDateTime) -> Date {
    at.to_offset(UtcOffset::UTC).date()
}

pub(super) fn yyyymmdd(date: Date) -> String {
    let (year, month, day) = date.to_calendar_date();
    format!("{year:04}{:02}{day:02}", u8::from(month))
}

/// Step 2: what the key signs.
pub(crate) fn string_to_sign(timestamp: &str, scope: Scope<'_>, canonical_request: &str) -> String {
    let mut out = format!("{ALGORITHM}\n{timestamp}\n{scope}\n");
    push_hex(&mut out, &Sha256::digest(canonical_request));
    out
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::sigv4::vectors::{TIMESTAMP, VECTORS};

    #[test]
    fn aws_vectors() {
        for vector in &VECTORS {
            let scope = Scope::new(TIMESTAMP, "us-east-1");
            let found = string_to_sign(TIMESTAMP, scope, vector.canonical_request);
            assert_eq!(found, vector.string_to_sign(), "{}", vector.name);
        }
    }

    #[test]
    fn time_is_told_in_utc() {
        for (at, expected) in [
            (datetime!(2013-05-24 0:00 UTC), TIMESTAMP),
            (datetime!(2013-05-24 1:30 +1:30), TIMESTAMP),
            (datetime!(2024-02-29 23:59:59.999 UTC), "20240229T235959Z"),
            (datetime!(2026-01-01 1:02:03 +2), "20251231T230203Z"),
        ] {
            assert_eq!(timestamp(at), expected);
            assert_eq!(yyyymmdd(utc_date(at)), expected[..8]);
        }
    }
}
