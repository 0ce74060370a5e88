use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

/// The specification's unreserved characters stay; a space is `%20`, never `+`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// Encodes a name or a value of the query.
pub(crate) fn uri_encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

/// Encodes an object key, whose slashes stay.
pub(crate) fn uri_encode_path(key: &str) -> PercentEncode<'_> {
    utf8_percent_encode(key, RESERVED_IN_PATH)
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn space_is_never_a_plus() {
        assert_eq!(uri_encode("a b+c/d%é~").to_string(), "a%20b%2Bc%2Fd%25%C3%A9~");
        assert_eq!(uri_encode_path("a b+c//d%").to_string(), "a%20b%2Bc//d%25");
    }

    fn is_encoded(text: &str, extra: &[u8]) -> bool {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b) || extra.contains(&b))
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            for (encoded, extra) in
                [(uri_encode(&text).to_string(), &b""[..]), (uri_encode_path(&text).to_string(), b"/")]
            {
                prop_assert!(is_encoded(&encoded, extra), "{encoded}");
                prop_assert_eq!(percent_decode_str(&encoded).decode_utf8().unwrap(), text.as_str());
            }
        }
    }
}
