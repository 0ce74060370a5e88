//! The command line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;

/// Rounds of a whole run.
const ROUNDS: u32 = 200;
/// Rounds of each fault with `--short`.
const SHORT_ROUNDS_EACH: u32 = 1;

/// Breaks what Holdfast runs on, at random moments under load, and looks whether a promise was broken.
#[derive(Debug, Parser)]
#[command(version, bin_name = "cargo xtask faults")]
pub(crate) struct Cli {
    /// How many faults [default: 200, with --short one of each kind]
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// Chooses faults, moments, keys and sizes [default: by the clock; it is printed]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// About a minute: short pauses and fewer connections in the overload
    #[arg(long)]
    pub(crate) short: bool,
    /// Only faults whose name contains this; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
}

/// Sizes of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// How long a part is paused.
    pub(crate) pause: Duration,
    /// After so many rounds all versions are read again, after a vacuum.
    pub(crate) rounds_between_vacuums: u32,
    /// Connections of the overload.
    pub(crate) connections: usize,
    /// How long the overload lasts.
    pub(crate) overload: Duration,
}

impl Cli {
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            now.as_micros() as u64 % 1_000_000_007
        })
    }

    /// `kinds` of faults are left to choose from.
    pub(crate) fn rounds(&self, kinds: usize) -> u32 {
        let short = u32::try_from(kinds).unwrap_or(u32::MAX).saturating_mul(SHORT_ROUNDS_EACH);
        self.rounds.unwrap_or(if self.short { short } else { ROUNDS })
    }

    pub(crate) fn sizes(&self) -> Sizes {
        if self.short {
            return Sizes {
                pause: Duration::from_secs(3),
                rounds_between_vacuums: 5,
                connections: 200,
                overload: Duration::from_secs(5),
            };
        }
        Sizes {
            pause: Duration::from_secs(20),
            rounds_between_vacuums: 25,
            connections: 500,
            overload: Duration::from_secs(15),
        }
    }
}
