//! The command line. Options that Spin has too are spelled as in `spin up`.

use crate::instance::Reuse;
use crate::logs::LogFormat;
use anyhow::{Context as _, Result, bail};
use clap::Parser;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Runs a Spin application for development and tests, where the Spin CLI is not installed.
///
/// It is no server for production: no TLS, only what the manifest of Holdfast uses, and limits that
/// are never kinder than Spin's.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// The manifest (version 2).
    #[arg(short, long, default_value = "spin.toml", value_name = "FILE")]
    pub(crate) from: PathBuf,
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "IP:PORT")]
    pub(crate) listen: SocketAddr,
    /// Folder for key-value data and compiled code. One host at a time uses it.
    #[arg(long, default_value = ".holdfast/devhost", value_name = "DIR")]
    pub(crate) state_dir: PathBuf,
    /// Value of an application variable. Secrets are better set as `SPIN_VARIABLE_NAME`.
    #[arg(long = "variable", value_name = "NAME=VALUE")]
    variables: Vec<String>,
    /// Requests an instance serves in its life.
    #[arg(long, default_value_t = 128, value_name = "N")]
    max_instance_reuse_count: usize,
    /// Requests an instance serves at one time.
    #[arg(long, default_value_t = 16, value_name = "N")]
    max_instance_concurrent_reuse_count: usize,
    /// How long an instance without work lives, for example 500ms or 1s.
    #[arg(long, default_value = "1s", value_parser = duration, value_name = "TIME")]
    idle_instance_timeout: Duration,
    /// How long a request may take to answer. Without it: no limit.
    #[arg(long, value_parser = duration, value_name = "TIME")]
    request_timeout: Option<Duration>,
    /// How long requests in flight may go on after SIGTERM or SIGINT.
    #[arg(long, default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub(crate) drain_timeout: Duration,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

impl Cli {
    /// Variables given here.
    pub(crate) fn variables(&self) -> Result<BTreeMap<String, String>> {
        self.variables
            .iter()
            .map(|pair| {
                // Not repeated in the message: it may be half of a secret.
                let (name, value) = pair.split_once('=').context("--variable takes NAME=VALUE")?;
                Ok((name.to_owned(), value.to_owned()))
            })
            .collect()
    }

    /// How instances are reused.
    pub(crate) fn reuse(&self) -> Reuse {
        Reuse {
            max_requests: self.max_instance_reuse_count,
            max_concurrent: self.max_instance_concurrent_reuse_count,
            idle_timeout: self.idle_instance_timeout,
            request_timeout: self.request_timeout,
        }
    }
}

fn duration(text: &str) -> Result<Duration> {
    let end_of_number = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end_of_number);
    let number: u64 = number.parse().context("it is no number with a unit, such as 30s")?;
    Ok(match unit {
        "ms" => Duration::from_millis(number),
        "s" | "" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => bail!("the unit is one of ms, s, m"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("1s").unwrap(), Duration::from_secs(1));
        assert_eq!(duration("2m").unwrap(), Duration::from_secs(120));
        for text in ["", "s", "1h", "1.5s", "-1s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn defaults_are_those_of_spin() {
        let reuse = Cli::parse_from(["holdfast-devhost"]).reuse();
        assert_eq!(reuse.max_requests, 128);
        assert_eq!(reuse.max_concurrent, 16);
        assert_eq!(reuse.idle_timeout, Duration::from_secs(1));
        assert_eq!(reuse.request_timeout, None);
    }
}
