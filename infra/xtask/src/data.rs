//! The folder that `up` keeps its files in.

use std::path::PathBuf;

use clap::Args;

/// Where everything is kept.
#[derive(Args)]
pub(crate) struct Data {
    /// Folder of databases, files and keys [default: .holdfast in the repository]
    #[arg(long = "data", value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Data {
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(|| holdfast_dev::workspace().join(".holdfast"))
    }
}
