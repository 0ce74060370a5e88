//! Which instance answers, and how much it has served.

use serde_json::{Value, json};
use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static ID: u64 = wasip3::random::random::get_random_u64();
    static SERVED: Cell<u32> = const { Cell::new(0) };
    static RUNNING: Cell<u32> = const { Cell::new(0) };
}

/// Counts this request in, waits, and tells.
pub(crate) async fn count(wait: Option<Duration>) -> Value {
    SERVED.set(SERVED.get() + 1);
    RUNNING.set(RUNNING.get() + 1);
    let (served, running) = (SERVED.get(), RUNNING.get());
    if let Some(wait) = wait {
        crate::sleep(wait).await;
    }
    RUNNING.set(RUNNING.get() - 1);
    json!({ "id": ID.with(u64::to_string), "served": served, "running": running })
}
