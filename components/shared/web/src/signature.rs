//! Public keys, and the signatures that they verify.
//!
//! Spec: RFC 7518, sections 3.3 (RS256) and 3.4 (ES256); RFC 8037, section 3.1 (EdDSA).

use std::ops::RangeInclusive;

use p256::ecdsa::signature::Verifier as _;
use rsa::BoxedUint;
use sha2::Sha256;

/// The size of an RSA modulus that is taken, in bits: RFC 7518, section 3.3, has the lower bound, and
/// a larger one would make each token expensive.
const RSA_BITS: RangeInclusive<usize> = 2_048..=4_096;

/// Bytes of a coordinate of P-256, and of an Ed25519 key.
const COORDINATE_BYTES: usize = 32;

/// A public key of one algorithm.
#[derive(Clone, Debug)]
pub enum PublicKey {
    /// RS256.
    Rsa(Box<rsa::pkcs1v15::VerifyingKey<Sha256>>),
    /// ES256.
    P256(Box<p256::ecdsa::VerifyingKey>),
    /// EdDSA on Ed25519.
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

impl PublicKey {
    /// An RSA key from its modulus and exponent, big-endian; `None` if it is too small, too large or no key.
    #[must_use]
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        // Bounded first: the numbers are computed with.
        if modulus.len() > RSA_BITS.end() / 8 || exponent.len() > size_of::<u64>() {
            return None;
        }
        let modulus = BoxedUint::from_be_slice_vartime(modulus);
        let exponent = BoxedUint::from_be_slice_vartime(exponent);
        let key = rsa::PublicKey::new_with_size_limits(modulus, exponent, RSA_BITS).ok()?;
        Some(Self::Rsa(Box::new(rsa::pkcs1v15::VerifyingKey::new(key))))
    }

    /// A P-256 key from its coordinates; `None` if they are no point of the curve.
    #[must_use]
    pub fn p256(x: &[u8], y: &[u8]) -> Option<Self> {
        if x.len() != COORDINATE_BYTES || y.len() != COORDINATE_BYTES {
            return None;
        }
        const UNCOMPRESSED: u8 = 4;
        let point = [&[UNCOMPRESSED], x, y].concat();
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?;
        Some(Self::P256(Box::new(key)))
    }

    /// An Ed25519 key; `None` if it is no point of the curve, or one of small order.
    #[must_use]
    pub fn ed25519(x: &[u8]) -> Option<Self> {
        let bytes: &[u8; COORDINATE_BYTES] = x.try_into().ok()?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).ok()?;
        (!key.is_weak()).then(|| Self::Ed25519(Box::new(key)))
    }

    /// Whether `signature`, in the form of a JWS, is this key's for `signed`. Another length is another
    /// signature; ES256 is 64 bytes and never DER.
    #[must_use]
    pub fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa(key) => rsa::pkcs1v15::Signature::try_from(signature)
                .and_then(|signature| key.verify(signed, &signature))
                .is_ok(),
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .and_then(|signature| key.verify(signed, &signature))
                .is_ok(),
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .and_then(|signature| key.verify_strict(signed, &signature))
                .is_ok(),
        }
    }
}
