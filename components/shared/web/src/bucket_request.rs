//! The bodies of `/v1/buckets`: a bucket that shall be made, a change of its policy, and an adoption.

use holdfast_core::adopt::Place;
use holdfast_core::error::{Code, Error};
use holdfast_core::limits::{ADOPT_LIMIT, MAX_KEY_BYTES};
use holdfast_core::names::BucketName;
use holdfast_core::policy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::jwt::MAX_SUBJECT_BYTES;

/// A bucket that shall be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewBucket {
    /// Its name.
    pub name: BucketName,
    /// Its policy, checked and whole.
    pub policy: Value,
}

/// An adoption that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptRequest {
    /// Only tell what would be done.
    pub dry_run: bool,
    /// What the keys begin with; empty for all.
    pub prefix: String,
    /// Whose the objects become; `None` is the bucket's owner.
    pub owner: Option<String>,
    /// Ask the store for the headers of each object.
    pub headers: bool,
    /// Where to begin.
    pub from: Place,
    /// How many objects to look at, at the most.
    pub limit: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    policy: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    policy: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Adoption {
    dry_run: Option<bool>,
    prefix: Option<String>,
    owner: Option<String>,
    headers: Option<bool>,
    cursor: Option<String>,
    limit: Option<u32>,
}

impl NewBucket {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: not such a JSON object, or a member of the policy that is not valid;
    /// [`Code::InvalidBucketName`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: New = object(body)?;
        let name = BucketName::parse_new(&body.name)?;
        let policy =
            policy::validate(&body.policy.unwrap_or_else(|| Value::Object(Default::default())))?;
        Ok(Self { name, policy })
    }
}

/// Reads `{"policy": ...}`, a merge patch (RFC 7396) of a bucket, of which the policy may be changed.
///
/// # Errors
/// [`Code::InvalidArgument`]: it is none.
pub fn policy_patch(body: &[u8]) -> Result<Value, Error> {
    let body: Change = object(body)?;
    if !body.policy.is_object() {
        return Err(invalid("policy is an object with what shall change of it"));
    }
    Ok(body.policy)
}

impl AdoptRequest {
    /// Reads a body; an empty one asks for everything.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: not such a JSON object, or a member outside of its limits.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: Adoption = object(if body.is_empty() { b"{}" } else { body })?;
        let prefix = body.prefix.unwrap_or_default();
        if prefix.len() > MAX_KEY_BYTES || prefix.chars().any(char::is_control) {
            return Err(invalid(format!(
                "prefix has at most {MAX_KEY_BYTES} bytes and no control characters"
            )));
        }
        let bad = |owner: &String| {
            !(1..=MAX_SUBJECT_BYTES).contains(&owner.len()) || owner.chars().any(char::is_control)
        };
        if body.owner.as_ref().is_some_and(bad) {
            return Err(invalid(format!("owner is a subject of 1 to {MAX_SUBJECT_BYTES} bytes")));
        }
        let limit = body.limit.unwrap_or(ADOPT_LIMIT);
        if !(1..=ADOPT_LIMIT).contains(&limit) {
            return Err(invalid(format!("limit is a number from 1 to {ADOPT_LIMIT}")));
        }
        Ok(Self {
            dry_run: body.dry_run.unwrap_or(false),
            prefix,
            owner: body.owner,
            headers: body.headers.unwrap_or(false),
            from: body.cursor.as_deref().map_or(Ok(Place::Start), Place::parse)?,
            limit,
        })
    }
}

fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    // serde would take an array of the fields in their order, too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(invalid("The body is not a JSON object"));
    }
    serde_json::from_slice(body)
        .map_err(|error| invalid(format!("The body is not what this route takes: {error}")))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn bytes(value: &Value) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    #[test]
    fn a_new_bucket_has_a_whole_policy() {
        let new = NewBucket::parse(br#"{"name": "kelp"}"#).expect("valid");
        assert_eq!(new.policy["visibility"], "private");
        let new = json!({"name": "kelp", "policy": {"maxBytes": 5, "quotaBytes": null}});
        let new = NewBucket::parse(&bytes(&new)).expect("valid");
        assert_eq!((new.name.as_str(), &new.policy["maxBytes"]), ("kelp", &json!(5)));
        for (body, code) in [
            (json!({}), Code::InvalidArgument),
            (json!({"name": "A"}), Code::InvalidBucketName),
            (json!({"name": "quarantine"}), Code::InvalidBucketName),
            (json!({"name": "kelp", "owner": "bob"}), Code::InvalidArgument),
            (json!({"name": "kelp", "policy": []}), Code::InvalidArgument),
            (json!({"name": "kelp", "policy": {"maxBytes": -1}}), Code::InvalidArgument),
            (json!(["kelp", null]), Code::InvalidArgument),
        ] {
            assert_eq!(NewBucket::parse(&bytes(&body)).expect_err("refused").code, code, "{body}");
        }
    }

    #[test]
    fn a_patch_changes_the_policy_and_nothing_else() {
        let patch = policy_patch(br#"{"policy": {"maxBytes": null}}"#).expect("valid");
        assert_eq!(patch, json!({"maxBytes": null}));
        for body in [
            json!({}),
            json!({"policy": null}),
            json!({"policy": 5}),
            json!({"policy": {}, "owner": "x"}),
        ] {
            assert_eq!(
                policy_patch(&bytes(&body)).expect_err("refused").code,
                Code::InvalidArgument
            );
        }
    }

    #[test]
    fn an_adoption_has_its_limits() {
        let all = AdoptRequest::parse(b"").expect("valid");
        assert_eq!(all, AdoptRequest::parse(b"{}").expect("valid"));
        assert_eq!((all.dry_run, all.limit, all.from), (false, ADOPT_LIMIT, Place::Start));
        let cursor = Place::Token("a".into()).encode();
        let some = json!({"dryRun": true, "prefix": "p/", "owner": "bob", "headers": true, "cursor": cursor, "limit": 1});
        let some = AdoptRequest::parse(&bytes(&some)).expect("valid");
        assert_eq!((some.from, some.owner.as_deref()), (Place::Token("a".into()), Some("bob")));
        for body in [
            json!({"dryrun": true}),
            json!({"dryRun": 1}),
            json!({"limit": 0}),
            json!({"limit": ADOPT_LIMIT + 1}),
            json!({"cursor": "x"}),
            json!({"owner": ""}),
            json!({"prefix": "a\n"}),
        ] {
            let error = AdoptRequest::parse(&bytes(&body)).expect_err("refused");
            assert_eq!(error.code, Code::InvalidArgument, "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_a_request_or_refused(bytes: Vec<u8>, text in "\\{\"name\": .*\\}") {
            let _ = NewBucket::parse(&bytes);
            let _ = NewBucket::parse(text.as_bytes());
            let _ = policy_patch(&bytes);
            let _ = AdoptRequest::parse(&bytes);
        }
    }
}
