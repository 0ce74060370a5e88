//! A bucket's policy: what it has to be, and what it says of content types. SQL decides who may do what.
//!
//! A policy is a JSON object. What is read here is the only way by which requests write one: every member is known, of its
//! type and within its limits, and an error names the member. `null` is a member that is not there.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::error::{Code, Error};
use crate::limits::{
    MAX_LIFECYCLE_DAYS, MAX_LIFECYCLE_ID_CHARACTERS, MAX_LIFECYCLE_RULES, MAX_OBJECT_BYTES,
    MAX_POLICY_CACHE_CONTROL_BYTES, MAX_POLICY_NAME_BYTES, MAX_POLICY_NAMES, MAX_POLICY_NUMBER,
    MAX_POLICY_ORIGIN_BYTES, MAX_POLICY_ORIGINS, MAX_POLICY_PIXELS, MAX_POLICY_SIDE_PIXELS,
    MAX_POLICY_TYPES, MAX_PRESIGN_SECONDS, MAX_RETENTION_HOURS, MAX_TAG_KEY_CHARACTERS,
    MAX_TAG_VALUE_CHARACTERS, MIN_RETENTION_HOURS,
};

/// The members of a policy.
pub const MEMBERS: [&str; 19] = [
    "visibility",
    "readers",
    "writers",
    "listers",
    "sharers",
    "deleters",
    "allowedTypes",
    "image",
    "maxBytes",
    "quotaBytes",
    "ownerQuotaBytes",
    "quotaObjects",
    "retentionHours",
    "trashHours",
    "lifecycle",
    "cacheControl",
    "corsOrigins",
    "maxPresignSeconds",
    "directAllowed",
];

/// What a policy says that says nothing: private, and the owner's alone.
const DEFAULTS: [(&str, &str); 3] =
    [("visibility", "private"), ("readers", "owner"), ("writers", "owner")];

/// Checks a policy as a whole, and answers it without its nulls and with what it has to have.
///
/// # Errors
/// [`Code::InvalidArgument`], which names the member and what it may be.
pub fn validate(policy: &Value) -> Result<Value, Error> {
    let Value::Object(members) = policy else { return refuse("policy", "is a JSON object") };
    let mut checked = Map::new();
    for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let at = format!("policy.{name}");
        let value = match name.as_str() {
            "visibility" => one_of(&at, value, &["private", "public-read"])?,
            "readers" | "writers" | "listers" | "sharers" | "deleters" => who(&at, value)?,
            "allowedTypes" => types(&at, value)?,
            "image" => image(&at, value)?,
            "maxBytes" => number(&at, value, 0, max_object_bytes())?,
            "quotaBytes" | "ownerQuotaBytes" | "quotaObjects" => {
                number(&at, value, 0, MAX_POLICY_NUMBER)?
            }
            "retentionHours" | "trashHours" => {
                number(&at, value, MIN_RETENTION_HOURS, MAX_RETENTION_HOURS)?
            }
            "lifecycle" => lifecycle(&at, value)?,
            "cacheControl" => cache_control(&at, value)?,
            "corsOrigins" => origins(&at, value)?,
            "maxPresignSeconds" => number(&at, value, 1, MAX_PRESIGN_SECONDS)?,
            "directAllowed" => boolean(&at, value)?,
            _ => return unknown(&at, &MEMBERS),
        };
        checked.insert(name.clone(), value);
    }
    for (name, value) in DEFAULTS {
        checked.entry(name).or_insert_with(|| value.into());
    }
    Ok(Value::Object(checked))
}

/// Merges a patch into a document (RFC 7396): members replace members, and `null` takes one away.
pub fn merge(document: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        document.clone_from(patch);
        return;
    };
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Value::Object(members) = document else { return };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

fn max_object_bytes() -> i64 {
    i64::try_from(MAX_OBJECT_BYTES).unwrap_or(i64::MAX)
}

fn refuse<T>(at: &str, what: &str) -> Result<T, Error> {
    Err(Error::new(Code::InvalidArgument, format!("{at} {what}")).rule(at))
}

fn unknown<T>(at: &str, known: &[&str]) -> Result<T, Error> {
    refuse(at, &format!("is not known; there are {}", known.join(", ")))
}

fn one_of(at: &str, value: &Value, words: &[&str]) -> Result<Value, Error> {
    match value.as_str() {
        Some(word) if words.contains(&word) => Ok(value.clone()),
        _ => refuse(at, &format!("is one of {}", words.join(", "))),
    }
}

fn boolean(at: &str, value: &Value) -> Result<Value, Error> {
    if value.is_boolean() { Ok(value.clone()) } else { refuse(at, "is true or false") }
}

fn number(at: &str, value: &Value, least: i64, most: i64) -> Result<Value, Error> {
    match value.as_i64() {
        Some(number) if (least..=most).contains(&number) => Ok(value.clone()),
        _ => refuse(at, &format!("is a whole number from {least} to {most}")),
    }
}

/// A text of `least` to `most` characters without control characters.
fn text<'a>(at: &str, value: &'a Value, least: usize, most: usize) -> Result<&'a str, Error> {
    match value.as_str() {
        Some(text)
            if (least..=most).contains(&text.chars().count())
                && !text.chars().any(char::is_control) =>
        {
            Ok(text)
        }
        _ => refuse(
            at,
            &format!("is a text of {least} to {most} characters without control characters"),
        ),
    }
}

fn list<'a>(at: &str, value: &'a Value, least: usize, most: usize) -> Result<&'a [Value], Error> {
    match value.as_array() {
        Some(items) if (least..=most).contains(&items.len()) => Ok(items),
        _ => refuse(at, &format!("is a list of {least} to {most}")),
    }
}

/// The members of an object that are not null, each of them one of `known`.
fn object<'a>(
    at: &str,
    value: &'a Value,
    known: &[&str],
) -> Result<Vec<(&'a str, &'a Value)>, Error> {
    let Value::Object(members) = value else {
        return refuse(at, &format!("is an object of {}", known.join(", ")));
    };
    if let Some(name) = members.keys().find(|name| !known.contains(&name.as_str())) {
        return unknown(&format!("{at}.{name}"), known);
    }
    let there = members.iter().filter(|(_, value)| !value.is_null());
    Ok(there.map(|(name, value)| (name.as_str(), value)).collect())
}

/// Who besides the owners: a word, or roles and users by their names.
fn who(at: &str, value: &Value) -> Result<Value, Error> {
    if value.is_string() {
        return one_of(at, value, &["owner", "authenticated"]);
    }
    let mut checked = Map::new();
    for (name, names) in object(at, value, &["roles", "users"])? {
        let at = format!("{at}.{name}");
        for (place, name) in list(&at, names, 1, MAX_POLICY_NAMES)?.iter().enumerate() {
            let good = |name: &str| {
                (1..=MAX_POLICY_NAME_BYTES).contains(&name.len())
                    && !name.chars().any(char::is_control)
            };
            if !name.as_str().is_some_and(good) {
                return refuse(
                    &format!("{at}[{place}]"),
                    &format!(
                        "is a name of 1 to {MAX_POLICY_NAME_BYTES} bytes without control characters"
                    ),
                );
            }
        }
        checked.insert(name.to_owned(), names.clone());
    }
    if checked.is_empty() {
        return refuse(at, "is owner, authenticated, or an object with roles or users");
    }
    Ok(Value::Object(checked))
}

fn types(at: &str, value: &Value) -> Result<Value, Error> {
    for (place, item) in list(at, value, 1, MAX_POLICY_TYPES)?.iter().enumerate() {
        if !item.as_str().is_some_and(is_type_pattern) {
            let at = format!("{at}[{place}]");
            return refuse(&at, "is a content type without parameters, or a pattern: image/*");
        }
    }
    Ok(value.clone())
}

/// `type/subtype`, `type/*` or `*/*`.
fn is_type_pattern(text: &str) -> bool {
    // `restricted-name` of RFC 6838.
    let is_name = |name: &str| {
        name.len() <= 127
            && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    match text.split_once('/') {
        Some(("*", "*")) => true,
        Some((family, "*")) => is_name(family),
        Some((family, name)) => is_name(family) && is_name(name),
        None => false,
    }
}

fn image(at: &str, value: &Value) -> Result<Value, Error> {
    let mut checked = Map::new();
    let members = ["minWidth", "minHeight", "maxWidth", "maxHeight", "maxPixels"];
    for (name, value) in object(at, value, &members)? {
        let most = if name == "maxPixels" { MAX_POLICY_PIXELS } else { MAX_POLICY_SIDE_PIXELS };
        checked.insert(name.to_owned(), number(&format!("{at}.{name}"), value, 1, most)?);
    }
    for (least, most) in [("minWidth", "maxWidth"), ("minHeight", "maxHeight")] {
        in_order(at, &checked, least, most)?;
    }
    Ok(Value::Object(checked))
}

/// The one is not above the other, where both are there.
fn in_order(at: &str, members: &Map<String, Value>, least: &str, most: &str) -> Result<(), Error> {
    let number = |name| members.get(name).and_then(Value::as_i64);
    match (number(least), number(most)) {
        (Some(low), Some(high)) if low > high => {
            refuse(&format!("{at}.{least}"), &format!("is not above {most}"))
        }
        _ => Ok(()),
    }
}

fn cache_control(at: &str, value: &Value) -> Result<Value, Error> {
    let good = |text: &str| {
        (1..=MAX_POLICY_CACHE_CONTROL_BYTES).contains(&text.len())
            && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
    };
    if !value.as_str().is_some_and(good) {
        return refuse(
            at,
            &format!(
                "is a Cache-Control of 1 to {MAX_POLICY_CACHE_CONTROL_BYTES} characters of ASCII"
            ),
        );
    }
    Ok(value.clone())
}

fn origins(at: &str, value: &Value) -> Result<Value, Error> {
    for (place, item) in list(at, value, 0, MAX_POLICY_ORIGINS)?.iter().enumerate() {
        if !item.as_str().is_some_and(is_origin) {
            let at = format!("{at}[{place}]");
            let like = "is an origin: *, https://app.example.org or https://*.example.org";
            return refuse(&at, like);
        }
    }
    Ok(value.clone())
}

/// `*`, or `scheme://host[:port]`, where the host may begin with `*.`.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_host = |host: &str| {
        let name = host.strip_prefix("*.").unwrap_or(host);
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
    };
    text == "*" || (text.len() <= MAX_POLICY_ORIGIN_BYTES && host.is_some_and(is_host))
}

fn lifecycle(at: &str, value: &Value) -> Result<Value, Error> {
    let mut ids = BTreeSet::new();
    let mut checked = Vec::new();
    for (place, value) in list(at, value, 0, MAX_LIFECYCLE_RULES)?.iter().enumerate() {
        let at = format!("{at}[{place}]");
        let checked_rule = rule(&at, value)?;
        let id = checked_rule.get("id").and_then(Value::as_str).unwrap_or_default();
        if !ids.insert(id.to_owned()) {
            return refuse(&format!("{at}.id"), "is that of another rule");
        }
        checked.push(Value::Object(checked_rule));
    }
    Ok(Value::Array(checked))
}

fn rule(at: &str, value: &Value) -> Result<Map<String, Value>, Error> {
    let members = [
        "id",
        "prefix",
        "tag",
        "minBytes",
        "maxBytes",
        "expireAfterDays",
        "abortIncompleteAfterDays",
        "enabled",
    ];
    let mut checked = Map::new();
    for (name, value) in object(at, value, &members)? {
        let at = format!("{at}.{name}");
        let value = match name {
            "id" => text(&at, value, 1, MAX_LIFECYCLE_ID_CHARACTERS)?.into(),
            "prefix" => text(&at, value, 0, 1_024)?.into(),
            "tag" => tag(&at, value)?,
            "minBytes" | "maxBytes" => number(&at, value, 0, max_object_bytes())?,
            "enabled" => boolean(&at, value)?,
            _ => number(&at, value, 1, MAX_LIFECYCLE_DAYS)?,
        };
        checked.insert(name.to_owned(), value);
    }
    if !checked.contains_key("id") {
        return refuse(&format!("{at}.id"), "is missing");
    }
    in_order(at, &checked, "minBytes", "maxBytes")?;
    let has = |name: &str| checked.contains_key(name);
    if !has("expireAfterDays") && !has("abortIncompleteAfterDays") {
        return refuse(at, "has expireAfterDays or abortIncompleteAfterDays");
    }
    let narrowed = ["tag", "minBytes", "maxBytes"].into_iter().find(|name| has(name));
    if let Some(name) = narrowed.filter(|_| has("abortIncompleteAfterDays")) {
        // S3 takes none of them either.
        let at = format!("{at}.{name}");
        return refuse(&at, "is nothing that an upload under way has: abort by prefix alone");
    }
    Ok(checked)
}

fn tag(at: &str, value: &Value) -> Result<Value, Error> {
    let members = object(at, value, &["key", "value"])?;
    let member = |name| members.iter().find(|it| it.0 == name).map_or(&Value::Null, |it| it.1);
    text(&format!("{at}.key"), member("key"), 1, MAX_TAG_KEY_CHARACTERS)?;
    text(&format!("{at}.value"), member("value"), 0, MAX_TAG_VALUE_CHARACTERS)?;
    Ok(value.clone())
}

/// Whether `content_type` is one of `allowed`; `image/*` takes every image, parameters are ignored.
#[must_use]
pub fn allows_type(allowed: &[String], content_type: &str) -> bool {
    let essence = essence(content_type);
    allowed.iter().any(|pattern| match pattern.strip_suffix("/*") {
        Some("*") => true,
        Some(family) => {
            essence.split_once('/').is_some_and(|(kind, _)| kind.eq_ignore_ascii_case(family))
        }
        None => pattern.eq_ignore_ascii_case(essence),
    })
}

/// A media type without its parameters.
pub(crate) fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns() {
        let allowed = ["image/*".to_owned(), "application/pdf".to_owned()];
        assert!(allows_type(&allowed, "image/png"));
        assert!(allows_type(&allowed, "IMAGE/PNG"));
        assert!(allows_type(&allowed, "application/pdf; charset=x"));
        assert!(!allows_type(&allowed, "application/zip"));
        assert!(!allows_type(&allowed, "imagex/png"));
        assert!(!allows_type(&allowed, ""));
        assert!(allows_type(&["*/*".to_owned()], "a/b"));
        assert!(!allows_type(&[], "a/b"));
    }

    #[test]
    fn what_is_left_out_is_private() {
        let least = json!({"visibility": "private", "readers": "owner", "writers": "owner"});
        assert_eq!(validate(&json!({})).expect("valid"), least);
        assert_eq!(validate(&json!({"maxBytes": null, "readers": null})).expect("valid"), least);
    }

    #[test]
    fn everything_at_once_is_kept() {
        let whole = json!({
            "visibility": "public-read",
            "readers": "authenticated",
            "writers": {"roles": ["editor"], "users": ["alice", "bob"]},
            "listers": {"users": ["carol"]},
            "sharers": "owner",
            "deleters": {"roles": ["janitor"]},
            "allowedTypes": ["image/*", "application/vnd.kelp+json", "*/*"],
            "image": {"minWidth": 1, "maxWidth": 100_000, "minHeight": 5, "maxHeight": 5, "maxPixels": 1_000_000_000},
            "maxBytes": 5_497_558_138_880_i64,
            "quotaBytes": 0,
            "ownerQuotaBytes": MAX_POLICY_NUMBER,
            "quotaObjects": 10,
            "retentionHours": 24,
            "trashHours": 87_840,
            "lifecycle": [
                {"id": "old", "prefix": "tmp/", "tag": {"key": "k", "value": ""}, "minBytes": 1, "maxBytes": 1,
                 "expireAfterDays": 1, "enabled": false},
                {"id": "parts", "abortIncompleteAfterDays": 36_500},
            ],
            "cacheControl": "public, max-age=60",
            "corsOrigins": ["*", "https://*.example.org", "http://[::1]:8080"],
            "maxPresignSeconds": 604_800,
            "directAllowed": false,
        });
        assert_eq!(validate(&whole).expect("valid"), whole);
    }

    /// Each is refused by the member that it names.
    #[test]
    fn an_error_names_the_member() {
        let rule = |more: Value| {
            let mut rule = json!({"id": "a", "expireAfterDays": 1});
            merge(&mut rule, &more);
            json!({"lifecycle": [rule]})
        };
        let many = |count| vec!["x"; count];
        for (policy, at) in [
            (json!([]), "policy"),
            (json!("private"), "policy"),
            (json!({"maxByte": 1}), "policy.maxByte"),
            (json!({"visibility": "secret"}), "policy.visibility"),
            (json!({"visibility": 1}), "policy.visibility"),
            (json!({"readers": "everybody"}), "policy.readers"),
            (json!({"readers": {}}), "policy.readers"),
            (json!({"readers": {"groups": ["x"]}}), "policy.readers.groups"),
            (json!({"writers": {"roles": []}}), "policy.writers.roles"),
            (json!({"writers": {"roles": many(101)}}), "policy.writers.roles"),
            (json!({"listers": {"users": ["a", ""]}}), "policy.listers.users[1]"),
            (json!({"listers": {"users": ["a\u{0}"]}}), "policy.listers.users[0]"),
            (json!({"sharers": {"users": "alice"}}), "policy.sharers.users"),
            (json!({"deleters": true}), "policy.deleters"),
            (json!({"allowedTypes": []}), "policy.allowedTypes"),
            (json!({"allowedTypes": ["image/png", "image"]}), "policy.allowedTypes[1]"),
            (json!({"allowedTypes": ["a/b; c=d"]}), "policy.allowedTypes[0]"),
            (json!({"allowedTypes": ["*/png"]}), "policy.allowedTypes[0]"),
            (json!({"image": {"width": 1}}), "policy.image.width"),
            (json!({"image": {"minWidth": 0}}), "policy.image.minWidth"),
            (json!({"image": {"minWidth": 2, "maxWidth": 1}}), "policy.image.minWidth"),
            (json!({"image": 5}), "policy.image"),
            (json!({"maxBytes": -1}), "policy.maxBytes"),
            (json!({"maxBytes": 1.5}), "policy.maxBytes"),
            (json!({"maxBytes": "5"}), "policy.maxBytes"),
            (json!({"maxBytes": 5_497_558_138_881_i64}), "policy.maxBytes"),
            (json!({"quotaBytes": u64::MAX}), "policy.quotaBytes"),
            (json!({"quotaObjects": -1}), "policy.quotaObjects"),
            (json!({"retentionHours": 23}), "policy.retentionHours"),
            (json!({"trashHours": 0}), "policy.trashHours"),
            (json!({"cacheControl": "a\nb"}), "policy.cacheControl"),
            (json!({"cacheControl": ""}), "policy.cacheControl"),
            (json!({"corsOrigins": "*"}), "policy.corsOrigins"),
            (json!({"corsOrigins": ["https://a*.org"]}), "policy.corsOrigins[0]"),
            (json!({"corsOrigins": ["example.org"]}), "policy.corsOrigins[0]"),
            (json!({"corsOrigins": ["https://a.org/"]}), "policy.corsOrigins[0]"),
            (json!({"maxPresignSeconds": 0}), "policy.maxPresignSeconds"),
            (json!({"directAllowed": "no"}), "policy.directAllowed"),
            (json!({"lifecycle": {}}), "policy.lifecycle"),
            (json!({"lifecycle": [1]}), "policy.lifecycle[0]"),
            (json!({"lifecycle": [{"expireAfterDays": 1}]}), "policy.lifecycle[0].id"),
            (json!({"lifecycle": [{"id": "a"}]}), "policy.lifecycle[0]"),
            (rule(json!({"days": 1})), "policy.lifecycle[0].days"),
            (rule(json!({"expireAfterDays": 0})), "policy.lifecycle[0].expireAfterDays"),
            (rule(json!({"tag": {"key": "k"}})), "policy.lifecycle[0].tag.value"),
            (rule(json!({"tag": {"key": "", "value": ""}})), "policy.lifecycle[0].tag.key"),
            (rule(json!({"minBytes": 2, "maxBytes": 1})), "policy.lifecycle[0].minBytes"),
            (
                rule(json!({"abortIncompleteAfterDays": 1, "minBytes": 1})),
                "policy.lifecycle[0].minBytes",
            ),
            (
                json!({"lifecycle": [{"id": "a", "expireAfterDays": 1}, {"id": "a", "expireAfterDays": 2}]}),
                "policy.lifecycle[1].id",
            ),
        ] {
            let error = validate(&policy).expect_err(at);
            assert_eq!(error.code, Code::InvalidArgument, "{policy}");
            assert_eq!(error.rule.as_deref(), Some(at), "{policy}: {}", error.message);
            assert!(error.message.starts_with(at), "{policy}: {}", error.message);
        }
    }

    /// RFC 7396, appendix A.
    #[test]
    fn merge_patches_of_the_rfc() {
        for (document, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = document.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, result, "{document} and {patch}");
        }
    }

    proptest! {
        /// What is taken is taken again as it is.
        #[test]
        fn a_checked_policy_is_one(name in "[a-z]{1,12}", days in -2_i64..40_000, hours in 0_i64..100_000) {
            let policy = json!({
                "trashHours": hours, "readers": {"users": [name]},
                "lifecycle": [{"id": "x", "expireAfterDays": days}]
            });
            if let Ok(checked) = validate(&policy) {
                prop_assert_eq!(validate(&checked).expect("valid"), checked);
            }
        }
    }
}
