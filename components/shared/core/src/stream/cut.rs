//! What goes to the store as one part or as one tail.

use time::{Duration, OffsetDateTime};

use super::budget::Room;
use super::inflow::Inflow;
use super::{Streamer, torn};
use crate::digest::Md5Sum;
use crate::error::{Code, Error};
use crate::limits::{MIN_PART_BYTES, STREAM_PART_SECONDS};
use crate::ports::{Body, Catalog, Clock, Target};
use crate::session::{PartStore, Sessions, Tail};

/// Bytes that are held until a part can be made of them.
pub(super) struct Held<'a> {
    pub(super) bytes: Vec<u8>,
    room: Room<'a>,
}

impl Held<'_> {
    /// How many bytes they are.
    pub(super) fn count(held: Option<&Self>) -> u64 {
        held.map_or(0, |held| held.bytes.len() as u64)
    }
}

/// Holds what comes, up to `wanted` bytes.
pub(super) async fn hold<'a, B: Body, K: Clock>(
    inflow: &mut Inflow<'_, B, K>,
    wanted: u64,
    room: Room<'a>,
) -> Held<'a> {
    let mut bytes = Vec::with_capacity(usize::try_from(room.bytes()).unwrap_or_default());
    let mut buffer = Vec::new();
    while (bytes.len() as u64) < wanted {
        let Some(chunk) = inflow.take(wanted - bytes.len() as u64, buffer).await else { break };
        bytes.extend_from_slice(&chunk);
        buffer = chunk;
    }
    Held { bytes, room }
}

/// What a part begins with, besides the tail.
pub(super) enum Start<'a> {
    /// Nothing but what comes.
    Nothing,
    /// Bytes that came already.
    Held(Held<'a>),
    /// What comes goes to the store at once. Until the part has so many bytes that it may be one, they are held too.
    Copied {
        /// Where to.
        room: Room<'a>,
        /// With the tail.
        least: u64,
    },
}

/// Above this many bytes a buffer is not kept for the next chunk.
const BUFFER_BYTES: usize = 256 * 1_024;

/// What goes to the store as one: the tail, what is held, and what comes; counted and digested.
pub(super) struct Cut<'a, 'b, 'i, R, B, K> {
    clock: &'a K,
    tail: Option<R>,
    /// Of the tail, not read yet.
    tail_left: u64,
    held: Option<Held<'a>>,
    /// What came, until it is `least`.
    copied: Option<Held<'a>>,
    least: u64,
    inflow: &'b mut Inflow<'i, B, K>,
    limit: u64,
    until: OffsetDateTime,
    size: u64,
    md5: Md5Sum,
}

impl<'a, 'b, 'i, R: Body, B: Body, K: Clock> Cut<'a, 'b, 'i, R, B, K> {
    pub(super) async fn new<C: Catalog + Sessions, S: PartStore<Reader = R>>(
        streamer: &'a Streamer<'_, C, S, K>,
        bucket: &str,
        tail: Option<&Tail>,
        start: Start<'a>,
        inflow: &'b mut Inflow<'i, B, K>,
        limit: u64,
    ) -> Result<Self, Error> {
        let tail_left = tail.map_or(0, |tail| tail.part.size);
        let tail = match tail {
            Some(tail) => {
                let at = Target { bucket, s3_key: &tail.s3_key };
                Some(streamer.blobs.read_from(at, 0).await?)
            }
            None => None,
        };
        let clock = streamer.clock;
        let until = clock.now() + Duration::seconds(STREAM_PART_SECONDS);
        let (held, copied, least) = match start {
            Start::Nothing => (None, None, 0),
            Start::Held(held) => (Some(held), None, 0),
            Start::Copied { room, least } => {
                let bytes = Vec::with_capacity(usize::try_from(room.bytes()).unwrap_or_default());
                (None, Some(Held { bytes, room }), least)
            }
        };
        let (size, md5) = (0, Md5Sum::default());
        Ok(Self { clock, tail, tail_left, held, copied, least, inflow, limit, until, size, md5 })
    }

    /// What came of a part that ended before it could be one.
    pub(super) fn too_short(self) -> Option<Held<'a>> {
        self.copied.filter(|_| self.size < self.least && self.inflow.is_over())
    }

    /// How many bytes it had, and their MD5 in hex.
    pub(super) fn ended(self) -> (u64, String) {
        (self.size, self.md5.to_hex())
    }

    async fn next(&mut self, buffer: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        if let Some(tail) = &mut self.tail {
            match tail.read_into(buffer).await? {
                Some(chunk) => {
                    let left = self.tail_left.checked_sub(chunk.len() as u64);
                    self.tail_left = left.ok_or_else(|| torn("a longer tail than it took"))?;
                    return Ok(Some(chunk));
                }
                None if self.tail_left > 0 => return Err(torn("a shorter tail than it took")),
                None => {}
            }
            self.tail = None;
            return Box::pin(self.next(Vec::new())).await;
        }
        if let Some(Held { bytes, room }) = self.held.take() {
            // The store has taken them when the next chunk is asked for; a moment's difference to the budget.
            drop(room);
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
            return Box::pin(self.next(bytes)).await;
        }
        let room = self.limit.saturating_sub(self.size);
        if room == 0 || (self.size >= MIN_PART_BYTES && self.clock.now() >= self.until) {
            return Ok(None);
        }
        let chunk = self.inflow.take(room, buffer).await;
        match (&mut self.copied, &chunk) {
            (Some(copied), Some(chunk)) => copied.bytes.extend_from_slice(chunk),
            // The store shall not keep it.
            (Some(_), None) => return Err(too_short()),
            (None, _) => {}
        }
        Ok(chunk)
    }
}

impl<R: Body, B: Body, K: Clock> Body for Cut<'_, '_, '_, R, B, K> {
    async fn read_into(&mut self, buffer: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        let buffer = if buffer.capacity() > BUFFER_BYTES { Vec::new() } else { buffer };
        let chunk = self.next(buffer).await?;
        if let Some(chunk) = &chunk {
            self.size += chunk.len() as u64;
            self.md5.update(chunk);
            if self.size >= self.least {
                self.copied = None;
            }
        }
        Ok(chunk)
    }
}

fn too_short() -> Error {
    Error::new(Code::IncompleteBody, "The body ended early; go on behind what was kept")
}

/// A body that has no bytes.
pub(super) struct Nothing;

impl Body for Nothing {
    async fn read_into(&mut self, _: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }
}
