//! The checksums of TUS: digests over the body of one request, compared before any of it counts.

use sha2::digest::DynDigest;

use crate::error::{Code, Error};

/// What a checksum is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1, which every server of the protocol's extension has.
    Sha1,
    /// MD5.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Md5, Self::Sha256, Self::Sha512];

    /// The name in `Upload-Checksum`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The algorithm of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    /// Length of its value, in bytes.
    #[must_use]
    pub fn length(self) -> usize {
        self.digest().output_size()
    }

    fn digest(self) -> Box<dyn DynDigest> {
        match self {
            Self::Sha1 => Box::<sha1::Sha1>::default(),
            Self::Md5 => Box::<md5::Md5>::default(),
            Self::Sha256 => Box::<sha2::Sha256>::default(),
            Self::Sha512 => Box::<sha2::Sha512>::default(),
        }
    }
}

/// What a client says that its bytes come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// With what.
    pub algorithm: Algorithm,
    /// The value; [`Algorithm::length`] bytes.
    pub value: Vec<u8>,
}

/// Running checksums of the bytes so far.
pub struct Checksums(Vec<(Algorithm, Box<dyn DynDigest>)>);

impl Checksums {
    /// Of one algorithm.
    #[must_use]
    pub fn of(algorithm: Algorithm) -> Self {
        Self(vec![(algorithm, algorithm.digest())])
    }

    /// Of all, where only the end tells which one counts.
    #[must_use]
    pub fn all() -> Self {
        Self(Algorithm::ALL.map(|algorithm| (algorithm, algorithm.digest())).into())
    }

    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        for (_, digest) in &mut self.0 {
            digest.update(bytes);
        }
    }

    /// Compares.
    ///
    /// # Errors
    /// [`Code::ChecksumMismatch`].
    pub fn compare(self, wanted: &Checksum) -> Result<(), Error> {
        let found = self.0.into_iter().find(|(algorithm, _)| *algorithm == wanted.algorithm);
        if found.is_some_and(|(_, digest)| *digest.finalize() == *wanted.value) {
            return Ok(());
        }
        let message = format!(
            "The body is not what its {} says; nothing of it was kept, send it again",
            wanted.algorithm.as_str()
        );
        Err(Error::new(Code::ChecksumMismatch, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_algorithm_compares() {
        let abc = [
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ];
        for (algorithm, hex) in abc {
            let value: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
                .collect();
            assert_eq!(value.len(), algorithm.length());
            for mut sums in [Checksums::of(algorithm), Checksums::all()] {
                sums.update(b"a");
                sums.update(b"bc");
                sums.compare(&Checksum { algorithm, value: value.clone() }).expect("equal");
            }
            let refused = Checksums::of(algorithm).compare(&Checksum { algorithm, value });
            assert_eq!(refused.expect_err("of nothing").code, Code::ChecksumMismatch);
        }
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.as_str()), Some(algorithm));
        }
        assert_eq!(Algorithm::from_name("SHA1"), None);
    }
}
