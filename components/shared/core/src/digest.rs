//! The stored digest: CRC-64/NVME, as S3 spells it (base64 of eight big-endian bytes).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A running CRC-64/NVME.
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
        STANDARD.encode(self.0.sum64().to_be_bytes())
    }

    /// The value of bytes held whole.
    #[must_use]
    pub fn of(bytes: &[u8]) -> String {
        let mut digest = Self::default();
        digest.update(bytes);
        digest.to_base64()
    }
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
}
