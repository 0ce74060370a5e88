use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use time::Date;

use super::string_to_sign::yyyymmdd;

/// The key of one day, region and secret, with its HMAC pads already hashed.
#[derive(Clone)]
pub struct SigningKey {
    date: Date,
    mac: Hmac<Sha256>,
}

impl SigningKey {
    /// Step 3: the key for `date` (UTC) in `region`, for S3.
    pub fn derive(secret_access_key: &str, date: Date, region: &str) -> Self {
        let key = signing_key(secret_access_key, &yyyymmdd(date), region, "s3");
        Self { date, mac: keyed(&key) }
    }

    pub(crate) fn date(&self) -> Date {
        self.date
    }

    pub(super) fn hmac(&self, message: &str) -> [u8; 32] {
        finish(self.mac.clone(), message)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("date", &self.date).finish_non_exhaustive()
    }
}

fn signing_key(secret_access_key: &str, date: &str, region: &str, service: &str) -> [u8; 32] {
    let secret = format!("AWS4{secret_access_key}");
    [region, service, "aws4_request"]
        .into_iter()
        .fold(finish(keyed(secret.as_bytes()), date), |key, part| finish(keyed(&key), part))
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"))
}

fn finish(mut mac: Hmac<Sha256>, message: &str) -> [u8; 32] {
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::push_hex;

    /// <https://docs.aws.amazon.com/general/latest/gr/signature-v4-examples.html>
    #[test]
    fn aws_vectors() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        for (date, expected) in [
            ("20120215", "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"),
            ("20150830", "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"),
        ] {
            let mut found = String::new();
            push_hex(&mut found, &signing_key(secret, date, "us-east-1", "iam"));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_secret_may_be_longer_than_a_block() {
        let long = "s".repeat(100);
        let key = |secret| signing_key(secret, "20120215", "us-east-1", "s3");
        assert_ne!(key(&long), key(&long[..64]));
    }
}
