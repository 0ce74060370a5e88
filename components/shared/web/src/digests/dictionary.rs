//! A dictionary of digests, the one shape of Content-Digest and Repr-Digest.
//!
//! Spec: RFC 9530, section 2, and RFC 9651, section 3.2.

use std::convert::Infallible;

use holdfast_core::digest::Digests;
use holdfast_core::error::Error;
use http::HeaderName;
use sfv::visitor::{
    DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ParameterVisitor,
};
use sfv::{BareItemFromInput, Integer, KeyRef, Parser};

use super::{invalid, set};

/// Reads one line of the header `name` into `declared`.
pub(super) fn read(name: &HeaderName, line: &[u8], declared: &mut Digests) -> Result<(), Error> {
    let malformed = || invalid(name, "is not a list like sha-256=:base64:");
    let found = Parser::new(line)
        .parse_dictionary_with_visitor(Members::default())
        .map_err(|_| malformed())?;
    for Digest { algorithm, bytes } in found {
        let bytes = bytes.ok_or_else(malformed)?;
        match algorithm {
            Algorithm::Sha256 => set(name, &bytes, &mut declared.sha256)?,
            Algorithm::Sha512 => set(name, &bytes, &mut declared.sha512)?,
        }
    }
    Ok(())
}

/// Whether one line of Want-Repr-Digest weighs SHA-256 with more than 0.
pub(super) fn wants_sha256(line: &[u8]) -> bool {
    Parser::new(line).parse_dictionary_with_visitor(Wish::default()).unwrap_or_default()
}

#[derive(Clone, Copy)]
enum Algorithm {
    Sha256,
    Sha512,
}

/// A member of the dictionary.
struct Digest {
    algorithm: Algorithm,
    /// `None` for a value that is no byte sequence.
    bytes: Option<Vec<u8>>,
}

/// The members whose algorithm is known, every one of them.
#[derive(Default)]
struct Members(Vec<Digest>);

impl<'de> DictionaryVisitor<'de> for Members {
    type Out = Vec<Digest>;
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        let algorithm = match key.as_str() {
            "sha-256" => Algorithm::Sha256,
            "sha-512" => Algorithm::Sha512,
            _ => return Ok(None),
        };
        self.0.push(Digest { algorithm, bytes: None });
        Ok(self.0.last_mut())
    }

    fn finish(self) -> Result<Self::Out, Infallible> {
        Ok(self.0)
    }
}

impl<'de> EntryVisitor<'de> for &mut Digest {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Infallible> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        Ok(Ignored)
    }
}

impl<'de> ItemVisitor<'de> for &mut Digest {
    type Out = ();
    type Error = Infallible;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = ()>, Infallible> {
        if let BareItemFromInput::ByteSequence(bytes) = item {
            self.bytes = Some(bytes);
        }
        Ok(Ignored)
    }
}

/// Whether SHA-256 is wished for.
#[derive(Default)]
struct Wish(bool);

impl<'de> DictionaryVisitor<'de> for Wish {
    type Out = bool;
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        Ok((key.as_str() == "sha-256").then_some(self))
    }

    fn finish(self) -> Result<bool, Infallible> {
        Ok(self.0)
    }
}

impl<'de> EntryVisitor<'de> for &mut Wish {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Infallible> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        Ok(Ignored)
    }
}

impl<'de> ItemVisitor<'de> for &mut Wish {
    type Out = ();
    type Error = Infallible;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = ()>, Infallible> {
        self.0 = matches!(item, BareItemFromInput::Integer(weight) if weight > Integer::ZERO);
        Ok(Ignored)
    }
}
