//! Variables and key-value.

use serde_json::{Value, json};
use spin_sdk::key_value::Store;
use spin_sdk::variables;

pub(crate) async fn variable(name: &str) -> Value {
    match variables::get(name).await {
        Ok(value) => json!({ "value": value }),
        Err(error) => json!({ "error": format!("{error:?}") }),
    }
}

/// Writes, reads, lists and deletes a key.
pub(crate) async fn key_value(label: &str) -> Value {
    match round_trip(label).await {
        Ok(value) => value,
        Err(error) => json!({ "error": format!("{error:?}") }),
    }
}

async fn round_trip(label: &str) -> Result<Value, spin_sdk::key_value::Error> {
    let store = Store::open(label).await?;
    store.set("probe", b"value").await?;
    let value = store.get("probe").await?.unwrap_or_default();
    let keys = store.get_keys().await.collect().await?;
    store.delete("probe").await?;
    Ok(json!({
        "value": String::from_utf8_lossy(&value),
        "listed": keys.iter().any(|key| key == "probe"),
        "left": store.exists("probe").await?,
    }))
}
