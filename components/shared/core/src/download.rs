//! What a download is answered with, apart from the bytes.

use crate::policy::essence;
use crate::ports::Resolved;

/// Private files are kept by the client and asked for again each time: a 304 costs one query.
const PRIVATE_CACHE_CONTROL: &str = "private, no-cache";

/// Public files may be kept for five minutes.
const PUBLIC_CACHE_CONTROL: &str = "public, max-age=300";

/// Media types that a browser would run as a page of ours.
const ACTIVE_TYPES: [&str; 6] = [
    "text/html",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/xml",
    "application/xml",
    "application/javascript",
];

/// A policy for content that must never run in our origin.
pub const SANDBOX_CSP: &str = "default-src 'none'; sandbox";

impl Resolved {
    /// The Cache-Control of a 200, 206 or 304.
    #[must_use]
    pub fn cache_control(&self) -> &str {
        match (self.public, &self.cache_control) {
            (true, Some(policy)) => policy,
            (true, None) => PUBLIC_CACHE_CONTROL,
            (false, _) => PRIVATE_CACHE_CONTROL,
        }
    }

    /// Whether a browser would run it as a page: it is then served as an attachment, sandboxed.
    #[must_use]
    pub fn is_active_content(&self) -> bool {
        let essence = essence(&self.content_type);
        ACTIVE_TYPES.iter().any(|active| active.eq_ignore_ascii_case(essence))
    }

    /// When it became current, in whole seconds of Unix time, as Last-Modified carries it.
    #[must_use]
    pub fn last_modified(&self) -> i64 {
        self.committed_at_us.div_euclid(1_000_000)
    }

    /// The last segment of a key, as the name to save it under.
    #[must_use]
    pub fn file_name(key: &str) -> &str {
        key.rsplit('/').find(|segment| !segment.is_empty()).unwrap_or("download")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::resolved;

    #[test]
    fn caching_follows_visibility_and_policy() {
        let mut file = resolved();
        file.cache_control = Some("public, max-age=31536000, immutable".to_owned());
        assert_eq!(file.cache_control(), "private, no-cache");
        file.public = true;
        assert_eq!(file.cache_control(), "public, max-age=31536000, immutable");
        file.cache_control = None;
        assert_eq!(file.cache_control(), "public, max-age=300");
    }

    #[test]
    fn pages_are_never_run() {
        let mut file = resolved();
        for (content_type, active) in
            [("text/HTML; charset=utf-8", true), ("image/svg+xml", true), ("image/png", false)]
        {
            file.content_type = content_type.to_owned();
            assert_eq!(file.is_active_content(), active, "{content_type}");
        }
    }

    #[test]
    fn names_to_save_under() {
        assert_eq!(Resolved::file_name("a/b/c.txt"), "c.txt");
        assert_eq!(Resolved::file_name("a/b/"), "b");
        assert_eq!(Resolved::file_name("/"), "download");
    }
}
