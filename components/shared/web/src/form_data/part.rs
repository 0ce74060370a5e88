//! The headers of one part.

use holdfast_core::error::Error;

use super::malformed;
use super::parameters::{OWS, parameters};
use crate::content_type::{MAX_CONTENT_TYPE_BYTES, is_media_type};

/// Longest name of a field, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 255;

/// Longest file name, in bytes of UTF-8: as long as the longest key, which it may become.
pub const MAX_FILENAME_BYTES: usize = holdfast_core::limits::MAX_KEY_BYTES;

/// What the headers of a part say.
///
/// In `name` and `filename`, `%22`, `%0D` and `%0A` are decoded, which is all that browsers encode
/// (<https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data>);
/// any other `%` stands for itself. `\"` and `\\` are decoded too: other clients escape so. Both
/// may hold anything else that was sent, a path or line breaks among them. `filename*` is ignored, as
/// RFC 7578, section 4.2, says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The name of the field, perhaps empty, at most [`MAX_NAME_BYTES`].
    pub name: String,
    /// The name of the file, at most [`MAX_FILENAME_BYTES`]; `None` for a field that is no file.
    pub filename: Option<String>,
    /// The media type as it was declared, valid by [`is_media_type`].
    pub content_type: Option<String>,
}

impl Part {
    /// Reads a block of headers: lines with CRLF between them, without the empty line at the end.
    ///
    /// # Errors
    /// [`Code::MalformedForm`](holdfast_core::error::Code::MalformedForm): no or two
    /// Content-Dispositions, another type than `form-data`, no `name`, something too long or not
    /// UTF-8, or a Content-Transfer-Encoding that changes the bytes.
    pub(super) fn parse(block: &[u8]) -> Result<Self, Error> {
        let mut disposition = None;
        let mut content_type = None;
        for line in lines(block) {
            let (name, value) = field(line)?;
            if name.eq_ignore_ascii_case(b"content-disposition") {
                set(&mut disposition, value, "Content-Disposition")?;
            } else if name.eq_ignore_ascii_case(b"content-type") {
                set(&mut content_type, value, "Content-Type")?;
            } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
                refuse_encoding(value)?;
            }
        }
        let disposition = disposition.ok_or_else(|| {
            malformed(
                "A part of the form has no header Content-Disposition: form-data; name=\"...\"",
            )
        })?;
        let (name, filename) = names(disposition)?;
        Ok(Self { name, filename, content_type: media_type(content_type)? })
    }
}

fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(block).filter(|block| !block.is_empty());
    std::iter::from_fn(move || {
        let block = rest?;
        let end = memchr::memmem::find(block, b"\r\n");
        rest = end.map(|end| &block[end + 2..]);
        Some(&block[..end.unwrap_or(block.len())])
    })
}

/// Splits a line. One that goes on from the line before (RFC 5322's folding) is refused with the
/// rest: no client sends it, and readers do not agree on it.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Error> {
    let is_control = |b: &u8| (*b < b' ' && *b != b'\t') || *b == 0x7f;
    let is_name = |b: &u8| b.is_ascii_graphic();
    let colon = line.iter().position(|&b| b == b':');
    let (name, value) = line.split_at(colon.unwrap_or_default());
    if name.is_empty() || !name.iter().all(is_name) || value.iter().any(is_control) {
        return Err(malformed(
            "A part of the form has a malformed header: each is one line `name: value` that ends \
             with CR LF",
        ));
    }
    Ok((name, &value[1..]))
}

fn set<'a>(slot: &mut Option<&'a str>, value: &'a [u8], name: &str) -> Result<(), Error> {
    let text = std::str::from_utf8(value)
        .map_err(|_| malformed(format!("The {name} of a part is not UTF-8")))?;
    match slot.replace(text.trim_matches(OWS)) {
        None => Ok(()),
        Some(_) => Err(malformed(format!("A part of the form has two headers {name}"))),
    }
}

/// RFC 7578, section 4.7, gives the header up. Were an encoding ignored, other bytes than the
/// sender's would be stored.
fn refuse_encoding(value: &[u8]) -> Result<(), Error> {
    let is_identity = |name: &&[u8]| value.trim_ascii().eq_ignore_ascii_case(name);
    if [&b"binary"[..], b"8bit", b"7bit"].iter().any(is_identity) {
        return Ok(());
    }
    Err(malformed("A part of the form has a Content-Transfer-Encoding: send its bytes as they are"))
}

/// The `name` and the `filename` of a Content-Disposition.
fn names(disposition: &str) -> Result<(String, Option<String>), Error> {
    let (kind, rest) = disposition.split_at(disposition.find(';').unwrap_or(disposition.len()));
    if !kind.trim_end_matches(OWS).eq_ignore_ascii_case("form-data") {
        return Err(malformed("The Content-Disposition of every part of a form is form-data"));
    }
    let all = parameters(rest).ok_or_else(|| {
        malformed("The Content-Disposition of a part is malformed; write a quote in a name as %22")
    })?;
    let mut name = None;
    let mut filename = None;
    for (parameter, value) in all {
        let (slot, max_bytes) = match parameter.to_ascii_lowercase().as_str() {
            "name" => (&mut name, MAX_NAME_BYTES),
            "filename" => (&mut filename, MAX_FILENAME_BYTES),
            _ => continue,
        };
        let value = decode(&value);
        if value.len() > max_bytes {
            return Err(malformed(format!(
                "The {parameter} of a part has at most {max_bytes} bytes"
            ))
            .rule("limits.maxFormNameBytes"));
        }
        if slot.replace(value).is_some() {
            return Err(malformed(format!("A part of the form has two parameters {parameter}")));
        }
    }
    let name = name.ok_or_else(|| malformed("A part of the form has no name in its headers"))?;
    Ok((name, filename))
}

/// Undoes the encoding of the HTML standard.
fn decode(text: &str) -> String {
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

fn media_type(value: Option<&str>) -> Result<Option<String>, Error> {
    match value.filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some(value) if value.len() <= MAX_CONTENT_TYPE_BYTES && is_media_type(value) => {
            Ok(Some(value.to_owned()))
        }
        Some(_) => Err(malformed(format!(
            "The Content-Type of a part is a media type like text/plain of at most \
             {MAX_CONTENT_TYPE_BYTES} bytes"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::error::Code;
    use proptest::prelude::*;

    use super::*;

    fn disposition(rest: &str) -> Result<Part, Error> {
        Part::parse(format!("Content-Disposition: form-data{rest}").as_bytes())
    }

    #[test]
    fn names_as_clients_send_them() {
        for (rest, name, filename) in [
            ("; name=\"a\"", "a", None),
            (";name=a", "a", None),
            ("; name=\"\"; filename=\"\"", "", Some("")),
            ("; NAME=\"a\"; FileName=\"b.txt\"", "a", Some("b.txt")),
            ("; filename=\"b; name=c\"; name=\"a\"", "a", Some("b; name=c")),
            ("; name=\"%22%0D%0A%41 100%\"", "\"\r\n%41 100%", None),
            (r#"; name="\"a\\b\c""#, r#""a\b\c"#, None),
            (r#"; name="a"; filename="C:\d\f.txt""#, "a", Some(r"C:\d\f.txt")),
            ("; name=\"日本\"; filename=\"é😀.png\"", "日本", Some("é😀.png")),
            ("; name=\"a\"; filename*=UTF-8''b; x=\"y\"", "a", None),
            ("; name=\"a\"; filename=\"b\"; filename*=UTF-8''c", "a", Some("b")),
        ] {
            let part = disposition(rest).expect(rest);
            assert_eq!((&part.name[..], part.filename.as_deref()), (name, filename), "{rest}");
        }
    }

    #[test]
    fn refusals() {
        for block in [
            "",
            "Content-Type: text/plain",
            "Content-Disposition: attachment; name=\"a\"",
            "Content-Disposition: form-data",
            "Content-Disposition: form-data; filename=\"a\"",
            "Content-Disposition: form-data; name=\"a\"; name=\"b\"",
            "Content-Disposition: form-data; name=\"a\"; filename=b; filename=c",
            "Content-Disposition: form-data; name=\"a",
            "Content-Disposition: form-data; name=\"a\"b",
            "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
            "Content-Disposition: form-data; name=a\r\nContent-Type: nonsense",
            "Content-Disposition: form-data; name=a\r\nContent-Type: a/b\r\nContent-Type: a/b",
            "Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64",
            "Content-Disposition: form-data;\r\n name=a",
            "Content-Disposition: form-data; name=a\nX: y",
            "Content-Disposition: form-data; name=a\rb",
            "Content-Disposition: form-data; name=a\0",
            "Content-Disposition : form-data; name=a",
            "Content-Disposition: form-data; name=a\r\nnonsense",
            "Content-Disposition: form-data; name=a\r\n: b",
        ] {
            let error = Part::parse(block.as_bytes()).expect_err(block);
            assert_eq!(error.code, Code::MalformedForm, "{block}");
        }
        assert!(Part::parse(b"Content-Disposition: form-data; name=\"\xff\"").is_err());
    }

    #[test]
    fn other_headers_are_skipped() {
        let block = b"X-Other: \xff\"\r\nCONTENT-TYPE:\ttext/plain; charset=utf-8 \r\n\
            content-disposition:form-data;name=a\r\nContent-Transfer-Encoding: Binary\r\nContent-Length: 5";
        let part = Part::parse(block).expect("valid");
        assert_eq!(part.content_type.as_deref(), Some("text/plain; charset=utf-8"));
        let empty = Part::parse(b"Content-Disposition: form-data; name=a\r\nContent-Type:");
        assert_eq!(empty.expect("valid").content_type, None);
    }

    #[test]
    fn limits_count_decoded_bytes() {
        let name = |name: &str| disposition(&format!("; name=\"{name}\""));
        assert!(name(&"%22".repeat(MAX_NAME_BYTES)).is_ok());
        assert!(name(&"é".repeat(MAX_NAME_BYTES / 2 + 1)).is_err());
        let filename =
            |bytes| disposition(&format!("; name=a; filename=\"{}\"", "f".repeat(bytes)));
        assert!(filename(MAX_FILENAME_BYTES).is_ok());
        assert!(filename(MAX_FILENAME_BYTES + 1).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(block: Vec<u8>, tail in "[ -~\r\n\"\\\\;=é]*") {
            let _ = Part::parse(&block);
            let _ = disposition(&tail);
        }

        /// As browsers encode, but for a backslash, which they leave alone.
        #[test]
        fn what_a_client_encodes_is_decoded(name in "[^\\pC%]{0,40}", filename in "\\PC{0,40}") {
            prop_assume!(!filename.contains("%22") && !filename.contains("%0"));
            let encode = |text: &str| {
                text.replace('\\', "\\\\").replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
            };
            prop_assume!(name.len() <= MAX_NAME_BYTES);
            let rest = format!("; name=\"{}\"; filename=\"{}\"", encode(&name), encode(&filename));
            let part = disposition(&rest).expect("valid");
            prop_assert_eq!(part, Part { name, filename: Some(filename), content_type: None });
        }
    }
}
