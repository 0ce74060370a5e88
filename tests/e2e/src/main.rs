//! The product from outside: real SeaweedFS, real PostgreSQL, the components on a host, over HTTP.
//!
//! One stack serves all tests; each takes keys of its own. `main` starts it and stops it.

mod download;
mod harness;
mod identity;
mod issuer;
mod upload;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use harness::{Api, Suite};
use holdfast_dev::{Stack, StackOptions};

fn main() -> Result<ExitCode> {
    let arguments = libtest_mimic::Arguments::from_args();
    let runtime = Arc::new(tokio::runtime::Runtime::new()?);
    let folder = tempfile::tempdir()?;
    let stack = runtime.block_on(Stack::start(StackOptions::new(folder.path().join("data"))))?;
    let mut suite = Suite::new(Arc::clone(&runtime), Api::of(&stack));
    upload::register(&mut suite);
    download::register(&mut suite);
    identity::register(&mut suite);
    let conclusion = libtest_mimic::run(&arguments, suite.trials());
    runtime.block_on(stack.stop())?;
    Ok(conclusion.exit_code())
}
