//! Key-value: write-once descriptors and caches only.

use holdfast_core::error::Error;
use spin_sdk::key_value::Store;

use crate::log;

/// The store of every component.
pub const STORE: &str = "default";

/// The key of the readiness probe; one key, so that nothing piles up.
const PROBE_KEY: &str = "6f70732f72656164797a";

/// Writes and reads one value.
///
/// # Errors
/// `ServiceUnavailable`: the store does not answer, or not with what was written.
pub async fn probe() -> Result<(), Error> {
    let unavailable = |cause: String| Error::unavailable("The key-value store", cause);
    let store = Store::open(STORE).await.map_err(|error| unavailable(error.to_string()))?;
    store.set(PROBE_KEY, b"ok").await.map_err(|error| unavailable(error.to_string()))?;
    match store.get(PROBE_KEY).await {
        Ok(Some(value)) if value == b"ok" => Ok(()),
        Ok(_) => Err(unavailable("another value than was written".to_owned())),
        Err(error) => Err(unavailable(error.to_string())),
    }
}

/// Reads a value that may be lost at any time; a store that does not answer has none.
pub async fn cached(key: &str) -> Option<Vec<u8>> {
    let read = async { Store::open(STORE).await?.get(key).await };
    match read.await {
        Ok(value) => value,
        Err(error) => {
            log::warn("a cached value was not read", &error);
            None
        }
    }
}

/// Keeps a value that may be lost at any time; a store that does not answer keeps nothing.
pub async fn cache(key: &str, value: &[u8]) {
    let write = async { Store::open(STORE).await?.set(key, value).await };
    if let Err(error) = write.await {
        log::warn("a value was not cached", &error);
    }
}
