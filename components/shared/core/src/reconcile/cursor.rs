//! Where a reconciliation is: opaque to the caller, and all the state there is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::Date;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use crate::error::{Code, Error};
use crate::names::VersionId;

/// The first line of a cursor; another format gets another one.
const FORMAT: &str = "1";

const DAY: StaticFormatDescription = format_description!("[year]-[month]-[day]");

/// A day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(Date);

impl Day {
    /// Parses `2026-11-24`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: no such day.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // Years beyond four digits are not in any key of ours.
        match Date::parse(text, DAY) {
            Ok(day) if (0..=9_999).contains(&day.year()) => Ok(Self(day)),
            _ => Err(Error::new(Code::InvalidArgument, "A day is written as 2026-11-24")),
        }
    }

    /// What the S3 keys of this day begin with: `hf/2026/11/24/`. Adopted keys lie elsewhere.
    #[must_use]
    pub fn prefix(self) -> String {
        format!("hf/{:04}/{:02}/{:02}/", self.0.year(), u8::from(self.0.month()), self.0.day())
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), u8::from(self.0.month()), self.0.day())
    }
}

/// The next step of a reconciliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The day.
    pub day: Day,
    /// The bucket.
    pub bucket: String,
    /// What is looked at, and from where on.
    pub phase: Phase,
}

/// The phases of a bucket's day, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Blobs, a page of the listing each.
    Blobs {
        /// The store's token of the page; `None` is the first one.
        token: Option<String>,
    },
    /// Rows.
    Rows {
        /// The last one of the page before.
        after: Option<RowAt>,
    },
    /// Usage, of which a bucket has one, whatever the day.
    Usage,
}

/// A row's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowAt {
    /// The version.
    pub version: VersionId,
    /// Its S3 key.
    pub s3_key: String,
}

impl Phase {
    pub(super) const START: Self = Self::Blobs { token: None };
}

impl Cursor {
    /// Parses what [`Cursor::encode`] wrote.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: it is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let decoded = URL_SAFE_NO_PAD.decode(text).ok().and_then(|it| String::from_utf8(it).ok());
        decoded.as_deref().and_then(Self::read).ok_or_else(|| {
            Error::new(Code::InvalidArgument, "The cursor is not one that an answer had")
        })
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.splitn(5, '\n');
        let mut line = || lines.next();
        if line()? != FORMAT {
            return None;
        }
        let day = Day::parse(line()?).ok()?;
        let bucket = line()?.to_owned();
        // The rest is the store's or a key, and may have any character.
        let phase = match (line()?, line()?) {
            ("blobs", "") => Phase::START,
            ("blobs", token) => Phase::Blobs { token: Some(token.to_owned()) },
            ("rows", "") => Phase::Rows { after: None },
            ("rows", place) => {
                let (version, s3_key) = place.split_once('\n')?;
                let version = VersionId::parse(version).ok()?;
                Phase::Rows { after: Some(RowAt { version, s3_key: s3_key.to_owned() }) }
            }
            ("usage", "") => Phase::Usage,
            _ => return None,
        };
        Some(Self { day, bucket, phase })
    }

    /// For the answer.
    #[must_use]
    pub fn encode(&self) -> String {
        let (phase, place) = match &self.phase {
            Phase::Blobs { token } => ("blobs", token.clone().unwrap_or_default()),
            Phase::Rows { after: None } => ("rows", String::new()),
            Phase::Rows { after: Some(row) } => {
                ("rows", format!("{}\n{}", row.version, row.s3_key))
            }
            Phase::Usage => ("usage", String::new()),
        };
        let text = format!("{FORMAT}\n{}\n{}\n{phase}\n{place}", self.day, self.bucket);
        URL_SAFE_NO_PAD.encode(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn day() -> Day {
        Day::parse("2026-11-24").expect("a day")
    }

    #[test]
    fn days() {
        assert_eq!(day().prefix(), "hf/2026/11/24/");
        assert_eq!(day().to_string(), "2026-11-24");
        for wrong in [
            "",
            "2026-11-31",
            "2026-1-1",
            "24.11.2026",
            "+12026-11-24",
            "-001-01-01",
            "2026-11-24 ",
        ] {
            assert!(Day::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let of = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for wrong in [
            String::new(),
            "%%%".into(),
            of("2\n2026-11-24\nb\nusage\n"),
            of("1\n2026-11-24\nb\nusage\nx"),
            of("1\n2026-11-24\nb\nrows\nx"),
            of("1\n2026-11-24\nb\nrows\nx\ny"),
            of("1\nno day\nb\nusage\n"),
            of("1\n2026-11-24\nb\nother\n"),
            of("1\n2026-11-24\nb"),
        ] {
            assert_eq!(Cursor::parse(&wrong).expect_err(&wrong).code, Code::InvalidArgument);
        }
    }

    proptest! {
        #[test]
        fn a_cursor_makes_the_round_trip(bucket in "[a-z0-9.-]{3,63}", text in "(?s).+", which in 0..5) {
            let version = VersionId::generate(time::OffsetDateTime::UNIX_EPOCH, &[1; 10]);
            let phase = match which {
                0 => Phase::START,
                1 => Phase::Blobs { token: Some(text) },
                2 => Phase::Rows { after: None },
                3 => Phase::Rows { after: Some(RowAt { version, s3_key: text }) },
                _ => Phase::Usage,
            };
            let cursor = Cursor { day: day(), bucket, phase };
            prop_assert_eq!(Cursor::parse(&cursor.encode()).expect("valid"), cursor);
        }

        #[test]
        fn parsing_never_panics(text in ".*", bytes: Vec<u8>) {
            let _ = Cursor::parse(&text);
            let _ = Cursor::parse(&URL_SAFE_NO_PAD.encode(bytes));
            let _ = Day::parse(&text);
        }
    }
}
