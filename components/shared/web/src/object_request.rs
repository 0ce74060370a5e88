//! The body of `POST /v1/objects/{bucket}`: an operation on objects of the bucket.

use std::collections::BTreeMap;

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::{MAX_DELETE_BATCH, MAX_KEY_BYTES};
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use serde::Deserialize;

use crate::conditional::EntityTags;
use crate::json::object;
use crate::listing::check;
use crate::metadata;
use crate::tags::{self, Tags};

/// An operation that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `copy`
    Copy(Copy),
    /// `move`
    Move(Move),
    /// `restore`
    Restore(Restore),
    /// `delete`
    Delete(Delete),
    /// `rename`, for the first time.
    Rename(Rename),
    /// `rename`, of a job that goes on.
    ContinueRename(VersionId),
    /// `undoRename`
    UndoRename(VersionId),
}

/// A copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The source.
    pub from: ObjectKey,
    /// This version of it; `None` = the current one.
    pub version: Option<VersionId>,
    /// The bucket of the copy, where it is another one than the source's.
    pub to_bucket: Option<BucketName>,
    /// The key of the copy.
    pub to: ObjectKey,
    /// Whether it may replace what is there.
    pub overwrite: bool,
    /// Entity tags of the source, as If-Match has them.
    pub if_match: Option<String>,
    /// Other user metadata than the source's.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Other tags than the source's.
    pub tags: Option<Tags>,
}

/// A move within the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The key that it has.
    pub from: ObjectKey,
    /// The key that it gets.
    pub to: ObjectKey,
    /// Whether it may replace what is there.
    pub overwrite: bool,
    /// Entity tags of the object, as If-Match has them.
    pub if_match: Option<String>,
}

/// A restoration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The object.
    pub key: ObjectKey,
    /// This version; `None` = the last one that went to the trash.
    pub version: Option<VersionId>,
    /// Entity tags of what is current, as If-Match has them.
    pub if_match: Option<String>,
}

/// A deletion of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The objects, at most [`MAX_DELETE_BATCH`].
    pub keys: Vec<ObjectKey>,
    /// Whether nobody can restore them.
    pub permanent: bool,
}

/// Another name for a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// What the keys begin with.
    pub from: String,
    /// What they shall begin with.
    pub to: String,
    /// Whether they may replace what is there.
    pub overwrite: bool,
}

#[derive(Deserialize)]
#[serde(
    tag = "operation",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
enum Body {
    Copy {
        from: String,
        version: Option<String>,
        to_bucket: Option<String>,
        to: String,
        #[serde(default)]
        overwrite: bool,
        if_match: Option<String>,
        metadata: Option<BTreeMap<String, String>>,
        tags: Option<Tags>,
    },
    Move {
        from: String,
        to: String,
        #[serde(default)]
        overwrite: bool,
        if_match: Option<String>,
    },
    Restore {
        key: String,
        version: Option<String>,
        if_match: Option<String>,
    },
    Delete {
        keys: Vec<String>,
        #[serde(default)]
        permanent: bool,
    },
    Rename {
        id: Option<String>,
        from: Option<String>,
        to: Option<String>,
        #[serde(default)]
        overwrite: bool,
    },
    UndoRename {
        id: String,
    },
}

impl Operation {
    /// Reads a body; `bucket` is the path's.
    ///
    /// # Errors
    /// * [`Code::InvalidArgument`]: not such a JSON object, or a member outside of its limits.
    /// * Those of names, tags and metadata.
    pub fn parse(bucket: &BucketName, body: &[u8]) -> Result<Self, Error> {
        Ok(match object(body)? {
            Body::Copy { from, version, to_bucket, to, overwrite, if_match, metadata, tags } => {
                let to_bucket = to_bucket.as_deref().map(BucketName::parse).transpose()?;
                let copy = Copy {
                    from: ObjectKey::parse(&from)?,
                    version: version.as_deref().map(VersionId::parse).transpose()?,
                    to_bucket: to_bucket.filter(|other| other != bucket),
                    to: ObjectKey::parse(&to)?,
                    overwrite,
                    if_match: entity_tags(if_match)?,
                    metadata: metadata.map(metadata::from_json).transpose()?,
                    tags: tags.map(tags::check).transpose()?,
                };
                if copy.to_bucket.is_none() && copy.from == copy.to && copy.version.is_none() {
                    return Err(invalid(
                        "from and to are the same; name a version to copy it anew",
                    ));
                }
                if copy.to_bucket.is_some() && copy.tags.is_some() {
                    let message = "tags go with a copy within the bucket; set them on the copy";
                    return Err(invalid(message));
                }
                Self::Copy(copy)
            }
            Body::Move { from, to, overwrite, if_match } => {
                if from == to {
                    return Err(invalid("from and to are the same"));
                }
                Self::Move(Move {
                    from: ObjectKey::parse(&from)?,
                    to: ObjectKey::parse(&to)?,
                    overwrite,
                    if_match: entity_tags(if_match)?,
                })
            }
            Body::Restore { key, version, if_match } => Self::Restore(Restore {
                key: ObjectKey::parse(&key)?,
                version: version.as_deref().map(VersionId::parse).transpose()?,
                if_match: entity_tags(if_match)?,
            }),
            Body::Delete { keys, permanent } => {
                if keys.is_empty() || keys.len() > MAX_DELETE_BATCH {
                    return Err(invalid(format!("keys has 1 to {MAX_DELETE_BATCH} elements")));
                }
                let keys =
                    keys.iter().map(|key| ObjectKey::parse(key)).collect::<Result<_, _>>()?;
                Self::Delete(Delete { keys, permanent })
            }
            Body::Rename { id: Some(id), from: None, to: None, overwrite: false } => {
                Self::ContinueRename(job(&id)?)
            }
            Body::Rename { id: None, from: Some(from), to: Some(to), overwrite } => {
                for (name, prefix) in [("from", &from), ("to", &to)] {
                    check(name, prefix, MAX_KEY_BYTES)?;
                }
                if from.is_empty() || from == to {
                    return Err(invalid("from is not empty, and another one than to"));
                }
                Self::Rename(Rename { from, to, overwrite })
            }
            Body::Rename { .. } => {
                return Err(invalid(
                    "rename has from and to, or else the id of a job that goes on",
                ));
            }
            Body::UndoRename { id } => Self::UndoRename(job(&id)?),
        })
    }
}

/// The id of a job.
///
/// # Errors
/// [`Code::NoSuchRename`]: no id at all.
pub fn job(id: &str) -> Result<VersionId, Error> {
    let message = "There is no such renaming of a folder, or it is not yours to see";
    VersionId::parse(id).map_err(|_| Error::new(Code::NoSuchRename, message))
}

/// As the If-Match header has them, in their one spelling.
fn entity_tags(text: Option<String>) -> Result<Option<String>, Error> {
    let Some(text) = text else { return Ok(None) };
    let tags = EntityTags::parse(text.as_bytes());
    tags.ok_or_else(|| invalid("ifMatch is as the header If-Match: \"etag\" in quotes, or *"))?
        .canonical()
        .map(Some)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ID: &str = "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42";

    fn parse(body: &serde_json::Value) -> Result<Operation, Error> {
        let bucket = BucketName::parse("documents").expect("a name");
        Operation::parse(&bucket, body.to_string().as_bytes())
    }

    #[test]
    fn operations() {
        let copy = json!({"operation": "copy", "from": "a", "to": "b", "toBucket": "documents",
            "ifMatch": "\"e\"", "metadata": {"Color": "blue"}, "tags": {"t": "v"}});
        let Operation::Copy(copy) = parse(&copy).expect("valid") else { panic!("a copy") };
        assert_eq!((copy.to_bucket, copy.if_match.as_deref()), (None, Some("\"e\"")));
        assert_eq!(copy.metadata.expect("some")["color"], "blue");
        let again = json!({"operation": "copy", "from": "a", "to": "a", "version": ID});
        assert!(matches!(parse(&again), Ok(Operation::Copy(_))));
        let moved =
            parse(&json!({"operation": "move", "from": "a/b", "to": "c", "overwrite": true}));
        let Ok(Operation::Move(Move { overwrite: true, .. })) = moved else { panic!("{moved:?}") };
        let restored = parse(&json!({"operation": "restore", "key": "a", "version": ID}));
        assert!(matches!(restored, Ok(Operation::Restore(_))));
        let deleted =
            parse(&json!({"operation": "delete", "keys": ["a", "日"], "permanent": true}));
        let Ok(Operation::Delete(deleted)) = deleted else { panic!("{deleted:?}") };
        assert!(deleted.keys.len() == 2 && deleted.permanent);
        let rename = parse(&json!({"operation": "rename", "from": "a/", "to": ""}));
        assert!(matches!(rename, Ok(Operation::Rename(_))));
        let more = parse(&json!({"operation": "rename", "id": ID}));
        assert!(matches!(more, Ok(Operation::ContinueRename(_))));
        let undo = parse(&json!({"operation": "undoRename", "id": ID}));
        assert!(matches!(undo, Ok(Operation::UndoRename(_))));
    }

    #[test]
    fn refusals() {
        let many = vec!["k"; MAX_DELETE_BATCH + 1];
        for (body, code) in [
            (json!({}), Code::InvalidArgument),
            (json!({"operation": "truncate"}), Code::InvalidArgument),
            (
                json!({"operation": "move", "from": "a", "to": "b", "more": 1}),
                Code::InvalidArgument,
            ),
            (json!({"operation": "move", "from": "a", "to": "a"}), Code::InvalidArgument),
            (json!({"operation": "move", "from": "a", "to": "../b"}), Code::InvalidArgument),
            (
                json!({"operation": "move", "from": "a", "to": "b", "ifMatch": "\"x, \""}),
                Code::InvalidArgument,
            ),
            (json!({"operation": "copy", "from": "a", "to": "a"}), Code::InvalidArgument),
            (
                json!({"operation": "copy", "from": "a", "to": "b", "toBucket": "A"}),
                Code::InvalidBucketName,
            ),
            (
                json!({"operation": "copy", "from": "a", "to": "b", "tags": {"<": ""}}),
                Code::InvalidTag,
            ),
            (
                json!({"operation": "copy", "from": "a", "to": "b", "toBucket": "other", "tags": {}}),
                Code::InvalidArgument,
            ),
            (json!({"operation": "restore", "key": "a", "version": "x"}), Code::InvalidArgument),
            (json!({"operation": "delete", "keys": []}), Code::InvalidArgument),
            (json!({"operation": "delete", "keys": many}), Code::InvalidArgument),
            (json!({"operation": "delete", "keys": ["a", "."]}), Code::InvalidArgument),
            (json!({"operation": "rename", "from": "a/"}), Code::InvalidArgument),
            (json!({"operation": "rename", "from": "", "to": "b/"}), Code::InvalidArgument),
            (json!({"operation": "rename", "from": "a/", "to": "a/"}), Code::InvalidArgument),
            (json!({"operation": "rename", "id": ID, "to": "b/"}), Code::InvalidArgument),
            (json!({"operation": "undoRename", "id": "x"}), Code::NoSuchRename),
        ] {
            assert_eq!(parse(&body).expect_err(&body.to_string()).code, code, "{body}");
        }
    }

    #[test]
    fn a_list_of_the_members_is_no_operation() {
        let refused = parse(&json!(["undoRename", ID])).expect_err("a list");
        assert_eq!(refused.code, Code::InvalidArgument);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(bytes: Vec<u8>, name in "(copy|move|restore|delete|rename)", key in ".*") {
            let bucket = BucketName::parse("documents").expect("a name");
            let _ = Operation::parse(&bucket, &bytes);
            let _ = parse(&json!({"operation": name, "from": key, "to": "b", "key": key, "keys": [key]}));
        }
    }
}
