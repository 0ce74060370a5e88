//! The delimiters of a form, found in a stream of chunks.

use std::fmt;

use holdfast_core::error::{Code, Error};
use memchr::memmem::{self, Finder};

use super::line_end::{LineEnd, Next};
use super::scan::{Held, Scan, scan};
use super::{Boundary, Part, malformed};

/// Most parts of one form.
pub const MAX_PARTS: usize = 1_000;

/// Longest block of headers of a part, in bytes.
pub const MAX_HEADER_BLOCK_BYTES: usize = 8 * 1_024;

/// Most bytes before the first delimiter (RFC 2046's preamble, which no client sends), in bytes.
pub const MAX_PREAMBLE_BYTES: usize = 1_024;

const CRLF: &[u8] = b"\r\n";

/// Ends a block of headers.
const EMPTY_LINE: &[u8] = b"\r\n\r\n";

/// What the parser found.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A part begins.
    Part(Part),
    /// Bytes of the part, never empty; they lie in the chunk, or were held back from the one before.
    Data(&'a [u8]),
    /// The part is whole.
    PartEnd,
    /// The form is whole.
    End,
}

/// Parses one form, chunk by chunk.
///
/// It holds back at most [`MAX_HEADER_BLOCK_BYTES`] of headers, and of the bytes of a part only how
/// many of the delimiter's they may be.
pub struct Parser {
    delimiter: Finder<'static>,
    state: State,
    parts: usize,
}

enum State {
    /// Before the first delimiter, `seen` bytes into what is none.
    Preamble { seen: usize, held: Held },
    /// Behind a delimiter, in the rest of its line.
    LineEnd(LineEnd),
    /// In the headers of a part. The block begins with the CR LF of the delimiter's line, so that
    /// one without headers ends like any other.
    Headers { block: Vec<u8> },
    /// In the bytes of a part.
    Body { held: Held },
    /// Behind the last delimiter.
    Done,
    /// An error was given.
    Failed,
}

impl Parser {
    /// A parser of a form with this boundary.
    #[must_use]
    pub fn new(boundary: &Boundary) -> Self {
        let delimiter = Finder::new(&boundary.delimiter()).into_owned();
        let state = State::Preamble { seen: 0, held: Held::line_begin() };
        Self { delimiter, state, parts: 0 }
    }

    /// The next event; what belongs to it is taken off the front of `chunk`.
    ///
    /// `None` once the chunk is used up: call it again with the next one. Behind the end of the form
    /// everything is taken and ignored.
    ///
    /// # Errors
    /// [`Code::MalformedForm`]: the message says what is wrong. Every later call fails too.
    pub fn next<'p, 'c: 'p>(
        &'p mut self,
        chunk: &mut &'c [u8],
    ) -> Result<Option<Event<'p>>, Error> {
        let next = step(&self.delimiter, &mut self.state, &mut self.parts, chunk);
        if next.is_err() {
            self.state = State::Failed;
        }
        next
    }

    /// Says that the body has ended.
    ///
    /// # Errors
    /// [`Code::IncompleteBody`]: before the last delimiter.
    pub fn finish(&self) -> Result<(), Error> {
        if matches!(self.state, State::Done) {
            return Ok(());
        }
        Err(Error::new(
            Code::IncompleteBody,
            "The form ended before its last boundary: send it again, whole",
        ))
    }
}

impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser").field("parts", &self.parts).finish_non_exhaustive()
    }
}

/// [`Parser::next`], but for what an error leaves behind.
fn step<'p, 'c: 'p>(
    delimiter: &'p Finder<'_>,
    state: &mut State,
    parts: &mut usize,
    chunk: &mut &'c [u8],
) -> Result<Option<Event<'p>>, Error> {
    while !chunk.is_empty() {
        match state {
            State::Preamble { seen, held } => match scan(delimiter, held, chunk) {
                Scan::Other(bytes) => *seen = check_preamble(*seen + bytes.len())?,
                Scan::Delimiter => *state = State::LineEnd(LineEnd::default()),
                Scan::More => {}
            },
            State::LineEnd(line) => match line.take(chunk)? {
                Next::More => {}
                Next::Part => *state = State::Headers { block: CRLF.to_vec() },
                Next::End => {
                    *state = State::Done;
                    return Ok(Some(Event::End));
                }
            },
            State::Headers { block } => {
                if let Some(part) = take_headers(block, chunk)? {
                    *parts = check_parts(*parts + 1)?;
                    // Without an empty line of its own an empty part ends with its headers' one.
                    *state = State::Body { held: Held::line_begin() };
                    return Ok(Some(Event::Part(part)));
                }
            }
            State::Body { held } => match scan(delimiter, held, chunk) {
                Scan::Other(bytes) => return Ok(Some(Event::Data(bytes))),
                Scan::Delimiter => {
                    *state = State::LineEnd(LineEnd::default());
                    return Ok(Some(Event::PartEnd));
                }
                Scan::More => {}
            },
            State::Done => *chunk = &[],
            State::Failed => return Err(malformed("The form was refused before")),
        }
    }
    Ok(None)
}

/// Takes headers up to the empty line behind them; `None` if it is not here yet.
fn take_headers(block: &mut Vec<u8>, chunk: &mut &[u8]) -> Result<Option<Part>, Error> {
    let before = block.len();
    let room = MAX_HEADER_BLOCK_BYTES + EMPTY_LINE.len() - before;
    block.extend_from_slice(&chunk[..room.min(chunk.len())]);
    let from = (before + 1).saturating_sub(EMPTY_LINE.len());
    let Some(at) = memmem::find(&block[from..], EMPTY_LINE).map(|at| from + at) else {
        if chunk.len() >= room {
            let message =
                format!("The headers of a part have at most {MAX_HEADER_BLOCK_BYTES} bytes");
            return Err(malformed(message).rule("limits.maxFormHeaderBytes"));
        }
        *chunk = &[];
        return Ok(None);
    };
    *chunk = &chunk[at + EMPTY_LINE.len() - before..];
    Part::parse(block.get(CRLF.len()..at).unwrap_or_default()).map(Some)
}

fn check_preamble(bytes: usize) -> Result<usize, Error> {
    if bytes > MAX_PREAMBLE_BYTES {
        return Err(malformed(
            "The form does not begin with the boundary that its Content-Type names",
        ));
    }
    Ok(bytes)
}

fn check_parts(parts: usize) -> Result<usize, Error> {
    if parts > MAX_PARTS {
        let error = malformed(format!("A form has at most {MAX_PARTS} parts"));
        return Err(error.rule("limits.maxFormParts"));
    }
    Ok(parts)
}
