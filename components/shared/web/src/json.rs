//! JSON bodies of requests.

use holdfast_core::error::{Code, Error};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Numbers of JSON that is kept are no larger than this, on either side of zero: PostgreSQL writes all digits of a number
/// out, and near the largest ones what it wrote is read as none.
pub const MAX_NUMBER: f64 = 1e300;

/// A body that is one JSON object.
///
/// # Errors
/// [`Code::InvalidArgument`]: it is none, or not what `T` takes.
pub fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    // serde would take an array of the fields in their order, too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(invalid("The body is not a JSON object".to_owned()));
    }
    serde_json::from_slice(body)
        .map_err(|error| invalid(format!("The body is not what this route takes: {error}")))
}

/// Whether PostgreSQL keeps this and gives it back.
///
/// # Errors
/// [`Code::InvalidArgument`]: a text with the character U+0000, or a number above [`MAX_NUMBER`].
pub fn check_kept(member: &str, value: &Value) -> Result<(), Error> {
    let check_text = |text: &str| match text.contains('\0') {
        true => Err(invalid(format!("{member} has a text with the character U+0000"))),
        false => Ok(()),
    };
    match value {
        Value::String(text) => check_text(text),
        Value::Array(values) => values.iter().try_for_each(|value| check_kept(member, value)),
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            check_text(name)?;
            check_kept(member, value)
        }),
        Value::Number(number) if number.as_f64().is_some_and(|it| it.abs() > MAX_NUMBER) => {
            Err(invalid(format!("{member} has a number beyond {MAX_NUMBER:e}")))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgresql_would_not_give_back_is_refused() {
        for good in
            ["1e300", "-1e300", "5e-324", "123456789012345678901234567890", r#"[{"a": [null]}]"#]
        {
            let value = serde_json::from_str(good).expect(good);
            assert!(check_kept("data", &value).is_ok(), "{good}");
        }
        for bad in ["1.7976931348623155e308", "[-1e301]", r#""\u0000""#, r#"{"a": {"\u0000": 1}}"#]
        {
            let value = serde_json::from_str(bad).expect(bad);
            let refused = check_kept("data", &value).expect_err(bad);
            assert_eq!(refused.code, Code::InvalidArgument, "{bad}");
        }
    }
}
