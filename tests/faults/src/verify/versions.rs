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
use crate::change::REQUEST;
use crate::client::Client;
use crate::content::{Sha, hex, sha};
use crate::history::{Key, Outcome, Way, Write};
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
/// theirs. A version that is no such write's is one that must not be there. And finds out what was copied.
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
        let known = ledger.write_of(&row.version).map(|write| (write.id, write.content.is_some()));
        if known.is_some_and(|(_, is_read)| is_read) {
            continue;
        }
        let read = match reader.read(row).await {
            Ok(read) => read,
            Err(why) => {
                wrong.push(torn(row, &format!("it cannot be read: {why}")));
                continue;
            }
        };
        let content = ledger.by_sha.get(&read).copied();
        let candidate = known.map(|(id, _)| id).or_else(|| {
            let may_be = |write: &&Write| {
                write.version.is_none()
                    && write.way.makes_version()
                    && (write.may_have_happened() || write.is_acknowledged())
            };
            // A copy is told by its request, an upload by its bytes. It may be at another place by now.
            if let Some(id) = row.request.as_deref().and_then(request_of) {
                return ledger.write(id).filter(may_be).map(|write| write.id);
            }
            let here = |key: &Key| key.name == row.key || (key.is_place() && row.is_at_place());
            let here = keys.iter().filter(|((bucket, _), key)| *bucket == row.bucket && here(key));
            here.flat_map(|(_, key)| ledger.writes_of(key))
                .filter(may_be)
                .find(|write| write.content.is_some_and(|content| content.sha == read))
                .map(|write| write.id)
        });
        match candidate.zip(content) {
            Some((id, content)) => ledger.found(id, &row.version, content),
            None => {
                let told: Vec<String> = keys
                    .get(&(row.bucket.clone(), row.key.clone()))
                    .into_iter()
                    .flat_map(|key| ledger.writes_of(key))
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

/// The write whose request this was.
pub(super) fn request_of(request_id: &str) -> Option<u64> {
    request_id.strip_prefix(REQUEST)?.parse().ok()
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
    compare(reader, ledger, rows, writes.collect()).await
}

/// Reads all promised versions.
pub(super) async fn all(reader: Reader<'_>, ledger: &Ledger, rows: &[Row]) -> Vec<Violation> {
    compare(reader, ledger, rows, ledger.writes.iter().collect()).await
}

async fn compare(
    reader: Reader<'_>,
    ledger: &Ledger,
    rows: &[Row],
    writes: Vec<&Write>,
) -> Vec<Violation> {
    let rows: HashMap<&str, &Row> = rows.iter().map(|row| (row.version.as_str(), row)).collect();
    let promised = writes.into_iter().filter(|write| {
        write.way.makes_version() && (write.version.is_some() || write.is_acknowledged())
    });
    stream::iter(promised)
        .map(|write| {
            let row = write.version.as_deref().and_then(|version| rows.get(version).copied());
            async move {
                let why = one(reader, ledger, write, row).await.err()?;
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

async fn one(
    reader: Reader<'_>,
    ledger: &Ledger,
    write: &Write,
    row: Option<&Row>,
) -> Result<(), String> {
    let row = row.ok_or("there is no row")?;
    let content = write.content.ok_or("nobody can say what it is")?;
    let is_here = row.key == write.key.name || (write.key.is_place() && row.is_at_place());
    if row.bucket != write.key.bucket || !is_here {
        return Err("its row has another key".to_owned());
    }
    let named = write.source.as_ref().and_then(|source| source.version.as_deref());
    let copied =
        named.and_then(|version| ledger.write_of(version)).and_then(|copied| copied.content);
    if copied.is_some_and(|copied| copied.sha != content.sha) {
        return Err("it is a copy of another version".to_owned());
    }
    if row.size != i64::try_from(content.size).ok() {
        return Err("its row has another size than was sent".to_owned());
    }
    if let Outcome::Acknowledged { etag, .. } = &write.outcome
        && write.way != Way::Adopt
        && row.etag.as_deref() != Some(etag)
    {
        return Err("its row has another ETag than was answered".to_owned());
    }
    if !row.has_bytes() {
        // Whoever made its time be over asked for this.
        let was_due = row.state == "purged" && ledger.aged.contains(&row.version);
        return if was_due { Ok(()) } else { Err(format!("its state is {}", row.state)) };
    }
    let read = reader.read(row).await?;
    if read != content.sha {
        return Err(format!("what is read has the SHA-256 {}", hex(&read)));
    }
    Ok(())
}

impl Reader<'_> {
    /// Reads a version. SeaweedFS answers 500 for some seconds after it was started, until its volumes are
    /// known again, and the application 503 then, which says that nothing was lost and when to come back: so the
    /// reader does.
    async fn read(self, row: &Row) -> Result<Sha, String> {
        let start = Instant::now();
        loop {
            match self.read_once(row).await {
                Err(_) if start.elapsed() < VOLUMES_KNOWN => tokio::time::sleep(RETRY).await,
                answer => return answer,
            }
        }
    }

    async fn read_once(self, row: &Row) -> Result<Sha, String> {
        if row.state == "trashed" {
            let get = GetObject { bucket: &row.bucket, key: &row.s3_key, ..GetObject::default() };
            let body = self.s3.call(&get, "").await.map_err(|error| format!("{error:#}"))?;
            return Ok(sha(&body));
        }
        let answer = self
            .client
            .send(self.client.version(&row.bucket, &row.key, Some(&row.version)))
            .await?;
        match answer.status {
            200 => Ok(sha(&answer.body)),
            status => Err(format!("{status} {}", String::from_utf8_lossy(&answer.body))),
        }
    }
}
