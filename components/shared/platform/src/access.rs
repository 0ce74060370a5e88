//! Counts downloads after they were answered: who, what, how many bytes, with which outcome. The same statement keeps
//! what the audit log has to tell of them, so that a download costs no other.
//!
//! Records are gathered for a moment and written in one statement, so that a busy instance does not
//! double its queries. They die with the process: a record is a measure, not a promise.

use std::cell::RefCell;
use std::time::Duration;

use holdfast_core::error::Error;
use serde::Serialize;
use spin_sdk::pg::ParameterValue;

use crate::clock::sleep;
use crate::pg;

/// How long records are gathered.
const GATHER: Duration = Duration::from_millis(100);

/// The most records that one instance holds; what comes above is lost.
const MAX_RECORDS: usize = 1_024;

const RECORD: &str = "select holdfast.record_accesses($1, null)";

/// One download.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The version that was served, if one was found.
    pub version: Option<String>,
    /// Who asked; empty for anybody.
    pub sub: String,
    /// GET or HEAD.
    pub method: String,
    /// The status of the answer.
    pub status: u16,
    /// The bytes that the answer has; the client may have left before the last.
    pub bytes: u64,
    /// `ok`, or the code of the error.
    pub outcome: &'static str,
    /// The rule that refused, if one did.
    pub rule: Option<String>,
    /// The client's address.
    pub ip: String,
    /// The id of the request.
    pub request_id: String,
    /// The User-Agent, cut to 255 characters.
    pub user_agent: String,
    /// The signed URL or share link that it came by, once its signature or token was good.
    pub grant_id: Option<String>,
}

thread_local! {
    static GATHERED: RefCell<Vec<Access>> = const { RefCell::new(Vec::new()) };
}

/// Counts a download; comes back at once.
pub fn record(database_url: &str, access: Access) {
    let count = GATHERED.with_borrow_mut(|gathered| {
        if gathered.len() < MAX_RECORDS {
            gathered.push(access);
        }
        gathered.len()
    });
    if count == 1 {
        let url = database_url.to_owned();
        wasip3::spawn(async move {
            sleep(GATHER).await;
            flush(&url).await;
        });
    }
}

async fn flush(url: &str) {
    let records = GATHERED.take();
    let count = records.len();
    let written = async {
        let bytes = serde_json::to_vec(&records).map_err(Error::internal)?;
        pg::call(url, RECORD, vec![ParameterValue::Jsonb(bytes)]).await?;
        Ok::<_, Error>(())
    };
    if let Err(error) = written.await {
        crate::log::warn(&format!("{count} downloads were not counted"), &error);
    }
}
