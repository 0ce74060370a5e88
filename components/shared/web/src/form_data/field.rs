//! A small part, held whole.

use holdfast_core::error::{Code, Error};

use super::malformed;

/// Collects the value of a field up to a limit that its owner sets.
pub struct FieldValue {
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl FieldValue {
    /// An empty value that takes at most `max_bytes`.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self { bytes: Vec::new(), max_bytes }
    }

    /// Takes more of the value.
    ///
    /// # Errors
    /// [`Code::EntityTooLarge`]: it would be longer than the limit.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > self.max_bytes - self.bytes.len() {
            let message = format!("A field of the form has at most {} bytes", self.max_bytes);
            return Err(Error::new(Code::EntityTooLarge, message).rule("limits.maxFormFieldBytes"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The value as text.
    ///
    /// # Errors
    /// [`Code::MalformedForm`]: it is not UTF-8.
    pub fn into_text(self) -> Result<String, Error> {
        String::from_utf8(self.bytes)
            .map_err(|_| malformed("A field of the form is not UTF-8: encode the page as UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_taken_up_to_its_limit() {
        let mut field = FieldValue::new(4);
        field.push(b"ab").expect("room");
        field.push("\u{e9}".as_bytes()).expect("room");
        field.push(b"").expect("nothing");
        let error = field.push(b"e").expect_err("full");
        assert_eq!(error.code, Code::EntityTooLarge);
        assert_eq!(field.into_text().expect("UTF-8"), "ab\u{e9}");
    }

    #[test]
    fn a_field_that_is_not_utf_8() {
        let mut field = FieldValue::new(4);
        field.push(b"\xff").expect("room");
        assert_eq!(field.into_text().expect_err("bytes").code, Code::MalformedForm);
    }
}
