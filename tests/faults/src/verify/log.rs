//! The application's log of events against what its clients were told, and against what is current.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::register::{saw, told};
use super::sql::Logged;
use super::versions::request_of;
use super::{Kind, Row, Violation};
use crate::content::Sha;
use crate::history::{Key, Outcome, Seen, Way, Write};
use crate::ledger::Ledger;
use crate::replay::{self, Change, Read};

/// What of a read the log can be asked.
enum Asked {
    Version(String),
    Bytes(Sha),
    Nothing,
}

pub(super) fn check(
    ledger: &Ledger,
    rows: &[Row],
    log: &[Logged],
    keys: &HashSet<Arc<Key>>,
) -> Vec<Violation> {
    let mut of_key: HashMap<(&str, &str), Vec<&Logged>> = HashMap::new();
    let mut of_request: HashMap<u64, Vec<&Logged>> = HashMap::new();
    for event in log {
        of_key.entry((event.bucket.as_str(), event.key.as_str())).or_default().push(event);
        if let Some(id) = event.request.as_deref().and_then(request_of) {
            of_request.entry(id).or_default().push(event);
        }
    }
    let live: HashMap<(&str, &str), &str> = rows
        .iter()
        .filter(|row| row.state == "live")
        .map(|row| ((row.bucket.as_str(), row.key.as_str()), row.version.as_str()))
        .collect();
    let mut wrong = Vec::new();
    for key in keys {
        let place = (key.bucket, key.name.as_str());
        let events = of_key.get(&place).map_or(&[][..], Vec::as_slice);
        let mut texts = of_changes(ledger, key, &of_request);
        texts.extend(of_history(ledger, key, events, &of_request));
        let last = events.iter().rev().find(|event| event.kind != ERASED);
        let last = last.and_then(|event| current_after(event));
        if last != live.get(&place).copied() {
            texts
                .push(format!("the log ends with {last:?}, and {:?} is current", live.get(&place)));
        }
        if texts.is_empty() {
            continue;
        }
        let events: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
        let history: Vec<String> = ledger.writes_of(key).map(told).collect();
        let text = format!(
            "{}/{}: {}\n    {}\n    {}",
            key.bucket,
            key.name,
            texts.join("; "),
            events.join("\n    "),
            history.join("\n    ")
        );
        wrong.push(Violation { kind: Kind::Order, text });
    }
    wrong
}

/// Earlier versions go, and what is current stays.
const ERASED: &str = "object.erased";

/// What is current once this has happened.
fn current_after(event: &Logged) -> Option<&str> {
    match event.kind.as_str() {
        "object.deleted" | "object.left" => None,
        _ => Some(&event.version),
    }
}

/// Each change that was acknowledged is in the log, and none that was refused.
fn of_changes(ledger: &Ledger, key: &Key, of_request: &HashMap<u64, Vec<&Logged>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for write in ledger.writes_of(key).filter(|write| !write.way.makes_version()) {
        let events = of_request.get(&write.id).map_or(&[][..], Vec::as_slice);
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        let may_be: &[&[&str]] = match write.way {
            Way::Move => &[&["object.left", "object.moved"], &["object.moved", "object.left"]],
            // None where it is current already.
            Way::Restore => &[&["object.restored"], &[]],
            Way::Erase => &[&["object.deleted"], &[ERASED]],
            _ => &[&["object.deleted"]],
        };
        let is_right = match &write.outcome {
            Outcome::Acknowledged { version, .. } => {
                may_be.contains(&kinds.as_slice())
                    && events.iter().all(|event| version.is_empty() || event.version == *version)
            }
            Outcome::Refused { .. } => kinds.is_empty(),
            _ => kinds.is_empty() || may_be.contains(&kinds.as_slice()),
        };
        if !is_right {
            wrong.push(format!("the log has {events:?} of {}", told(write)));
        }
    }
    wrong
}

/// The log, with the times of the requests, against all that was seen of the key.
fn of_history(
    ledger: &Ledger,
    key: &Key,
    events: &[&Logged],
    of_request: &HashMap<u64, Vec<&Logged>>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut changes = Vec::new();
    for event in events.iter().filter(|event| event.kind != ERASED) {
        let write = match event.kind.as_str() {
            "object.created" => ledger.write_of(&event.version),
            _ => event.request.as_deref().and_then(request_of).and_then(|id| ledger.write(id)),
        };
        let Some(write) = write else {
            wrong.push(format!("nobody asked for {event:?}"));
            continue;
        };
        let end = if write.is_acknowledged() { write.end } else { u64::MAX };
        let then = current_after(event).map(str::to_owned);
        changes.push(Change { start: write.start, end, then });
    }
    let mut reads = Vec::new();
    for read in ledger.reads.get(key).map_or(&[][..], Vec::as_slice) {
        let seen = match (saw(ledger, read), &read.seen) {
            (Err(text), _) => {
                wrong.push(text);
                continue;
            }
            (_, Seen::Whole { version, .. } | Seen::Part { version, .. }) => {
                Asked::Version(version.clone())
            }
            (_, Seen::Copied { sha }) => Asked::Bytes(*sha),
            (_, Seen::Nothing) => Asked::Nothing,
        };
        reads.push(Read { start: read.start, end: read.end, seen });
    }
    // One that found current what it should bring back has seen it.
    reads.extend(ledger.writes_of(key).filter_map(|write: &Write| {
        let Outcome::Acknowledged { version, .. } = &write.outcome else { return None };
        let is_idle = write.way == Way::Restore && !of_request.contains_key(&write.id);
        let seen = Asked::Version(version.clone());
        is_idle.then_some(Read { start: write.start, end: write.end, seen })
    }));
    wrong.extend(replay::check(&changes, &reads, |seen, current: Option<&String>| match seen {
        Asked::Version(version) => current == Some(version),
        Asked::Bytes(sha) => current
            .and_then(|version| ledger.write_of(version)?.content)
            .is_some_and(|content| content.sha == *sha),
        Asked::Nothing => current.is_none(),
    }));
    wrong
}
