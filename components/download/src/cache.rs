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
use holdfast_platform::kept::Kept;

/// Most bytes of bodies in one instance.
const MAX_BODY_BYTES: usize = 2 * 1_024 * 1_024;

#[derive(Default)]
struct Cache {
    bodies: HashMap<VersionId, Rc<Vec<u8>>>,
    /// In the order in which they came.
    order: VecDeque<VersionId>,
    bytes: usize,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
    static PUBLIC: Kept<String, Rc<Resolved>> = Kept::default();
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

/// What anonymous readers got a moment ago, by their paths.
pub(crate) fn public<T>(look: impl FnOnce(&Kept<String, Rc<Resolved>>) -> T) -> T {
    PUBLIC.with(look)
}
