//! The bodies of `POST /v1/batches` and `POST /v1/batches/{batch}/records`.

use std::collections::BTreeSet;

use holdfast_core::batch::{
    MAX_DATA_BYTES, MAX_NAME_BYTES, MAX_NAMED_RECORDS, MAX_REASON_BYTES, MAX_RECORDS,
    MAX_REPORTED_RECORDS, RecordId, RecordStatus, Report,
};
use holdfast_core::error::{Code, Error};
use holdfast_core::names::VersionId;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::json::{check_kept, object};

/// Longest body, in bytes: as many records with long names.
pub const MAX_BODY_BYTES: usize = 4 * 1_024 * 1_024;

/// A batch that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRequest {
    /// What it is called.
    pub name: Option<String>,
    /// The template that it renders, a UUID.
    pub template_id: Option<String>,
    /// So many records make it whole.
    pub expected: i64,
    /// The records, where they are known.
    pub records: Option<Vec<RecordId>>,
    /// What its maker keeps with it.
    pub data: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Batch {
    name: Option<String>,
    template_id: Option<String>,
    expected: Option<i64>,
    records: Option<Vec<String>>,
    #[serde(default)]
    data: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reports {
    records: Vec<OneReport>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OneReport {
    record_id: String,
    status: String,
    reason: Option<String>,
}

impl BatchRequest {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`]: not such a JSON object, or a member outside of its limits.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let Batch { name, template_id, expected, records, data } = object(body)?;
        if name.as_ref().is_some_and(|name| !(1..=MAX_NAME_BYTES).contains(&name.len())) {
            return Err(invalid(format!("name has 1 to {MAX_NAME_BYTES} bytes")));
        }
        let template_id = template_id.as_deref().map(VersionId::parse).transpose();
        let template_id =
            template_id.map_err(|_| invalid("templateId is the id of a template, a UUID"))?;
        let records = records.map(named).transpose()?;
        let count = records.as_ref().and_then(|records| i64::try_from(records.len()).ok());
        let expected = expected
            .or(count)
            .ok_or_else(|| invalid("Say how many records are expected, or name the records"))?;
        if !(1..=MAX_RECORDS).contains(&expected) {
            return Err(invalid(format!("expected is a number from 1 to {MAX_RECORDS}")));
        }
        if count.is_some_and(|count| count > expected) {
            return Err(invalid("records names more records than are expected"));
        }
        let data_bytes = serde_json::to_vec(&data).map_err(Error::internal)?.len();
        if data_bytes > MAX_DATA_BYTES {
            return Err(invalid(format!("data has at most {MAX_DATA_BYTES} bytes of JSON")));
        }
        no_nul(&name.iter().map(String::as_str).collect::<Vec<_>>())?;
        check_kept("data", &Value::Object(data.clone()))?;
        let template_id = template_id.map(|id| id.to_string());
        Ok(Self { name, template_id, expected, records, data })
    }
}

/// What render workers say of records.
///
/// # Errors
/// [`Code::InvalidArgument`]: not such a JSON object, a member outside of its limits, a record twice, a failure
/// without a reason or a reason without a failure.
pub fn reports(body: &[u8]) -> Result<Vec<Report>, Error> {
    let Reports { records } = object(body)?;
    if !(1..=MAX_REPORTED_RECORDS).contains(&records.len()) {
        return Err(invalid(format!("records has 1 to {MAX_REPORTED_RECORDS} elements")));
    }
    let mut seen = BTreeSet::new();
    let mut reports = Vec::with_capacity(records.len());
    for OneReport { record_id, status, reason } in records {
        let record = RecordId::parse(&record_id)?;
        let status: RecordStatus = status.parse()?;
        if status == RecordStatus::Complete {
            return Err(invalid("A record is complete once its card is stored; PUT that"));
        }
        if (status == RecordStatus::Failed) != reason.is_some() {
            return Err(invalid("A record that failed has a reason, and no other record has one"));
        }
        if reason.as_ref().is_some_and(|reason| !(1..=MAX_REASON_BYTES).contains(&reason.len())) {
            return Err(invalid(format!("A reason has 1 to {MAX_REASON_BYTES} bytes")));
        }
        no_nul(&reason.iter().map(String::as_str).collect::<Vec<_>>())?;
        if !seen.insert(record.clone()) {
            return Err(invalid(format!("The record {record} is there twice")));
        }
        reports.push(Report { record, status, reason });
    }
    Ok(reports)
}

fn named(records: Vec<String>) -> Result<Vec<RecordId>, Error> {
    if records.len() > MAX_NAMED_RECORDS {
        return Err(invalid(format!(
            "records has at most {MAX_NAMED_RECORDS} elements; the others need not be named"
        )));
    }
    let records: Vec<_> = records.iter().map(|id| RecordId::parse(id)).collect::<Result<_, _>>()?;
    let distinct: BTreeSet<_> = records.iter().collect();
    if distinct.len() < records.len() {
        return Err(invalid("records has a record twice"));
    }
    Ok(records)
}

/// PostgreSQL keeps every character but this one.
fn no_nul(texts: &[&str]) -> Result<(), Error> {
    match texts.iter().any(|text| text.contains('\0')) {
        true => Err(invalid("A text has the character U+0000")),
        false => Ok(()),
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        let error = BatchRequest::parse(body.as_bytes()).expect_err(body);
        assert_eq!(error.code, Code::InvalidArgument, "{body}");
        error.message
    }

    #[test]
    fn a_batch_says_how_many_records_it_has() {
        let asked = BatchRequest::parse(br#"{"expected": 3}"#).expect("valid");
        assert_eq!((asked.expected, asked.records, asked.name), (3, None, None));
        let asked = BatchRequest::parse(
            br#"{"name": "May", "templateId": "019AB7C4-5f0e-7a51-b3c8-0d6a7c1f9e42", "records": ["a", "b"],
                 "data": {"a": [1, null]}}"#,
        )
        .expect("valid");
        assert_eq!(asked.expected, 2);
        assert_eq!(asked.template_id.as_deref(), Some("019ab7c4-5f0e-7a51-b3c8-0d6a7c1f9e42"));
        assert_eq!(asked.data.len(), 1);
        let more = BatchRequest::parse(br#"{"expected": 3, "records": ["a"]}"#).expect("valid");
        assert_eq!(more.expected, 3);
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"expected": 0}"#,
            r#"{"expected": 1000001}"#,
            r#"{"expected": 1.5}"#,
            r#"{"expected": 1, "more": 1}"#,
            r#"{"expected": 1, "records": ["a", "b"]}"#,
            r#"{"records": []}"#,
            r#"{"records": ["a", "a"]}"#,
            r#"{"records": ["a/b"]}"#,
            r#"{"expected": 1, "name": ""}"#,
            r#"{"expected": 1, "name": "\u0000"}"#,
            r#"{"expected": 1, "templateId": "x"}"#,
            r#"{"expected": 1, "data": []}"#,
            r#"{"expected": 1, "data": {"a": [{"\u0000": 1}]}}"#,
        ] {
            refused(bad);
        }
        let long = format!(r#"{{"expected": 1, "data": {{"a": "{}"}}}}"#, "x".repeat(65_536));
        assert!(refused(&long).contains("65536"));
    }

    #[test]
    fn a_failure_has_a_reason() {
        let body = br#"{"records": [{"recordId": "a", "status": "failed", "reason": "no font"},
                                    {"recordId": "b", "status": "rendering"}]}"#;
        let found = reports(body).expect("valid");
        assert_eq!(found[0].reason.as_deref(), Some("no font"));
        assert_eq!(found[1].status, RecordStatus::Rendering);
        for bad in [
            r#"{"records": []}"#,
            r#"{"records": [{"recordId": "a", "status": "failed"}]}"#,
            r#"{"records": [{"recordId": "a", "status": "failed", "reason": ""}]}"#,
            r#"{"records": [{"recordId": "a", "status": "failed", "reason": "\u0000"}]}"#,
            r#"{"records": [{"recordId": "a", "status": "pending", "reason": "x"}]}"#,
            r#"{"records": [{"recordId": "a", "status": "complete"}]}"#,
            r#"{"records": [{"recordId": "a", "status": "done"}]}"#,
            r#"{"records": [{"recordId": "", "status": "pending"}]}"#,
            r#"{"records": [{"recordId": "a", "status": "pending"}, {"recordId": "a", "status": "pending"}]}"#,
        ] {
            assert_eq!(
                reports(bad.as_bytes()).expect_err(bad).code,
                Code::InvalidArgument,
                "{bad}"
            );
        }
    }
}
