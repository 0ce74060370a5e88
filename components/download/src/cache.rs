//! What an instance keeps between requests: small bodies by their version, which never change, and for a
//! moment which version of a public file is current.
//!
//! An instance lives for 128 requests and a second of silence, so this helps hot files under load alone. A reader
//! with a token always asks SQL: who overwrote or lost a file sees that at once.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use holdfast_core::names::VersionId;
use holdfast_core::ports::Resolved;
use time::{Duration, OffsetDateTime};

/// Most bytes of bodies in one instance.
const MAX_BODY_BYTES: usize = 2 * 1_024 * 1_024;

/// Most public files whose current version is remembered.
const MAX_PUBLIC: usize = 256;

/// So old may the answer be that anybody may read a file.
const PUBLIC_AGE: Duration = Duration::seconds(1);

#[derive(Default)]
struct Cache {
    bodies: HashMap<VersionId, Rc<Vec<u8>>>,
    /// In the order in which they came.
    order: VecDeque<VersionId>,
    bytes: usize,
    public: HashMap<String, (OffsetDateTime, Rc<Resolved>)>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// The whole body of a version, if it is kept here.
pub(crate) fn body(version: VersionId) -> Option<Rc<Vec<u8>>> {
    CACHE.with_borrow(|cache| cache.bodies.get(&version).cloned())
}

/// Keeps the whole body of a version; the oldest ones make room.
pub(crate) fn keep_body(version: VersionId, body: Rc<Vec<u8>>) {
    CACHE.with_borrow_mut(|cache| {
        cache.bytes += body.len();
        if let Some(same) = cache.bodies.insert(version, body) {
            cache.bytes -= same.len();
        } else {
            cache.order.push_back(version);
        }
        while cache.bytes > MAX_BODY_BYTES
            && let Some(oldest) = cache.order.pop_front()
        {
            cache.bytes -= cache.bodies.remove(&oldest).map_or(0, |body| body.len());
        }
    });
}

/// What an anonymous reader of this path got a moment ago.
pub(crate) fn public(path: &str) -> Option<Rc<Resolved>> {
    let now = OffsetDateTime::now_utc();
    CACHE.with_borrow(|cache| {
        let (since, file) = cache.public.get(path)?;
        // A clock that was set back makes nothing young.
        let age = now - *since;
        (age >= Duration::ZERO && age < PUBLIC_AGE).then(|| Rc::clone(file))
    })
}

/// Remembers what an anonymous reader of this path got, as it was at `since`.
pub(crate) fn keep_public(path: &str, since: OffsetDateTime, file: &Rc<Resolved>) {
    CACHE.with_borrow_mut(|cache| {
        if cache.public.len() >= MAX_PUBLIC {
            cache.public.clear();
        }
        cache.public.insert(path.to_owned(), (since, Rc::clone(file)));
    });
}
