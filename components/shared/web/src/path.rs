//! The raw path and query of a request, decoded exactly once.
//!
//! Spec: RFC 3986; the query as an HTML form writes it (`+` is a space there, and only there).

use holdfast_core::error::{Code, Error};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but the unreserved characters and `/`. S3 signs a path with the same set, and it leaves
/// nothing that a browser, a proxy or a shell would read in its own way.
const KEY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The names in a path, decoded; `BucketName` and `ObjectKey` say whether they are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The bucket, perhaps empty.
    pub bucket: String,
    /// The key, perhaps empty: everything behind the slash after the bucket, `//` and `/` included.
    pub key: String,
}

impl Target {
    /// Splits `{prefix}{bucket}/{key...}`; `prefix` ends with a slash.
    ///
    /// `raw_path` is as it was sent, without the query. It is split before it is decoded, so `%2F`
    /// is a slash of the key and never one that separates.
    ///
    /// # Errors
    /// * [`Code::NoSuchRoute`]: the path does not begin with `prefix`.
    /// * [`Code::InvalidArgument`]: an incomplete percent sequence, or bytes that are not UTF-8.
    pub fn parse(raw_path: &str, prefix: &str) -> Result<Self, Error> {
        let rest = raw_path
            .strip_prefix(prefix)
            .ok_or_else(|| Error::new(Code::NoSuchRoute, "There is no such route"))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self { bucket: decode(bucket, "path")?, key: decode(key, "path")? })
    }

    /// Writes what [`Target::parse`] reads: `{prefix}{bucket}/{key...}`.
    #[must_use]
    pub fn to_path(&self, prefix: &str) -> String {
        encode(prefix, &self.bucket, &self.key)
    }
}

/// The path of an object behind a prefix that ends with a slash.
#[must_use]
pub fn encode(prefix: &str, bucket: &str, key: &str) -> String {
    let (bucket, key) = (utf8_percent_encode(bucket, KEY), utf8_percent_encode(key, KEY));
    format!("{prefix}{bucket}/{key}")
}

/// Splits a raw path from its query.
#[must_use]
pub fn split_query(path_and_query: &str) -> (&str, Option<&str>) {
    match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query, None),
    }
}

/// The parameters of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a raw query, without its `?`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: an incomplete percent sequence, or bytes that are not UTF-8.
    pub fn parse(raw: Option<&str>) -> Result<Self, Error> {
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((form_decode(name)?, form_decode(value)?))
        });
        decoded.collect::<Result<_, _>>().map(Self)
    }

    /// All parameters, as they were sent.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a parameter; empty for one without `=`.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: it is there twice, so two readers could take a different one.
    pub fn get(&self, name: &str) -> Result<Option<&str>, Error> {
        let mut values = self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(invalid(format!("The parameter {name} is sent more than once"))),
        }
    }
}

fn form_decode(text: &str) -> Result<String, Error> {
    decode(&text.replace('+', " "), "query")
}

/// Decodes once. `form_urlencoded` and lossy decoding would map broken names onto others.
fn decode(text: &str, part: &str) -> Result<String, Error> {
    if !has_whole_sequences(text) {
        return Err(invalid(format!(
            "The {part} has a % without two hexadecimal digits; send %25"
        )));
    }
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| invalid(format!("The {part} is not UTF-8 when decoded")))?;
    Ok(decoded.into_owned())
}

/// Whether every `%` has its two digits; the decoder would leave others as they are.
fn has_whole_sequences(text: &str) -> bool {
    let is_digit = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_hexdigit());
    text.split('%').skip(1).all(|after| {
        let mut bytes = after.bytes();
        is_digit(bytes.next()) && is_digit(bytes.next())
    })
}

fn invalid(message: String) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PREFIX: &str = "/v1/upload/";

    fn target(path: &str) -> (String, String) {
        let target = Target::parse(path, PREFIX).expect(path);
        (target.bucket, target.key)
    }

    #[test]
    fn keys_as_clients_send_them() {
        for (path, bucket, key) in [
            ("/v1/upload/b/k", "b", "k"),
            ("/v1/upload/b/a/b/c", "b", "a/b/c"),
            ("/v1/upload/b//a//b/", "b", "/a//b/"),
            ("/v1/upload/b/a%2Fb", "b", "a/b"),
            ("/v1/upload/b/%2F", "b", "/"),
            ("/v1/upload/b/a+b", "b", "a+b"),
            ("/v1/upload/b/a%20b", "b", "a b"),
            ("/v1/upload/b/100%25", "b", "100%"),
            ("/v1/upload/b/%2520", "b", "%20"),
            ("/v1/upload/b/%E6%97%A5/%f0%9f%98%80", "b", "日/😀"),
            ("/v1/upload/b/日", "b", "日"),
            ("/v1/upload/b%2Fc/k", "b/c", "k"),
            ("/v1/upload/b/a;v=1&x=y", "b", "a;v=1&x=y"),
            ("/v1/upload/b/", "b", ""),
            ("/v1/upload/b", "b", ""),
            ("/v1/upload/", "", ""),
            ("/v1/upload//k", "", "k"),
        ] {
            assert_eq!(target(path), (bucket.to_owned(), key.to_owned()), "{path}");
        }
    }

    #[test]
    fn refusals() {
        for (path, code) in [
            ("/v1/upload/b/%", Code::InvalidArgument),
            ("/v1/upload/b/%2", Code::InvalidArgument),
            ("/v1/upload/b/%zz", Code::InvalidArgument),
            ("/v1/upload/b/%%20", Code::InvalidArgument),
            ("/v1/upload/b/%+1", Code::InvalidArgument),
            ("/v1/upload/b/%ff", Code::InvalidArgument),
            ("/v1/upload/b/%C3", Code::InvalidArgument),
            ("/v1/upload/b/%C0%AF", Code::InvalidArgument),
            ("/v1/upload/%ff/k", Code::InvalidArgument),
            ("/v1/upload", Code::NoSuchRoute),
            ("/v1/uploads/b/k", Code::NoSuchRoute),
            ("", Code::NoSuchRoute),
        ] {
            assert_eq!(Target::parse(path, PREFIX).expect_err(path).code, code, "{path}");
        }
    }

    #[test]
    fn paths_that_leave_us() {
        assert_eq!(encode("/d/", "b", "a b+c%/日//~"), "/d/b/a%20b%2Bc%25/%E6%97%A5//~");
        assert_eq!(encode("/d/", "b", "?#&'\"<>\\"), "/d/b/%3F%23%26%27%22%3C%3E%5C");
    }

    #[test]
    fn queries() {
        let query =
            Query::parse(Some("version=1&download=my+file%2B.txt&flag&x=a=b&&=")).expect("valid");
        for (name, value) in [
            ("version", Some("1")),
            ("download", Some("my file+.txt")),
            ("flag", Some("")),
            ("x", Some("a=b")),
            ("missing", None),
            ("", Some("")),
        ] {
            assert_eq!(query.get(name).expect(name), value, "{name}");
        }
        assert_eq!(Query::parse(None).expect("valid"), Query::default());
        assert!(Query::parse(Some("a=%")).is_err());
        assert!(Query::parse(Some("%ff=1")).is_err());
        let twice = Query::parse(Some("a=1&%61=2")).expect("valid");
        assert_eq!(twice.get("a").expect_err("twice").code, Code::InvalidArgument);
    }

    #[test]
    fn a_query_begins_at_the_first_question_mark() {
        assert_eq!(split_query("/a?b?c"), ("/a", Some("b?c")));
        assert_eq!(split_query("/a"), ("/a", None));
        assert_eq!(split_query("/a?"), ("/a", Some("")));
    }

    proptest! {
        #[test]
        fn every_key_makes_the_round_trip(bucket in "[^/]*", key in ".*") {
            let target = Target { bucket, key };
            let path = target.to_path(PREFIX);
            prop_assert!(path.is_ascii() && split_query(&path).1.is_none());
            prop_assert_eq!(Target::parse(&path, PREFIX).expect("valid"), target);
        }

        #[test]
        fn every_bucket_makes_the_round_trip(bucket in "[a-z0-9.-]{3,63}", key in "[/ +%?#é]{1,9}") {
            let target = Target { bucket, key };
            prop_assert_eq!(Target::parse(&target.to_path(PREFIX), PREFIX).expect("valid"), target);
        }

        #[test]
        fn parsing_never_panics(path in ".*", query in ".*") {
            let _ = Target::parse(&format!("{PREFIX}{path}"), PREFIX);
            let _ = Query::parse(Some(&query)).map(|query| query.get("a").is_ok());
        }

        #[test]
        fn what_is_decoded_is_utf_8_or_refused(bytes: Vec<u8>) {
            let escaped: String = bytes.iter().map(|b| format!("%{b:02x}")).collect();
            let parsed = Target::parse(&format!("{PREFIX}b/{escaped}"), PREFIX).ok();
            prop_assert_eq!(parsed.map(|target| target.key), String::from_utf8(bytes).ok());
        }
    }
}
