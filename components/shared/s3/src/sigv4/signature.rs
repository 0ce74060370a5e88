use super::{SigningKey, push_hex};

/// Step 4: the signature, in lower-case hexadecimal.
pub(crate) fn signature(key: &SigningKey, string_to_sign: &str) -> String {
    let mut out = String::with_capacity(64);
    push_hex(&mut out, &key.hmac(string_to_sign));
    out
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::sigv4::vectors::{SECRET_ACCESS_KEY, VECTORS};

    #[test]
    fn aws_vectors() {
        let key = SigningKey::derive(SECRET_ACCESS_KEY, date!(2013 - 05 - 24), "us-east-1");
        for vector in &VECTORS {
            let found = signature(&key, &vector.string_to_sign());
            assert_eq!(found, vector.signature, "{}", vector.name);
        }
    }
}
