//! The body of `POST /v1/keys`.

use holdfast_core::error::{Code, Error};
use serde::Deserialize;

use crate::json::object;
use crate::jwt::MAX_SUBJECT_BYTES;

/// Longest body, in bytes.
pub const MAX_BODY_BYTES: usize = 16 * 1_024;

/// Longest name of a key, in characters.
pub const MAX_NAME_CHARACTERS: usize = 128;

/// The most roles of a key.
pub const MAX_ROLES: usize = 16;

/// Longest role, in bytes.
pub const MAX_ROLE_BYTES: usize = 64;

/// How long a key lives unless said otherwise, in seconds: 90 days.
pub const DEFAULT_SECONDS: i64 = 90 * 24 * 3_600;

/// The shortest life of a key, in seconds.
pub const MIN_SECONDS: i64 = 1;

/// The longest life of a key, in seconds: five years of 366 days.
pub const MAX_SECONDS: i64 = 5 * 366 * 24 * 3_600;

/// The scopes that there are.
pub const SCOPES: [&str; 4] = ["upload", "download", "delete", "admin"];

/// The scopes of a key that names none: all but `admin`, without which a key makes no keys.
pub const DEFAULT_SCOPES: [&str; 3] = ["upload", "download", "delete"];

/// A key that shall be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    /// What its maker calls it: 1 to [`MAX_NAME_CHARACTERS`], without control characters.
    pub name: String,
    /// Of [`SCOPES`], at least one.
    pub scopes: Vec<String>,
    /// The roles; SQL decides whether the caller may give them.
    pub roles: Vec<String>,
    /// Whom it shall stand for; `None` is the caller.
    pub owner: Option<String>,
    /// How long it lives, in seconds.
    pub seconds: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    name: String,
    scopes: Option<Vec<String>>,
    roles: Option<Vec<String>>,
    owner: Option<String>,
    expires_in: Option<i64>,
}

impl KeyRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: not such a JSON object, or a member outside of its limits.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: Body = object(body)?;
        if !(1..=MAX_NAME_CHARACTERS).contains(&body.name.chars().count()) || bad(&body.name) {
            return Err(invalid(format!(
                "name has 1 to {MAX_NAME_CHARACTERS} characters and no control characters"
            )));
        }
        let mut scopes = body.scopes.unwrap_or_else(|| DEFAULT_SCOPES.map(str::to_owned).to_vec());
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() || scopes.iter().any(|scope| !SCOPES.contains(&scope.as_str())) {
            return Err(invalid(format!("scopes has one or more of {}", SCOPES.join(", "))));
        }
        let roles = body.roles.unwrap_or_default();
        let good = |role: &String| (1..=MAX_ROLE_BYTES).contains(&role.len()) && !bad(role);
        if roles.len() > MAX_ROLES || !roles.iter().all(good) {
            return Err(invalid(format!(
                "roles has at most {MAX_ROLES} roles of 1 to {MAX_ROLE_BYTES} bytes"
            )));
        }
        let owner = body.owner;
        if owner.as_ref().is_some_and(|o| !(1..=MAX_SUBJECT_BYTES).contains(&o.len()) || bad(o)) {
            return Err(invalid(format!("owner is a subject of 1 to {MAX_SUBJECT_BYTES} bytes")));
        }
        let seconds = body.expires_in.unwrap_or(DEFAULT_SECONDS);
        if !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds) {
            return Err(invalid(format!(
                "expiresIn is a number of seconds from {MIN_SECONDS} to {MAX_SECONDS}"
            )));
        }
        Ok(Self { name: body.name, scopes, roles, owner, seconds })
    }
}

fn bad(text: &str) -> bool {
    text.chars().any(char::is_control)
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
    fn what_is_left_out_has_its_default() {
        let key = KeyRequest::parse(br#"{"name": "ci"}"#).expect("valid");
        assert_eq!(key.scopes, ["delete", "download", "upload"].map(str::to_owned));
        assert_eq!((key.seconds, key.roles, key.owner), (DEFAULT_SECONDS, vec![], None));
        let all = json!({"name": "ci", "scopes": ["admin", "admin"], "roles": ["r"], "owner": "bob", "expiresIn": 60});
        let key = KeyRequest::parse(all.to_string().as_bytes()).expect("valid");
        assert_eq!((key.scopes, key.seconds), (vec!["admin".to_owned()], 60));
    }

    #[test]
    fn what_is_outside_of_its_limits_is_refused() {
        for body in [
            json!({}),
            json!(["ci", null, null, null, null]),
            json!({"name": ""}),
            json!({"name": "a\u{0}"}),
            json!({"name": "a\u{85}"}),
            json!({"name": "é".repeat(129)}),
            json!({"name": "a", "scopes": []}),
            json!({"name": "a", "scopes": ["fly"]}),
            json!({"name": "a", "scopes": "upload"}),
            json!({"name": "a", "roles": [""]}),
            json!({"name": "a", "roles": ["r\u{0}"]}),
            json!({"name": "a", "roles": vec!["r"; 17]}),
            json!({"name": "a", "owner": ""}),
            json!({"name": "a", "owner": "a".repeat(256)}),
            json!({"name": "a", "expiresIn": 0}),
            json!({"name": "a", "expiresIn": MAX_SECONDS + 1}),
            json!({"name": "a", "expiresIn": 1.5}),
            json!({"name": "a", "expiresAt": 1}),
        ] {
            let error = KeyRequest::parse(body.to_string().as_bytes()).expect_err("refused");
            assert_eq!(error.code, Code::InvalidArgument, "{body}");
        }
        assert!(KeyRequest::parse(json!({"name": "é".repeat(128)}).to_string().as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn any_body_is_a_request_or_refused(bytes: Vec<u8>, text in "\\{\"name\": .*\\}") {
            let _ = KeyRequest::parse(&bytes);
            let _ = KeyRequest::parse(text.as_bytes());
        }
    }
}
