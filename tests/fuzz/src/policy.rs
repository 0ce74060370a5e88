//! What a bucket's policy says of content types.

use holdfast_core::policy::allows_type;

/// Lines: a content type, then patterns.
pub fn check(data: &[u8]) {
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
