use super::{SigningKey, push_hex};

/// Step 4: the signature, in lower-case hexadecimal.
pub(crate) fn signature(key: &SigningKey, string_to_sign: &str) -> String {
    let mut out = String::with_capacity(64);
    push_hex(&mut out, &key.hmac(string_to_sign));
    out
}
