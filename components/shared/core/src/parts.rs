//! How a file is cut into parts.

use crate::error::{Code, Error};
use crate::limits::{
    DEFAULT_PART_BYTES, MAX_OBJECT_BYTES, MAX_PART_BYTES, MAX_PARTS, MIN_PART_BYTES,
};

/// Planned part sizes are a multiple of this many bytes.
const STEP: u64 = 1_024 * 1_024;

/// The parts of an upload: all of one size, but the last, which has the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Size of each part but the last, in bytes.
    pub part_size: u64,
    /// Size of the whole, in bytes, where it is known.
    pub size: Option<u64>,
}

impl Plan {
    /// Plans the parts of `size` bytes. `part_size` is the client's wish.
    ///
    /// # Errors
    /// * [`Code::EntityTooLarge`]: above [`MAX_OBJECT_BYTES`].
    /// * [`Code::InvalidArgument`]: nothing to cut, a part size outside of S3's limits, or one of which
    ///   [`MAX_PARTS`] are not enough.
    pub fn new(size: Option<u64>, part_size: Option<u64>) -> Result<Self, Error> {
        let invalid = |message: String| Err(Error::new(Code::InvalidArgument, message));
        if size == Some(0) {
            return invalid("An empty file has no parts; send it with one PUT".to_owned());
        }
        if size.is_some_and(|size| size > MAX_OBJECT_BYTES) {
            let message = format!("A file may have at most {MAX_OBJECT_BYTES} bytes");
            return Err(Error::new(Code::EntityTooLarge, message).rule("limits.maxObjectBytes"));
        }
        // Below this the parts would be too many.
        let least = size.unwrap_or(1).div_ceil(MAX_PARTS.into()).max(MIN_PART_BYTES);
        let part_size = match part_size {
            Some(wanted) if !(least..=MAX_PART_BYTES).contains(&wanted) => {
                return invalid(format!(
                    "partSize is {least} to {MAX_PART_BYTES} bytes for a file of this size"
                ));
            }
            Some(wanted) => wanted,
            None => least.next_multiple_of(STEP).max(DEFAULT_PART_BYTES),
        };
        Ok(Self { part_size, size })
    }

    /// How many parts there are, where the size is known.
    #[must_use]
    pub fn count(&self) -> Option<u16> {
        // At most `MAX_PARTS`, as `new` made sure.
        self.size.and_then(|size| u16::try_from(size.div_ceil(self.part_size)).ok())
    }

    /// How many bytes a part has, where that is known; `None` also for a number that is no part's.
    #[must_use]
    pub fn length_of(&self, number: u16) -> Option<u64> {
        let (count, size) = (self.count()?, self.size?);
        match number {
            0 => None,
            _ if number < count => Some(self.part_size),
            _ if number == count => Some(size - (u64::from(count) - 1) * self.part_size),
            _ => None,
        }
    }

    /// Whether a part of this number may have this many bytes.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`], [`Code::InvalidPart`] or [`Code::EntityTooLarge`], naming what it has to be.
    pub fn check(&self, number: u16, length: u64) -> Result<(), Error> {
        check_any(number, length)?;
        if let Some(last) = self.count().filter(|last| number > *last) {
            let message = format!("A part of this upload has a number from 1 to {last}");
            return Err(Error::new(Code::InvalidArgument, message));
        }
        match self.length_of(number) {
            Some(planned) if planned != length => {
                let message = format!("Part {number} has {planned} bytes, not {length}");
                Err(Error::new(Code::InvalidPart, message).rule("parts.size"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether any upload may have a part of this number and of this many bytes.
///
/// # Errors
/// [`Code::InvalidArgument`] or [`Code::EntityTooLarge`].
pub fn check_any(number: u16, length: u64) -> Result<(), Error> {
    if !(1..=MAX_PARTS).contains(&number) {
        let message = format!("A part has a number from 1 to {MAX_PARTS}");
        return Err(Error::new(Code::InvalidArgument, message));
    }
    if length > MAX_PART_BYTES {
        let message = format!("A part may have at most {MAX_PART_BYTES} bytes");
        return Err(Error::new(Code::EntityTooLarge, message).rule("limits.maxPartBytes"));
    }
    Ok(())
}

/// The numbers from 1 to `last` that are not among `there`, which is sorted, as ranges with both ends.
#[must_use]
pub fn missing(there: impl IntoIterator<Item = u16>, last: u16) -> Vec<(u16, u16)> {
    let mut ranges = Vec::new();
    let mut next = 1;
    for number in there.into_iter().filter(|number| *number <= last) {
        if number > next {
            ranges.push((next, number - 1));
        }
        next = number + 1;
    }
    if next <= last {
        ranges.push((next, last));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1_024 * 1_024;

    fn plan(size: u64, part_size: Option<u64>) -> (u64, u16) {
        let plan = Plan::new(Some(size), part_size).expect("a plan");
        (plan.part_size, plan.count().expect("known"))
    }

    #[test]
    fn sizes_at_their_limits() {
        assert_eq!(plan(1, None), (8 * MIB, 1));
        assert_eq!(plan(8 * MIB, None), (8 * MIB, 1));
        assert_eq!(plan(8 * MIB + 1, None), (8 * MIB, 2));
        assert_eq!(plan(80_000 * MIB, None), (8 * MIB, 10_000));
        assert_eq!(plan(80_000 * MIB + 1, None), (9 * MIB, 8_889));
        assert_eq!(plan(MAX_OBJECT_BYTES, None), (525 * MIB, 9_987));
        assert_eq!(plan(11 * MIB, Some(5 * MIB)), (5 * MIB, 3));
        for (size, part_size, code) in [
            (Some(0), None, Code::InvalidArgument),
            (Some(MAX_OBJECT_BYTES + 1), None, Code::EntityTooLarge),
            (Some(MAX_OBJECT_BYTES), Some(8 * MIB), Code::InvalidArgument),
            (None, Some(5 * MIB - 1), Code::InvalidArgument),
            (None, Some(MAX_PART_BYTES + 1), Code::InvalidArgument),
        ] {
            assert_eq!(Plan::new(size, part_size).expect_err("refused").code, code);
        }
        let open = Plan::new(None, None).expect("a plan");
        assert_eq!((open.count(), open.length_of(1)), (None, None));
        assert!(open.check(10_000, MAX_PART_BYTES).is_ok());
        assert_eq!(open.check(1, MAX_PART_BYTES + 1).expect_err("long").code, Code::EntityTooLarge);
    }

    #[test]
    fn a_part_has_what_was_planned() {
        let plan = Plan::new(Some(11 * MIB), Some(5 * MIB)).expect("a plan");
        assert!(plan.check(1, 5 * MIB).is_ok() && plan.check(3, MIB).is_ok());
        assert_eq!(plan.check(3, 5 * MIB).expect_err("long").code, Code::InvalidPart);
        for number in [0, 4] {
            assert_eq!(plan.check(number, MIB).expect_err("none").code, Code::InvalidArgument);
        }
    }

    #[test]
    fn missing_numbers_are_ranges() {
        assert_eq!(missing([], 3), [(1, 3)]);
        assert_eq!(missing([2, 3, 7], 9), [(1, 1), (4, 6), (8, 9)]);
        assert_eq!(missing([1, 2, 3], 3), []);
        assert_eq!(missing([5], 3), [(1, 3)]);
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole_and_keep_the_limits(
            size in 1..=MAX_OBJECT_BYTES,
            wish in proptest::option::of(MIN_PART_BYTES..=MAX_PART_BYTES),
        ) {
            if let Ok(plan) = Plan::new(Some(size), wish) {
                let count = plan.count().expect("known");
                prop_assert!((1..=MAX_PARTS).contains(&count));
                prop_assert!((MIN_PART_BYTES..=MAX_PART_BYTES).contains(&plan.part_size));
                let lengths: Vec<_> = (1..=count).map(|n| plan.length_of(n).expect("a part")).collect();
                prop_assert_eq!(lengths.iter().sum::<u64>(), size);
                prop_assert!(lengths.iter().all(|length| *length > 0));
                prop_assert_eq!(plan.length_of(count + 1), None);
            } else {
                prop_assert!(wish.is_some_and(|wish| size.div_ceil(wish) > MAX_PARTS.into()));
            }
        }

        #[test]
        fn missing_and_there_are_all(there in proptest::collection::btree_set(1_u16..60, 0..40), last in 1_u16..60) {
            let ranges = missing(there.iter().copied(), last);
            let missing: Vec<_> = ranges.iter().flat_map(|(first, last)| *first..=*last).collect();
            let wanted: Vec<_> = (1..=last).filter(|n| !there.contains(n)).collect();
            prop_assert_eq!(missing, wanted);
        }
    }
}
