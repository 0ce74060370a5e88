//! Cross-origin requests of browsers. No cookie tells us who asks, so an origin that may read our answers gains nothing
//! by it but what its own tokens give.
//!
//! Spec: <https://fetch.spec.whatwg.org/#http-cors-protocol>

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

/// How long a browser may keep the answer to a preflight, in seconds; browsers cap it themselves.
pub const MAX_AGE_SECONDS: u32 = 2 * 3_600;

/// Longest list of header names of a preflight that is answered, in bytes.
const MAX_REQUEST_HEADERS_BYTES: usize = 4 * 1_024;

/// The methods of our routes.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// What a page may read of an answer, besides what it always may.
const EXPOSED: &str = "accept-ranges, content-digest, content-disposition, content-encoding, content-location, \
    content-range, date, etag, location, ratelimit, repr-digest, retry-after, traceparent, tus-checksum-algorithm, \
    tus-extension, tus-max-size, tus-resumable, tus-version, upload-concat, upload-defer-length, upload-expires, \
    upload-length, upload-metadata, upload-offset, x-holdfast-epoch, x-holdfast-version, x-request-id";

/// What a page may do at the store itself, by a URL that was signed for it.
pub const STORE_METHODS: [&str; 3] = ["GET", "HEAD", "PUT"];

/// What it may read of the store's answers. No server has a wildcard for these that browsers take.
pub const STORE_EXPOSED: [&str; 13] = [
    "ETag",
    "Content-Length",
    "Content-Type",
    "Content-Range",
    "Content-Disposition",
    "Accept-Ranges",
    "Last-Modified",
    "x-amz-request-id",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
];

/// An origin that no page has, for a list of S3 that must not be empty (RFC 2606).
const NOBODY: &str = "https://nobody.invalid";

/// The origin of a page, if a browser sent it.
#[must_use]
pub fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(ORIGIN)?.to_str().ok()
}

/// Whether the browser only asks what it may ask.
#[must_use]
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether an origin is one of a list; `*` is any, and `https://*.example.org` any name below it.
#[must_use]
pub fn allows(origins: &[String], origin: &str) -> bool {
    origins.iter().any(|allowed| {
        let below = allowed.split_once("*.").filter(|(scheme, _)| scheme.ends_with("://"));
        match below {
            _ if allowed == "*" => true,
            Some((scheme, domain)) => origin
                .strip_prefix(scheme)
                .and_then(|host| host.strip_suffix(domain))
                .is_some_and(|name| name.len() > 1 && name.ends_with('.')),
            None => allowed.eq_ignore_ascii_case(origin),
        }
    })
}

/// The same list for the store, so that it allows what [`allows`] does. S3 takes one wildcard an origin, and SeaweedFS
/// has it anywhere behind `http://` or `https://`: as `https://*` it would be any page. It compares in the case in which
/// browsers write origins. What no origin can be is left out: a server of S3 refuses the whole list for it.
#[must_use]
pub fn store_origins(origins: &[String]) -> Vec<String> {
    let mut taken: Vec<_> = origins
        .iter()
        .map(|origin| origin.to_ascii_lowercase())
        .filter(|origin| !origin.is_empty() && origin.bytes().all(|byte| byte.is_ascii_graphic()))
        .filter(|origin| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let below = host.and_then(|host| host.strip_prefix("*."));
            origin == "*" || !below.unwrap_or(origin).contains('*')
        })
        .collect();
    if taken.is_empty() {
        taken.push(NOBODY.to_owned());
    }
    taken
}

/// What every answer to that origin has; `None` if the origin may not read it, which is for a cache to know too.
#[must_use]
pub fn answer_headers(origin: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::from_iter([(VARY, HeaderValue::from_static("origin"))]);
    if let Some(origin) = origin.and_then(|origin| HeaderValue::from_str(origin).ok()) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    headers
}

/// What the answer to a preflight has besides: all methods, and the headers that were asked for. Whether the request
/// itself is one that we take, its own answer says.
#[must_use]
pub fn preflight_headers(asked: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(MAX_AGE_SECONDS));
    if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS)
        && names.len() <= MAX_REQUEST_HEADERS_BYTES
    {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    headers
}

/// The bucket of everything below `/v1/templates`.
const TEMPLATES: &str = "templates";

/// The bucket that a path names, where a route has one: `/v1/upload/{bucket}/...` and its like.
#[must_use]
pub fn bucket_of(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/v1/")?;
    if rest == TEMPLATES || rest.starts_with("templates/") {
        return Some(TEMPLATES.to_owned());
    }
    let (route, rest) = rest.split_once('/')?;
    let named = matches!(route, "upload" | "download" | "objects");
    let bucket = rest.split('/').next().filter(|bucket| named && !bucket.is_empty())?;
    percent_encoding::percent_decode_str(bucket).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_matched_whole() {
        let list = |origins: &[&str]| origins.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let some = list(&["https://app.example.org", "http://*.test:8080"]);
        for (origin, allowed) in [
            ("https://app.example.org", true),
            ("https://APP.example.org", true),
            ("http://app.example.org", false),
            ("https://app.example.org.evil.net", false),
            ("https://xapp.example.org", false),
            ("http://a.test:8080", true),
            ("http://a.b.test:8080", true),
            ("http://.test:8080", false),
            ("http://test:8080", false),
            ("http://a.test", false),
            ("null", false),
        ] {
            assert_eq!(allows(&some, origin), allowed, "{origin}");
        }
        assert!(allows(&list(&["*"]), "null"));
        assert!(!allows(&[], "https://app.example.org"));
    }

    #[test]
    fn the_store_gets_no_wildcard_that_means_more_there() {
        let list = |origins: &[&str]| origins.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let kept =
            list(&["https://App.example.org", "http://*.test:8080", "https://*.example.org", "*"]);
        let lower = ["https://app.example.org", "http://*.test:8080", "https://*.example.org", "*"];
        assert_eq!(store_origins(&kept), lower);
        let more = list(&[
            "https://*",
            "https://*example.org",
            "https://a.*.org",
            "https://*.*",
            "app://*.a",
        ]);
        assert!(more.iter().all(|it| !allows(&more, &it.replace('*', "x")) || it == "app://*.a"));
        assert_eq!(store_origins(&more), [NOBODY]);
        assert_eq!(store_origins(&[]), [NOBODY]);
        assert_eq!(
            store_origins(&list(&["", " ", "https://\u{1}", "https://ü.example"])),
            [NOBODY]
        );
    }

    #[test]
    fn a_preflight_is_one_by_its_headers() {
        let mut headers = HeaderMap::new();
        assert!(!is_preflight(&Method::OPTIONS, &headers));
        headers.insert(ORIGIN, HeaderValue::from_static("http://a"));
        assert!(!is_preflight(&Method::OPTIONS, &headers));
        headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PATCH"));
        headers.insert(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("a, b"));
        assert!(is_preflight(&Method::OPTIONS, &headers));
        assert!(!is_preflight(&Method::GET, &headers));
        assert_eq!(preflight_headers(&headers)[ACCESS_CONTROL_ALLOW_HEADERS], "a, b");
        let answer = answer_headers(origin(&headers));
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "http://a");
        assert_eq!(answer_headers(None).len(), 1);
    }

    #[test]
    fn paths_name_their_buckets() {
        for (path, bucket) in [
            ("/v1/upload/documents/a/b", Some("documents")),
            ("/v1/download/my%2Dbucket/a", Some("my-bucket")),
            ("/v1/upload/documents", Some("documents")),
            ("/v1/upload/", None),
            ("/v1/tus/documents", None),
            ("/s/documents/x", None),
            ("/v1/templates", Some("templates")),
            ("/v1/templates/x/background", Some("templates")),
            ("/v1/templatesx", None),
        ] {
            assert_eq!(bucket_of(path).as_deref(), bucket, "{path}");
        }
    }
}
