//! The bytes of a file in their order: what is at hand first, the rest as it is read.

use super::{Failure, Fault};
use crate::error::Error;
use crate::ports::Body;

/// Above this many bytes what is passed over is not read: the file is opened anew behind it.
const SEEK_BYTES: u64 = 1_024 * 1_024;

pub(super) struct Bytes<B, O> {
    size: u64,
    /// Where the next byte lies.
    position: u64,
    chunk: Vec<u8>,
    /// So many of the chunk were taken.
    taken: usize,
    reader: Option<B>,
    open: O,
}

impl<B: Body, O: AsyncFn(u64) -> Result<B, Error>> Bytes<B, O> {
    pub(super) fn new(size: u64, mut head: Vec<u8>, open: O) -> Self {
        head.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Self { size, position: 0, chunk: head, taken: 0, reader: None, open }
    }

    /// Where the next byte lies.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// How long the file is.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many bytes are left of the file.
    pub(super) fn left(&self) -> u64 {
        self.size - self.position
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.left() == 0 { Ok(()) } else { Err(Fault::Trailing) }
    }

    /// The next bytes that are at hand, at least one.
    pub(super) async fn ahead(&mut self) -> Result<&[u8], Failure> {
        if self.left() == 0 {
            return Err(Fault::Truncated.into());
        }
        while self.taken == self.chunk.len() {
            let mut chunk = std::mem::take(&mut self.chunk);
            chunk.clear();
            if self.reader.is_none() {
                self.reader = Some((self.open)(self.position).await?);
            }
            let read = match &mut self.reader {
                Some(reader) => reader.read_into(chunk).await?,
                None => None,
            };
            // The file is as long as was said, or the store gave up.
            self.chunk =
                read.ok_or_else(|| Error::unavailable("The object store", "it ended early"))?;
            self.taken = 0;
        }
        let ahead = &self.chunk[self.taken..];
        let most = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
        Ok(&ahead[..ahead.len().min(most)])
    }

    /// So many of [`Self::ahead`] are done with.
    pub(super) fn consume(&mut self, count: usize) {
        self.taken += count;
        self.position += count as u64;
    }

    /// The next `N` bytes.
    pub(super) async fn take<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let mut bytes = [0; N];
        self.fill(&mut bytes).await?;
        Ok(bytes)
    }

    /// Fills `bytes` with the next ones; how many they are is bounded by who asks.
    pub(super) async fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Failure> {
        if self.left() < bytes.len() as u64 {
            return Err(Fault::Truncated.into());
        }
        let mut filled = 0;
        while filled < bytes.len() {
            let ahead = self.ahead().await?;
            let count = ahead.len().min(bytes.len() - filled);
            bytes[filled..filled + count].copy_from_slice(&ahead[..count]);
            self.consume(count);
            filled += count;
        }
        Ok(())
    }

    pub(super) async fn byte(&mut self) -> Result<u8, Failure> {
        let byte = self.ahead().await?[0];
        self.consume(1);
        Ok(byte)
    }

    /// Passes over `count` bytes, all of which have to be there.
    pub(super) async fn skip(&mut self, count: u64) -> Result<(), Failure> {
        if self.left() < count {
            return Err(Fault::Truncated.into());
        }
        let mut left = count;
        let held = (self.chunk.len() - self.taken) as u64;
        if count > held.saturating_add(SEEK_BYTES) {
            self.reader = None;
            self.taken = self.chunk.len();
            self.position += count;
            return Ok(());
        }
        while left > 0 {
            let ahead = self.ahead().await?.len();
            let step = usize::try_from(left).unwrap_or(usize::MAX).min(ahead);
            self.consume(step);
            left -= step as u64;
        }
        Ok(())
    }
}
