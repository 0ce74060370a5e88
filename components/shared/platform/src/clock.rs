//! Time, waiting and randomness.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use holdfast_core::ports::Clock;
use time::OffsetDateTime;
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::random::random::get_random_bytes;

/// The clock of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct WasiClock;

impl Clock for WasiClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn random(&self) -> [u8; 10] {
        random_bytes()
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
    }
}

/// Comes back after this long.
pub async fn sleep(duration: Duration) {
    wait_for(nanoseconds(duration)).await;
}

/// A duration as WASI takes it.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `N` random bytes.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let random = get_random_bytes(N as u64);
    bytes.iter_mut().zip(random).for_each(|(to, from)| *to = from);
    bytes
}

/// The result of `future`, or `None` if it takes longer than `limit`; dropped, it is cancelled.
pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(sleep(limit))).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}
