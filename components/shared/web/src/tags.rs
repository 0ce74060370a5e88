//! Tags of an object: names and values, with S3's limits.
//!
//! Spec: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>

use std::collections::BTreeMap;

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::{MAX_TAG_NAME_CHARS, MAX_TAG_VALUE_CHARS, MAX_TAGS};

/// Tags, value by name.
pub type Tags = BTreeMap<String, String>;

/// Reads the body of `PUT ...?tags`: a JSON object of strings.
///
/// # Errors
/// [`Code::InvalidTag`]: as [`check`]; [`Code::InvalidArgument`]: no such JSON object.
pub fn parse(body: &[u8]) -> Result<Tags, Error> {
    let tags = serde_json::from_slice(body).map_err(|error| {
        let message = format!("The body is a JSON object of tags, each a string: {error}");
        Error::new(Code::InvalidArgument, message)
    })?;
    check(tags)
}

/// Holds tags against their limits.
///
/// # Errors
/// [`Code::InvalidTag`]: more than [`MAX_TAGS`], a name or value that is too long or has other characters than letters,
/// digits, spaces and `+ - = . _ : / @`, or an empty name.
pub fn check(tags: Tags) -> Result<Tags, Error> {
    if tags.len() > MAX_TAGS {
        return refuse(format!("An object has at most {MAX_TAGS} tags; these are {}", tags.len()));
    }
    for (name, value) in &tags {
        if name.is_empty() || name.chars().count() > MAX_TAG_NAME_CHARS {
            return refuse(format!("The name of a tag has 1 to {MAX_TAG_NAME_CHARS} characters"));
        }
        if value.chars().count() > MAX_TAG_VALUE_CHARS {
            return refuse(format!(
                "The value of a tag has at most {MAX_TAG_VALUE_CHARS} characters"
            ));
        }
        if let Some(other) = name.chars().chain(value.chars()).find(|c| !is_allowed(*c)) {
            let message = format!(
                "A tag has letters, digits, spaces and + - = . _ : / @, and {name:?} has {other:?}"
            );
            return refuse(message);
        }
    }
    Ok(tags)
}

fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || " +-=._:/@".contains(c)
}

fn refuse<T>(message: String) -> Result<T, Error> {
    Err(Error::new(Code::InvalidTag, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_as_s3_takes_them() {
        let tags = parse(r#"{"project": "Blau ü/1", "a:b@c": "", "+-=._:/@": "日本"}"#.as_bytes());
        assert_eq!(tags.expect("valid").len(), 3);
        assert!(parse(b"{}").expect("none at all").is_empty());
        let most: Vec<_> = (0..MAX_TAGS).map(|n| format!("\"n{n}\": \"\"")).collect();
        assert!(parse(format!("{{{}}}", most.join(",")).as_bytes()).is_ok());
    }

    #[test]
    fn refusals() {
        let long_name = "n".repeat(MAX_TAG_NAME_CHARS + 1);
        let long_value = "v".repeat(MAX_TAG_VALUE_CHARS + 1);
        let many: Vec<_> = (0..=MAX_TAGS).map(|n| format!("\"n{n}\": \"\"")).collect();
        for body in [
            format!("{{\"{long_name}\": \"\"}}"),
            format!("{{\"n\": \"{long_value}\"}}"),
            format!("{{{}}}", many.join(",")),
            r#"{"": "v"}"#.into(),
            r#"{"a": "b\nc"}"#.into(),
            r#"{"a<": "b"}"#.into(),
        ] {
            assert_eq!(parse(body.as_bytes()).expect_err(&body).code, Code::InvalidTag, "{body}");
        }
        for body in ["", "[]", "{\"a\": 1}", "{\"a\""] {
            let error = parse(body.as_bytes()).expect_err(body);
            assert_eq!(error.code, Code::InvalidArgument, "{body}");
        }
    }
}
