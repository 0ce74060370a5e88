//! The product from outside: real SeaweedFS, real PostgreSQL, the components on a host, over HTTP.
//!
//! One stack serves all tests; each takes keys of its own. `main` starts it and stops it.

mod adopt;
mod authorisation;
mod batches;
mod buckets;
mod clients;
mod conformance;
mod content;
mod cors;
mod download;
mod errors;
mod forms;
mod harness;
mod identity;
mod issuer;
mod multipart;
mod objects;
mod objects_change;
mod objects_list;
mod outage;
mod presign;
mod raw;
mod readme;
mod reconcile;
mod repeats;
mod shares;
mod templates;
mod tokens;
mod tus;
mod tus_clients;
mod upload;
mod uppy;
mod vanish;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use harness::{Api, Suite};
use holdfast_dev::{Stack, StackOptions};

fn main() -> Result<ExitCode> {
    let arguments = libtest_mimic::Arguments::from_args();
    let runtime = Arc::new(tokio::runtime::Runtime::new()?);
    let folder = tempfile::tempdir()?;
    let mut options = StackOptions::new(folder.path().join("data"));
    options.variables.extend(reconcile::variables());
    let stack = Arc::new(runtime.block_on(Stack::start(options))?);
    let mut suite = Suite::new(Arc::clone(&runtime), Api::of(Arc::clone(&stack))?);
    batches::register(&mut suite);
    upload::register(&mut suite);
    download::register(&mut suite);
    identity::register(&mut suite);
    adopt::register(&mut suite);
    authorisation::register(&mut suite);
    buckets::register(&mut suite);
    conformance::register(&mut suite);
    content::register(&mut suite);
    cors::register(&mut suite);
    forms::register(&mut suite);
    errors::register(&mut suite);
    vanish::register(&mut suite);
    outage::register(&mut suite);
    presign::register(&mut suite);
    clients::register(&mut suite);
    readme::register(&mut suite)?;
    multipart::register(&mut suite);
    objects::register(&mut suite);
    objects_change::register(&mut suite);
    objects_list::register(&mut suite);
    repeats::register(&mut suite);
    shares::register(&mut suite);
    templates::register(&mut suite);
    tokens::register(&mut suite);
    tus::register(&mut suite);
    tus_clients::register(&mut suite);
    uppy::register(&mut suite);
    reconcile::register(&mut suite);
    let conclusion = libtest_mimic::run(&arguments, suite.trials());
    runtime.block_on(stack.stop())?;
    Ok(conclusion.exit_code())
}
