//! Comparing secrets.

/// Whether two secrets are equal, in a time that depends on their lengths alone.
#[must_use]
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    let difference = left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b));
    left.len() == right.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn only_equal_bytes_are_equal() {
        assert!(equal(b"abc", b"abc"));
        assert!(equal(b"", b""));
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!equal(b"abc", other));
        }
    }
}
