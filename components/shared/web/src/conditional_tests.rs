use holdfast_core::error::Code;
use proptest::prelude::*;

use super::Evaluation::{NotModified, PreconditionFailed, Proceed};
use super::*;

const MODIFIED: i64 = 784_111_777;
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn tag(text: &str) -> ETag {
    ETag::parse(text.as_bytes()).expect(text)
}

fn current() -> Validators {
    Validators { etag: ETag::strong("abc"), last_modified: HttpDate::from_unix(MODIFIED) }
}

fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    headers
}

fn evaluate(
    method: &Method,
    pairs: &[(HeaderName, &str)],
    current: Option<&Validators>,
) -> Evaluation {
    Preconditions::from_headers(&headers(pairs)).expect("valid").evaluate(method, current)
}

#[test]
fn comparison_as_in_rfc_9110_section_8_8_3_2() {
    for (a, b, strong, weak) in [
        (r#"W/"1""#, r#"W/"1""#, false, true),
        (r#"W/"1""#, r#"W/"2""#, false, false),
        (r#"W/"1""#, r#""1""#, false, true),
        (r#""1""#, r#""1""#, true, true),
    ] {
        assert_eq!(tag(a).strong_eq(&tag(b)), strong, "{a} {b}");
        assert_eq!(tag(a).weak_eq(&tag(b)), weak, "{a} {b}");
    }
}

#[test]
fn tags_as_in_rfc_9110_section_8_8_3() {
    for good in [r#""xyzzy""#, r#"W/"xyzzy""#, r#""""#, r#""a,b\c""#] {
        assert_eq!(tag(good).to_string(), good);
    }
    for bad in
        ["", "\"", "xyzzy", "w/\"a\"", "W\"a\"", "\"a", "a\"", "\"a b\"", "\"a\"b\"", "\"\x7f\""]
    {
        assert_eq!(ETag::parse(bad.as_bytes()), None, "{bad}");
    }
    assert!(ETag::parse(b"\"\xff\"").is_some(), "bytes above ASCII");
}

#[test]
fn a_digest_makes_a_strong_tag() {
    assert_eq!(
        ETag::strong("9a0364b9e99bb480dd25e1f0284c8555-3").to_string(),
        "\"9a0364b9e99bb480dd25e1f0284c8555-3\""
    );
    assert_eq!(ETag::strong("a\"\r\n b\u{e9}").to_string(), "\"ab\"");
}

#[test]
fn lists() {
    for (text, wanted) in [
        ("*", "*"),
        (" * ", "*"),
        (r#""xyzzy""#, r#""xyzzy""#),
        (r#""xyzzy", "r2d2xxxx", "c3piozzzz""#, r#""xyzzy", "r2d2xxxx", "c3piozzzz""#),
        (r#"W/"xyzzy" ,"a,b""#, r#"W/"xyzzy", "a,b""#),
        (r#", "a",, "b" ,"#, r#""a", "b""#),
        ("9a0364b9e99bb480dd25e1f0284c8555-2", r#""9a0364b9e99bb480dd25e1f0284c8555-2""#),
    ] {
        let tags = EntityTags::parse(text.as_bytes()).expect(text);
        assert_eq!(tags.to_string(), wanted, "{text}");
    }
    for bad in
        ["", ",", "a, b", "*, \"a\"", "\"a\", *", "\"a\" \"b\"", "\"a\"; b", "\"a", "a b", "**"]
    {
        assert_eq!(EntityTags::parse(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn several_lines_are_one_list() {
    let pairs = [(IF_NONE_MATCH, "\"x\""), (IF_NONE_MATCH, "\"abc\"")];
    assert_eq!(evaluate(&Method::GET, &pairs, Some(&current())), NotModified);
}

#[test]
fn a_write_never_runs_without_its_condition() {
    for name in [IF_MATCH, IF_NONE_MATCH] {
        let error = Preconditions::from_headers(&headers(&[(name.clone(), "\"abc")]));
        let error = error.expect_err("malformed");
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.message.contains(name.as_str()), "{}", error.message);
    }
}

#[test]
fn one_condition_at_a_time() {
    let put_or_get = [Method::GET, Method::HEAD, Method::PUT];
    for (name, value, wanted) in [
        (IF_MATCH, "\"abc\"", [Proceed; 3]),
        (IF_MATCH, "\"x\", \"abc\"", [Proceed; 3]),
        (IF_MATCH, "*", [Proceed; 3]),
        (IF_MATCH, "\"x\"", [PreconditionFailed; 3]),
        (IF_MATCH, "W/\"abc\"", [PreconditionFailed; 3]),
        (IF_NONE_MATCH, "\"abc\"", [NotModified, NotModified, PreconditionFailed]),
        (IF_NONE_MATCH, "W/\"abc\"", [NotModified, NotModified, PreconditionFailed]),
        (IF_NONE_MATCH, "*", [NotModified, NotModified, PreconditionFailed]),
        (IF_NONE_MATCH, "\"x\"", [Proceed; 3]),
        (IF_MODIFIED_SINCE, BEFORE, [Proceed; 3]),
        (IF_MODIFIED_SINCE, SAME, [NotModified, NotModified, Proceed]),
        (IF_MODIFIED_SINCE, AFTER, [NotModified, NotModified, Proceed]),
        (IF_MODIFIED_SINCE, "yesterday", [Proceed; 3]),
        (IF_UNMODIFIED_SINCE, BEFORE, [PreconditionFailed; 3]),
        (IF_UNMODIFIED_SINCE, SAME, [Proceed; 3]),
        (IF_UNMODIFIED_SINCE, AFTER, [Proceed; 3]),
        (IF_UNMODIFIED_SINCE, "yesterday", [Proceed; 3]),
    ] {
        for (method, wanted) in put_or_get.iter().zip(wanted) {
            let pairs = [(name.clone(), value)];
            let found = evaluate(method, &pairs, Some(&current()));
            assert_eq!(found, wanted, "{method} {name}: {value}");
        }
    }
}

#[test]
fn the_order_of_rfc_9110_section_13_2_2() {
    for (pairs, wanted) in [
        // A tag outranks a date.
        (&[(IF_MATCH, "\"abc\""), (IF_UNMODIFIED_SINCE, BEFORE)][..], Proceed),
        (&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, SAME)], Proceed),
        (&[(IF_NONE_MATCH, "\"abc\""), (IF_MODIFIED_SINCE, BEFORE)], NotModified),
        // A failed condition outranks a 304.
        (&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "\"abc\"")], PreconditionFailed),
        (&[(IF_UNMODIFIED_SINCE, BEFORE), (IF_NONE_MATCH, "\"abc\"")], PreconditionFailed),
        // One that holds leads on to the next.
        (&[(IF_MATCH, "\"abc\""), (IF_NONE_MATCH, "\"abc\"")], NotModified),
        (&[(IF_MATCH, "*"), (IF_MODIFIED_SINCE, SAME)], NotModified),
        (&[(IF_UNMODIFIED_SINCE, SAME), (IF_MODIFIED_SINCE, SAME)], NotModified),
        (&[], Proceed),
    ] {
        assert_eq!(evaluate(&Method::GET, pairs, Some(&current())), wanted, "{pairs:?}");
    }
}

#[test]
fn where_nothing_is_stored() {
    for (name, value, wanted) in [
        (IF_MATCH, "*", PreconditionFailed),
        (IF_MATCH, "\"abc\"", PreconditionFailed),
        (IF_NONE_MATCH, "*", Proceed),
        (IF_NONE_MATCH, "\"abc\"", Proceed),
        (IF_UNMODIFIED_SINCE, BEFORE, Proceed),
        (IF_MODIFIED_SINCE, AFTER, Proceed),
    ] {
        assert_eq!(
            evaluate(&Method::PUT, &[(name.clone(), value)], None),
            wanted,
            "{name}: {value}"
        );
    }
}

#[test]
fn if_range() {
    for (values, wanted) in [
        (&[][..], true),
        (&["\"abc\""], true),
        (&["\"x\""], false),
        (&["W/\"abc\""], false),
        (&["abc"], false),
        (&["*"], false),
        (&["\"abc\", \"x\""], false),
        (&[SAME], true),
        (&[BEFORE], false),
        (&[AFTER], false),
        (&["yesterday"], false),
        (&[""], false),
        (&["\"abc\"", "\"abc\""], false),
    ] {
        let pairs: Vec<_> = values.iter().map(|value| (IF_RANGE, *value)).collect();
        assert_eq!(range_applies(&headers(&pairs), &current()), wanted, "{values:?}");
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(bytes: Vec<u8>, list in "[W/\"*, a\u{e9}]*") {
        let _ = EntityTags::parse(&bytes);
        let _ = EntityTags::parse(list.as_bytes());
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let names = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE];
            let headers: HeaderMap = names.into_iter().map(|name| (name, value.clone())).collect();
            let _ = Preconditions::from_headers(&headers);
            let _ = range_applies(&headers, &current());
        }
    }

    #[test]
    fn what_is_written_is_read(
        tags in prop::collection::vec(("[!#-~]{0,9}", any::<bool>()), 1..5)
    ) {
        let tags = tags.into_iter().map(|(opaque, weak)| ETag { weak, opaque }).collect();
        let tags = EntityTags::List(tags);
        prop_assert_eq!(EntityTags::parse(tags.to_string().as_bytes()), Some(tags));
    }
}
