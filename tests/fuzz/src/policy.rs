//! A bucket's policy: what it may be, how it is changed, and what it says of content types.

use holdfast_core::limits::{
    MAX_LIFECYCLE_RULES, MAX_POLICY_CACHE_CONTROL_BYTES, MAX_POLICY_NAME_BYTES, MAX_POLICY_NAMES,
    MAX_POLICY_NUMBER, MAX_POLICY_ORIGINS, MAX_POLICY_TYPES, MAX_PRESIGN_SECONDS,
    MAX_RETENTION_HOURS, MIN_RETENTION_HOURS,
};
use holdfast_core::policy::{MEMBERS, allows_type, merge, validate};
use serde_json::{Value, json};

/// A policy, or a patch of one, in JSON; or lines: a content type, then patterns.
pub fn check(data: &[u8]) {
    if let Ok(policy) = serde_json::from_slice(data) {
        document(&policy);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let content_type = lines.next().unwrap_or_default();
    let patterns: Vec<String> = lines.map(str::to_owned).collect();
    let allowed = allows_type(&patterns, content_type);
    let one_by_one = patterns.iter().any(|pattern| by_hand(pattern, content_type));
    assert_eq!(allowed, one_by_one, "{content_type:?} by {patterns:?}");

    // Neither case nor parameters nor the order of the patterns make another answer.
    assert_eq!(allows_type(&patterns, &content_type.to_ascii_uppercase()), allowed);
    assert_eq!(allows_type(&patterns, &format!("{content_type}; q=\"a/b\"")), allowed);
    let backwards: Vec<_> = patterns.iter().rev().cloned().collect();
    assert_eq!(allows_type(&backwards, content_type), allowed);
    // One pattern more takes nothing away.
    let more = [patterns.clone(), vec!["image/*".to_owned()]].concat();
    assert!(!allowed || allows_type(&more, content_type));
    assert!(!allows_type(&[], content_type) && allows_type(&["*/*".to_owned()], content_type));
}

fn document(policy: &Value) {
    match validate(policy) {
        Ok(whole) => {
            is_whole(&whole);
            let asked = policy.as_object().expect("an object").iter();
            for (name, value) in asked.filter(|(_, value)| !value.is_null()) {
                // What is taken is kept; deeper in it only nulls are left out.
                assert!(&whole[name] == value || value.to_string().contains("null"), "{name}");
            }
        }
        // What is refused is told by its member.
        Err(error) => assert!(error.rule.is_some_and(|rule| rule.starts_with("policy"))),
    }
    // A patch of a whole policy leaves one that is whole, or is refused; said twice it does what it did.
    let mut changed = json!({"visibility": "private", "readers": "owner", "maxBytes": 1,
        "image": {"maxWidth": 5}, "writers": {"roles": ["a"]}});
    merge(&mut changed, policy);
    let once = changed.clone();
    merge(&mut changed, policy);
    assert_eq!(once, changed);
    if let Ok(whole) = validate(&changed) {
        is_whole(&whole);
    }
}

/// Every member is known and within its limits, and it is taken as it is.
pub(crate) fn is_whole(policy: &Value) {
    assert_eq!(validate(policy).ok().as_ref(), Some(policy));
    for name in ["visibility", "readers", "writers"] {
        assert!(!policy[name].is_null(), "{name} is what it has to have");
    }
    for (name, value) in policy.as_object().expect("an object") {
        assert!(MEMBERS.contains(&name.as_str()) && !value.is_null());
        let (count, text) = (value.as_array().map(Vec::len), value.as_str());
        let number = value.as_i64();
        assert!(match name.as_str() {
            "allowedTypes" => count.is_some_and(|it| (1..=MAX_POLICY_TYPES).contains(&it)),
            "corsOrigins" => count.is_some_and(|it| it <= MAX_POLICY_ORIGINS),
            "lifecycle" => count.is_some_and(|it| it <= MAX_LIFECYCLE_RULES),
            "cacheControl" => text.is_some_and(|it| it.len() <= MAX_POLICY_CACHE_CONTROL_BYTES),
            "maxBytes" | "quotaBytes" | "ownerQuotaBytes" | "quotaObjects" => {
                number.is_some_and(|it| (0..=MAX_POLICY_NUMBER).contains(&it))
            }
            "retentionHours" | "trashHours" => {
                number.is_some_and(|it| (MIN_RETENTION_HOURS..=MAX_RETENTION_HOURS).contains(&it))
            }
            "maxPresignSeconds" => {
                number.is_some_and(|it| (1..=MAX_PRESIGN_SECONDS).contains(&it))
            }
            "readers" | "writers" | "listers" | "sharers" | "deleters" => is_who(value),
            _ => true,
        });
    }
}

fn is_who(who: &Value) -> bool {
    let names = |names: &Value| {
        let names = names.as_array().map(Vec::as_slice).unwrap_or_default();
        (1..=MAX_POLICY_NAMES).contains(&names.len())
            && names.iter().filter_map(Value::as_str).count() == names.len()
            && names.iter().filter_map(Value::as_str).all(|name| {
                (1..=MAX_POLICY_NAME_BYTES).contains(&name.len()) && !name.contains('\0')
            })
    };
    match who {
        Value::Object(members) => !members.is_empty() && members.values().all(names),
        word => word == "owner" || word == "authenticated",
    }
}

/// One pattern, read byte by byte.
fn by_hand(pattern: &str, content_type: &str) -> bool {
    let end = content_type.find(';').unwrap_or(content_type.len());
    let essence = content_type[..end].trim().to_ascii_lowercase();
    let pattern = pattern.to_ascii_lowercase();
    if pattern == "*/*" {
        return true;
    }
    match pattern.strip_suffix("/*") {
        // What stands before the first slash is the family; without a slash it is no media type.
        Some(family) => essence.find('/').is_some_and(|slash| &essence[..slash] == family),
        None => essence == pattern,
    }
}
