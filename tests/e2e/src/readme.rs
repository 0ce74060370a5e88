//! The examples of the README, as they stand there: in a shell, by Node and Python with the packages of
//! `tests/clients`, and forms as a browser would send them.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::process::Command;

use crate::clients;
use crate::harness::{Api, Suite, expect, json_of};

/// How many of them there must be at the least: a changed mark must not make them go unnoticed.
const LEAST: usize = 16;

/// What an example of a form has for the address of the application and for a token.
const FORM_URL: &str = "https://files.example.com";
const FORM_TOKEN: &str = "TOKEN";

pub(crate) fn register(suite: &mut Suite) -> Result<()> {
    let readme = fs::read_to_string(holdfast_dev::workspace().join("README.md"))
        .context("cannot read README.md")?;
    let examples = examples(&readme);
    ensure!(examples.len() >= LEAST, "README.md has {} tested examples", examples.len());
    for language in Language::ALL {
        ensure!(examples.iter().any(|it| it.language == language), "README.md has no {language:?}");
    }
    suite.add("the_settings_for_a_shell_are_for_its_programs_too", settings);
    for (number, example) in examples.into_iter().enumerate() {
        let name = format!("readme_example_{}_{:?}", number + 1, example.language).to_lowercase();
        suite.add(&name, move |api| run(api, example));
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Sh,
    Js,
    Py,
    Html,
}

impl Language {
    const ALL: [Self; 4] = [Self::Sh, Self::Js, Self::Py, Self::Html];

    /// How its block begins.
    fn fence(self) -> &'static str {
        match self {
            Self::Sh => "sh",
            Self::Js => "js",
            Self::Py => "py",
            Self::Html => "html",
        }
    }

    /// The first line of an example that is run.
    fn mark(self) -> &'static str {
        match self {
            Self::Sh | Self::Py => "# tested",
            Self::Js => "// tested",
            Self::Html => "<!-- tested -->",
        }
    }
}

struct Example {
    language: Language,
    text: String,
}

/// The blocks that begin with the mark of their language, in their order.
fn examples(readme: &str) -> Vec<Example> {
    // Every second piece is within fences.
    let blocks = readme.split("```").skip(1).step_by(2).filter_map(|it| it.split_once('\n'));
    let example = |(fence, text): (&str, &str)| {
        let language = Language::ALL.into_iter().find(|it| it.fence() == fence)?;
        let is_marked = text.lines().next() == Some(language.mark());
        is_marked.then(|| Example { language, text: text.to_owned() })
    };
    blocks.filter_map(example).collect()
}

async fn run(api: Api, example: Example) -> Result<()> {
    let Example { language, text } = example;
    let mut command = match language {
        Language::Sh => {
            let mut shell = Command::new("bash");
            shell.args(["-eu", "-o", "pipefail", "-c", &text]);
            shell
        }
        Language::Js => {
            let mut node = Command::new(clients::node().await?);
            node.args(["--input-type=module", "--eval", &text]);
            node
        }
        Language::Py => {
            let mut python = Command::new(clients::python().await?);
            python.args(["-c", &text]);
            python
        }
        Language::Html => {
            let mut python = Command::new(clients::python().await?);
            python.args(["form.py", &form(&api, &text).await?]);
            python
        }
    };
    // Node looks for packages beside where it runs.
    if language != Language::Sh {
        command.current_dir(clients::folder()).env("PYTHONDONTWRITEBYTECODE", "1");
    }
    command.env("HOLDFAST_URL", &api.url);
    command.env("HOLDFAST_TOKEN", &api.alice).env("HOLDFAST_ADMIN_TOKEN", api.stack.admin_token());
    let output = command.output().await.context("cannot run an example")?;
    ensure!(
        output.status.success(),
        "{}\n{text}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// As the README has it; the examples of Node and Python read the same variables.
async fn settings(api: Api) -> Result<()> {
    let mut shell = Command::new("bash");
    shell.args(["-c", "source dev.env && printenv HOLDFAST_URL HOLDFAST_TOKEN"]);
    let output = shell.current_dir(api.stack.data()).output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let (url, token) = said.trim().split_once('\n').context("two variables")?;
    ensure!(url == api.url, "{url}");
    expect(api.client.get(format!("{url}/v1/multipart")).bearer_auth(token), 200).await?;
    Ok(())
}

/// The page with the address of this application and a token of its own.
async fn form(api: &Api, page: &str) -> Result<String> {
    ensure!(page.contains(FORM_URL) && page.contains(FORM_TOKEN), "no form of ours: {page}");
    let asked = json!({"bucket": "documents", "prefix": "inbox/", "maxUploads": 1});
    let made =
        api.client.post(format!("{}/v1/tokens", api.url)).bearer_auth(&api.alice).json(&asked);
    let made = json_of(made, 201).await?;
    let token = made["token"].as_str().context("a token")?;
    Ok(page.replace(FORM_URL, &api.url).replace(FORM_TOKEN, token))
}
