//! When the public keys of an issuer are fetched, and for how long they are believed. No I/O, no clock.

/// Keys younger than this are used without a question, in seconds.
pub const FRESH_SECONDS: i64 = 60 * 60;

/// Keys that could not be refreshed are used up to this age, in seconds. An issuer that is down for longer
/// may have withdrawn any of them.
pub const STALE_SECONDS: i64 = 24 * 60 * 60;

/// The least time between two fetches while there are keys, in seconds: an unknown `kid` costs no more.
pub const REFETCH_SECONDS: i64 = 60;

/// The least time between two fetches while there is no key at all, in seconds.
pub const RETRY_SECONDS: i64 = 5;

/// For so long a fetch that was begun is believed to be under way, in seconds: whoever died of it says nothing.
pub const UNDER_WAY_SECONDS: i64 = 10;

/// How far the clock of another instance may be ahead of ours, in seconds.
pub const SKEW_SECONDS: i64 = 60;

/// What is known of the keys, in seconds of Unix time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When the keys were fetched; `None` if there are none.
    pub fetched_at: Option<i64>,
    /// When a fetch was last begun.
    pub tried_at: Option<i64>,
}

impl Times {
    /// Whether the keys may be used without a question. A clock that was set back far makes them old.
    #[must_use]
    pub fn fresh(self, now: i64) -> bool {
        younger(self.fetched_at, now, FRESH_SECONDS)
    }

    /// Whether the keys may be used while their issuer does not answer.
    #[must_use]
    pub fn usable(self, now: i64) -> bool {
        younger(self.fetched_at, now, STALE_SECONDS)
    }

    /// Whether a fetch may begin.
    #[must_use]
    pub fn may_fetch(self, now: i64) -> bool {
        let pause = if self.usable(now) { REFETCH_SECONDS } else { RETRY_SECONDS };
        !younger(self.tried_at, now, pause)
    }

    /// Whether the last fetch brought the keys. If not, it failed or is under way, and what the keys lack the
    /// issuer may have.
    #[must_use]
    pub fn answered(self) -> bool {
        self.fetched_at.is_some() && self.fetched_at >= self.tried_at
    }

    /// Whether the last fetch may still be under way.
    #[must_use]
    pub fn under_way(self, now: i64) -> bool {
        !self.answered() && younger(self.tried_at, now, UNDER_WAY_SECONDS)
    }
}

fn younger(at: Option<i64>, now: i64, seconds: i64) -> bool {
    at.is_some_and(|at| at <= now.saturating_add(SKEW_SECONDS) && now.saturating_sub(at) < seconds)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: i64 = 1_800_000_000;

    fn times(fetched_at: impl Into<Option<i64>>, tried_at: impl Into<Option<i64>>) -> Times {
        Times { fetched_at: fetched_at.into(), tried_at: tried_at.into() }
    }

    #[test]
    fn keys_are_fresh_for_an_hour_and_usable_for_a_day() {
        let known = times(T, T);
        for (age, fresh, usable) in [
            (0, true, true),
            (3_599, true, true),
            (3_600, false, true),
            (86_399, false, true),
            (86_400, false, false),
            (-60, true, true),
            (-61, false, false),
        ] {
            assert_eq!((known.fresh(T + age), known.usable(T + age)), (fresh, usable), "{age}");
        }
        assert!(!times(None, T).usable(T));
    }

    #[test]
    fn a_fetch_begins_at_most_once_a_minute_and_every_five_seconds_without_keys() {
        for (known, after, may) in [
            (times(None, None), 0, true),
            (times(None, T), 4, false),
            (times(None, T), 5, true),
            (times(T, T), 5, false),
            (times(T, T), 59, false),
            (times(T, T), 60, true),
            (times(T - 90_000, T), 5, true),
            // An attempt in the future is a clock that was set back.
            (times(None, T + 61), 0, true),
        ] {
            assert_eq!(known.may_fetch(T + after), may, "{known:?} {after}");
        }
    }

    #[test]
    fn a_fetch_is_under_way_until_it_answered_or_took_too_long() {
        for (known, after, answered, under_way) in [
            (times(None, None), 0, false, false),
            (times(None, T), 9, false, true),
            (times(None, T), 10, false, false),
            (times(T, T + 60), 61, false, true),
            (times(T, T + 60), 70, false, false),
            (times(T, T), 1, true, false),
            (times(T + 3, T), 4, true, false),
        ] {
            assert_eq!(
                (known.answered(), known.under_way(T + after)),
                (answered, under_way),
                "{known:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn an_issuer_that_is_asked_without_pause_is_fetched_once_a_minute(steps in prop::collection::vec(0i64..200, 1..200)) {
            let (mut known, mut now) = (times(T, T), T);
            for step in steps {
                now += step;
                if known.may_fetch(now) {
                    prop_assert!(now - known.tried_at.unwrap_or_default() >= REFETCH_SECONDS);
                    known = times(now, now);
                }
            }
        }
    }
}
