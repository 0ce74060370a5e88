//! Reading a header that may come once.

use holdfast_core::error::{Code, Error};
use http::{HeaderMap, HeaderName};

/// The value of a header that may come at most once.
///
/// # Errors
/// [`Code::InvalidArgument`]: it came twice, or is not visible ASCII.
pub(crate) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed(name, "is sent more than once"));
    }
    let text = value.to_str().map_err(|_| malformed(name, "has characters outside of ASCII"))?;
    Ok(Some(text.trim_matches([' ', '\t'])))
}

/// An error that names the header and says why it is refused.
pub(crate) fn malformed(name: &HeaderName, why: &str) -> Error {
    Error::new(Code::InvalidArgument, format!("The header {name} {why}"))
}
