//! What an archive shall take: the body of `POST /v1/objects/{bucket}/archive`, and the query of a batch's.

use std::collections::BTreeSet;

use holdfast_core::archive::{MAX_ARCHIVE_FILES, MAX_ARCHIVE_KEYS};
use holdfast_core::error::{Code, Error};
use holdfast_core::limits::MAX_KEY_BYTES;
use holdfast_core::names::ObjectKey;
use serde::Deserialize;

use crate::json::object;
use crate::path::Query;
use crate::presign_request::save_as;

/// Longest body, in bytes: as many long keys.
pub const MAX_BODY_BYTES: usize = 4 * 1_024 * 1_024;

/// What it is saved as, unless said otherwise.
const DEFAULT_NAME: &str = "archive.zip";

/// Which files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// These, as they are named.
    Keys(Vec<ObjectKey>),
    /// Those whose keys begin so, by their keys.
    Prefix(String, Slice),
}

/// Which of the files below a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// Those behind this one.
    pub after: Option<String>,
    /// So many of them; without it all of them, or none if they are too many.
    pub limit: Option<i32>,
}

/// An archive that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRequest {
    /// What it takes.
    pub selection: Selection,
    /// The name to save it under.
    pub name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Archive {
    keys: Option<Vec<String>>,
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<i32>,
    name: Option<String>,
}

impl ArchiveRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: not such a JSON object, or a member outside of its limits.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let Archive { keys, prefix, after, limit, name } = object(body)?;
        let selection = match (keys, prefix) {
            (Some(keys), None) if after.is_none() && limit.is_none() => {
                Selection::Keys(named(&keys)?)
            }
            (None, Some(prefix)) => {
                if prefix.len() > MAX_KEY_BYTES || prefix.chars().any(char::is_control) {
                    return Err(invalid(format!(
                        "prefix has at most {MAX_KEY_BYTES} bytes and no control characters"
                    )));
                }
                Selection::Prefix(prefix, Slice::new(after, limit)?)
            }
            _ => {
                return Err(invalid(
                    "Name the keys, or a prefix; after and limit are for a prefix alone",
                ));
            }
        };
        let name = name.map(|name| save_as("name", name)).transpose()?;
        Ok(Self { selection, name: name.unwrap_or_else(|| DEFAULT_NAME.to_owned()) })
    }
}

impl Slice {
    /// Reads `after` and `limit` of a query.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: outside of their limits, or there twice.
    pub fn from_query(query: &Query) -> Result<Self, Error> {
        // What is no number is none of those that there may be.
        let limit = query.get("limit")?.map(|limit| limit.parse().unwrap_or_default());
        Self::new(query.get("after")?.map(str::to_owned), limit)
    }

    fn new(after: Option<String>, limit: Option<i32>) -> Result<Self, Error> {
        if let Some(after) = &after {
            ObjectKey::parse(after)?;
        }
        if limit.is_some_and(|limit| !(1..=MAX_ARCHIVE_FILES).contains(&limit)) {
            return Err(invalid(format!("limit is a number from 1 to {MAX_ARCHIVE_FILES}")));
        }
        Ok(Self { after, limit })
    }
}

fn named(keys: &[String]) -> Result<Vec<ObjectKey>, Error> {
    if !(1..=MAX_ARCHIVE_KEYS).contains(&keys.len()) {
        return Err(invalid(format!("keys has 1 to {MAX_ARCHIVE_KEYS} elements")));
    }
    let mut seen = BTreeSet::new();
    let keys = keys.iter().filter(|key| seen.insert(*key));
    keys.map(|key| ObjectKey::parse(key)).collect()
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_or_a_prefix() {
        let asked = ArchiveRequest::parse(br#"{"keys": ["a", "b/c", "a"]}"#).expect("valid");
        let Selection::Keys(keys) = asked.selection else { panic!("keys") };
        assert_eq!(keys.iter().map(ObjectKey::as_str).collect::<Vec<_>>(), ["a", "b/c"]);
        assert_eq!(asked.name, "archive.zip");
        let asked = ArchiveRequest::parse(
            br#"{"prefix": "", "after": "k", "limit": 50000, "name": "all of it.zip"}"#,
        )
        .expect("valid");
        let slice = Slice { after: Some("k".into()), limit: Some(50_000) };
        assert_eq!(asked.selection, Selection::Prefix(String::new(), slice));
        assert_eq!(asked.name, "all of it.zip");
        for bad in [
            "[]",
            "{}",
            r#"{"keys": []}"#,
            r#"{"keys": [""]}"#,
            r#"{"keys": ["a"], "prefix": "a"}"#,
            r#"{"keys": ["a"], "after": "a"}"#,
            r#"{"prefix": "\n"}"#,
            r#"{"prefix": "a", "limit": 0}"#,
            r#"{"prefix": "a", "limit": 50001}"#,
            r#"{"prefix": "a", "after": ".."}"#,
            r#"{"prefix": "a", "more": 1}"#,
        ] {
            assert!(ArchiveRequest::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
