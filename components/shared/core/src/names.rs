//! Names, validated once into a type.

use std::fmt;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Code, Error};
use crate::limits::MAX_KEY_BYTES;

/// Names that SeaweedFS answers itself, so a bucket of that name cannot be listed.
const RESERVED_BUCKETS: [&str; 3] = ["status", "healthz", "readyz"];

/// What names of new buckets do not begin with: they are for buckets of Holdfast's own.
const RESERVED_PREFIX: &str = "holdfast-";

/// Where files go that a scan refuses.
const QUARANTINE: &str = "quarantine";

/// A bucket name by S3's rules: 3 to 63 of `a-z 0-9 - .`, not an IP address.
///
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BucketName(String);

impl BucketName {
    /// Validates a name.
    ///
    /// # Errors
    /// [`Code::InvalidBucketName`], with the rule that it breaks.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let refuse =
            |why: &str| Err(Error::new(Code::InvalidBucketName, format!("A bucket name {why}")));
        if !(3..=63).contains(&name.len()) {
            return refuse("has 3 to 63 characters");
        }
        if !name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')) {
            return refuse("has only the characters a-z, 0-9, '-' and '.'");
        }
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        if !edge(name.bytes().next()) || !edge(name.bytes().last()) {
            return refuse("begins and ends with a letter or a digit");
        }
        if name.contains("..") {
            return refuse("has no two dots in a row");
        }
        if name.parse::<std::net::Ipv4Addr>().is_ok() {
            return refuse("is not an IP address");
        }
        if name.starts_with("xn--") || name.ends_with("-s3alias") {
            return refuse("does not begin with 'xn--' or end with '-s3alias'");
        }
        if RESERVED_BUCKETS.contains(&name) {
            return refuse("is not one of status, healthz, readyz");
        }
        Ok(Self(name.to_owned()))
    }

    /// Validates the name of a bucket that shall be made, which is none of those that are kept for us.
    ///
    /// # Errors
    /// As [`BucketName::parse`].
    pub fn parse_new(name: &str) -> Result<Self, Error> {
        if name.starts_with(RESERVED_PREFIX) || name == QUARANTINE {
            let message = format!(
                "A bucket name does not begin with {RESERVED_PREFIX} and is not {QUARANTINE}: those are reserved"
            );
            return Err(Error::new(Code::InvalidBucketName, message));
        }
        Self::parse(name)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object key: 1 to 1,024 bytes of UTF-8 without control characters and without a `.` or `..`
/// segment. Every other key round-trips, since SeaweedFS never sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Validates a decoded key.
    ///
    /// # Errors
    /// * [`Code::KeyTooLongError`]: more than [`MAX_KEY_BYTES`].
    /// * [`Code::InvalidArgument`]: empty, a control character, or a `.` or `..` segment.
    pub fn parse(key: &str) -> Result<Self, Error> {
        let refuse =
            |why: &str| Err(Error::new(Code::InvalidArgument, format!("An object key {why}")));
        if key.is_empty() {
            return refuse("is not empty: add it to the path after the bucket");
        }
        if key.len() > MAX_KEY_BYTES {
            return Err(Error::new(
                Code::KeyTooLongError,
                format!(
                    "An object key has at most {MAX_KEY_BYTES} bytes; this one has {}",
                    key.len()
                ),
            ));
        }
        if key.chars().any(char::is_control) {
            return refuse("has no control characters");
        }
        if key.split('/').any(|segment| segment == "." || segment == "..") {
            return refuse("has no '.' or '..' segment");
        }
        Ok(Self(key.to_owned()))
    }

    /// The key, decoded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An immutable version of an object (UUIDv7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId(Uuid);

impl VersionId {
    /// A new id from the time and ten random bytes.
    #[must_use]
    pub fn generate(at: OffsetDateTime, random: &[u8; 10]) -> Self {
        let millis = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid())
    }

    /// Parses the id of `?version=`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: not a UUID.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Uuid::try_parse(text).map(Self).map_err(|_| {
            Error::new(Code::InvalidArgument, "A version is a UUID, as the upload answered it")
        })
    }

    /// The sixteen bytes of the UUID.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.into_bytes()
    }

    /// When it was made, in milliseconds; `None` for an id that is no UUIDv7.
    #[must_use]
    pub fn made_at(&self) -> Option<OffsetDateTime> {
        if self.0.get_version_num() != 7 {
            return None;
        }
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
        OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()
    }

    /// The version whose [`VersionId::s3_key`] this is; `None` for a key that we never wrote.
    #[must_use]
    pub fn of_s3_key(s3_key: &str) -> Option<Self> {
        let version = Self::parse(s3_key.rsplit('/').next()?).ok()?;
        (version.s3_key(version.made_at()?) == s3_key).then_some(version)
    }

    /// Where the bytes of this version lie: `hf/{yyyy}/{mm}/{dd}/{version}`.
    ///
    /// The row stores this; nothing derives it again.
    #[must_use]
    pub fn s3_key(&self, at: OffsetDateTime) -> String {
        let day = at.to_offset(time::UtcOffset::UTC).date();
        format!("hf/{:04}/{:02}/{:02}/{}", day.year(), u8::from(day.month()), day.day(), self.0)
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn names_of_our_own_are_for_no_new_bucket() {
        for name in ["holdfast-canary", "holdfast-", "quarantine", "status", "A"] {
            let error = BucketName::parse_new(name).expect_err(name);
            assert_eq!(error.code, Code::InvalidBucketName, "{name}");
        }
        assert!(BucketName::parse_new("holdfast").is_ok());
        // One that is there already may be named.
        assert!(BucketName::parse("quarantine").is_ok());
    }

    #[test]
    fn bucket_names_follow_the_rules_of_s3() {
        for good in ["abc", "documents", "a.b-c", "0ab", &"a".repeat(63)] {
            assert!(BucketName::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            "ab",
            "Abc",
            "a_b",
            "-ab",
            "ab-",
            ".ab",
            "a..b",
            "127.0.0.1",
            "xn--a",
            "a-s3alias",
            "status",
            "healthz",
            "readyz",
            "a/b",
            &long,
        ] {
            let error = BucketName::parse(bad).expect_err(bad);
            assert_eq!(error.code, Code::InvalidBucketName);
        }
    }

    #[test]
    fn keys_that_the_store_would_alias_are_fine_here() {
        for good in ["a", "a//b", "/lead", "a\\b", "a b+c%", "日本/😀.txt", "...", ".hidden", "a/"]
        {
            assert!(ObjectKey::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/../b", "./a", "a/.", "a\nb", "\u{7f}", "\u{85}"] {
            assert_eq!(ObjectKey::parse(bad).expect_err(bad).code, Code::InvalidArgument);
        }
        assert!(ObjectKey::parse(&"é".repeat(512)).is_ok());
        let long = ObjectKey::parse(&"é".repeat(513)).expect_err("1,026 bytes");
        assert_eq!(long.code, Code::KeyTooLongError);
    }

    #[test]
    fn a_version_lies_under_its_day() {
        let at = datetime!(2026-11-24 23:59:59 UTC);
        let version = VersionId::generate(at, &[7; 10]);
        assert_eq!(VersionId::parse(&version.to_string()).expect("round trip"), version);
        assert_eq!(version.s3_key(at), format!("hf/2026/11/24/{version}"));
        assert_eq!(version.to_string().as_bytes()[14], b'7');
        assert_eq!(version.made_at(), Some(at));
    }

    #[test]
    fn only_our_own_s3_keys_name_a_version() {
        let at = datetime!(2026-11-24 23:59:59.999 UTC);
        let version = VersionId::generate(at, &[7; 10]);
        assert_eq!(VersionId::of_s3_key(&version.s3_key(at)), Some(version));
        let v4 = "3d813cbb-47fb-42ba-91df-831e1593ac29";
        for foreign in [
            version.to_string(),
            format!("hf/2026/11/25/{version}"),
            format!("hf/2026/11/24/a/{version}"),
            format!("hf/2026/11/24/{}", version.to_string().to_uppercase()),
            format!("hf/2026/11/24/{v4}"),
            format!("hf/1970/01/01/{v4}"),
            "hf/2026/11/24/".to_owned(),
            String::new(),
        ] {
            assert_eq!(VersionId::of_s3_key(&foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = BucketName::parse(&text);
            let _ = ObjectKey::parse(&text);
            let _ = VersionId::parse(&text);
        }
    }
}
