//! Content-Disposition: under which name a browser saves a file.
//!
//! Spec: RFC 6266 and RFC 8187.

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Longest name, in bytes of UTF-8: what file systems take.
pub const MAX_NAME_BYTES: usize = 255;

/// Longest extension, in bytes, that outlives the cutting of a long name.
const MAX_EXTENSION_BYTES: usize = 16;

/// The name of a file whose own has nothing to show.
const FALLBACK_NAME: &str = "download";

/// All but `attr-char` of RFC 8187, section 3.2.1.
const EXT_VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// `attachment` with a name, made safe by [`file_name`].
///
/// Every client gets `filename`; a name that needs it is sent as `filename*` too, which wins.
#[must_use]
pub fn attachment(name: &str) -> HeaderValue {
    let name = file_name(name);
    let plain = plain(&name);
    let mut value = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        value.push_str("; filename*=UTF-8''");
        value.extend(utf8_percent_encode(&name, EXT_VALUE));
    }
    // Only visible ASCII and spaces are left by now.
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("attachment"))
}

/// A name that can be saved: one segment, nothing invisible, at most [`MAX_NAME_BYTES`].
#[must_use]
pub fn file_name(name: &str) -> String {
    let visible: String = name
        .chars()
        .filter(|c| !c.is_control() && !is_bidi_control(*c))
        .map(|c| if matches!(c, '/' | '\\') { '_' } else { c })
        .collect();
    let cut = cut(visible.trim());
    if cut.trim_matches('.').is_empty() { FALLBACK_NAME.to_owned() } else { cut }
}

/// These make `gpj.exe` look like `exe.jpg`.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Cuts a long name before its extension.
fn cut(name: &str) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let extension = match name.rfind('.') {
        Some(dot) if name.len() - dot <= MAX_EXTENSION_BYTES => &name[dot..],
        _ => "",
    };
    let stem = &name[..name.floor_char_boundary(MAX_NAME_BYTES - extension.len())];
    format!("{stem}{extension}")
}

/// The name in ASCII. Clients disagree about `\` escapes and decode `%41` (RFC 6266, appendix D), so
/// neither is sent.
fn plain(name: &str) -> String {
    let safe = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '%');
    name.chars().map(|c| if safe(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    fn rendered(name: &str) -> String {
        attachment(name).to_str().expect("ASCII").to_owned()
    }

    #[test]
    fn names_as_rfc_6266_writes_them() {
        for (name, wanted) in [
            ("example.html", r#"attachment; filename="example.html""#),
            ("a b;c.txt", r#"attachment; filename="a b;c.txt""#),
            ("€ rates", r#"attachment; filename="_ rates"; filename*=UTF-8''%E2%82%AC%20rates"#),
            ("naïve.txt", r#"attachment; filename="na_ve.txt"; filename*=UTF-8''na%C3%AFve.txt"#),
            (r#"a"b"#, r#"attachment; filename="a_b"; filename*=UTF-8''a%22b"#),
            ("50%41.txt", r#"attachment; filename="50_41.txt"; filename*=UTF-8''50%2541.txt"#),
            ("it's(1)*.txt", r#"attachment; filename="it's(1)*.txt""#),
        ] {
            assert_eq!(rendered(name), wanted, "{name}");
        }
    }

    #[test]
    fn no_header_is_injected_and_no_folder_left() {
        assert_eq!(rendered("a\r\nSet-Cookie: x=y"), r#"attachment; filename="aSet-Cookie: x=y""#);
        assert_eq!(file_name("../../etc/passwd"), ".._.._etc_passwd");
        assert_eq!(file_name("C:\\x"), "C:_x");
        assert_eq!(file_name("photo\u{202e}gpj.exe"), "photogpj.exe");
        for empty in ["", " ", ".", "..", "\n", "\u{202e}"] {
            assert_eq!(file_name(empty), "download", "{empty:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_extension() {
        let name = file_name(&format!("{}.tar.gz", "é".repeat(300)));
        assert!(name.ends_with("é.gz") && name.len() <= MAX_NAME_BYTES, "{name}");
        let name = file_name(&format!("a.{}", "é".repeat(300)));
        assert_eq!(name.len(), 254, "cut between two characters");
    }

    proptest! {
        #[test]
        fn the_extended_name_is_the_name(name in ".*") {
            let value = rendered(&name);
            let (head, extended) = match value.split_once("; filename*=UTF-8''") {
                Some((head, extended)) => (head, Some(extended)),
                None => (value.as_str(), None),
            };
            let plain = head.strip_prefix("attachment; filename=\"").and_then(|h| h.strip_suffix('"'));
            let plain = plain.expect("a quoted name");
            prop_assert!(!plain.contains(['"', '\\', '%']));
            let decoded = match extended {
                Some(extended) => percent_decode_str(extended).decode_utf8().expect("UTF-8").into_owned(),
                None => plain.to_owned(),
            };
            prop_assert_eq!(decoded, file_name(&name));
            prop_assert!(file_name(&name).len() <= MAX_NAME_BYTES);
        }
    }
}
