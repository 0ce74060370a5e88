//! The Content-Type of a request.
//!
//! Spec: RFC 9110, section 8.3, and RFC 6838, section 4.2, for the names of types.

use holdfast_core::error::Error;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::header;

/// Longest Content-Type, in bytes.
pub const MAX_CONTENT_TYPE_BYTES: usize = 255;

/// Longest name of a type or subtype, in bytes (RFC 6838, section 4.2).
const MAX_NAME_BYTES: usize = 127;

/// The Content-Type of a request as it was sent; `None` if there is none or it is empty.
///
/// # Errors
/// [`Code::InvalidArgument`](holdfast_core::error::Code::InvalidArgument): sent twice, too long, or
/// not a media type.
pub fn from_headers(headers: &HeaderMap) -> Result<Option<&str>, Error> {
    let Some(value) = header::single(headers, &CONTENT_TYPE)?.filter(|v| !v.is_empty()) else {
        return Ok(None);
    };
    if value.len() > MAX_CONTENT_TYPE_BYTES {
        return Err(header::malformed(&CONTENT_TYPE, "is longer than 255 bytes"));
    }
    if !is_media_type(value) {
        return Err(header::malformed(&CONTENT_TYPE, "is not a media type like text/plain"));
    }
    Ok(Some(value))
}

/// Whether a text is `type/subtype` with any parameters. A wildcard is not: it is no type.
#[must_use]
pub fn is_media_type(text: &str) -> bool {
    let (essence, parameters) = match text.find(';') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let named = |(main, sub)| is_restricted_name(main) && is_restricted_name(sub);
    essence.trim_end_matches(OWS).split_once('/').is_some_and(named) && are_parameters(parameters)
}

/// Optional white space.
const OWS: [char; 2] = [' ', '\t'];

/// `restricted-name` of RFC 6838.
fn is_restricted_name(name: &str) -> bool {
    let other = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
    name.len() <= MAX_NAME_BYTES
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(other)
}

/// `*( OWS ";" OWS [ token "=" ( token / quoted-string ) ] )`
fn are_parameters(mut rest: &str) -> bool {
    loop {
        rest = rest.trim_start_matches(OWS);
        if rest.is_empty() {
            return true;
        }
        let Some(parameter) = rest.strip_prefix(';') else { return false };
        rest = parameter.trim_start_matches(OWS);
        if rest.is_empty() || rest.starts_with(';') {
            continue;
        }
        let Some((name, value)) = rest.split_once('=') else { return false };
        match (is_token(name), after_value(value)) {
            (true, Some(after)) => rest = after,
            _ => return false,
        }
    }
}

/// What follows a parameter's value, or `None` if there is no value.
fn after_value(text: &str) -> Option<&str> {
    match text.strip_prefix('"') {
        Some(quoted) => after_quoted(quoted),
        None => {
            let end = text.find(|c| !is_tchar(c)).unwrap_or(text.len());
            (end > 0).then(|| &text[end..])
        }
    }
}

/// What follows the closing quote.
fn after_quoted(text: &str) -> Option<&str> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(&text[at + 1..]),
            _ => {}
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_tchar)
}

fn is_tchar(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn media_types() {
        for good in [
            "text/html;charset=utf-8",
            "Text/HTML;Charset=\"utf-8\"",
            "text/html; charset=\"utf-8\"",
            "text/html;charset=UTF-8",
            "image/svg+xml",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "multipart/form-data; boundary=----x'",
            "a/b ; c=d\t; e=\"f;\\\"g\" ;",
            "x/y;;a=b",
        ] {
            assert!(is_media_type(good), "{good}");
        }
        for bad in [
            "",
            "text",
            "text/",
            "/plain",
            "text/plain/x",
            "*/*",
            "image/*",
            "text /plain",
            "text/ plain",
            " text/plain",
            "text/plain; charset",
            "text/plain; =x",
            "text/plain; a=",
            "text/plain; a=\"b",
            "text/plain; a=\"b\"c",
            "text/plain, text/html",
            "text/pl\u{e4}in",
            "-a/b",
            "a/b; c =d",
            "a/b; c=()",
        ] {
            assert!(!is_media_type(bad), "{bad}");
        }
    }

    fn read(values: &[&str]) -> Result<Option<String>, Error> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_TYPE, HeaderValue::from_str(value).expect("a value"));
        }
        from_headers(&headers).map(|value| value.map(str::to_owned))
    }

    #[test]
    fn a_request_has_one_or_none() {
        assert_eq!(read(&[]).expect("none"), None);
        assert_eq!(read(&[""]).expect("empty"), None);
        assert_eq!(read(&["image/png"]).expect("one").as_deref(), Some("image/png"));
        assert!(read(&["image/png", "image/png"]).is_err());
        assert!(read(&["nonsense"]).is_err());
    }

    #[test]
    fn the_limit_is_on_the_whole_value() {
        let with = |length: usize| format!("a/b;c={}", "d".repeat(length - 6));
        assert!(read(&[&with(255)]).is_ok());
        assert!(read(&[&with(256)]).is_err());
        assert!(!is_media_type(&format!("{}/b", "a".repeat(128))));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*", tail in ".*") {
            let _ = is_media_type(&text);
            let _ = is_media_type(&format!("a/b;{tail}"));
        }

        #[test]
        fn tokens_and_quoted_strings_are_taken(
            name in "[a-z0-9][a-z0-9.+-]{0,9}", token in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,9}",
            quoted in "[ !#-\\[\\]-~]{0,9}",
        ) {
            let text = format!("{name}/{name}; {token}={token};{token}=\"{quoted}\"");
            prop_assert!(is_media_type(&text), "{}", text);
        }
    }
}
