//! `cargo xtask migrate`

use anyhow::{Result, bail};
use holdfast_dev::{connect, say};
use holdfast_migrations::{Report, migrate, seed};

pub(crate) async fn run() -> Result<()> {
    let Some(url) = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) else {
        bail!("DATABASE_URL is not set: it names the database to migrate");
    };
    let mut client = connect(&url).await?;
    tell("migrations", &migrate(&mut client).await?);
    tell("default buckets", &seed(&mut client).await?);
    Ok(())
}

fn tell(what: &str, report: &Report) {
    let Report { applied, replaced, removed } = report;
    if applied.is_empty() && replaced.is_empty() && removed.is_empty() {
        return say(format!("{what}: up to date"));
    }
    for (verb, names) in [("applied", applied), ("replaced", replaced), ("removed", removed)] {
        if !names.is_empty() {
            say(format!("{what}: {verb} {}", names.join(", ")));
        }
    }
}
