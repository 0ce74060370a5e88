//! The API against its own document, by schemathesis: nobody gets a 5xx or an answer that `/openapi.json`
//! does not have.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use holdfast_dev::{Stack, StackOptions, python_program, workspace};
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Api, Suite, expect};

/// Answers that may come and those that may not; the rest of its checks is about other things.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance,response_headers_conformance";

/// Made-up requests for each operation, besides those that cover its parameters one by one.
const EXAMPLES: &str = "40";

/// The routes of the operator, who has another token.
const INTERNAL: &str = "^/internal";

/// A file that is there, for those requests that shall find one; anybody may read it.
const FILE: &str = "assets/conformance/file.txt";

/// A bucket for the routes that change buckets, and never empty; the hooks name it.
const BUCKET: &str = "conformance";

/// The whole run of one principal: ninety operations, beside other tests.
const TIME_LIMIT: Duration = Duration::from_secs(600);

pub(crate) fn register(suite: &mut Suite) {
    suite.add("the_document_holds_for_a_user", |api| run(api, Who::User));
    suite.add("the_document_holds_for_an_admin", |api| run(api, Who::Admin));
    suite.add("the_document_holds_for_anybody", |api| run(api, Who::Anybody));
    suite.add("the_document_holds_for_the_operator", |api| run(api, Who::Operator));
}

#[derive(Clone, Copy)]
enum Who {
    User,
    Admin,
    Anybody,
    Operator,
}

/// On a stack of its own: an admin changes policies that the other tests go by.
async fn run(shared: Api, who: Who) -> Result<()> {
    drop(shared);
    let folder = tempfile::tempdir()?;
    let stack = Arc::new(Stack::start(StackOptions::new(folder.path().join("data"))).await?);
    let result = run_on(&Api::of(Arc::clone(&stack))?, who).await;
    stack.stop().await?;
    result
}

async fn bucket(api: &Api) -> Result<()> {
    crate::buckets::make(api, BUCKET, &serde_json::json!({"writers": "authenticated"})).await?;
    expect(api.put("conformance/file.txt", "a file"), 201).await?;
    Ok(())
}

async fn run_on(api: &Api, who: Who) -> Result<()> {
    let folder = workspace().join("tests/conformance");
    let requirements = folder.join("requirements.txt");
    let install = move || python_program(".venv-conformance", &requirements, "schemathesis");
    let program = tokio::task::spawn_blocking(install).await??;

    expect(api.put(FILE, "a file"), 201).await?;
    bucket(api).await?;
    let home = tempfile::tempdir()?;
    let mut command = Command::new(program);
    command.arg("run").arg(format!("{}/openapi.json", api.url));
    command.args(["--url", &api.url, "--checks", CHECKS]);
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES]);
    command.args(["--generation-deterministic", "--continue-on-failure", "--no-color"]);
    let token = match who {
        Who::User => Some(api.alice.clone()),
        Who::Admin => Some(api.stack.admin_token()),
        Who::Anybody => None,
        Who::Operator => Some(api.stack.tick_secret().to_owned()),
    };
    match who {
        Who::User | Who::Admin => drop(command.args(["--exclude-path-regex", INTERNAL])),
        Who::Anybody => {}
        Who::Operator => drop(command.args(["--include-path-regex", INTERNAL])),
    }
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    command.env("PYTHONPATH", &folder).env("SCHEMATHESIS_HOOKS", "hooks");
    command.env("HOLDFAST_CONFORMANCE_FILE", FILE);
    command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(home.path()).kill_on_drop(true);
    let output = timeout(TIME_LIMIT, command.output())
        .await
        .with_context(|| format!("schemathesis took longer than {TIME_LIMIT:?}"))?
        .context("cannot run schemathesis")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("schemathesis ended with {}\n{text}\n{errors}", output.status);
    }
    // `Selected: 14/16` and `Tested: 14`: what it could not make a request for it only mentions.
    let count = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name))?;
        line.split('/').next()?.trim().parse::<u32>().ok()
    };
    let (selected, tested) = (count("Selected:"), count("Tested:"));
    ensure!(selected > Some(0) && selected == tested, "not every operation was tested:\n{text}");
    Ok(())
}
