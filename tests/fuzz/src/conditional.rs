//! Conditional headers.

use holdfast_core::error::Code;
use holdfast_web::conditional::{
    ETag, EntityTags, Evaluation, Preconditions, Validators, range_applies,
};
use holdfast_web::http_date::HttpDate;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

const NAMES: [HeaderName; 5] =
    [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE];

/// Five lines are the values of the five headers; an empty one is not sent.
pub fn check(data: &[u8]) {
    let lines: [&[u8]; 5] = crate::lines(data);
    let mut headers = HeaderMap::new();
    for (name, line) in NAMES.iter().zip(lines) {
        check_tags(line);
        check_date(line);
        match HeaderValue::from_bytes(line) {
            Ok(value) if !line.is_empty() => headers.append(name, value),
            _ => continue,
        };
    }
    let current = Validators {
        etag: ETag::strong("0123456789abcdef"),
        last_modified: HttpDate::from_unix(784_111_777),
    };
    let applies = range_applies(&headers, &current);
    assert!(applies || headers.contains_key(IF_RANGE));
    match Preconditions::from_headers(&headers) {
        Ok(conditions) => check_evaluation(&conditions, &current),
        Err(error) => assert_eq!(error.code, Code::InvalidArgument),
    }
}

/// What is written of a value that is taken, parses to the same.
fn check_tags(line: &[u8]) {
    if let Some(tags) = EntityTags::parse(line) {
        assert_eq!(EntityTags::parse(&header_bytes(&tags)), Some(tags.clone()));
        let EntityTags::List(list) = tags else { return };
        assert!(!list.is_empty());
        for tag in &list {
            assert_eq!(ETag::parse(&header_bytes(tag)).as_ref(), Some(tag));
            assert!(tag.weak_eq(tag));
        }
        check_matching(&list);
    }
}

/// A text of one `char` a byte, as a header carries it.
fn header_bytes(value: &impl ToString) -> Vec<u8> {
    value.to_string().chars().map(|c| u8::try_from(c).expect("one byte")).collect()
}

/// A tag matches a list exactly if it is the same as one of it.
fn check_matching(list: &[ETag]) {
    let last_modified = HttpDate::from_unix(0);
    let tags = Some(EntityTags::List(list.to_vec()));
    let if_match = Preconditions { if_match: tags.clone(), ..Preconditions::default() };
    let if_none_match = Preconditions { if_none_match: tags, ..Preconditions::default() };
    let stranger = ETag::strong("another");
    for etag in list.iter().chain([&stranger]) {
        let current = Validators { etag: etag.clone(), last_modified };
        let strong = list.iter().any(|tag| tag.strong_eq(etag));
        let found = if_match.evaluate(&Method::PUT, Some(&current));
        assert_eq!(found == Evaluation::Proceed, strong);
        let weak = list.iter().any(|tag| tag.weak_eq(etag));
        let found = if_none_match.evaluate(&Method::GET, Some(&current));
        assert_eq!(found == Evaluation::NotModified, weak);
    }
}

fn check_date(line: &[u8]) {
    let date = std::str::from_utf8(line).ok().and_then(HttpDate::parse);
    if let Some(date) = date {
        assert_eq!(HttpDate::parse(&date.to_string()), Some(date));
    }
}

fn check_evaluation(conditions: &Preconditions, current: &Validators) {
    for current in [Some(current), None] {
        let read = conditions.evaluate(&Method::GET, current);
        assert_eq!(read, conditions.evaluate(&Method::HEAD, current));
        let write = conditions.evaluate(&Method::PUT, current);
        assert_ne!(write, Evaluation::NotModified);
        // A write is refused wherever a read is.
        assert!(read != Evaluation::PreconditionFailed || write == Evaluation::PreconditionFailed);
        let holds_if_none = conditions.if_none_match != Some(EntityTags::Any);
        assert!(holds_if_none || current.is_none() || write == Evaluation::PreconditionFailed);
    }
}
