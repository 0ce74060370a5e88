//! HTTP without a platform: who asks, what the headers mean, and the one error renderer.
//!
//! Nothing here does I/O, knows the time or makes random bytes: all three are passed in, so
//! `cargo test` runs the whole crate natively.

pub mod api_key;
pub mod archive_request;
pub mod batch_request;
pub mod bearer;
pub mod bucket_request;
pub mod client_addr;
pub mod conditional;
pub mod content_headers;
pub mod content_type;
pub mod cors;
pub mod digests;
pub mod disposition;
pub mod form_data;
pub mod grant_request;
pub mod http_date;
pub mod idempotency;
pub mod json;
pub mod jwks;
pub mod jwt;
pub mod key_cache;
pub mod key_request;
pub mod link;
pub mod metadata;
pub mod multipart;
pub mod page;
pub mod path;
pub mod presign_request;
pub mod problem;
pub mod range;
pub mod request_id;
pub mod signature;
pub mod signed_url;
pub mod template_request;
pub mod tus;
pub mod upload_request;
pub mod uppy;

mod header;
