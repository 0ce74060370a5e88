//! A full disk for SeaweedFS, and room on it again.
//!
//! As root SeaweedFS's files lie on an ext4 image of their own, mounted in a mount namespace that goes with
//! this process; a file that takes all that is free makes the disk full. Elsewhere SeaweedFS gets a limit on
//! the size of its files (`RLIMIT_FSIZE`), which each write beyond it meets with an error, as it would meet
//! a full disk.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;

/// Size of the image, in bytes; it is sparse.
const IMAGE_BYTES: u64 = 24 << 30;
/// Set for the program that runs in the namespace.
const MARK: &str = "HOLDFAST_FAULTS_OWN_MOUNTS";
/// What a file may not grow beyond, in bytes: smaller than any volume that was written to.
const FILE_LIMIT_BYTES: u64 = 8;

/// The disk under SeaweedFS.
#[derive(Debug)]
pub(crate) enum Disk {
    /// An image that is mounted on the folder.
    Image { folder: PathBuf },
    /// The folder is where all folders are.
    Limit,
}

impl Disk {
    /// Makes the disk on which `folder` lies from now on; `image` is where its bytes are.
    ///
    /// # Errors
    /// The image cannot be written.
    pub(crate) fn prepare(folder: &Path, image: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        if std::env::var_os(MARK).is_none() {
            return Ok(Self::Limit);
        }
        fs::File::create(image)?.set_len(IMAGE_BYTES)?;
        run("mkfs.ext4", &["-q", "-F", "-m", "0", "-E", "nodiscard"], &[image])?;
        match run("mount", &["-o", "loop"], &[image, folder]) {
            Ok(()) => Ok(Self::Image { folder: folder.to_path_buf() }),
            Err(_) => Ok(Self::Limit),
        }
    }

    /// How the disk is made full, for the report.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Image { .. } => "an ext4 image of its own, filled by a file",
            Self::Limit => "a limit on the size of SeaweedFS's files (RLIMIT_FSIZE)",
        }
    }

    /// From now on nothing more can be stored.
    pub(crate) fn fill(&self, seaweedfs: u32) -> Result<()> {
        match self {
            Self::Image { folder } => {
                // In halves: what is asked for has to fit, and SeaweedFS writes meanwhile.
                let path = ballast(folder);
                let mut taken = 0;
                for _ in 0..64 {
                    let disk = statvfs(folder)?;
                    let free = disk.blocks_available() * disk.fragment_size();
                    if free < 64 * 1_024 {
                        break;
                    }
                    let more = (free / 2).max(64 * 1_024);
                    let (offset, length) = (taken.to_string(), more.to_string());
                    let args = ["--offset", &offset, "--length", &length];
                    if run("fallocate", &args, &[&path]).is_ok() {
                        taken += more;
                    }
                }
                Ok(())
            }
            Self::Limit => limit(seaweedfs, &FILE_LIMIT_BYTES.to_string()),
        }
    }

    /// Makes room again.
    pub(crate) fn free(&self, seaweedfs: u32) -> Result<()> {
        match self {
            Self::Image { folder } => {
                let path = ballast(folder);
                fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
            }
            Self::Limit => limit(seaweedfs, "unlimited"),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Image { folder } = self {
            let _ = run("umount", &["--lazy"], &[folder]);
        }
    }
}

fn ballast(folder: &Path) -> PathBuf {
    folder.join("ballast")
}

/// Sets the soft limit, which its owner may raise again.
fn limit(pid: u32, bytes: &str) -> Result<()> {
    let (pid, limit) = (pid.to_string(), format!("--fsize={bytes}:"));
    run("prlimit", &["--pid", &pid, &limit], &[])
}

fn run(program: &str, args: &[&str], paths: &[&Path]) -> Result<()> {
    let output = Command::new(program)
        .args(args)
        .args(paths)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// As root, begins again in a mount namespace: what is mounted there is gone with the process, however it
/// ends. Comes back where that is not possible or done already.
pub(crate) fn own_mounts() {
    let programs = ["mkfs.ext4", "mount", "umount", "fallocate"];
    let Some(me) = std::env::current_exe().ok().filter(|_| geteuid().is_root()) else { return };
    if std::env::var_os(MARK).is_some() || !programs.into_iter().all(is_there) {
        return;
    }
    let possible = Command::new("unshare").args(["--mount", "true"]).output();
    if possible.is_ok_and(|output| output.status.success()) {
        let mut again = Command::new("unshare");
        again.args(["--mount", "--propagation", "private", "--"]).arg(me);
        // It only comes back when it failed; then the disk is made full in the other way.
        let _ = again.args(std::env::args_os().skip(1)).env(MARK, "1").exec();
    }
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(OsStr::new(program)).is_file())
}
