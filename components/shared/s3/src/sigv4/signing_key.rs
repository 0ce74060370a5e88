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
