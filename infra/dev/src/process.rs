//! One supervised server process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, geteuid};

/// How long a server may take to stop before it is killed.
pub(crate) const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How often a stopping or starting server is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(20);
/// Lines of the log that go into an error.
const LOG_LINES: usize = 15;
/// `nobody`: PostgreSQL refuses to run as root.
pub(crate) const UNPRIVILEGED: u32 = 65_534;

/// Who a server runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunAs {
    /// Whoever runs us.
    Me,
    /// [`UNPRIVILEGED`]. With `reach`, it keeps the one capability that lets it pass through
    /// folders which only root may enter.
    Nobody { reach: bool },
}

impl RunAs {
    /// Who a server has to be that refuses root and needs these paths.
    pub(crate) fn not_root(paths: &[&Path]) -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self::Me);
        }
        let Some(closed) = paths.iter().find_map(|path| closed_ancestor(path)) else {
            return Ok(Self::Nobody { reach: false });
        };
        if !may_override_access() {
            bail!(
                "PostgreSQL does not run as root, and the user it runs as cannot enter {}: \
                 put the repository and --data under a folder that everyone may enter",
                closed.display()
            );
        }
        Ok(Self::Nobody { reach: true })
    }
}

/// The outermost folder on the way to `path` that strangers cannot enter.
fn closed_ancestor(path: &Path) -> Option<PathBuf> {
    let path = fs::canonicalize(path).ok()?;
    let mut folders: Vec<&Path> = path.ancestors().skip(1).collect();
    folders.reverse();
    folders
        .into_iter()
        .find(|folder| {
            fs::metadata(folder).is_ok_and(|it| it.mode() & 0o001 == 0 && it.uid() != UNPRIVILEGED)
        })
        .map(Path::to_path_buf)
}

/// Does this root have CAP_DAC_OVERRIDE? In a hardened container it may not.
fn may_override_access() -> bool {
    const CAP_DAC_OVERRIDE: u64 = 1 << 1;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits & CAP_DAC_OVERRIDE != 0)
}

/// What to start.
#[derive(Debug)]
pub(crate) struct ProcessSpec {
    /// For messages: "PostgreSQL".
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// Added to the few variables that are passed on.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: PathBuf,
    /// Standard output and error are appended to it.
    pub(crate) log: PathBuf,
    pub(crate) run_as: RunAs,
    /// Asks it to stop.
    pub(crate) stop_signal: Signal,
    /// Sent by the kernel when the process that started it dies.
    pub(crate) orphan_signal: Signal,
}

impl ProcessSpec {
    /// The command: `setpriv` sets what the child must have before it runs, then becomes it.
    fn command(&self) -> Result<Command> {
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig").arg(self.orphan_signal.as_str().trim_start_matches("SIG"));
        if let RunAs::Nobody { reach } = self.run_as {
            let id = UNPRIVILEGED.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
            if reach {
                command.args(["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]);
                // Without it access(2), by which PostgreSQL looks for its programs, goes by the user alone.
                // What root could do besides is gone all the same, with the program that replaces us.
                command.args(["--securebits", "+no_setuid_fixup"]);
            }
        }
        command.arg("--").arg(&self.program).args(&self.args);
        command.env_clear().envs(passed_on()).envs(&self.env).current_dir(&self.cwd);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.log)
            .with_context(|| format!("cannot open the log {}", self.log.display()))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        Ok(command)
    }

    /// Runs it to its end (`initdb`).
    pub(crate) async fn run(self) -> Result<()> {
        let process = Process::spawn(self)?;
        loop {
            if let Some(status) = process.exited()? {
                if status.success() {
                    return Ok(());
                }
                return Err(process.failure(&format!("failed ({status})")));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The environment of a server holds no setting of ours by accident (`PG*`, `WEED_*`, `AWS_*`).
fn passed_on() -> impl Iterator<Item = (OsString, OsString)> {
    ["PATH", "HOME", "TMPDIR", "TZ", "LANG"]
        .into_iter()
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
}

/// Keeps a log that is written over many starts from growing without end.
fn rotate(log: &Path) {
    const LIMIT_BYTES: u64 = 16 << 20;
    if fs::metadata(log).is_ok_and(|it| it.len() > LIMIT_BYTES) {
        let _ = fs::rename(log, log.with_extension("old"));
    }
}

type SpawnJob = (Command, mpsc::Sender<std::io::Result<Child>>);

/// Spawns from one thread that lives as long as the process: the kernel's parent-death signal
/// fires when the *thread* ends that forked, and the threads of a test or a runtime do end.
fn spawn_for_life(command: Command) -> Result<std::io::Result<Child>> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<SpawnJob>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, queue) = mpsc::channel::<SpawnJob>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(jobs)
    });
    let (answer, result) = mpsc::channel();
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| anyhow!("the thread that starts processes is gone"))?;
    Ok(result.recv()?)
}

/// A server that runs until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Process {
    spec: ProcessSpec,
    pid: Pid,
    /// Where this run's output starts in the log.
    log_start: u64,
    child: Mutex<Child>,
}

impl Process {
    pub(crate) fn spawn(spec: ProcessSpec) -> Result<Self> {
        rotate(&spec.log);
        let log_start = fs::metadata(&spec.log).map_or(0, |it| it.len());
        if !spec.program.exists() && spec.program.components().count() > 1 {
            bail!("{} cannot start: there is no {}", spec.name, spec.program.display());
        }
        let child = match spawn_for_life(spec.command()?)? {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!("{} cannot start: `setpriv` (package util-linux) is not on PATH", spec.name)
            }
            Err(error) => return Err(error).with_context(|| format!("cannot start {}", spec.name)),
        };
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        Ok(Self { spec, pid, log_start, child: Mutex::new(child) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw().unsigned_abs()
    }

    /// Its exit status once it ended; nothing of its group is left then.
    pub(crate) fn exited(&self) -> Result<Option<ExitStatus>> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_running() {
            return Ok(None);
        }
        // Before the leader is reaped, while nobody else can have its number.
        let _ = killpg(self.pid, Signal::SIGKILL);
        Ok(Some(child.wait()?))
    }

    /// Did it end by itself? The answer is the sentence that says so.
    pub(crate) fn check_running(&self) -> Result<()> {
        match self.exited()? {
            None => Ok(()),
            Some(status) => Err(self.failure(&format!("ended ({status})"))),
        }
    }

    fn is_running(&self) -> bool {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        loop {
            match waitid(Id::Pid(self.pid), look) {
                Ok(WaitStatus::StillAlive) => return true,
                Err(Errno::EINTR) => {}
                _ => return false,
            }
        }
    }

    /// Asks it to stop, waits [`STOP_LIMIT`], then kills it.
    pub(crate) async fn stop(&self) -> Result<()> {
        if self.exited()?.is_some() {
            return Ok(());
        }
        let _ = kill(self.pid, self.spec.stop_signal);
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if self.exited()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        self.kill();
        Ok(())
    }

    /// SIGKILL to it and all its descendants, and waits until they are gone.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_running() && child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        // PostgreSQL's backends leave the group, so they are looked up first.
        let descendants = descendants(self.pid);
        let _ = killpg(self.pid, Signal::SIGKILL);
        for pid in &descendants {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        let _ = child.wait();
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline && descendants.iter().any(|pid| is_alive(*pid)) {
            std::thread::sleep(POLL);
        }
    }

    /// Sends `signal` and waits at most `limit`, without a runtime: for destructors.
    pub(crate) fn end_with(&self, signal: Signal, limit: Duration) {
        let deadline = Instant::now() + limit;
        if matches!(self.exited(), Ok(None)) {
            let _ = kill(self.pid, signal);
        }
        while Instant::now() < deadline && matches!(self.exited(), Ok(None)) {
            std::thread::sleep(POLL);
        }
    }

    /// Sends `signal` to it and its descendants.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = killpg(self.pid, signal);
        for pid in descendants(self.pid) {
            let _ = kill(pid, signal);
        }
    }

    /// Waits until `ready` says yes. Fails when the process ends or the time is over.
    pub(crate) async fn wait_until<F>(&self, limit: Duration, mut ready: F) -> Result<()>
    where
        F: AsyncFnMut() -> Result<(), String>,
    {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exited()? {
                return Err(self.failure(&format!("ended while it started ({status})")));
            }
            match ready().await {
                Ok(()) => return Ok(()),
                Err(why) if Instant::now() > deadline => {
                    let seconds = limit.as_secs();
                    return Err(self.failure(&format!("was not ready after {seconds} s: {why}")));
                }
                Err(_) => tokio::time::sleep(POLL * 2).await,
            }
        }
    }

    /// What this run has written to its log so far.
    pub(crate) fn output(&self) -> String {
        let text = fs::read(&self.spec.log).unwrap_or_default();
        let start = usize::try_from(self.log_start).unwrap_or(0).min(text.len());
        String::from_utf8_lossy(&text[start..]).into_owned()
    }

    /// One sentence, the log's path, and its last lines.
    pub(crate) fn failure(&self, what: &str) -> anyhow::Error {
        let output = self.output();
        let lines: Vec<&str> = output.lines().collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n    ");
        let (name, log) = (self.spec.name, self.spec.log.display());
        anyhow!("{name} {what}. Its log is {log} and ends with:\n    {last}")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The process of a server that may be started again while others hold the server.
#[derive(Debug)]
pub(crate) struct Slot(Mutex<Arc<Process>>);

impl Slot {
    pub(crate) fn new(process: Process) -> Self {
        Self(Mutex::new(Arc::new(process)))
    }

    pub(crate) fn get(&self) -> Arc<Process> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, process: Process) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(process);
    }
}

fn is_alive(pid: Pid) -> bool {
    // A zombie of somebody else is as good as gone.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// All children of children, the nearest first.
fn descendants(pid: Pid) -> Vec<Pid> {
    let mut parents: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|it| it.parse::<i32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // "pid (name) state parent ...": the name may hold anything.
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
        if let Some(parent) = parent {
            parents.entry(parent).or_default().push(child);
        }
    }
    let mut found = vec![pid.as_raw()];
    let mut next = 0;
    while let Some(parent) = found.get(next) {
        found.extend(parents.remove(parent).unwrap_or_default());
        next += 1;
    }
    found.into_iter().skip(1).map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> ProcessSpec {
        ProcessSpec {
            name: "the shell",
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: BTreeMap::new(),
            cwd: folder.into(),
            log: folder.join("log"),
            run_as: RunAs::Me,
            stop_signal: Signal::SIGTERM,
            orphan_signal: Signal::SIGKILL,
        }
    }

    async fn output_of(process: &Process) -> String {
        for _ in 0..200 {
            if process.output().contains('\n') {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        process.output()
    }

    #[tokio::test]
    async fn a_failure_is_a_sentence_with_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let error = shell(folder.path(), "echo boom; exit 3").run().await.unwrap_err().to_string();
        assert!(error.starts_with("the shell failed (exit status: 3). Its log is "), "{error}");
        assert!(error.ends_with("\n    boom"), "{error}");
    }

    #[tokio::test]
    async fn grandchildren_die_with_a_dropped_process() {
        let folder = tempfile::tempdir().unwrap();
        // In a session of its own, as PostgreSQL's backends are.
        let process =
            Process::spawn(shell(folder.path(), "setsid sleep 600 & echo $!; wait")).unwrap();
        let pid = Pid::from_raw(output_of(&process).await.trim().parse().unwrap());
        assert!(is_alive(pid));
        drop(process);
        assert!(!is_alive(pid));
    }

    #[tokio::test]
    async fn a_process_outlives_the_thread_that_asked_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let process =
            std::thread::spawn(move || Process::spawn(shell(&path, "echo up; sleep 600")).unwrap())
                .join()
                .unwrap();
        assert_eq!(output_of(&process).await, "up\n");
        assert!(process.exited().unwrap().is_none());
        process.stop().await.unwrap();
        assert!(process.exited().unwrap().is_some());
    }
}
