//! The content type that the first bytes show, and whether a policy takes it.

use crate::limits::SNIFF_BYTES;
use crate::policy::{allows_type, essence};

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

/// Whether a policy takes a content that is declared as one type and shows another.
///
/// Both have to be types that it takes. Many types show no more than what they are made of (a CSV is
/// text, a DOCX a ZIP archive): that is enough. One that has magic bytes has to show them.
///
/// # Errors
/// The type that it does not take.
pub fn check_type<'a>(
    allowed: &[String],
    declared: Option<&'a str>,
    found: Option<&'a str>,
) -> Result<(), &'a str> {
    if let Some(declared) = declared.filter(|declared| !allows_type(allowed, declared)) {
        return Err(declared);
    }
    match (declared, found) {
        (None, None) if allows_type(allowed, OCTET_STREAM) => Ok(()),
        (None, None) => Err(OCTET_STREAM),
        (_, Some(found)) if allows_type(allowed, found) => Ok(()),
        (Some(declared), Some(found)) if is_made_of(declared, found) => Ok(()),
        (_, Some(found)) => Err(found),
        // `*/*` and patterns of a family take it with or without the magic bytes of its name.
        (Some(_), None) if allows_type(allowed, OCTET_STREAM) => Ok(()),
        (Some(declared), None) if infer::is_mime_supported(&lower(declared)) => Err(OCTET_STREAM),
        (Some(_), None) => Ok(()),
    }
}

fn lower(content_type: &str) -> String {
    essence(content_type).to_ascii_lowercase()
}

/// Archives that are a ZIP file inside.
const ZIPS: [&str; 6] = [
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
    "application/vnd.ms-",
    "application/epub+zip",
    "application/java-archive",
    "application/vnd.android.package-archive",
];

/// Types of text without `text/`.
const TEXTS: [&str; 7] = [
    "application/json",
    "application/javascript",
    "application/xml",
    "application/yaml",
    "application/toml",
    "application/sql",
    "application/x-ndjson",
];

/// Whether content of the declared type looks like the found one to who knows only magic bytes.
fn is_made_of(declared: &str, found: &str) -> bool {
    let (declared, found) = (lower(declared), lower(found));
    let text = || {
        declared.starts_with("text/")
            || TEXTS.contains(&declared.as_str())
            || ["+json", "+xml", "+yaml"].iter().any(|suffix| declared.ends_with(suffix))
    };
    match found.as_str() {
        "text/plain" => text(),
        "text/xml" => declared == "application/xml" || declared.ends_with("+xml"),
        "application/zip" => {
            declared.ends_with("+zip") || ZIPS.iter().any(|prefix| declared.starts_with(prefix))
        }
        "application/gzip" => declared.ends_with("+gzip") || declared == "application/x-tgz",
        "video/mp4" | "audio/m4a" => {
            matches!(
                declared.as_str(),
                "audio/mp4" | "audio/x-m4a" | "video/quicktime" | "video/mp4"
            )
        }
        "audio/ogg" => matches!(declared.as_str(), "video/ogg" | "application/ogg" | "audio/opus"),
        "video/x-matroska" | "video/webm" => {
            matches!(declared.as_str(), "video/webm" | "audio/webm" | "video/x-matroska")
        }
        "image/vnd.microsoft.icon" => declared == "image/x-icon",
        // `audio/x-wav` and `audio/wav` are one type under two names.
        _ => found.replacen("/x-", "/", 1) == declared.replacen("/x-", "/", 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(allowed: &str, declared: &str, found: &str) -> Result<(), String> {
        let allowed: Vec<_> = allowed.split(' ').map(str::to_owned).collect();
        let given = |text: &'static str| (!text.is_empty()).then_some(text);
        let leak = |text: &str| given(Box::leak(text.to_owned().into_boxed_str()));
        check_type(&allowed, leak(declared), leak(found)).map_err(str::to_owned)
    }

    #[test]
    fn a_name_does_not_make_an_image() {
        let images = "image/png image/jpeg";
        assert_eq!(check(images, "image/png", "image/png"), Ok(()));
        assert_eq!(check(images, "", "image/jpeg"), Ok(()));
        assert_eq!(check(images, "image/png", "image/jpeg"), Ok(()));
        for found in ["text/html", "application/zip", "text/plain; charset=utf-8", "image/gif"] {
            assert_eq!(check(images, "image/png", found), Err(found.to_owned()));
        }
        assert_eq!(check(images, "image/png", ""), Err(OCTET_STREAM.to_owned()));
        assert_eq!(check(images, "text/plain", "image/png"), Err("text/plain".to_owned()));
        assert_eq!(check(images, "", ""), Err(OCTET_STREAM.to_owned()));
    }

    #[test]
    fn what_a_type_is_made_of_is_enough() {
        let text = "text/plain; charset=utf-8";
        for (declared, found) in [
            ("text/csv", text),
            ("application/geo+json", text),
            ("image/svg+xml", text),
            ("image/svg+xml", "text/xml"),
            ("application/vnd.oasis.opendocument.text", "application/zip"),
            ("audio/mp4", "audio/m4a"),
            ("audio/wav", "audio/x-wav"),
            ("application/x-of-our-own", ""),
        ] {
            assert_eq!(check(declared, declared, found), Ok(()), "{declared}");
        }
        assert_eq!(check("text/csv", "text/csv", "application/pdf"), Err("application/pdf".into()));
        assert_eq!(check("audio/wav", "audio/wav", text), Err(text.into()));
        assert_eq!(check("*/*", "image/png", ""), Ok(()));
        assert_eq!(check("image/*", "image/png", "image/gif"), Ok(()));
    }

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
