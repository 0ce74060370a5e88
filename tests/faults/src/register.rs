//! Is what the clients of one key saw the behaviour of one register?
//!
//! Every write has a value of its own, so the check is exact and plain (Gibbons and Korach, "Testing
//! Shared Memories", 1997). A write and the reads that saw it must fall into one block of time in which
//! the register holds their value. If one of them ended before another one began, the value was there all
//! the while between: a *held* interval. Else they all overlap, and the block may shrink to a point within
//! a *free* interval. Then a history is linearizable if
//! * no read ended before the write that it saw began,
//! * no two held intervals overlap,
//! * no free interval lies within a held one: its value would have to come and go in between.
//!
//! A write without an answer may have happened at any time after it began, or never: it ends at
//! infinity, and counts only where a read saw it.

use std::collections::BTreeMap;

/// The end of what never ended.
const NEVER: u64 = u64::MAX;

/// A write, or a delete, as its client knows it. Times are microseconds of one clock.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) id: u64,
    pub(crate) start: u64,
    /// `None`: no answer, or one that leaves it open.
    pub(crate) acknowledged: Option<u64>,
    pub(crate) delete: bool,
}

/// A read that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The write that it saw; `None`: there is no such object.
    pub(crate) saw: Option<u64>,
}

/// What one value's operations say about when the register held it.
#[derive(Clone, Debug)]
struct Cluster {
    id: u64,
    first_end: u64,
    last_start: u64,
    seen: bool,
}

impl Cluster {
    fn held(&self) -> bool {
        self.first_end < self.last_start
    }

    fn interval(&self) -> (u64, u64) {
        (self.first_end.min(self.last_start), self.first_end.max(self.last_start))
    }
}

/// Every contradiction, each a sentence; none for a history that one register can have.
pub(crate) fn check(writes: &[Write], reads: &[Read]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut clusters: BTreeMap<u64, Cluster> = writes
        .iter()
        .map(|write| {
            let end = write.acknowledged.unwrap_or(NEVER);
            let cluster =
                Cluster { id: write.id, first_end: end, last_start: write.start, seen: false };
            (write.id, cluster)
        })
        .collect();
    for read in reads {
        let Some(id) = read.saw else {
            wrong.extend(absent(writes, read));
            continue;
        };
        let Some(cluster) = clusters.get_mut(&id) else {
            wrong.push(format!("a read at {} saw a value that nobody wrote", read.start));
            continue;
        };
        if writes.iter().any(|write| write.id == id && write.start > read.end) {
            wrong.push(format!("a read at {} saw write {id} before it began", read.start));
        }
        cluster.first_end = cluster.first_end.min(read.end);
        cluster.last_start = cluster.last_start.max(read.start);
        cluster.seen = true;
    }
    let happened = |cluster: &Cluster| cluster.seen || cluster.first_end != NEVER;
    let (mut held, free): (Vec<Cluster>, Vec<Cluster>) =
        clusters.into_values().filter(happened).partition(Cluster::held);
    held.sort_by_key(Cluster::interval);
    for (at, one) in held.iter().enumerate() {
        let (start, end) = one.interval();
        for other in held[at + 1..].iter().take_while(|other| other.interval().0 < end) {
            wrong.push(format!(
                "the values of writes {} and {} were both there at {}",
                one.id,
                other.id,
                other.interval().0
            ));
        }
        for other in &free {
            let (from, to) = other.interval();
            if start < from && to < end {
                wrong.push(format!(
                    "write {} was there from {start} to {end}, and write {} happened in between, \
                     from {from} to {to}",
                    one.id, other.id
                ));
            }
        }
    }
    wrong
}

/// Could the object be missing for this read? Either nothing was acknowledged before, or a delete may be
/// the last of what was.
fn absent(writes: &[Write], read: &Read) -> Option<String> {
    let before_read =
        |put: &&Write| !put.delete && put.acknowledged.is_some_and(|end| end < read.start);
    let puts: Vec<&Write> = writes.iter().filter(before_read).collect();
    let initial = puts.is_empty();
    let deleted = writes.iter().filter(|it| it.delete && it.start < read.end).any(|delete| {
        let end = delete.acknowledged.unwrap_or(NEVER);
        !puts.iter().any(|put| put.start > end)
    });
    (!initial && !deleted).then(|| {
        let ids: Vec<u64> = puts.iter().map(|put| put.id).collect();
        format!("a read at {} found nothing after the acknowledged writes {ids:?}", read.start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(id: u64, start: u64, end: u64) -> Write {
        Write { id, start, acknowledged: Some(end), delete: false }
    }

    fn unknown(id: u64, start: u64) -> Write {
        Write { id, start, acknowledged: None, delete: false }
    }

    fn delete(id: u64, start: u64, end: u64) -> Write {
        Write { delete: true, ..put(id, start, end) }
    }

    fn read(start: u64, end: u64, saw: u64) -> Read {
        Read { start, end, saw: Some(saw) }
    }

    fn nothing(start: u64, end: u64) -> Read {
        Read { start, end, saw: None }
    }

    #[track_caller]
    fn good(writes: &[Write], reads: &[Read]) {
        assert_eq!(check(writes, reads), Vec::<String>::new());
    }

    #[track_caller]
    fn bad(writes: &[Write], reads: &[Read], what: &str) {
        let wrong = check(writes, reads);
        assert!(wrong.iter().any(|line| line.contains(what)), "{wrong:?}");
    }

    #[test]
    fn one_after_the_other() {
        good(&[put(1, 0, 10), put(2, 20, 30)], &[read(12, 14, 1), read(40, 50, 2)]);
    }

    #[test]
    fn concurrent_writes_may_end_in_either_order() {
        let writes = [put(1, 0, 10), put(2, 5, 15)];
        good(&writes, &[read(20, 21, 1)]);
        good(&writes, &[read(20, 21, 2)]);
        bad(&writes, &[read(20, 21, 1), read(22, 23, 2)], "both there");
    }

    #[test]
    fn a_lost_write_is_seen() {
        // Acknowledged, and what was before is current still.
        bad(&[put(1, 0, 10), put(2, 20, 30)], &[read(40, 50, 1)], "write 2 happened in between");
        bad(&[put(1, 0, 10)], &[nothing(20, 30)], "found nothing");
    }

    #[test]
    fn a_stale_read_is_seen() {
        let writes = [put(1, 0, 10), put(2, 20, 60)];
        good(&writes, &[read(25, 30, 1), read(31, 35, 2)]);
        bad(&writes, &[read(25, 30, 2), read(31, 35, 1)], "write 2 happened in between");
    }

    #[test]
    fn a_torn_read_is_a_value_that_nobody_wrote() {
        bad(&[put(1, 0, 10)], &[read(20, 30, 99)], "nobody wrote");
    }

    #[test]
    fn a_value_from_the_future_is_seen() {
        bad(&[put(1, 0, 10), put(2, 50, 60)], &[read(20, 30, 2)], "before it began");
    }

    #[test]
    fn a_write_without_an_answer_may_happen_late_or_never() {
        let writes = [put(1, 0, 10), unknown(2, 12)];
        good(&writes, &[read(20, 21, 1)]);
        good(&writes, &[read(20, 21, 1), read(30, 31, 2), read(40, 41, 2)]);
        bad(&writes, &[read(20, 21, 2), read(30, 31, 1)], "write 2 happened in between");
    }

    #[test]
    fn a_delete_leaves_nothing_until_the_next_write() {
        let writes = [put(1, 0, 10), delete(2, 20, 30), put(3, 50, 60)];
        good(&writes, &[read(12, 15, 1), nothing(35, 40), read(65, 70, 3)]);
        // The file is back though nobody wrote it.
        bad(&writes, &[read(35, 40, 1)], "write 2 happened in between");
        // The delete came first, so the write must be there.
        bad(&writes, &[nothing(65, 70)], "found nothing");
    }
}
