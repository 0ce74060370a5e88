//! The SQL functions against a real PostgreSQL, mostly with many callers at once.
//!
//! Each test has a database of its own, copied from a migrated one, and ends with the invariants.
#![allow(clippy::expect_used, missing_docs)]

mod access;
mod adopt;
mod batches;
mod buckets;
mod constraints;
mod cors;
mod deletion;
mod events;
mod grant_requests;
mod grants;
mod harness;
mod held;
mod idempotency;
mod keys;
mod lifecycle;
mod migrating;
mod multipart;
mod permission;
mod quota;
mod races;
mod reading;
mod reconcile;
mod steps;
mod streams;
mod templates;
mod worker;

use anyhow::Result;
use harness::{Server, Suite};
use libtest_mimic::Arguments;
use std::process::ExitCode;

fn main() -> Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    // Each test brings up to 64 sessions; several at once would only measure the machine.
    arguments.test_threads = Some(1);
    let runtime = tokio::runtime::Runtime::new()?;
    let server = if arguments.list { None } else { Some(runtime.block_on(Server::start())?) };

    let mut suite = Suite::new(runtime.handle().clone(), server.as_ref().map(Server::url));
    access::register(&mut suite);
    adopt::register(&mut suite);
    batches::register(&mut suite);
    buckets::register(&mut suite);
    constraints::register(&mut suite);
    cors::register(&mut suite);
    deletion::register(&mut suite);
    events::register(&mut suite);
    grant_requests::register(&mut suite);
    grants::register(&mut suite);
    held::register(&mut suite);
    idempotency::register(&mut suite);
    keys::register(&mut suite);
    lifecycle::register(&mut suite);
    migrating::register(&mut suite);
    multipart::register(&mut suite);
    permission::register(&mut suite);
    quota::register(&mut suite);
    races::register(&mut suite);
    reading::register(&mut suite);
    reconcile::register(&mut suite);
    steps::register(&mut suite);
    streams::register(&mut suite);
    templates::register(&mut suite);
    worker::register(&mut suite);

    let conclusion = libtest_mimic::run(&arguments, suite.into_trials());
    // `exit` would leave the server running.
    if let Some(server) = server {
        runtime.block_on(server.stop())?;
    }
    Ok(conclusion.exit_code())
}
