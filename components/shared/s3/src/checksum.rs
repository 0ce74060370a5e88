/// A digest that the S3 server can compute over a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// CRC-32C (Castagnoli).
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

impl ChecksumAlgorithm {
    /// The name that `x-amz-sdk-checksum-algorithm` takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header that carries the digest, in a request and in the answer.
    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }
}

/// What the server shall do about the digest of a stored body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum<'a> {
    /// Refuse the body (`BadDigest`) unless its digest is this one.
    Verify {
        /// The digest's algorithm.
        algorithm: ChecksumAlgorithm,
        /// The expected digest, big-endian, in base64.
        value_base64: &'a str,
    },
    /// Compute the digest and return it in [`ChecksumAlgorithm::header`].
    Compute(ChecksumAlgorithm),
}

impl<'a> Checksum<'a> {
    pub(crate) fn header(self) -> (&'static str, &'a str) {
        match self {
            Self::Verify { algorithm, value_base64 } => (algorithm.header(), value_base64),
            Self::Compute(algorithm) => ("x-amz-sdk-checksum-algorithm", algorithm.name()),
        }
    }
}
