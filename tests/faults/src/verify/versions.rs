//! Every version by its name: what was acknowledged is there, and what is there was sent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use holdfast_dev::S3Client;
use holdfast_s3::GetObject;

use super::register::told;
use super::{Kind, Row, Violation};
use crate::client::Client;
use crate::content::{Sha, hex, sha};
use crate::history::{Key, Outcome, Write};
use crate::ledger::Ledger;

/// How a version is read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    /// As its owner reads it.
    pub(super) client: &'a Client,
    /// For what is in the trash, which no route serves.
    pub(super) s3: &'a S3Client,
}

/// How long SeaweedFS may take to know all its volumes again.
const VOLUMES_KNOWN: Duration = Duration::from_secs(15);
/// Between two readings.
const RETRY: Duration = Duration::from_secs(1);

/// Versions that are read at the same time.
const READERS: usize = 8;

/// Finds out which writes without a promise have happened: their version is committed, and its bytes are
/// theirs. A version that is no such write's is one that must not be there.
pub(super) async fn resolve(
    reader: Reader<'_>,
    ledger: &mut Ledger,
    rows: &[Row],
) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let keys: HashMap<(String, String), Arc<Key>> = ledger
        .by_key
        .keys()
        .map(|key| ((key.bucket.to_owned(), key.name.clone()), Arc::clone(key)))
        .collect();
    for row in rows.iter().filter(|row| row.is_committed()) {
        if ledger.by_version.contains_key(&row.version) {
            continue;
        }
        let Some(key) = keys.get(&(row.bucket.clone(), row.key.clone())) else {
            wrong.push(torn(row, "nobody wrote to this key"));
            continue;
        };
        let read = match reader.read(key, row).await {
            Ok(read) => read,
            Err(why) => {
                wrong.push(torn(row, &format!("it cannot be read: {why}")));
                continue;
            }
        };
        let candidate = ledger
            .writes_of(key)
            .filter(|write| write.may_have_happened() && write.version.is_none())
            .find(|write| write.sha == read);
        match candidate.map(|write| write.id) {
            Some(id) => ledger.found(id, key, &row.version),
            None => {
                let told: Vec<String> = ledger
                    .writes_of(key)
                    .filter(|write| !write.is_acknowledged())
                    .map(told)
                    .collect();
                let what = format!(
                    "its SHA-256 is {}, and no write that may have happened has this; there are\n    {}",
                    hex(&read),
                    told.join("\n    ")
                );
                wrong.push(torn(row, &what));
            }
        }
    }
    wrong
}

fn torn(row: &Row, what: &str) -> Violation {
    Violation { kind: Kind::Torn, text: format!("{row:?} is committed, but {what}") }
}

/// Reads the promised versions of these keys.
pub(super) async fn of_keys(
    reader: Reader<'_>,
    ledger: &Ledger,
    rows: &[Row],
    keys: &HashSet<Arc<Key>>,
) -> Vec<Violation> {
    let writes = keys.iter().flat_map(|key| ledger.writes_of(key));
    compare(reader, rows, writes.collect()).await
}

/// Reads all promised versions.
pub(super) async fn all(reader: Reader<'_>, ledger: &Ledger, rows: &[Row]) -> Vec<Violation> {
    compare(reader, rows, ledger.writes.iter().collect()).await
}

async fn compare(reader: Reader<'_>, rows: &[Row], writes: Vec<&Write>) -> Vec<Violation> {
    let rows: HashMap<&str, &Row> = rows.iter().map(|row| (row.version.as_str(), row)).collect();
    let known = writes.into_iter().filter_map(|write| Some((write, write.version.as_deref()?)));
    stream::iter(known)
        .map(|(write, version)| {
            let row = rows.get(version).copied();
            async move {
                let why = one(reader, write, row).await.err()?;
                let text = format!(
                    "{}/{}: {why}\n    {}\n    its row: {row:?}",
                    write.key.bucket,
                    write.key.name,
                    told(write)
                );
                Some(Violation { kind: Kind::Lost, text })
            }
        })
        .buffer_unordered(READERS)
        .filter_map(std::future::ready)
        .collect()
        .await
}

async fn one(reader: Reader<'_>, write: &Write, row: Option<&Row>) -> Result<(), String> {
    let row = row.ok_or("there is no row")?;
    if !row.has_bytes() {
        return Err(format!("its state is {}", row.state));
    }
    if row.size != i64::try_from(write.size).ok() {
        return Err("its row has another size than was sent".to_owned());
    }
    if let Outcome::Acknowledged { etag, .. } = &write.outcome
        && row.etag.as_deref() != Some(etag)
    {
        return Err("its row has another ETag than was answered".to_owned());
    }
    let read = reader.read(&write.key, row).await?;
    if read != write.sha {
        return Err(format!("what is read has the SHA-256 {}", hex(&read)));
    }
    Ok(())
}

impl Reader<'_> {
    /// Reads a version. SeaweedFS answers 500 for some seconds after it was started, until its volumes are
    /// known again, and the application 503 then, which says that nothing was lost and when to come back: so the
    /// reader does.
    async fn read(self, key: &Key, row: &Row) -> Result<Sha, String> {
        let start = Instant::now();
        loop {
            match self.read_once(key, row).await {
                Err(_) if start.elapsed() < VOLUMES_KNOWN => tokio::time::sleep(RETRY).await,
                answer => return answer,
            }
        }
    }

    async fn read_once(self, key: &Key, row: &Row) -> Result<Sha, String> {
        if row.state == "trashed" {
            let get = GetObject { bucket: &row.bucket, key: &row.s3_key, ..GetObject::default() };
            let body = self.s3.call(&get, "").await.map_err(|error| format!("{error:#}"))?;
            return Ok(sha(&body));
        }
        let answer = self.client.send(self.client.download(key, Some(&row.version))).await?;
        match answer.status {
            200 => Ok(sha(&answer.body)),
            status => Err(format!("{status} {}", String::from_utf8_lossy(&answer.body))),
        }
    }
}
