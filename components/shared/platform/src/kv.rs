//! Key-value: write-once descriptors and caches only.

use holdfast_core::error::Error;
use spin_sdk::key_value::Store;

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
