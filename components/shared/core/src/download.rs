//! What a download is answered with, apart from the bytes.

use std::borrow::Cow;

use crate::digest::Crc64Nvme;
use crate::names::{BucketName, ObjectKey};
use crate::policy::essence;
use crate::ports::Resolved;

/// Private files are kept by the client and asked for again each time: a 304 costs one query.
const PRIVATE_CACHE_CONTROL: &str = "private, no-cache";

/// Public files may be kept for five minutes.
const PUBLIC_CACHE_CONTROL: &str = "public, max-age=300";

/// Media types that a browser would run as a page of ours.
const ACTIVE_TYPES: [&str; 6] = [
    "text/html",
    "text/xml",
    "text/xsl",
    "text/javascript",
    "application/xml",
    "application/javascript",
];

/// A policy for content that must never run in our origin.
pub const SANDBOX_CSP: &str = "default-src 'none'; sandbox";

/// The Cache-Tag of a public file: a CDN purges a bucket by the first tag, an object by the second.
///
/// Tags are visible ASCII without commas, which a key need not be: the second one is its CRC-64/NVME.
#[must_use]
pub fn cache_tag(bucket: &BucketName, key: &ObjectKey) -> String {
    let mut crc = Crc64Nvme::default();
    for part in [bucket.as_str(), "/", key.as_str()] {
        crc.update(part.as_bytes());
    }
    let object = u64::from_be_bytes(crc.to_bytes());
    format!("holdfast-bucket-{}, holdfast-object-{object:016x}", bucket.as_str())
}

/// Media types that say nothing, so that a browser that is not told `nosniff` looks whether the content is a page.
///
/// Spec: <https://mimesniff.spec.whatwg.org/#mime-type-sniffing-algorithm>
const SNIFFED_TYPES: [&str; 2] = ["unknown/unknown", "application/unknown"];

/// Whether a browser would look into content of this type where nothing says `nosniff`, and might run it as a page.
#[must_use]
pub fn is_sniffed_type(content_type: &str) -> bool {
    SNIFFED_TYPES.iter().any(|sniffed| essence(content_type).eq_ignore_ascii_case(sniffed))
}

/// Whether a browser would run content of this type as a page.
#[must_use]
pub fn is_active_type(content_type: &str) -> bool {
    let essence = essence(content_type).to_ascii_lowercase();
    // Any XML may hold a script of XHTML, and any part of a multipart a page.
    essence.ends_with("+xml")
        || essence.starts_with("multipart/")
        || ACTIVE_TYPES.contains(&essence.as_str())
}

impl Resolved {
    /// The Cache-Control of a 200, 206 or 304: what the uploader asked for within what the bucket
    /// allows, else the policy's, else the default.
    ///
    /// What is private stays so in shared caches, and only a policy makes anything immutable.
    #[must_use]
    pub fn cache_control(&self) -> Cow<'_, str> {
        let policy = self.cache_control.as_deref().filter(|_| self.public);
        let asked = self.headers.cache_control.as_deref().map(|asked| self.within(asked, policy));
        match asked.filter(|asked| !asked.is_empty()) {
            Some(asked) => Cow::Owned(asked),
            None => Cow::Borrowed(match policy {
                Some(policy) => policy,
                None if self.public => PUBLIC_CACHE_CONTROL,
                None => PRIVATE_CACHE_CONTROL,
            }),
        }
    }

    /// What of an uploader's wish the bucket allows; empty if that is nothing.
    fn within(&self, asked: &str, policy: Option<&str>) -> String {
        let immutable = policy.is_some_and(|policy| directives(policy).any(is("immutable")));
        let mut kept: Vec<_> = directives(asked)
            .filter(|one| immutable || !is("immutable")(one))
            .filter(|one| self.public || !(is("public")(one) || is("s-maxage")(one)))
            .collect();
        let closed = |one: &&str| {
            one.eq_ignore_ascii_case("private") || one.eq_ignore_ascii_case("no-store")
        };
        if !self.public && !kept.is_empty() && !kept.iter().any(closed) {
            kept.insert(0, "private");
        }
        kept.join(", ")
    }

    /// Whether a browser would run it as a page: it is then served as an attachment, sandboxed.
    #[must_use]
    pub fn is_active_content(&self) -> bool {
        is_active_type(&self.content_type)
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

/// The directives of a Cache-Control. Those with a quoted value are left out: a `private="..."` is none that
/// closes anything, and commas in it would be read as more of them.
fn directives(value: &str) -> impl Iterator<Item = &str> {
    let plain = if value.contains('"') { "" } else { value };
    plain.split(',').map(str::trim).filter(|directive| !directive.is_empty())
}

/// Whether a directive, its value left aside, has this name.
fn is(name: &'static str) -> impl Fn(&str) -> bool {
    move |directive| {
        directive.split('=').next().unwrap_or_default().trim().eq_ignore_ascii_case(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::resolved;

    #[test]
    fn what_a_browser_would_run_or_look_into() {
        for (content_type, active, sniffed) in [
            ("Text/HTML; charset=utf-8", true, false),
            ("image/svg+xml", true, false),
            ("text/plain", false, false),
            ("application/octet-stream", false, false),
            ("Application/Unknown; a=b", false, true),
            ("unknown/unknown", false, true),
        ] {
            assert_eq!(is_active_type(content_type), active, "{content_type}");
            assert_eq!(is_sniffed_type(content_type), sniffed, "{content_type}");
        }
    }

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
    fn an_uploader_asks_within_what_the_bucket_allows() {
        let mut file = resolved();
        let mut asked = |public, policy: Option<&str>, asked: &str| {
            file.public = public;
            file.cache_control = policy.map(str::to_owned);
            file.headers.cache_control = Some(asked.to_owned());
            file.cache_control().into_owned()
        };
        assert_eq!(asked(true, None, "max-age=60"), "max-age=60");
        assert_eq!(asked(true, None, "Public, max-age=9, immutable"), "Public, max-age=9");
        let immutable = Some("public, max-age=9, immutable");
        assert_eq!(asked(true, immutable, "max-age=60, immutable"), "max-age=60, immutable");
        assert_eq!(asked(true, None, "immutable"), "public, max-age=300");
        assert_eq!(asked(false, None, "public, max-age=60, s-maxage=9"), "private, max-age=60");
        assert_eq!(asked(false, immutable, "no-store"), "no-store");
        assert_eq!(asked(false, None, "public"), "private, no-cache");
        let qualified = "private=\"x, y\", must-revalidate, max-age=99";
        assert_eq!(asked(false, None, qualified), "private, no-cache");
        assert_eq!(asked(false, None, "private=x, max-age=9"), "private, private=x, max-age=9");
    }

    #[test]
    fn tags_are_of_the_bucket_and_of_the_object() {
        let tag = |key| {
            cache_tag(
                &BucketName::parse("assets").expect("name"),
                &ObjectKey::parse(key).expect("key"),
            )
        };
        assert!(tag("a, b").starts_with("holdfast-bucket-assets, holdfast-object-"));
        assert_eq!(tag("a, b").matches(',').count(), 1);
        assert_ne!(tag("a"), tag("b"));
    }

    #[test]
    fn pages_are_never_run() {
        let mut file = resolved();
        for (content_type, active) in [
            ("text/HTML; charset=utf-8", true),
            ("image/svg+xml", true),
            ("application/atom+xml", true),
            ("Text/XSL", true),
            ("multipart/x-mixed-replace; boundary=a", true),
            ("image/png", false),
            ("text/plain", false),
        ] {
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
