//! The resident memory of the host, from `/proc`.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinHandle;

const SAMPLE_EVERY: Duration = Duration::from_millis(50);

/// Resident bytes of a process.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse(&status).with_context(|| format!("{path} has no VmRSS"))
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// Samples until it is stopped.
pub(crate) struct Sampler(JoinHandle<Vec<(Duration, u64)>>, tokio::sync::oneshot::Sender<()>);

impl Sampler {
    pub(crate) fn start(pid: u32) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let begun = Instant::now();
            let mut samples = Vec::new();
            while let Ok(bytes) = resident(pid) {
                samples.push((begun.elapsed(), bytes));
                tokio::select! {
                    _ = &mut stopped => break,
                    () = tokio::time::sleep(SAMPLE_EVERY) => {}
                }
            }
            samples
        });
        Self(task, stop)
    }

    /// What was seen when, in bytes.
    pub(crate) async fn stop(self) -> Result<Vec<(Duration, u64)>> {
        let _ = self.1.send(());
        Ok(self.0.await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_bytes() {
        assert_eq!(parse("Name:\tx\nVmHWM:\t 9 kB\nVmRSS:\t    1024 kB\n"), Some(1_048_576));
        assert!(resident(std::process::id()).unwrap() > 1_000_000);
    }
}
