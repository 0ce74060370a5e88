//! The history of each key against one register.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Kind, Violation};
use crate::content::{content, hex, sha};
use crate::history::{Key, Read, Seen, Way, Write};
use crate::ledger::Ledger;
use crate::register;

pub(super) fn check(ledger: &Ledger, keys: &HashSet<Arc<Key>>) -> Vec<Violation> {
    keys.iter().flat_map(|key| of_key(ledger, key)).collect()
}

fn of_key(ledger: &Ledger, key: &Key) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let mut reads = Vec::new();
    for read in ledger.reads.get(key).map_or(&[][..], Vec::as_slice) {
        match saw(ledger, read) {
            Ok(saw) => reads.push(register::Read { start: read.start, end: read.end, saw }),
            Err(text) => wrong.push(Violation { kind: Kind::Torn, text }),
        }
    }
    let writes: Vec<register::Write> = ledger
        .writes_of(key)
        .filter(|write| write.is_acknowledged() || write.may_have_happened())
        .map(|write| register::Write {
            id: write.id,
            start: write.start,
            acknowledged: write.is_acknowledged().then_some(write.end),
            delete: write.way == Way::Delete,
        })
        .collect();
    let contradictions = register::check(&writes, &reads);
    if !contradictions.is_empty() {
        let history: Vec<String> = ledger.writes_of(key).map(told).collect();
        let text = format!(
            "{}/{}: {}\n    {}",
            key.bucket,
            key.name,
            contradictions.join("; "),
            history.join("\n    ")
        );
        wrong.push(Violation { kind: Kind::Order, text });
    }
    wrong
}

/// The write that a read saw, if what it saw are that write's bytes.
fn saw(ledger: &Ledger, read: &Read) -> Result<Option<u64>, String> {
    let (version, digest) = match &read.seen {
        Seen::Nothing => return Ok(None),
        Seen::Whole { version, sha } | Seen::Part { version, sha, .. } => (version, sha),
    };
    let place = format!("{}/{} version {version}", read.key.bucket, read.key.name);
    let Some(write) = ledger.write_of(version).filter(|write| write.key == read.key) else {
        return Err(format!("{place} was read, and no write became it"));
    };
    let expected = match &read.seen {
        Seen::Part { total, start, length, .. } => {
            let bytes = content(write.id, usize::try_from(write.size).unwrap_or_default());
            let start = usize::try_from(*start).unwrap_or(usize::MAX);
            let part = start.checked_add(*length).and_then(|end| bytes.get(start..end));
            part.filter(|_| *total == write.size).map(sha)
        }
        _ => Some(write.sha),
    };
    if expected != Some(*digest) {
        return Err(format!(
            "{place} was read ({:?}) with SHA-256 {}, and this was sent: {}",
            read.seen,
            hex(digest),
            told(write)
        ));
    }
    Ok(Some(write.id))
}

/// A write as evidence.
pub(super) fn told(write: &Write) -> String {
    let Write { id, way, size, sha, start, end, outcome, version, .. } = write;
    let version = version.as_deref().unwrap_or("none");
    format!(
        "write {id}: {way:?}, {size} bytes, SHA-256 {}, {start} to {end} us, {outcome:?}, version {version}",
        hex(sha)
    )
}
