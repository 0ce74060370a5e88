//! The history of each key against one register.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Kind, Violation};
use crate::content::{Sha, content, hex, sha};
use crate::history::{Content, Key, Read, Seen, Write};
use crate::ledger::Ledger;
use crate::register;

pub(super) fn check(ledger: &Ledger, keys: &HashSet<Arc<Key>>) -> Vec<Violation> {
    keys.iter().filter(|key| !key.is_place()).flat_map(|key| of_key(ledger, key)).collect()
}

fn of_key(ledger: &Ledger, key: &Key) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let mut reads = Vec::new();
    for read in ledger.reads.get(key).map_or(&[][..], Vec::as_slice) {
        if let Seen::Copied { sha } = &read.seen {
            // Two versions of a key have the same bytes only where the same was copied to it twice.
            let mut same = ledger.writes_of(key).filter(|write| has(write, sha));
            if let (Some(write), None) = (same.next(), same.next()) {
                reads.push(register::Read {
                    start: read.start,
                    end: read.end,
                    saw: Some(write.id),
                });
            }
            continue;
        }
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
            delete: !write.way.makes_version(),
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

fn has(write: &Write, sha: &Sha) -> bool {
    write.version.is_some() && write.content.is_some_and(|content| content.sha == *sha)
}

/// The write that a read saw, if what it saw are that write's bytes.
pub(super) fn saw(ledger: &Ledger, read: &Read) -> Result<Option<u64>, String> {
    let (version, digest) = match &read.seen {
        Seen::Nothing | Seen::Copied { .. } => return Ok(None),
        Seen::Whole { version, sha } | Seen::Part { version, sha, .. } => (version, sha),
    };
    let place = format!("{}/{} version {version}", read.key.bucket, read.key.name);
    let is_here = |write: &&Write| {
        write.key == read.key
            || (write.key.is_place() && read.key.is_place() && write.key.bucket == read.key.bucket)
    };
    let Some(write) = ledger.write_of(version).filter(is_here) else {
        return Err(format!("{place} was read, and no write became it"));
    };
    let expected = write.content.and_then(|of| match &read.seen {
        Seen::Part { total, start, length, .. } => {
            let bytes = content(of.origin, usize::try_from(of.size).unwrap_or_default());
            let start = usize::try_from(*start).unwrap_or(usize::MAX);
            let part = start.checked_add(*length).and_then(|end| bytes.get(start..end));
            part.filter(|_| *total == of.size).map(sha)
        }
        _ => Some(of.sha),
    });
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
    let Write { id, way, content, source, start, end, outcome, version, .. } = write;
    let version = version.as_deref().unwrap_or("none");
    let content = content.map_or_else(String::new, |Content { origin, size, sha }| {
        format!(" {size} bytes of write {origin}, SHA-256 {},", hex(&sha))
    });
    let source = source.as_ref().map_or_else(String::new, |source| {
        format!(" from {}/{} {:?},", source.key.bucket, source.key.name, source.version)
    });
    format!(
        "write {id}: {way:?},{content}{source} {start} to {end} us, {outcome:?}, version {version}"
    )
}
