//! The parameters behind a media type or a disposition type.

/// Optional white space.
pub(super) const OWS: [char; 2] = [' ', '\t'];

/// The parameters of `; a=b; c="d"`, in their order; the names as they were written.
///
/// A quoted value is without its quotes; `\"` and `\\` in it are a quote and a backslash, and any
/// other backslash stands for itself: browsers do not escape it. A value without quotes goes up to
/// the next `;`: more than a token, as senders of boundaries do. `None` for what is neither.
pub(super) fn parameters(mut rest: &str) -> Option<Vec<(&str, String)>> {
    let mut all = Vec::new();
    loop {
        rest = rest.trim_start_matches(OWS);
        if rest.is_empty() {
            return Some(all);
        }
        rest = rest.strip_prefix(';')?.trim_start_matches(OWS);
        if rest.is_empty() || rest.starts_with(';') {
            continue;
        }
        let (name, value) = rest.split_once('=')?;
        if name.is_empty() || name.contains([' ', '\t', ';', '"']) {
            return None;
        }
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted_value(quoted)?,
            None => bare_value(value)?,
        };
        all.push((name, value));
        rest = after;
    }
}

/// The value up to the closing quote, and what follows the quote.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let at = rest.find(['"', '\\'])?;
        value.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix('"') {
            return Some((value, after));
        }
        let escaped = &rest[1..];
        let is_escape = escaped.starts_with(['"', '\\']);
        let taken = if is_escape { &escaped[..1] } else { "\\" };
        value.push_str(taken);
        rest = &escaped[usize::from(is_escape)..];
    }
}

/// The value up to the next `;`, and what follows it.
fn bare_value(text: &str) -> Option<(String, &str)> {
    let (value, after) = text.split_at(text.find(';').unwrap_or(text.len()));
    let value = value.trim_end_matches(OWS);
    let is_bare = !value.is_empty() && !value.contains([' ', '\t', '"']);
    is_bare.then(|| (value.to_owned(), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_bare_values() {
        for (text, wanted) in [
            ("", &[][..]),
            (" ; ", &[]),
            ("; a=b", &[("a", "b")]),
            (";a=\"b\" ;; c=d=e/f ;", &[("a", "b"), ("c", "d=e/f")]),
            ("; a=\"\"", &[("a", "")]),
            ("; a=\"x; b=c\"", &[("a", "x; b=c")]),
            (r#"; a="x\"y\\z\w\""#, &[]),
            (r#"; a="x\"y\\z\w""#, &[("a", r#"x"y\z\w"#)]),
            ("; a=日本", &[("a", "日本")]),
        ] {
            let found = parameters(text).unwrap_or_default();
            let found: Vec<_> = found.iter().map(|(name, value)| (*name, &value[..])).collect();
            assert_eq!(found, wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_list_of_parameters() {
        for text in [
            "a=b",
            "; a",
            "; =b",
            "; a=",
            "; a=\"b",
            "; a=\"b\"c",
            "; a=b c",
            "; a =b",
            "; a=b\"c\"",
        ] {
            assert_eq!(parameters(text), None, "{text}");
        }
    }
}
