//! The queries of lists of objects, of versions and of the trash, and the cursors between their pages.
//!
//! A cursor is opaque to clients: base64url of a letter that says of which order it is, and of the last entry.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use holdfast_core::error::{Code, Error};
use holdfast_core::limits::{
    DEFAULT_OBJECTS_PAGE, MAX_KEY_BYTES, MAX_OBJECTS_PAGE, MAX_SEARCH_BYTES, MIN_SEARCH_CHARS,
};
use holdfast_core::names::VersionId;

use crate::path::Query;

/// In which order objects are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By key, in the order of its bytes.
    Key,
    /// The same, downwards.
    KeyDown,
    /// The last committed first.
    Newest,
}

impl Order {
    /// Its name in a query, and in SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::KeyDown => "-key",
            Self::Newest => "newest",
        }
    }
}

/// The last entry of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// An object.
    Key(String),
    /// What several objects begin with.
    Prefix(String),
    /// A version by its time, in microseconds of Unix time.
    At(i64, VersionId),
}

/// A page of objects that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// What the keys begin with; empty for all.
    pub prefix: String,
    /// What ends a folder's name; `None` lists what is below folders too.
    pub delimiter: Option<String>,
    /// What the keys contain.
    pub search: Option<String>,
    /// In which order.
    pub order: Order,
    /// The last entry of the page before.
    pub after: Option<Last>,
    limit: i32,
}

impl Listing {
    /// Reads a query: `prefix`, `delimiter`, `q`, `order`, `cursor`, `limit`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: one of them is outside of its limits or there twice, or two do not go together.
    pub fn parse(query: &Query) -> Result<Self, Error> {
        let order = match query.get("order")? {
            None | Some("key") => Order::Key,
            Some("-key") => Order::KeyDown,
            Some("newest") => Order::Newest,
            Some(_) => return invalid("order is key, -key or newest"),
        };
        let prefix = query.get("prefix")?.unwrap_or_default().to_owned();
        let delimiter = query.get("delimiter")?.filter(|it| !it.is_empty()).map(str::to_owned);
        let search = query.get("q")?.map(str::to_owned);
        check("prefix", &prefix, MAX_KEY_BYTES)?;
        for (name, value) in [("delimiter", &delimiter), ("q", &search)] {
            check(name, value.as_deref().unwrap_or_default(), MAX_SEARCH_BYTES)?;
        }
        if search.as_ref().is_some_and(|text| text.chars().count() < MIN_SEARCH_CHARS) {
            return invalid(format!("q has {MIN_SEARCH_CHARS} characters or more"));
        }
        if search.is_some() && delimiter.is_some() {
            return invalid("q and delimiter do not go together: a search looks below folders");
        }
        if order == Order::Newest && (delimiter.is_some() || search.is_some() || !prefix.is_empty())
        {
            return invalid("order=newest is of the whole bucket: without prefix, delimiter and q");
        }
        let after = query.get("cursor")?.map(|text| read(text, order)).transpose()?;
        Ok(Self { prefix, delimiter, search, order, after, limit: limit(query)? })
    }

    /// How many entries to look for: one more than is shown tells whether there is another page.
    #[must_use]
    pub fn wanted(&self) -> i32 {
        self.limit + 1
    }

    /// Leaves what is shown of what was found; the cursor of the next page, if there is one.
    pub fn cut<T>(
        &self,
        found: &mut Vec<T>,
        last: impl Fn(&T) -> Result<Last, Error>,
    ) -> Result<Option<String>, Error> {
        cut(self.limit, found, |it| Ok(write(&last(it)?, self.order)))
    }
}

/// A page by the time of its entries, the last first: of the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByTime {
    /// The last entry of the page before.
    pub before: Option<(i64, VersionId)>,
    limit: i32,
}

impl ByTime {
    /// Reads a query: `cursor` and `limit`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: one of them is none of ours, or there twice.
    pub fn parse(query: &Query) -> Result<Self, Error> {
        let before = match query.get("cursor")?.map(|text| read(text, Order::Newest)).transpose()? {
            Some(Last::At(at, version)) => Some((at, version)),
            _ => None,
        };
        Ok(Self { before, limit: limit(query)? })
    }

    /// As [`Listing::wanted`].
    #[must_use]
    pub fn wanted(&self) -> i32 {
        self.limit + 1
    }

    /// As [`Listing::cut`].
    pub fn cut<T>(
        &self,
        found: &mut Vec<T>,
        last: impl Fn(&T) -> Result<(i64, VersionId), Error>,
    ) -> Result<Option<String>, Error> {
        cut(self.limit, found, |it| {
            let (at, version) = last(it)?;
            Ok(write(&Last::At(at, version), Order::Newest))
        })
    }
}

/// A page of an object's versions, the last begun first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The last version of the page before.
    pub before: Option<VersionId>,
    limit: i32,
}

impl Versions {
    /// Reads a query: `cursor` and `limit`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: one of them is none of ours, or there twice.
    pub fn parse(query: &Query) -> Result<Self, Error> {
        let before = query.get("cursor")?.map(|text| VersionId::parse(text).or_else(|_| foreign()));
        Ok(Self { before: before.transpose()?, limit: limit(query)? })
    }

    /// As [`Listing::wanted`].
    #[must_use]
    pub fn wanted(&self) -> i32 {
        self.limit + 1
    }

    /// As [`Listing::cut`].
    pub fn cut<T>(
        &self,
        found: &mut Vec<T>,
        last: impl Fn(&T) -> String,
    ) -> Result<Option<String>, Error> {
        cut(self.limit, found, |it| Ok(last(it)))
    }
}

fn cut<T>(
    limit: i32,
    found: &mut Vec<T>,
    cursor: impl Fn(&T) -> Result<String, Error>,
) -> Result<Option<String>, Error> {
    let shown = usize::try_from(limit).unwrap_or_default();
    let more = found.len() > shown;
    found.truncate(shown);
    found.last().filter(|_| more).map(cursor).transpose()
}

fn limit(query: &Query) -> Result<i32, Error> {
    let Some(text) = query.get("limit")? else { return Ok(DEFAULT_OBJECTS_PAGE) };
    let limit = text.parse().ok().filter(|limit| (1..=MAX_OBJECTS_PAGE).contains(limit));
    limit.map_or_else(|| invalid(format!("limit is a number from 1 to {MAX_OBJECTS_PAGE}")), Ok)
}

/// Refuses what no key has in it, and what PostgreSQL would not take.
pub(crate) fn check(name: &str, value: &str, most: usize) -> Result<(), Error> {
    if value.len() > most || value.chars().any(char::is_control) {
        return invalid(format!("{name} has at most {most} bytes and no control characters"));
    }
    Ok(())
}

fn write(last: &Last, order: Order) -> String {
    let letter = |up, down| if order == Order::KeyDown { down } else { up };
    let text = match last {
        Last::Key(key) => format!("{}{key}", letter('k', 'K')),
        Last::Prefix(prefix) => format!("{}{prefix}", letter('p', 'P')),
        Last::At(at, version) => format!("t{at}:{version}"),
    };
    URL_SAFE_NO_PAD.encode(text)
}

fn read(cursor: &str, order: Order) -> Result<Last, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).or_else(|_| foreign())?;
    let text = String::from_utf8(bytes).or_else(|_| foreign())?;
    let mut chars = text.chars();
    let (letter, rest) = (chars.next(), chars.as_str());
    let key = || check("cursor", rest, MAX_KEY_BYTES).map(|()| rest.to_owned());
    match (order, letter) {
        (Order::Key, Some('k')) | (Order::KeyDown, Some('K')) => Ok(Last::Key(key()?)),
        (Order::Key, Some('p')) | (Order::KeyDown, Some('P')) => Ok(Last::Prefix(key()?)),
        (Order::Newest, Some('t')) => {
            let parts = rest.split_once(':').and_then(|(at, version)| {
                Some((at.parse().ok()?, VersionId::parse(version).ok()?))
            });
            parts.map_or_else(foreign, |(at, version)| Ok(Last::At(at, version)))
        }
        _ => foreign(),
    }
}

fn foreign<T>() -> Result<T, Error> {
    invalid("cursor is what the page before answered, in the same order")
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error::new(Code::InvalidArgument, message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(query: &str) -> Result<Listing, Error> {
        Listing::parse(&Query::parse(Some(query))?)
    }

    fn version() -> VersionId {
        VersionId::parse("019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42").expect("a version")
    }

    #[test]
    fn queries() {
        let plain = parse("").expect("valid");
        assert_eq!((plain.order, plain.wanted(), plain.after), (Order::Key, 101, None));
        let asked = parse("prefix=a%2Fb/&delimiter=/&order=-key&limit=1000").expect("valid");
        assert_eq!((asked.prefix.as_str(), asked.delimiter.as_deref()), ("a/b/", Some("/")));
        assert_eq!((asked.order, asked.wanted()), (Order::KeyDown, 1_001));
        assert_eq!(parse("delimiter=&q=abc").expect("no delimiter").search.as_deref(), Some("abc"));
        for bad in [
            "limit=0",
            "limit=1001",
            "limit=x",
            "order=size",
            "q=ab",
            "q=",
            "q=%E6%97%A5%E6%9C%AC",
            "q=abc&delimiter=/",
            "order=newest&prefix=a",
            "order=newest&q=abc",
            "prefix=%00",
            "q=a%0Abc",
            "cursor=!",
            "cursor=eA",
            "prefix=a&prefix=b",
        ] {
            assert_eq!(parse(bad).expect_err(bad).code, Code::InvalidArgument, "{bad}");
        }
    }

    #[test]
    fn a_cursor_is_of_one_order() {
        let cursors = [
            (Order::Key, Last::Key("a b/日".into())),
            (Order::Key, Last::Prefix("a/".into())),
            (Order::KeyDown, Last::Key("z".into())),
            (Order::KeyDown, Last::Prefix("z/".into())),
            (Order::Newest, Last::At(1_795_543_200_123_456, version())),
        ];
        for (order, last) in &cursors {
            for other in [Order::Key, Order::KeyDown, Order::Newest] {
                let read = read(&write(last, *order), other);
                assert_eq!(read.ok().as_ref(), (other == *order).then_some(last), "{last:?}");
            }
        }
    }

    #[test]
    fn one_more_than_shown_is_another_page() {
        let page = parse("limit=2").expect("valid");
        let mut found = vec!["a", "b", "c"];
        let next = page.cut(&mut found, |key| Ok(Last::Key((*key).into()))).expect("a cursor");
        assert_eq!(found, ["a", "b"]);
        let next = parse(&format!("cursor={}", next.expect("more"))).expect("valid");
        assert_eq!(next.after, Some(Last::Key("b".into())));
        assert_eq!(page.cut(&mut found, |_| unreachable!()).expect("none"), None);
    }

    proptest! {
        #[test]
        fn no_cursor_makes_it_panic(text in "\\PC{0,60}", bytes: Vec<u8>) {
            for order in [Order::Key, Order::KeyDown, Order::Newest] {
                let _ = read(&text, order);
                let _ = read(&URL_SAFE_NO_PAD.encode(&bytes), order);
            }
        }

        #[test]
        fn any_key_goes_round(key in "[^\\p{Cc}]{1,60}") {
            let last = Last::Key(key);
            prop_assert_eq!(read(&write(&last, Order::Key), Order::Key).expect("ours"), last);
        }
    }
}
