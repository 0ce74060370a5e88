//! The faults, and how long the service needs to be back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use holdfast_s3::PutObject;

use crate::history::Way;
use crate::load::{Keys, World};
use crate::rig::Rig;
use crate::rng::Rng;

/// The service has to be back this long after the fault ended. SeaweedFS looks once a minute whether its disk
/// has room; all else takes seconds.
const BACK_LIMIT: Duration = Duration::from_secs(90);
/// One trial of the service may take this long; then comes another.
const TRIAL_LIMIT: Duration = Duration::from_secs(2);
/// Between two trials.
const TRIAL_PAUSE: Duration = Duration::from_millis(25);
/// How long a broken link stays broken, in milliseconds.
const BROKEN_MILLIS: std::ops::Range<u64> = 700..1_800;
/// How long a disk stays full, in milliseconds.
const FULL_MILLIS: std::ops::Range<u64> = 500..1_500;
/// Objects that SeaweedFS may still store on a disk that was just made full, and their size in bytes.
const FULL_TRIALS: u32 = 20;
const FULL_TRIAL_BYTES: usize = 256 * 1_024;
/// How long a killed part stays away, in milliseconds.
const AWAY_MILLIS: std::ops::Range<u64> = 0..600;

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fault {
    KillSeaweedFs,
    KillPostgres,
    KillHost,
    KillAll,
    ResetClients,
    PauseSeaweedFs,
    PausePostgres,
    FullDisk,
    BadLinkToSeaweedFs,
    BadLinkToPostgres,
}

impl Fault {
    pub(crate) const ALL: [Self; 10] = [
        Self::KillSeaweedFs,
        Self::KillPostgres,
        Self::KillHost,
        Self::KillAll,
        Self::ResetClients,
        Self::PauseSeaweedFs,
        Self::PausePostgres,
        Self::FullDisk,
        Self::BadLinkToSeaweedFs,
        Self::BadLinkToPostgres,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KillSeaweedFs => "kill -9 SeaweedFS",
            Self::KillPostgres => "kill -9 PostgreSQL",
            Self::KillHost => "kill -9 host",
            Self::KillAll => "kill -9 all three",
            Self::ResetClients => "clients reset",
            Self::PauseSeaweedFs => "SeaweedFS paused",
            Self::PausePostgres => "PostgreSQL paused",
            Self::FullDisk => "disk full",
            Self::BadLinkToSeaweedFs => "half of S3 reset",
            Self::BadLinkToPostgres => "half of SQL reset",
        }
    }

    /// Does it take away what PostgreSQL has not yet written? Then a blob may lose its row.
    pub(crate) fn kills_postgres(self) -> bool {
        matches!(self, Self::KillPostgres | Self::KillAll)
    }

    /// May a PUT that SeaweedFS began to take hang in it for seconds? Until its volume server is registered again,
    /// for up to five seconds after a start, it tries again inside.
    pub(crate) fn strains_seaweedfs(self) -> bool {
        matches!(self, Self::KillSeaweedFs | Self::KillAll | Self::PauseSeaweedFs | Self::FullDisk)
    }

    pub(crate) fn is_pause(self) -> bool {
        matches!(self, Self::PauseSeaweedFs | Self::PausePostgres)
    }

    /// Lets it happen and ends it; answers how long after its end the service was back.
    ///
    /// # Errors
    /// A part does not start again, or the service is not back in time.
    pub(crate) async fn happen(
        self,
        rig: &Rig,
        world: &Arc<World>,
        keys: &Keys,
        pause: Duration,
        rng: &mut Rng,
    ) -> Result<Duration> {
        let host = rig.stack.host();
        let away = rng.millis(AWAY_MILLIS);
        match self {
            Self::KillSeaweedFs => {
                rig.seaweedfs.kill9();
                tokio::time::sleep(away).await;
                back(world, keys, rng, rig.seaweedfs.restart()).await
            }
            Self::KillPostgres => {
                rig.postgres.kill9();
                tokio::time::sleep(away).await;
                back(world, keys, rng, rig.postgres.restart()).await
            }
            Self::KillHost => {
                host.kill9();
                tokio::time::sleep(away).await;
                back(world, keys, rng, host.restart()).await
            }
            Self::KillAll => {
                rig.postgres.kill9();
                rig.seaweedfs.kill9();
                host.kill9();
                tokio::time::sleep(away).await;
                let restarts = async {
                    let all = (rig.postgres.restart(), rig.seaweedfs.restart(), host.restart());
                    tokio::try_join!(all.0, all.1, all.2).map(drop)
                };
                back(world, keys, rng, restarts).await
            }
            Self::ResetClients => {
                for _ in 0..rng.of(3..7) {
                    rig.front.reset_all();
                    tokio::time::sleep(rng.millis(30..350)).await;
                }
                back(world, keys, rng, nothing()).await
            }
            Self::PauseSeaweedFs => {
                rig.seaweedfs.pause();
                tokio::time::sleep(pause).await;
                rig.seaweedfs.resume();
                back(world, keys, rng, nothing()).await
            }
            Self::PausePostgres => {
                rig.postgres.pause();
                tokio::time::sleep(pause).await;
                rig.postgres.resume();
                back(world, keys, rng, nothing()).await
            }
            Self::FullDisk => {
                rig.disk.fill(rig.seaweedfs.pid())?;
                refuses(rig).await?;
                tokio::time::sleep(rng.millis(FULL_MILLIS)).await;
                rig.disk.free(rig.seaweedfs.pid())?;
                // Once its journal met the full disk, the filer's store refuses every write until it is
                // opened again: an operator who makes room has to restart SeaweedFS as well.
                back(world, keys, rng, rig.seaweedfs.restart()).await
            }
            Self::BadLinkToSeaweedFs | Self::BadLinkToPostgres => {
                let s3 = self == Self::BadLinkToSeaweedFs;
                let link = if s3 { &rig.to_seaweedfs } else { &rig.to_postgres };
                link.break_half();
                tokio::time::sleep(rng.millis(BROKEN_MILLIS)).await;
                link.mend();
                back(world, keys, rng, nothing()).await
            }
        }
    }
}

/// SeaweedFS has to refuse, or nothing was tried.
async fn refuses(rig: &Rig) -> Result<()> {
    // Outside of what the application lists as its own.
    let put = PutObject { bucket: "documents", key: "full-disk", ..Default::default() };
    for _ in 0..FULL_TRIALS {
        if !rig.s3().send(&put, vec![1; FULL_TRIAL_BYTES]).await?.status().is_success() {
            return Ok(());
        }
    }
    bail!("SeaweedFS still stores objects on a full disk ({})", rig.disk.describe())
}

async fn nothing() -> Result<()> {
    Ok(())
}

/// How long from now on until something can be stored and read again, while `mending` goes on.
async fn back(
    world: &Arc<World>,
    keys: &Keys,
    rng: &mut Rng,
    mending: impl Future<Output = Result<()>>,
) -> Result<Duration> {
    let begun = Instant::now();
    let number = rng.next() >> 24;
    let trials = async {
        for trial in 0_u64.. {
            let key = keys.own("back", number + trial);
            let world = Arc::clone(world);
            // On its own: what is given up as a trial is still waited for and noted.
            let attempt = tokio::spawn(async move {
                world.put(&key, Way::Held, 1_000, false).await && world.get(&key, None).await
            });
            if let Ok(Ok(true)) = tokio::time::timeout(TRIAL_LIMIT, attempt).await {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > BACK_LIMIT {
                bail!("the service was not back {} s after the fault", BACK_LIMIT.as_secs());
            }
            tokio::time::sleep(TRIAL_PAUSE).await;
        }
        bail!("no trial succeeded")
    };
    let (elapsed, ()) = tokio::try_join!(trials, mending)?;
    Ok(elapsed)
}
