//! The memory of an instance's streams.

use std::cell::Cell;

use crate::limits::HELD_BYTES;

/// What an instance may hold of streams, of all its requests together.
pub struct Budget(Cell<u64>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(HELD_BYTES))
    }
}

impl Budget {
    pub(super) fn take(&self, bytes: u64) -> Option<Room<'_>> {
        self.0.set(self.0.get().checked_sub(bytes)?);
        Some(Room { budget: self, bytes })
    }
}

/// Bytes of a budget, which get back when it is dropped.
pub(super) struct Room<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Room<'_> {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.budget.0.set(self.budget.0.get() + self.bytes);
    }
}
