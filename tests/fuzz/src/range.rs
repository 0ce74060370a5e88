//! The Range header.

use holdfast_web::range::{RangeOutcome, parse};

/// The first eight bytes are the size of the body, the rest is the header.
pub fn check(data: &[u8]) {
    let Some((size, header)) = data.split_first_chunk() else { return };
    let size = u64::from_le_bytes(*size);
    let Ok(header) = std::str::from_utf8(header) else { return };
    // Small sizes as well: most of eight random bytes are far beyond any header's digits.
    for size in [size, size % 1_000, 0] {
        check_within(header, size);
    }
}

fn check_within(header: &str, size: u64) {
    let outcome = parse(Some(header), size);
    match outcome {
        RangeOutcome::Full => assert_eq!(outcome.content_length(size), size),
        RangeOutcome::Unsatisfiable => assert_eq!(outcome.content_length(size), 0),
        RangeOutcome::Partial { start, end_inclusive } => {
            assert!(start <= end_inclusive && end_inclusive < size, "{header}: {outcome:?}");
            assert_eq!(outcome.content_length(size), end_inclusive - start + 1);
            let asked = outcome.to_header();
            assert_eq!(parse(asked.as_deref(), size), outcome, "what the store is asked");
            assert_eq!(
                outcome.content_range(size),
                Some(format!("bytes {start}-{end_inclusive}/{size}"))
            );
        }
    }
    if let Some(wanted) = plain(header, size) {
        assert_eq!(outcome, wanted, "{header} of {size}");
    }
}

/// RFC 9110 again, for headers in their plainest form.
fn plain(header: &str, size: u64) -> Option<RangeOutcome> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        let is_plain = text.len() <= 30 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u128>().ok().filter(|_| is_plain)
    };
    let size = u128::from(size);
    let (start, end) = match (number(first), number(last)) {
        (Some(start), Some(end)) if start > end => return Some(RangeOutcome::Full),
        (Some(start), Some(end)) => (start, end),
        (Some(start), None) if last.is_empty() => (start, size),
        (None, Some(0)) if first.is_empty() => return Some(RangeOutcome::Unsatisfiable),
        (None, Some(_)) if first.is_empty() && size == 0 => return Some(RangeOutcome::Full),
        (None, Some(length)) if first.is_empty() => (size.saturating_sub(length), size),
        _ => return None,
    };
    if start >= size {
        return Some(RangeOutcome::Unsatisfiable);
    }
    let narrow = |n: u128| u64::try_from(n).ok();
    Some(RangeOutcome::Partial { start: narrow(start)?, end_inclusive: narrow(end.min(size - 1))? })
}
