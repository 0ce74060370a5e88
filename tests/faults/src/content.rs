//! What is uploaded: bytes that follow from the number of the write, so that none is kept.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::rng::Rng;

/// A SHA-256.
pub(crate) type Sha = [u8; 32];

/// The content of a write. Two writes differ within their first eight bytes.
pub(crate) fn content(write: u64, size: usize) -> Bytes {
    let mut rng = Rng::new(write.wrapping_mul(0xD6E8_FEB8_6659_FD93));
    let mut bytes = Vec::with_capacity(size.next_multiple_of(8));
    while bytes.len() < size {
        bytes.extend_from_slice(&rng.next().to_le_bytes());
    }
    bytes.truncate(size);
    Bytes::from(bytes)
}

/// Its SHA-256.
pub(crate) fn sha(bytes: &[u8]) -> Sha {
    Sha256::digest(bytes).into()
}

/// A digest for people.
pub(crate) fn hex(sha: &Sha) -> String {
    sha.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_differ_and_a_longer_one_begins_as_a_shorter_one() {
        assert_ne!(content(1, 8), content(2, 8));
        assert_eq!(content(1, 100)[..9], content(1, 9)[..]);
        assert_eq!(content(1, 0).len(), 0);
    }
}
