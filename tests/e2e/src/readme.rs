//! The examples of the README, as they stand there, in a shell.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::harness::{Api, Suite};

/// The first line of an example that is run.
const MARK: &str = "# tested\n";

/// How many of them there must be at the least: a changed mark must not make them go unnoticed.
const LEAST: usize = 12;

pub(crate) fn register(suite: &mut Suite) -> Result<()> {
    let readme = fs::read_to_string(holdfast_dev::workspace().join("README.md"))
        .context("cannot read README.md")?;
    let examples = examples(&readme);
    ensure!(examples.len() >= LEAST, "README.md has {} tested examples", examples.len());
    for (number, example) in examples.into_iter().enumerate() {
        let name = format!("readme_example_{}", number + 1);
        suite.add(&name, move |api| run(api, example));
    }
    Ok(())
}

/// The blocks of shell that begin with [`MARK`].
fn examples(readme: &str) -> Vec<String> {
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.starts_with(MARK)).map(str::to_owned).collect()
}

async fn run(api: Api, example: String) -> Result<()> {
    let mut shell = Command::new("bash");
    shell.args(["-eu", "-o", "pipefail", "-c", &example]);
    shell.env("HOLDFAST_URL", &api.url);
    shell.env("HOLDFAST_TOKEN", &api.alice).env("HOLDFAST_ADMIN_TOKEN", api.stack.admin_token());
    let output = shell.output().await.context("cannot run bash")?;
    ensure!(
        output.status.success(),
        "{}\n{example}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
