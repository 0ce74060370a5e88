//! The servers and keys of a development machine, as a library.
//!
//! Used by `cargo xtask`, the end-to-end tests, the benchmark and the SQL tests. Everything here
//! is for development: it starts pinned PostgreSQL and SeaweedFS binaries on loopback with
//! generated keys, runs `spin.toml` on the development host (or the Spin CLI), and stops all of it.
//!
//! Rules that every part keeps: a server runs in a process group of its own and dies with the
//! process that started it; stopping is a polite signal, at most ten seconds, then SIGKILL;
//! every failure is one sentence that names the log, followed by the log's last lines.

mod database;
mod files;
mod host;
mod keys;
mod ports;
mod postgres;
mod process;
mod progress;
mod s3;
mod seaweedfs;
mod stack;
mod ticker;
mod token;
mod tools;

pub use database::connect;
pub use host::{Host, HostSpec, Runtime};
pub use keys::{DevKeys, S3Keys};
pub use ports::{free_port, require_free_port};
pub use postgres::Postgres;
pub use progress::{Step, say};
pub use s3::S3Client;
pub use seaweedfs::SeaweedFs;
pub use stack::{ExternalS3, Stack, StackOptions};
pub use token::mint_token;
pub use tools::{Tools, chromium, node_program, python_program, tools, workspace};
