//! What a bucket's policy says of content types. SQL decides who may do what.

/// Whether `content_type` is one of `allowed`; `image/*` takes every image, parameters are ignored.
#[must_use]
pub fn allows_type(allowed: &[String], content_type: &str) -> bool {
    let essence = essence(content_type);
    allowed.iter().any(|pattern| match pattern.strip_suffix("/*") {
        Some("*") => true,
        Some(family) => {
            essence.split_once('/').is_some_and(|(kind, _)| kind.eq_ignore_ascii_case(family))
        }
        None => pattern.eq_ignore_ascii_case(essence),
    })
}

/// A media type without its parameters.
pub(crate) fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let allowed = ["image/*".to_owned(), "application/pdf".to_owned()];
        assert!(allows_type(&allowed, "image/png"));
        assert!(allows_type(&allowed, "IMAGE/PNG"));
        assert!(allows_type(&allowed, "application/pdf; charset=x"));
        assert!(!allows_type(&allowed, "application/zip"));
        assert!(!allows_type(&allowed, "imagex/png"));
        assert!(!allows_type(&allowed, ""));
        assert!(allows_type(&["*/*".to_owned()], "a/b"));
        assert!(!allows_type(&[], "a/b"));
    }
}
