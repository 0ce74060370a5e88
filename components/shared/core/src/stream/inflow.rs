//! The bytes of one request.

use time::OffsetDateTime;

use super::{Check, too_long};
use crate::checksum::Checksums;
use crate::error::Error;
use crate::ports::{Body, Clock};
use crate::upload::check_speed;

/// The bytes of a request, as they come. What ends them early is kept for later: what came before is not lost by it.
pub(super) struct Inflow<'a, B, K> {
    body: &'a mut B,
    clock: &'a K,
    begun: OffsetDateTime,
    came: u64,
    /// Came, and not taken yet.
    rest: Vec<u8>,
    /// How many more the stream takes, where that is known.
    left: Option<u64>,
    /// How many come, as the client says.
    expected: Option<u64>,
    ended: Option<Result<(), Error>>,
    checksums: Option<Checksums>,
}

impl<'a, B: Body, K: Clock> Inflow<'a, B, K> {
    pub(super) fn new(
        body: &'a mut B,
        clock: &'a K,
        left: Option<u64>,
        expected: Option<u64>,
        check: &Check<'_>,
    ) -> Self {
        let checksums = match check {
            Check::Nothing => None,
            Check::Is(checksum) => Some(Checksums::of(checksum.algorithm)),
            Check::Trailing(_) => Some(Checksums::all()),
        };
        let begun = clock.now();
        let rest = Vec::new();
        Self { body, clock, begun, came: 0, rest, left, expected, ended: None, checksums }
    }

    /// Whether so many bytes come yet, by what the client says.
    pub(super) fn brings(&self, bytes: u64) -> bool {
        self.expected.is_some() && self.ended.is_none() && self.may_come() >= bytes
    }

    /// At most so many bytes come yet.
    pub(super) fn may_come(&self) -> u64 {
        let expected = self.expected.map(|expected| expected.saturating_sub(self.came));
        let next = expected.into_iter().chain(self.left).min().unwrap_or(u64::MAX);
        next.saturating_add(self.rest.len() as u64)
    }

    /// At most so many bytes, and at least one; `None` if no more come.
    pub(super) async fn take(&mut self, at_most: u64, buffer: Vec<u8>) -> Option<Vec<u8>> {
        let mut chunk = std::mem::take(&mut self.rest);
        if chunk.is_empty() {
            if self.ended.is_some() {
                return None;
            }
            chunk = self.next(buffer).await?;
        }
        let at_most = usize::try_from(at_most).unwrap_or(usize::MAX);
        if chunk.len() > at_most {
            self.rest = chunk.split_off(at_most);
        }
        Some(chunk)
    }

    async fn next(&mut self, mut buffer: Vec<u8>) -> Option<Vec<u8>> {
        loop {
            match self.body.read_into(buffer).await {
                Ok(Some(chunk)) if chunk.is_empty() => buffer = chunk,
                Ok(Some(mut chunk)) => {
                    self.came += chunk.len() as u64;
                    if let Some(left) = self.left {
                        let room = usize::try_from(left).unwrap_or(usize::MAX);
                        if chunk.len() > room {
                            chunk.truncate(room);
                            self.stop(too_long());
                        }
                        self.left = Some(left - chunk.len() as u64);
                    }
                    if let Some(checksums) = &mut self.checksums {
                        checksums.update(&chunk);
                    }
                    if let Err(slow) = check_speed(self.begun, self.clock.now(), self.came) {
                        self.stop(slow);
                    }
                    return (!chunk.is_empty()).then_some(chunk);
                }
                Ok(None) => {
                    self.ended.get_or_insert(Ok(()));
                    return None;
                }
                Err(error) => {
                    self.stop(error);
                    return None;
                }
            }
        }
    }

    /// Takes no more, not even what came.
    pub(super) fn refuse(&mut self, error: Error) {
        self.stop(error);
        self.rest.clear();
    }

    fn stop(&mut self, error: Error) {
        self.ended.get_or_insert(Err(error));
    }

    /// Whether nothing is to be had any more.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some() && self.rest.is_empty()
    }

    /// Whether what came may be kept.
    pub(super) fn verdict(&mut self, check: &Check<'_>) -> Result<(), Error> {
        let Some(checksums) = self.checksums.take() else { return Ok(()) };
        // Not known whether it is what it shall be.
        self.ended()?;
        match check {
            Check::Nothing => Ok(()),
            Check::Is(checksum) => checksums.compare(checksum),
            Check::Trailing(checksum) => match checksum()? {
                Some(checksum) => checksums.compare(&checksum),
                None => Ok(()),
            },
        }
    }

    /// What ended it.
    pub(super) fn ended(&mut self) -> Result<(), Error> {
        self.ended.take().unwrap_or(Ok(()))
    }
}
