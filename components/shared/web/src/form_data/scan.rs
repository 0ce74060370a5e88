//! The search for a delimiter that may lie across chunks.

use memchr::memmem::Finder;
use memchr::memrchr;

/// CR LF, which begins a delimiter.
const CRLF_BYTES: usize = 2;

/// How much of the delimiter the last chunks ended with.
///
/// The bytes themselves are not kept: they are the begin of the delimiter. CR is its first byte and
/// in no other place but there, so no shorter begin of it can hide in a longer one.
#[derive(Clone, Copy, Default)]
pub(super) struct Held {
    bytes: usize,
    /// So many of them never came.
    imagined: usize,
}

impl Held {
    /// At the begin of a line, where a delimiter may do without the CR LF that is not its own.
    pub(super) fn line_begin() -> Self {
        Self { bytes: CRLF_BYTES, imagined: CRLF_BYTES }
    }
}

/// What a chunk begins with.
pub(super) enum Scan<'a> {
    /// Bytes that belong to no delimiter, at least one.
    Other(&'a [u8]),
    /// A delimiter.
    Delimiter,
    /// Nothing that can be told yet; the chunk is used up.
    More,
}

/// Takes what it tells off the front of a chunk, which is not empty.
pub(super) fn scan<'p, 'c: 'p>(
    delimiter: &'p Finder<'_>,
    held: &mut Held,
    chunk: &mut &'c [u8],
) -> Scan<'p> {
    let needle = delimiter.needle();
    if held.bytes > 0 {
        let wanted = &needle[held.bytes..];
        if chunk.starts_with(wanted) {
            *chunk = &chunk[wanted.len()..];
            *held = Held::default();
            return Scan::Delimiter;
        }
        if wanted.starts_with(chunk) {
            held.bytes += chunk.len();
            *chunk = &[];
            return Scan::More;
        }
        let Held { bytes, imagined } = std::mem::take(held);
        if bytes > imagined {
            return Scan::Other(&needle[imagined..bytes]);
        }
    }
    let (other, rest) = match delimiter.find(chunk) {
        Some(0) => {
            *chunk = &chunk[needle.len()..];
            return Scan::Delimiter;
        }
        Some(at) => chunk.split_at(at),
        None => {
            let (other, begin) = chunk.split_at(chunk.len() - begin_at_end(chunk, needle));
            held.bytes = begin.len();
            (other, &[][..])
        }
    };
    *chunk = rest;
    if other.is_empty() { Scan::More } else { Scan::Other(other) }
}

/// How many bytes at the end of a chunk are the begin of the delimiter.
fn begin_at_end(chunk: &[u8], delimiter: &[u8]) -> usize {
    let end = &chunk[(chunk.len() + 1).saturating_sub(delimiter.len())..];
    let begin = memrchr(b'\r', end).map(|at| &end[at..]);
    begin.filter(|begin| delimiter.starts_with(begin)).map_or(0, <[u8]>::len)
}
