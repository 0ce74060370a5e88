//! The bodies of `/v1/templates`.

use holdfast_core::error::{Code, Error};
use holdfast_core::limits::MAX_TEMPLATE_NAME_CHARS;
use holdfast_core::names::VersionId;
use serde_json::{Map, Value};

use crate::json::check_kept;

/// Longest body, in bytes: the data may be spelled longer than they are kept.
pub const MAX_BODY_BYTES: usize = 256 * 1_024;

/// A template that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTemplate {
    /// Its name, as it was sent.
    pub name: String,
    /// The client's own, an object.
    pub data: Value,
}

/// What shall be changed of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplatePatch {
    /// Its name.
    pub name: Option<String>,
    /// What is merged into its data (RFC 7396), an object.
    pub data: Option<Value>,
}

impl NewTemplate {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: not such a JSON object, or a member outside of its limits.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut members = object(body)?;
        let name = members.remove("name").ok_or_else(|| invalid("name is missing"))?;
        let data = members.remove("data").unwrap_or_else(|| Map::new().into());
        nothing_else(&members)?;
        Ok(Self { name: self::name(name)?, data: self::data(data)? })
    }
}

impl TemplatePatch {
    /// Reads a body, a merge patch.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: not such a JSON object, or a member outside of its limits.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let mut members = object(body)?;
        let (name, data) = (members.remove("name"), members.remove("data"));
        nothing_else(&members)?;
        Ok(Self {
            name: name.map(self::name).transpose()?,
            data: data.map(self::data).transpose()?,
        })
    }
}

/// Reads the version of `{"version": "..."}`.
///
/// # Errors
/// [`Code::InvalidArgument`]: not such a JSON object.
pub fn restore(body: &[u8]) -> Result<VersionId, Error> {
    let mut members = object(body)?;
    let Some(Value::String(version)) = members.remove("version") else {
        return Err(invalid("version is the one of a background, as /backgrounds lists it"));
    };
    nothing_else(&members)?;
    VersionId::parse(&version)
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Error> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(invalid("The body is not a JSON object")),
        Err(error) => Err(invalid(format!("The body is not JSON: {error}"))),
    }
}

fn nothing_else(members: &Map<String, Value>) -> Result<(), Error> {
    members.keys().next().map_or(Ok(()), |name| {
        let name: String = name.chars().take(64).collect();
        Err(invalid(format!("{name:?} is no member of this; what is your own goes into data")))
    })
}

fn name(value: Value) -> Result<String, Error> {
    match value {
        Value::String(name)
            if (1..=MAX_TEMPLATE_NAME_CHARS).contains(&name.chars().count())
                && !name.chars().any(char::is_control) =>
        {
            Ok(name)
        }
        _ => Err(invalid(format!(
            "name is a text of 1 to {MAX_TEMPLATE_NAME_CHARS} characters, none of them a control character"
        ))),
    }
}

fn data(value: Value) -> Result<Value, Error> {
    if !value.is_object() {
        return Err(invalid("data is a JSON object"));
    }
    check_kept("data", &value)?;
    Ok(value)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_template_may_be_called() {
        let of = |name: &str| NewTemplate::parse(json!({ "name": name }).to_string().as_bytes());
        for name in [
            "a",
            "../../etc/passwd",
            "<script>",
            "'; drop table",
            "\u{202e}gpj.exe",
            "\u{1f30a}",
            " ",
        ] {
            assert_eq!(of(name).expect(name).name, name);
        }
        let long = "\u{fc}".repeat(MAX_TEMPLATE_NAME_CHARS);
        assert!(of(&long).is_ok() && of(&format!("{long}x")).is_err());
        for name in ["", "a\0", "a\n", "\u{85}", "\u{1b}[2J"] {
            assert_eq!(of(name).expect_err(name).code, Code::InvalidArgument);
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for body in [
            "",
            "[]",
            "null",
            "{}",
            r#"{"name": 1}"#,
            r#"{"name": null}"#,
            r#"{"name": "a", "data": []}"#,
            r#"{"name": "a", "data": null}"#,
            r#"{"name": "a", "data": {"x": ["\u0000"]}}"#,
            r#"{"name": "a", "data": {"\u0000": 1}}"#,
            r#"{"name": "a", "owner": "bob"}"#,
        ] {
            let error = NewTemplate::parse(body.as_bytes()).expect_err(body);
            assert_eq!(error.code, Code::InvalidArgument, "{body}");
        }
        let deep = format!(r#"{{"name": "a", "data": {}1{}}}"#, "[".repeat(500), "]".repeat(500));
        assert!(NewTemplate::parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn a_patch_has_what_is_to_be_changed() {
        let of = |body: &str| TemplatePatch::parse(body.as_bytes());
        assert_eq!(of("{}").expect("nothing"), TemplatePatch { name: None, data: None });
        let patch = of(r#"{"data": {"a": null}}"#).expect("a patch");
        assert_eq!(patch.data, Some(json!({"a": null})));
        for body in [r#"{"name": null}"#, r#"{"data": null}"#, r#"{"background": null}"#] {
            assert_eq!(of(body).expect_err(body).code, Code::InvalidArgument);
        }
    }

    #[test]
    fn a_restore_names_a_version() {
        let id = "019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42";
        let version = restore(json!({ "version": id }).to_string().as_bytes()).expect("a version");
        assert_eq!(version.to_string(), id);
        for body in ["{}", r#"{"version": 1}"#, r#"{"version": "x"}"#] {
            assert_eq!(restore(body.as_bytes()).expect_err(body).code, Code::InvalidArgument);
        }
    }

    proptest! {
        #[test]
        fn any_body_is_a_request_or_refused(bytes: Vec<u8>, text in "\\{\"name\": .*\\}") {
            for body in [&bytes[..], text.as_bytes()] {
                let _ = NewTemplate::parse(body);
                let _ = TemplatePatch::parse(body);
                let _ = restore(body);
            }
        }
    }
}
