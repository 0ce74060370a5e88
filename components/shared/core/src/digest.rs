//! Digests of a body: the one that is stored, and those that a client declares.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha2::{Digest as _, Sha256, Sha512};

/// A running CRC-64/NVME, as S3 spells it (base64 of eight big-endian bytes): the stored digest.
#[derive(Default)]
pub struct Crc64Nvme(crc64fast_nvme::Digest);

impl Crc64Nvme {
    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The value as `x-amz-checksum-crc64nvme` carries it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.to_bytes())
    }

    /// The value of bytes held whole.
    #[must_use]
    pub fn of(bytes: &[u8]) -> String {
        let mut digest = Self::default();
        digest.update(bytes);
        digest.to_base64()
    }

    /// The value, big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 8] {
        self.0.sum64().to_be_bytes()
    }
}

/// A running MD5, which is what the ETag of an object or part is that S3 got in one piece.
#[derive(Default)]
pub struct Md5Sum(Md5);

impl Md5Sum {
    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The value as an ETag has it.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex(&self.0.finalize())
    }
}

/// The SHA-256 of bytes, in base64.
#[must_use]
pub fn sha256_base64(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}

/// Digests of one content, those that are known; CRCs big-endian, as S3 has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    /// MD5.
    pub md5: Option<[u8; 16]>,
    /// SHA-256.
    pub sha256: Option<[u8; 32]>,
    /// SHA-512.
    pub sha512: Option<[u8; 64]>,
    /// CRC-32C (Castagnoli).
    pub crc32c: Option<[u8; 4]>,
    /// CRC-64/NVME.
    pub crc64nvme: Option<[u8; 8]>,
}

impl Digests {
    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The algorithm whose value is another in `other`; what one of them does not know is no difference.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> Option<&'static str> {
        fn differ<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
            matches!((a, b), (Some(a), Some(b)) if a != b)
        }
        [
            (differ(&self.md5, &other.md5), "MD5"),
            (differ(&self.sha256, &other.sha256), "SHA-256"),
            (differ(&self.sha512, &other.sha512), "SHA-512"),
            (differ(&self.crc32c, &other.crc32c), "CRC-32C"),
            (differ(&self.crc64nvme, &other.crc64nvme), "CRC-64/NVME"),
        ]
        .into_iter()
        .find_map(|(differs, name)| differs.then_some(name))
    }

    /// What either of them knows.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            md5: self.md5.or(other.md5),
            sha256: self.sha256.or(other.sha256),
            sha512: self.sha512.or(other.sha512),
            crc32c: self.crc32c.or(other.crc32c),
            crc64nvme: self.crc64nvme.or(other.crc64nvme),
        }
    }
}

/// Computes several digests of one stream of bytes: the CRC-64/NVME, and those that are wanted.
pub struct Hasher {
    md5: Option<Md5>,
    sha256: Option<Sha256>,
    sha512: Option<Sha512>,
    crc32c: Option<u32>,
    crc64nvme: Crc64Nvme,
}

impl Hasher {
    /// Computes what `declared` has, and SHA-256 where that is asked for.
    #[must_use]
    pub fn new(declared: &Digests, sha256: bool) -> Self {
        Self {
            md5: declared.md5.map(|_| Md5::new()),
            sha256: (sha256 || declared.sha256.is_some()).then(Sha256::new),
            sha512: declared.sha512.map(|_| Sha512::new()),
            crc32c: declared.crc32c.map(|_| 0),
            crc64nvme: Crc64Nvme::default(),
        }
    }

    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
        if let Some(crc) = &mut self.crc32c {
            *crc = crc32c::crc32c_append(*crc, bytes);
        }
        self.crc64nvme.update(bytes);
    }

    /// The digests of all bytes.
    #[must_use]
    pub fn finish(self) -> Digests {
        Digests {
            md5: self.md5.map(|digest| digest.finalize().into()),
            sha256: self.sha256.map(|digest| digest.finalize().into()),
            sha512: self.sha512.map(|digest| digest.finalize().into()),
            crc32c: self.crc32c.map(u32::to_be_bytes),
            crc64nvme: Some(self.crc64nvme.to_bytes()),
        }
    }
}

/// Bytes in base64, as the headers of S3 and RFC 9530 carry digests.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes in hexadecimal, as an ETag carries an MD5.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A digest of `N` bytes from base64; `None` if it is none.
#[must_use]
pub fn from_base64<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue() {
        // CRC-64/NVME of "123456789" is AE8B14860A799888.
        assert_eq!(
            Crc64Nvme::of(b"123456789"),
            STANDARD.encode(0xAE8B_1486_0A79_9888_u64.to_be_bytes())
        );
        let mut parts = Crc64Nvme::default();
        parts.update(b"1234");
        parts.update(b"56789");
        assert_eq!(parts.to_base64(), Crc64Nvme::of(b"123456789"));
    }

    #[test]
    fn published_values() {
        let all = Digests {
            md5: Some([0; 16]),
            sha256: Some([0; 32]),
            sha512: Some([0; 64]),
            crc32c: Some([0; 4]),
            crc64nvme: None,
        };
        let mut hasher = Hasher::new(&all, false);
        hasher.update(b"1234");
        hasher.update(b"56789");
        let digests = hasher.finish();
        // RFC 1321's suite has no "123456789"; these are the values of the usual tools.
        assert_eq!(digests.md5.map(|it| base64(&it)).as_deref(), Some("JfnnlDI7RTiF9RgfG2JNCw=="));
        assert_eq!(
            digests.sha256.map(|it| base64(&it)).as_deref(),
            Some("FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=")
        );
        // CRC-32C of "123456789" is E3069283.
        assert_eq!(digests.crc32c, Some([0xe3, 0x06, 0x92, 0x83]));
        assert_eq!(digests.crc64nvme.map(|it| base64(&it)), Some(Crc64Nvme::of(b"123456789")));
        assert_eq!(all.differs_from(&digests), Some("MD5"));
        assert_eq!(digests.differs_from(&digests.clone()), None);
        assert_eq!(Digests::default().differs_from(&digests), None);
        assert_eq!(from_base64::<4>("4waSgw=="), digests.crc32c);
        assert_eq!(from_base64::<4>("4waS"), None);
    }

    #[test]
    fn only_what_is_wanted_is_computed() {
        let digests = Hasher::new(&Digests::default(), true).finish();
        assert!(digests.sha256.is_some() && digests.md5.is_none() && digests.sha512.is_none());
        assert!(Hasher::new(&Digests::default(), false).finish().sha256.is_none());
    }
}
