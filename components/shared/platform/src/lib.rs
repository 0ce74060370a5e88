//! Holdfast on Spin: outbound HTTP bodies, PostgreSQL, key-value, clock and random, over raw WASI 0.3.
//!
//! `spin_sdk::http` copies bodies in small frames, so requests and responses are handled as
//! `wasip3::http::types` here. An instance is one thread: nothing needs a lock, and no task may wait
//! for another one of the same instance.

pub mod access;
pub mod adopt;
pub mod api_keys;
pub mod app;
pub mod archive;
pub mod batches;
pub mod blobs;
pub mod body;
pub mod bucket_cors;
pub mod buckets;
pub mod catalog;
pub mod clock;
mod content;
mod cors;
pub mod form;
pub mod grants;
pub mod identity;
pub mod inbound;
pub mod kept;
pub mod kv;
pub mod log;
pub mod objects;
pub mod outbound;
pub mod part_store;
pub mod pg;
pub mod public_keys;
pub mod reconcile;
pub mod reply;
pub mod sessions;
pub mod signed_parts;
pub mod stored;
pub mod templates;

/// Exports an `async fn(Request) -> Response` as the HTTP handler of a component.
#[macro_export]
macro_rules! component {
    ($handle:path) => {
        struct Component;

        #[allow(unsafe_code, reason = "the exports that the macro writes")]
        mod export {
            use super::Component;
            wasip3::http::service::export!(Component);
        }

        impl wasip3::exports::http::handler::Guest for Component {
            async fn handle(
                request: wasip3::http::types::Request,
            ) -> Result<wasip3::http::types::Response, wasip3::http::types::ErrorCode> {
                Ok($handle(request).await)
            }
        }
    };
}
