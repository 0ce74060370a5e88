//! JSON bodies of requests.

use holdfast_core::error::{Code, Error};
use serde::de::DeserializeOwned;

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

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidArgument, message)
}
