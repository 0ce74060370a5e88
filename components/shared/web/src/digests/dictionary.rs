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
    for Member { algorithm, value } in members(line).ok_or_else(malformed)? {
        let Value::Bytes(bytes) = value else { return Err(malformed()) };
        match algorithm {
            Algorithm::Sha256 => set(name, &bytes, &mut declared.sha256)?,
            Algorithm::Sha512 => set(name, &bytes, &mut declared.sha512)?,
        }
    }
    Ok(())
}

/// Whether one line of Want-Repr-Digest weighs SHA-256 with more than 0.
pub(super) fn wants_sha256(line: &[u8]) -> bool {
    let mut weights = members(line).unwrap_or_default().into_iter().rev();
    // Of a member that comes twice the last one counts; a list is no weight.
    let last = weights
        .find(|it| matches!(it.algorithm, Algorithm::Sha256) && !matches!(it.value, Value::List));
    matches!(last, Some(Member { value: Value::Weight(weight), .. }) if weight > Integer::ZERO)
}

#[derive(Clone, Copy)]
enum Algorithm {
    Sha256,
    Sha512,
}

/// A member of the dictionary whose algorithm is known.
struct Member {
    algorithm: Algorithm,
    value: Value,
}

enum Value {
    Bytes(Vec<u8>),
    Weight(Integer),
    List,
    Other,
}

/// The members of known algorithms, every one of them; `None` for what is no dictionary.
fn members(line: &[u8]) -> Option<Vec<Member>> {
    Parser::new(line).parse_dictionary_with_visitor(Members::default()).ok()
}

#[derive(Default)]
struct Members(Vec<Member>);

impl<'de> DictionaryVisitor<'de> for Members {
    type Out = Vec<Member>;
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Infallible> {
        let algorithm = match key.as_str() {
            "sha-256" => Algorithm::Sha256,
            "sha-512" => Algorithm::Sha512,
            _ => return Ok(None),
        };
        self.0.push(Member { algorithm, value: Value::List });
        Ok(self.0.last_mut())
    }

    fn finish(self) -> Result<Self::Out, Infallible> {
        Ok(self.0)
    }
}

impl<'de> EntryVisitor<'de> for &mut Member {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Infallible> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        Ok(Ignored)
    }
}

impl<'de> ItemVisitor<'de> for &mut Member {
    type Out = ();
    type Error = Infallible;

    fn bare_item(
        self,
        item: BareItemFromInput<'de>,
    ) -> Result<impl ParameterVisitor<'de, Out = ()>, Infallible> {
        self.value = match item {
            BareItemFromInput::ByteSequence(bytes) => Value::Bytes(bytes),
            BareItemFromInput::Integer(weight) => Value::Weight(weight),
            _ => Value::Other,
        };
        Ok(Ignored)
    }
}
