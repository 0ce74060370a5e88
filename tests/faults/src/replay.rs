//! Can what the clients of a key saw have happened in the order that the application's own log of events gives?
//!
//! Where a value may come back, or come from another key, the plain check of `register.rs` cannot tell one coming from
//! the other. The log can: it says in which order the key changed. What is asked then is whether each change can be
//! given a moment between the start and the end of its request, in the order of the log, such that each read finds what
//! it saw at a moment of its own. A change bounds those before and behind it, and so does a read that only one stretch
//! of the log can answer. Of a read that several can answer it is asked that one of them still can.

/// A change of what is current. Times are microseconds of one clock.
#[derive(Clone, Debug)]
pub(crate) struct Change<T> {
    pub(crate) start: u64,
    /// `u64::MAX`: nobody was told that it had happened.
    pub(crate) end: u64,
    /// What is current from then on; `None`: nothing.
    pub(crate) then: Option<T>,
}

/// A read that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Read<S> {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) seen: S,
}

/// Every contradiction, each a sentence; none where it can have happened so. The key had nothing before the first change.
/// `is_seen` says whether a read is of what was current.
pub(crate) fn check<T, S>(
    changes: &[Change<T>],
    reads: &[Read<S>],
    is_seen: impl Fn(&S, Option<&T>) -> bool,
) -> Vec<String> {
    // The moment of `changes[n]` lies between `earliest[n + 1]` and `latest[n + 1]`; both ends of time stand around them.
    let around = |first, last, of: fn(&Change<T>) -> u64| -> Vec<u64> {
        [first].into_iter().chain(changes.iter().map(of)).chain([last]).collect()
    };
    let mut earliest = around(0, u64::MAX, |change| change.start);
    let mut latest = around(0, u64::MAX, |change| change.end);
    let current: Vec<Option<&T>> =
        [None].into_iter().chain(changes.iter().map(|change| change.then.as_ref())).collect();
    loop {
        for at in 1..earliest.len() {
            earliest[at] = earliest[at].max(earliest[at - 1]);
        }
        for at in (0..latest.len() - 1).rev() {
            latest[at] = latest[at].min(latest[at + 1]);
        }
        if let Some(at) = (1..=changes.len()).find(|&at| earliest[at] > latest[at]) {
            return vec![format!(
                "change {at} of the log can be no later than {} and no earlier than {}",
                latest[at], earliest[at]
            )];
        }
        let mut bounded = false;
        for read in reads {
            let mut stretches = current.iter().enumerate().filter(|&(at, current)| {
                earliest[at] <= read.end
                    && latest[at + 1] >= read.start
                    && is_seen(&read.seen, *current)
            });
            let Some((at, _)) = stretches.next() else {
                return vec![format!(
                    "what a read from {} to {} saw was never current meanwhile",
                    read.start, read.end
                )];
            };
            if stretches.next().is_none() {
                bounded |= latest[at] > read.end || earliest[at + 1] < read.start;
                latest[at] = latest[at].min(read.end);
                earliest[at + 1] = earliest[at + 1].max(read.start);
            }
        }
        if !bounded {
            return Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(start: u64, end: u64, then: Option<u8>) -> Change<u8> {
        Change { start, end, then }
    }

    fn read(start: u64, end: u64, seen: Option<u8>) -> Read<Option<u8>> {
        Read { start, end, seen }
    }

    fn check(changes: &[Change<u8>], reads: &[Read<Option<u8>>]) -> Vec<String> {
        super::check(changes, reads, |seen, current| seen.as_ref() == current)
    }

    #[test]
    fn a_value_that_comes_back_is_seen_twice() {
        let log = [change(0, 10, Some(1)), change(20, 30, None), change(40, 50, Some(1))];
        let reads = [read(5, 12, Some(1)), read(31, 39, None), read(55, 60, Some(1))];
        assert_eq!(check(&log, &reads), [""; 0]);
        assert_eq!(check(&log, &[read(31, 39, Some(1))]).len(), 1);
        assert_eq!(check(&log, &[read(51, 60, None)]).len(), 1);
    }

    #[test]
    fn the_log_follows_the_clock() {
        let log = [change(20, 30, Some(1)), change(0, 10, Some(2))];
        assert!(check(&log, &[])[0].contains("change 1"), "{:?}", check(&log, &[]));
        // Nobody was told of the first: it may be late, but not behind the second.
        let log = [change(20, u64::MAX, Some(1)), change(0, 25, Some(2))];
        assert_eq!(check(&log, &[]), [""; 0]);
        assert_eq!(check(&log, &[read(30, 40, Some(1))]).len(), 1);
    }

    #[test]
    fn what_one_read_saw_bounds_the_others() {
        let log = [change(0, u64::MAX, Some(1)), change(0, u64::MAX, Some(2))];
        assert_eq!(check(&log, &[read(10, 20, Some(1)), read(30, 40, Some(2))]), [""; 0]);
        assert_eq!(check(&log, &[read(10, 20, Some(2)), read(30, 40, Some(1))]).len(), 1);
        assert_eq!(check(&log, &[read(10, 20, None), read(30, 40, Some(1))]), [""; 0]);
        assert_eq!(check(&log, &[read(10, 20, Some(1)), read(30, 40, None)]).len(), 1);
    }

    #[test]
    fn a_lost_change_is_seen() {
        assert_eq!(check(&[], &[read(10, 20, Some(1))]).len(), 1);
        assert_eq!(check(&[change(0, 10, Some(1))], &[read(20, 30, None)]).len(), 1);
    }
}
