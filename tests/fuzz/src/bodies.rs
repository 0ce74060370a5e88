//! The JSON bodies about objects, buckets, templates, batches and archives, and the queries of their lists.

use std::collections::BTreeSet;

use holdfast_core::archive::{MAX_ARCHIVE_FILES, MAX_ARCHIVE_KEYS};
use holdfast_core::batch::{
    BatchId, MAX_DATA_BYTES, MAX_NAME_BYTES, MAX_NAMED_RECORDS, MAX_REASON_BYTES, MAX_RECORD_BYTES,
    MAX_RECORDS, MAX_REPORTED_RECORDS, RecordId, RecordStatus,
};
use holdfast_core::limits::{
    ADOPT_LIMIT, MAX_DELETE_BATCH, MAX_KEY_BYTES, MAX_OBJECTS_PAGE, MAX_SEARCH_BYTES,
    MAX_TAG_NAME_CHARS, MAX_TAG_VALUE_CHARS, MAX_TAGS, MAX_TEMPLATE_NAME_CHARS, MIN_SEARCH_CHARS,
};
use holdfast_core::names::{BucketName, ObjectKey, VersionId};
use holdfast_web::archive_request::{ArchiveRequest, Selection, Slice};
use holdfast_web::batch_request::{self, BatchRequest};
use holdfast_web::bucket_request::{AdoptRequest, NewBucket, policy_patch};
use holdfast_web::listing::{ByTime, Last, Listing, Order, Versions};
use holdfast_web::object_request::Operation;
use holdfast_web::path::Query;
use holdfast_web::presign_request::MAX_DOWNLOAD_BYTES;
use holdfast_web::tags::{self, Tags};
use holdfast_web::template_request::{self, NewTemplate, TemplatePatch};
use serde_json::Value;

/// The input is a body, and a query.
pub fn check(data: &[u8]) {
    batch(data);
    archive(data);
    operation(data);
    bucket(data);
    template(data);
    if let Ok(tags) = tags::parse(data) {
        assert!(body(data).is_object());
        tagged(&tags);
    }
    if let Ok(query) = std::str::from_utf8(data) {
        lists(query);
    }
}

/// Of what was taken: an object, and no list of its members in their order.
fn body(data: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(data).expect("it was read");
    assert!(body.is_object(), "{body}");
    body
}

/// PostgreSQL keeps every text but one with this.
fn has_nul(value: &Value) -> bool {
    value.to_string().contains("\\u0000")
        && match value {
            Value::String(text) => text.contains('\0'),
            Value::Array(items) => items.iter().any(has_nul),
            Value::Object(members) => {
                members.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
            }
            _ => false,
        }
}

/// A part of a key, by the rule of keys.
fn record(record: &RecordId) {
    let text = record.as_str();
    assert!((1..=MAX_RECORD_BYTES).contains(&text.len()) && !text.contains('/'));
    let id = VersionId::parse("019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42").expect("an id");
    let key = BatchId::new(id).key(record).expect("the key of a card");
    assert!(key.as_str().ends_with(&format!("/{text}")));
}

fn batch(data: &[u8]) {
    if let Ok(asked) = BatchRequest::parse(data) {
        let body = body(data);
        assert!((1..=MAX_RECORDS).contains(&asked.expected) && !has_nul(&body));
        assert!(body["expected"].is_null() || body["expected"] == asked.expected);
        assert!(asked.name.is_none_or(|name| (1..=MAX_NAME_BYTES).contains(&name.len())));
        assert!(asked.template_id.is_none_or(|id| VersionId::parse(&id).is_ok()));
        assert!(Value::Object(asked.data).to_string().len() <= MAX_DATA_BYTES);
        if let Some(records) = asked.records {
            let distinct: BTreeSet<_> = records.iter().collect();
            assert!(records.len() <= MAX_NAMED_RECORDS && distinct.len() == records.len());
            assert!(i64::try_from(records.len()).is_ok_and(|count| count <= asked.expected));
            records.iter().for_each(record);
        }
    }
    if let Ok(reports) = batch_request::reports(data) {
        assert!(!has_nul(&body(data)) && (1..=MAX_REPORTED_RECORDS).contains(&reports.len()));
        let distinct: BTreeSet<_> = reports.iter().map(|report| &report.record).collect();
        assert_eq!(distinct.len(), reports.len());
        for report in &reports {
            record(&report.record);
            assert_ne!(report.status, RecordStatus::Complete);
            assert_eq!(report.status == RecordStatus::Failed, report.reason.is_some());
            let reason = report.reason.as_ref();
            assert!(reason.is_none_or(|it| (1..=MAX_REASON_BYTES).contains(&it.len())));
        }
    }
}

fn archive(data: &[u8]) {
    let Ok(asked) = ArchiveRequest::parse(data) else { return };
    let body = body(data);
    assert!(asked.name.len() <= MAX_DOWNLOAD_BYTES && !asked.name.contains(char::is_control));
    match asked.selection {
        Selection::Keys(keys) => {
            assert!((1..=MAX_ARCHIVE_KEYS).contains(&keys.len()) && body["prefix"].is_null());
            let texts: BTreeSet<_> = keys.iter().map(ObjectKey::as_str).collect();
            assert_eq!(texts.len(), keys.len(), "each once");
            let named = body["keys"].as_array().expect("keys");
            assert!(named.iter().all(|key| key.as_str().is_some_and(|key| texts.contains(key))));
        }
        Selection::Prefix(prefix, slice) => {
            assert!(body["keys"].is_null() && body["prefix"] == prefix.as_str());
            assert!(prefix.len() <= MAX_KEY_BYTES && !prefix.contains(char::is_control));
            sliced(&slice);
        }
    }
}

fn sliced(slice: &Slice) {
    assert!(slice.after.as_ref().is_none_or(|after| ObjectKey::parse(after).is_ok()));
    assert!(slice.limit.is_none_or(|limit| (1..=MAX_ARCHIVE_FILES).contains(&limit)));
}

fn tagged(tags: &Tags) {
    assert!(tags.len() <= MAX_TAGS);
    for (name, value) in tags {
        assert!((1..=MAX_TAG_NAME_CHARS).contains(&name.chars().count()));
        assert!(value.chars().count() <= MAX_TAG_VALUE_CHARS);
        assert!(!name.chars().chain(value.chars()).any(char::is_control));
    }
}

fn operation(data: &[u8]) {
    let bucket = BucketName::parse("documents").expect("a name");
    let Ok(operation) = Operation::parse(&bucket, data) else { return };
    let body = body(data);
    let is = |name: &str| assert_eq!(body["operation"], name);
    match operation {
        Operation::Copy(copy) => {
            is("copy");
            assert_eq!(body["from"], copy.from.as_str());
            assert_eq!(body["to"], copy.to.as_str());
            assert!(copy.to_bucket.as_ref() != Some(&bucket));
            assert!(copy.to_bucket.is_some() || copy.from != copy.to || copy.version.is_some());
            assert!(copy.to_bucket.is_none() || copy.tags.is_none());
            copy.tags.iter().for_each(tagged);
        }
        Operation::Move(asked) => {
            is("move");
            assert!(
                asked.from != asked.to && body["overwrite"].as_bool() != Some(!asked.overwrite)
            );
        }
        Operation::Restore(asked) => {
            is("restore");
            assert_eq!(body["key"], asked.key.as_str());
        }
        Operation::Delete(asked) => {
            is("delete");
            assert!((1..=MAX_DELETE_BATCH).contains(&asked.keys.len()));
            assert_eq!(body["keys"].as_array().map(Vec::len), Some(asked.keys.len()));
        }
        Operation::Rename(asked) => {
            is("rename");
            assert!(!asked.from.is_empty() && asked.from != asked.to);
            for prefix in [&asked.from, &asked.to] {
                assert!(prefix.len() <= MAX_KEY_BYTES && !prefix.contains(char::is_control));
            }
        }
        Operation::ContinueRename(_) => is("rename"),
        Operation::UndoRename(_) => is("undoRename"),
    }
}

fn bucket(data: &[u8]) {
    if let Ok(new) = NewBucket::parse(data) {
        assert_eq!(body(data)["name"], new.name.as_str());
        crate::policy::is_whole(&new.policy);
    }
    if let Ok(patch) = policy_patch(data) {
        assert!(patch.is_object() && body(data)["policy"] == patch);
    }
    if let Ok(asked) = AdoptRequest::parse(data) {
        assert!(data.is_empty() || body(data).is_object());
        assert!((1..=ADOPT_LIMIT).contains(&asked.limit));
        assert!(asked.prefix.len() <= MAX_KEY_BYTES && !asked.prefix.contains(char::is_control));
        assert!(asked.owner.is_none_or(|it| !it.is_empty() && !it.contains(char::is_control)));
    }
}

fn template(data: &[u8]) {
    let name = |name: &str| {
        let count = name.chars().count();
        assert!((1..=MAX_TEMPLATE_NAME_CHARS).contains(&count) && !name.contains(char::is_control));
    };
    if let Ok(new) = NewTemplate::parse(data) {
        assert!(new.data.is_object() && !has_nul(&new.data) && body(data)["name"] == new.name);
        name(&new.name);
    }
    if let Ok(patch) = TemplatePatch::parse(data) {
        assert!(patch.data.is_none_or(|it| it.is_object() && !has_nul(&it)));
        patch.name.as_deref().into_iter().for_each(name);
    }
    if let Ok(version) = template_request::restore(data) {
        let text = body(data)["version"].as_str().map(str::to_ascii_lowercase);
        assert_eq!(text, Some(version.to_string()));
    }
}

/// A page is never longer than it may be, and a cursor leads on from what it was made of.
fn lists(query: &str) {
    let Ok(query) = Query::parse(Some(query)) else { return };
    let pages = 2..=MAX_OBJECTS_PAGE + 1;
    if let Ok(list) = Listing::parse(&query) {
        assert!(pages.contains(&list.wanted()));
        let longest =
            [(&Some(list.prefix.clone()), MAX_KEY_BYTES), (&list.search, MAX_SEARCH_BYTES)];
        for (text, most) in longest.into_iter().chain([(&list.delimiter, MAX_SEARCH_BYTES)]) {
            let text = text.as_deref().unwrap_or_default();
            assert!(text.len() <= most && !text.contains(char::is_control));
        }
        let search = list.search.as_ref();
        assert!(search.is_none_or(|it| it.chars().count() >= MIN_SEARCH_CHARS));
        assert!(list.delimiter.as_ref().is_none_or(|it| !it.is_empty() && search.is_none()));
        match &list.after {
            None => {}
            Some(Last::At(..)) => assert_eq!(list.order, Order::Newest),
            Some(Last::Key(text) | Last::Prefix(text)) => {
                assert!(list.order != Order::Newest && text.len() <= MAX_KEY_BYTES);
            }
        }
        if let Some(last) = list.after.clone() {
            let mut found: Vec<_> = (0..list.wanted()).collect();
            let cursor = list.cut(&mut found, |_| Ok(last.clone())).expect("a cursor");
            assert_eq!(found.len() + 1, usize::try_from(list.wanted()).expect("a count"));
            let next = format!("cursor={}&order={}", cursor.expect("more"), list.order.name());
            let next = Query::parse(Some(&next)).expect("a query");
            assert_eq!(Listing::parse(&next).expect("ours").after, Some(last));
        }
    }
    if let Ok(list) = ByTime::parse(&query) {
        assert!(pages.contains(&list.wanted()));
    }
    if let Ok(list) = Versions::parse(&query) {
        assert!(pages.contains(&list.wanted()));
    }
    if let Ok(slice) = Slice::from_query(&query) {
        sliced(&slice);
    }
}
