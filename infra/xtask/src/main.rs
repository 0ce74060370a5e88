//! `cargo xtask`: everything that one does with this repository, from a fresh clone on.

mod bench;
mod build;
mod command;
mod data;
mod duration;
mod faults;
mod fuzz;
mod imports;
mod migrate;
mod signals;
mod test;
mod token;
mod up;

use clap::{Parser, Subcommand};

use crate::signals::Interrupted;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Builds, runs and tests Holdfast"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything and run it on loopback until Ctrl-C
    Up(up::Up),
    /// Print a development token
    Token(token::Token),
    /// Set up and run every test
    Test(test::Test),
    /// Measure against direct, signed SeaweedFS
    Bench(bench::Bench),
    /// Kill, pause and cut off the parts under load, and look whether a promise was broken
    Faults(faults::Faults),
    /// Look for inputs that break a parser
    Fuzz(fuzz::Fuzz),
    /// Build the components and the development host
    Build,
    /// Compare what the built components import with the worlds in wit/
    Imports,
    /// Bring the database of `DATABASE_URL` up to date and create the default buckets in it
    Migrate,
}

#[tokio::main]
async fn main() {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Up(it) => it.run().await,
        Command::Token(it) => it.run(),
        Command::Test(it) => it.run().await,
        Command::Bench(it) => it.run().await,
        Command::Faults(it) => it.run().await,
        Command::Fuzz(it) => it.run().await,
        Command::Build => build::everything().await,
        Command::Imports => imports::check(),
        Command::Migrate => migrate::run().await,
    };
    let code = match result {
        Ok(()) => 0,
        Err(error) if error.is::<Interrupted>() => {
            holdfast_dev::say("Interrupted: everything that was started is stopped.");
            130
        }
        Err(error) => {
            holdfast_dev::say(format!("error: {error:#}"));
            1
        }
    };
    // At once: an installation in a blocking task is not waited for, it dies with us.
    std::process::exit(code)
}
