//! `holdfast-devhost`: a development and test host for Spin applications.
//!
//! It runs the same `spin.toml` and the same components as Spin 4.1, on wasmtime, so that a fresh
//! machine needs no Spin CLI. It is not for production, it implements only what Holdfast uses, and
//! it is on purpose no kinder than Spin: what passes here shall not fail there.

mod allow_list;
mod bindings;
mod cli;
mod component;
mod component_variables;
mod connector;
mod engine;
mod inbound;
mod instance;
mod key_value;
mod logs;
mod manifest;
mod outbound;
mod postgres;
mod routes;
mod streams;
mod variables;
mod wasi;

use crate::cli::Cli;
use crate::component::Host;
use crate::engine::CodeCache;
use crate::inbound::Inbound;
use crate::key_value::KeyValue;
use crate::manifest::Manifest;
use crate::routes::Routes;
use crate::variables::Variables;
use anyhow::{Context as _, Result};
use clap::Parser as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let cli = Cli::parse();
    logs::start(cli.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let result = runtime.block_on(run(&cli));
    // Idle instances have nothing to finish.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "holdfast-devhost: {error:#}");
    ExitCode::FAILURE
}

async fn run(cli: &Cli) -> Result<()> {
    // First of all: a taken port is the likeliest failure, and a signal may come at any time.
    let listener = inbound::listen(cli.listen).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let inbound = Arc::new(load(cli)?);
    announce(&inbound, &listener)?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    inbound::serve(listener, inbound, stop, cli.drain_timeout).await;
    Ok(())
}

fn load(cli: &Cli) -> Result<Inbound> {
    let manifest = Manifest::read(&cli.from)?;
    let environment = |name: &str| std::env::var(name).ok();
    let variables = Variables::resolve(&manifest.variables, &cli.variables()?, environment)?;
    let code = CodeCache::open(cli.state_dir.join("code"))?;
    let host = Host {
        engine: &engine::engine()?,
        code: &code,
        manifest: &manifest,
        variables: &variables,
        key_value: &KeyValue::open(&cli.state_dir.join("key-value.redb"))?,
        client: &outbound::client(),
        reuse: cli.reuse(),
    };
    Ok(Inbound {
        handlers: host.load()?,
        routes: Routes::new(manifest.routes()?)?,
        application: manifest.application.name,
    })
}

/// One line on standard output: whoever started us learns the port.
fn announce(inbound: &Inbound, listener: &tokio::net::TcpListener) -> Result<()> {
    let address = listener.local_addr().context("the port is gone")?;
    tracing::info!(application = inbound.application, %address, "serving, for development only");
    writeln!(std::io::stdout(), "Serving http://{address}").context("cannot write the address")?;
    Ok(())
}
