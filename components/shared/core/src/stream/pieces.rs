//! The pieces of a concatenation, read as one body.

use super::torn;
use crate::error::Error;
use crate::ports::{Body, Target};
use crate::session::PartStore;

/// A blob that is a piece of a concatenation.
pub(super) struct Piece {
    pub(super) bucket: String,
    pub(super) s3_key: String,
    pub(super) size: u64,
}

/// The bytes of several blobs, one behind the other.
pub(super) struct Pieces<'a, B: PartStore> {
    pub(super) blobs: &'a B,
    pub(super) pieces: &'a [Piece],
    /// How many are there already.
    pub(super) skip: u64,
    pub(super) open: Option<(B::Reader, u64)>,
}

impl<B: PartStore> Body for Pieces<'_, B> {
    async fn read_into(&mut self, mut buffer: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if let Some((reader, left)) = &mut self.open {
                match reader.read_into(buffer).await? {
                    Some(chunk) => {
                        let rest = left.checked_sub(chunk.len() as u64);
                        *left = rest.ok_or_else(|| torn("a longer piece than it took"))?;
                        return Ok(Some(chunk));
                    }
                    None if *left > 0 => return Err(torn("a shorter piece than it took")),
                    None => {}
                }
                self.open = None;
                buffer = Vec::new();
            }
            let Some((piece, rest)) = self.pieces.split_first() else { return Ok(None) };
            self.pieces = rest;
            let skip = self.skip.min(piece.size);
            self.skip -= skip;
            if skip < piece.size {
                let at = Target { bucket: &piece.bucket, s3_key: &piece.s3_key };
                self.open = Some((self.blobs.read_from(at, skip).await?, piece.size - skip));
            }
        }
    }
}
