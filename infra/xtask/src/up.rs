//! `cargo xtask up`

use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use holdfast_dev::{Runtime, Stack, StackOptions, Step, require_free_port, say};

use crate::data::Data;
use crate::{build, signals};

/// How often the servers are looked at.
const WATCH: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(crate) struct Up {
    /// Where the application listens on 127.0.0.1
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// What runs the components
    #[arg(long, value_enum, default_value_t = RuntimeArg::Devhost)]
    runtime: RuntimeArg,
    #[command(flatten)]
    data: Data,
}

#[derive(Clone, Copy, ValueEnum)]
enum RuntimeArg {
    /// The development host of this repository
    Devhost,
    /// The Spin CLI
    Spin,
}

impl Up {
    pub(crate) async fn run(self) -> Result<()> {
        let mut options = StackOptions::new(self.data.folder()).servers_from_env()?;
        options.port = Some(self.port);
        options.runtime = match self.runtime {
            RuntimeArg::Devhost => Runtime::Devhost,
            RuntimeArg::Spin => Runtime::Spin,
        };
        // Before minutes of compiling.
        require_free_port(self.port, "the application (--port)")?;
        options.runtime.check()?;
        match options.runtime {
            Runtime::Devhost => build::everything().await?,
            Runtime::Spin => build::components().await?,
        }

        let stack = signals::or_stop(Stack::start(options)).await?;
        say(format!(
            "Settings and tokens for a shell: . {}",
            stack.data().join("dev.env").display()
        ));
        println!("holdfast ready {}", stack.url());

        let ended = tokio::select! {
            stopped = signals::stop() => stopped,
            ended = watch(&stack) => ended,
        };
        let step = Step::start("Stopping all that was started");
        stack.stop().await?;
        step.done("");
        ended
    }
}

/// Returns when a server has ended by itself.
async fn watch(stack: &Stack) -> Result<()> {
    loop {
        tokio::time::sleep(WATCH).await;
        stack.check_running()?;
    }
}
