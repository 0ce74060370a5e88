//! The content type that the first bytes show.

use crate::limits::SNIFF_BYTES;

/// What nothing better is known of.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// The media type that the first [`SNIFF_BYTES`] of a body show, if they show one.
#[must_use]
pub fn found_type(head: &[u8]) -> Option<&'static str> {
    let head = &head[..head.len().min(SNIFF_BYTES)];
    infer::get(head).map(|kind| kind.mime_type()).or_else(|| text_type(head))
}

/// Plain text: UTF-8 (a character cut at the end is fine) without control characters but white space.
fn text_type(head: &[u8]) -> Option<&'static str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return None,
    };
    let printable = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}');
    (!text.is_empty() && text.chars().all(printable)).then_some("text/plain; charset=utf-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_bytes_text_and_neither() {
        assert_eq!(found_type(b"\x89PNG\r\n\x1a\n0000"), Some("image/png"));
        assert_eq!(found_type(b"%PDF-1.7\n"), Some("application/pdf"));
        assert_eq!(found_type("gr\u{fc}n\n".as_bytes()), Some("text/plain; charset=utf-8"));
        assert_eq!(found_type(&"gr\u{fc}".as_bytes()[..3]), Some("text/plain; charset=utf-8"));
        assert_eq!(found_type(b"\x00\x01\x02"), None);
        assert_eq!(found_type(b""), None);
    }
}
