//! A process's resident memory, from `/proc`.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;

const SAMPLE_EVERY: Duration = Duration::from_millis(20);

/// A field of `/proc/PID/status` such as `VmRSS`, in bytes.
pub(crate) fn status_bytes(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse(&status, field).with_context(|| format!("{path} has no {field}"))
}

fn parse(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

/// Starts the kernel's high-water mark (`VmHWM`) anew.
pub(crate) fn reset_peak(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
}

/// Looks at a process's memory until it is dropped.
pub(crate) struct Sampler {
    peak: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Sampler {
    pub(crate) fn start(pid: u32) -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&peak);
        let task = tokio::spawn(async move {
            while let Ok(bytes) = status_bytes(pid, "VmRSS") {
                seen.fetch_max(bytes, Ordering::Relaxed);
                tokio::time::sleep(SAMPLE_EVERY).await;
            }
        });
        Self { peak, task }
    }

    /// The most that was seen, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_bytes() {
        let status = "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse(status, "VmRSS"), Some(1_048_576));
        assert_eq!(parse(status, "VmHWM"), Some(2_097_152));
        assert_eq!(parse(status, "Vm"), None);
    }

    #[test]
    fn a_peak_is_no_less_than_what_is_there_now() {
        let pid = std::process::id();
        // In this order: other tests allocate meanwhile.
        let now = status_bytes(pid, "VmRSS").unwrap();
        let peak = status_bytes(pid, "VmHWM").unwrap();
        assert!(now > 0 && peak >= now, "{peak} {now}");
    }
}
