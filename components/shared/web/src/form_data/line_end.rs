//! The rest of the line that a delimiter begins.

use holdfast_core::error::Error;

use super::malformed;

/// Most spaces and tabs behind a delimiter (RFC 2046's padding), in bytes.
const MAX_PADDING_BYTES: usize = 256;

/// Reads the rest of a delimiter's line, byte by byte: there are two of them, or a few.
#[derive(Default)]
pub(super) struct LineEnd {
    padding: usize,
    /// The first of two bytes that end the line.
    first: Option<u8>,
}

/// What follows the line.
pub(super) enum Next {
    /// Not known yet; the chunk is used up.
    More,
    /// A part.
    Part,
    /// Nothing: it was the last delimiter.
    End,
}

impl LineEnd {
    /// Takes the rest of the line off the front of a chunk.
    ///
    /// A line that goes on otherwise is refused. RFC 2046 has it that the boundary is in no line of
    /// a part, whatever follows it, and readers that look for a longer match would see other parts.
    pub(super) fn take(&mut self, chunk: &mut &[u8]) -> Result<Next, Error> {
        while let [byte, rest @ ..] = chunk {
            *chunk = rest;
            match (self.first, byte) {
                (None, b' ' | b'\t') if self.padding < MAX_PADDING_BYTES => self.padding += 1,
                (None, b'\r') => self.first = Some(b'\r'),
                (None, b'-') if self.padding == 0 => self.first = Some(b'-'),
                (Some(b'\r'), b'\n') => return Ok(Next::Part),
                (Some(b'-'), b'-') => return Ok(Next::End),
                _ => {
                    return Err(malformed(
                        "The boundary of the form is followed by other bytes than CR LF or --: \
                         choose one that is in none of its parts",
                    ));
                }
            }
        }
        Ok(Next::More)
    }
}
