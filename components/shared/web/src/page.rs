//! Pages of a list, the newest first or by name: `limit` and `cursor` of its query.

use holdfast_core::error::{Code, Error};
use holdfast_core::names::BucketName;
use uuid::Uuid;

use crate::path::Query;

/// Entries of a page, unless said otherwise.
pub const DEFAULT_LIMIT: i32 = 50;

/// Entries of a page, at the most.
pub const MAX_LIMIT: i32 = 200;

/// A page that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The last id of the page before, a UUID in its one spelling.
    pub before: Option<String>,
    limit: i32,
}

impl Page {
    /// Reads a query.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: `limit` is no number from 1 to [`MAX_LIMIT`], `cursor` is none of ours, or one of
    /// them is there twice.
    pub fn parse(query: &Query) -> Result<Self, Error> {
        let before = query.get("cursor")?.map(cursor).transpose()?;
        Ok(Self { before, limit: limit_of(query)? })
    }

    /// How many entries to look for: one more than is shown tells whether there is another page.
    #[must_use]
    pub fn wanted(&self) -> i32 {
        self.limit + 1
    }

    /// Leaves what is shown of what was found; the cursor of the next page, if there is one.
    pub fn cut<T>(&self, found: &mut Vec<T>, id: impl Fn(&T) -> &str) -> Option<String> {
        cut(self.limit, found, id)
    }
}

/// A page of buckets, by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketPage {
    /// The last name of the page before.
    pub after: Option<String>,
    limit: i32,
}

impl BucketPage {
    /// Reads a query.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: as [`Page::parse`].
    pub fn parse(query: &Query) -> Result<Self, Error> {
        let name = |text| BucketName::parse(text).map(|name| name.as_str().to_owned());
        let after = query.get("cursor")?.map(name).transpose();
        let after = after.map_err(|_| invalid("cursor is what the page before answered"))?;
        Ok(Self { after, limit: limit_of(query)? })
    }

    /// As [`Page::wanted`].
    #[must_use]
    pub fn wanted(&self) -> i32 {
        self.limit + 1
    }

    /// As [`Page::cut`].
    pub fn cut<T>(&self, found: &mut Vec<T>, name: impl Fn(&T) -> &str) -> Option<String> {
        cut(self.limit, found, name)
    }
}

/// Leaves `limit` of what was found; the cursor of the next page, if there is one.
pub fn cut<T>(limit: i32, found: &mut Vec<T>, cursor: impl Fn(&T) -> &str) -> Option<String> {
    let shown = usize::try_from(limit).unwrap_or_default();
    let more = found.len() > shown;
    found.truncate(shown);
    found.last().filter(|_| more).map(|last| cursor(last).to_owned())
}

/// How many entries a page shall have.
///
/// # Errors
/// [`Code::InvalidArgument`]: `limit` is no number from 1 to [`MAX_LIMIT`], or is there twice.
pub fn limit_of(query: &Query) -> Result<i32, Error> {
    query.get("limit")?.map_or(Ok(DEFAULT_LIMIT), limit)
}

fn limit(text: &str) -> Result<i32, Error> {
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| invalid(format!("limit is a number from 1 to {MAX_LIMIT}")))
}

fn cursor(text: &str) -> Result<String, Error> {
    let id = Uuid::try_parse(text).map(|id| id.to_string());
    id.map_err(|_| invalid("cursor is what the page before answered"))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42";

    fn parse(query: &str) -> Result<Page, Error> {
        Page::parse(&Query::parse(Some(query))?)
    }

    #[test]
    fn limits_and_cursors() {
        assert_eq!(parse("").expect("valid"), Page { before: None, limit: 50 });
        let asked = parse(&format!("limit=200&cursor={}", ID.to_uppercase())).expect("valid");
        assert_eq!(asked, Page { before: Some(ID.to_owned()), limit: 200 });
        for query in [
            "limit=0",
            "limit=201",
            "limit=-1",
            "limit=",
            "limit=x",
            "cursor=",
            "cursor=x",
            "limit=1&limit=2",
        ] {
            assert_eq!(parse(query).expect_err(query).code, Code::InvalidArgument, "{query}");
        }
    }

    #[test]
    fn buckets_are_paged_by_their_names() {
        let parse = |query| BucketPage::parse(&Query::parse(Some(query)).expect("a query"));
        let page = parse("limit=2&cursor=kelp").expect("valid");
        assert_eq!((page.after.as_deref(), page.wanted()), (Some("kelp"), 3));
        let mut found = vec!["a", "b", "c"];
        assert_eq!(page.cut(&mut found, |name| name).as_deref(), Some("b"));
        for query in ["cursor=", "cursor=A", "limit=0", "cursor=kelp&cursor=kelp"] {
            assert_eq!(parse(query).expect_err(query).code, Code::InvalidArgument, "{query}");
        }
    }

    #[test]
    fn one_more_than_shown_is_another_page() {
        let page = parse("limit=2").expect("valid");
        assert_eq!(page.wanted(), 3);
        for (mut found, next) in [
            (vec!["c", "b", "a"], Some("b")),
            (vec!["c", "b"], None),
            (vec!["c"], None),
            (vec![], None),
        ] {
            let count = found.len();
            assert_eq!(page.cut(&mut found, |id| id).as_deref(), next);
            assert_eq!(found.len(), count.min(2));
        }
    }
}
