//! What Holdfast means, without a platform: names, limits, errors, configuration, policies and the
//! use cases. Nothing here knows WASI or Spin, so `cargo test` runs all of it natively.

pub mod adopt;
pub mod archive;
pub mod batch;
pub mod buckets;
pub mod checksum;
pub mod complete;
pub mod config;
pub mod digest;
pub mod download;
pub mod error;
pub mod image;
pub mod limits;
pub mod multipart;
pub mod names;
pub mod objects;
pub mod parts;
pub mod policy;
pub mod ports;
pub mod principal;
pub mod reconcile;
pub mod secret;
pub mod session;
pub mod sniff;
pub mod stream;
pub mod timestamp;
pub mod upload;
mod upload_parts;

#[cfg(test)]
mod fakes;
#[cfg(test)]
mod fakes_parts;
