//! Round after round, then the overload, then the report.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use holdfast_dev::say;

use crate::cli::Cli;
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::load::{Keys, Load, World};
use crate::overload;
use crate::report::{Report, Times};
use crate::rig::Rig;
use crate::rng::Rng;
use crate::verify::{self, Options, Violation};

/// The load runs this long before the fault, in milliseconds.
const BEFORE_MILLIS: std::ops::Range<u64> = 300..900;
/// And this long after the service is back.
const AFTER: Duration = Duration::from_millis(300);
/// A PUT whose caller is gone goes on in SeaweedFS for so long at the most.
const LATE_PUT: Duration = Duration::from_millis(400);
/// The same after a fault from which SeaweedFS has to recover: it tries again inside for some seconds.
const STRAINED_PUT: Duration = Duration::from_secs(10);
/// After so many rounds come other keys.
const ROUNDS_PER_GENERATION: u32 = 10;
/// Of the rounds of a long run, one in so many pauses a part: these take longest.
const PAUSE_ONE_IN: u64 = 20;

/// A run.
///
/// # Errors
/// A promise was broken, or it could not be looked at; the report was printed.
pub(crate) async fn run(cli: &Cli) -> Result<()> {
    let kinds: Vec<Fault> = Fault::ALL
        .into_iter()
        .filter(|fault| match cli.only.as_slice() {
            [] => true,
            names => names.iter().any(|name| fault.name().contains(name)),
        })
        .collect();
    ensure!(!kinds.is_empty(), "no fault has such a name");
    let (seed, rounds) = (cli.seed(), cli.rounds(kinds.len()));
    say(format!("{rounds} rounds of faults with --seed {seed}"));
    let mut rng = Rng::new(seed);
    let folder = tempfile::Builder::new()
        .prefix("holdfast-faults-")
        .tempdir()
        .context("cannot create a temporary folder")?;
    let rig = Rig::start(folder.path(), &mut rng).await?;
    let mut run = Run::new(cli, &rig, rng)?;
    let result = run.all(&kinds, rounds).await;
    run.report(result.as_ref().ok().and_then(Option::as_ref));
    let broken = run.violations.len();
    rig.stack.stop().await?;
    let seed = format!("run it again with --seed {seed}");
    result.with_context(|| seed.clone())?;
    if broken > 0 {
        bail!("{broken} promises were broken; {seed}");
    }
    say(format!("All promises held over {} rounds.", run.rounds));
    Ok(())
}

struct Run<'a> {
    cli: &'a Cli,
    rig: &'a Rig,
    world: Arc<World>,
    /// Of the newest generation.
    keys: Option<Keys>,
    rng: Rng,
    ledger: Ledger,
    times: Times,
    violations: Vec<Violation>,
    rounds: u32,
    vacuums: u32,
}

impl<'a> Run<'a> {
    fn new(cli: &'a Cli, rig: &'a Rig, rng: Rng) -> Result<Self> {
        let world = World::new(rig)?;
        Ok(Self {
            cli,
            rig,
            world: Arc::new(world),
            keys: None,
            rng,
            ledger: Ledger::default(),
            times: Times::default(),
            violations: Vec::new(),
            rounds: 0,
            vacuums: 0,
        })
    }

    /// All rounds and the overload, up to the first broken promise.
    async fn all(&mut self, kinds: &[Fault], rounds: u32) -> Result<Option<overload::Overload>> {
        let between = self.cli.sizes().rounds_between_vacuums;
        for (number, fault) in self.plan(kinds, rounds).into_iter().enumerate() {
            let number = u32::try_from(number)?;
            self.round(number, fault)
                .await
                .with_context(|| format!("round {} ({})", number + 1, fault.name()))?;
            if (number + 1).is_multiple_of(between) || number + 1 == rounds {
                self.vacuum().await?;
            }
            if !self.violations.is_empty() {
                return Ok(None);
            }
        }
        let sizes = self.cli.sizes();
        let (overload, wrong) = overload::run(self.rig, &self.world, sizes, &mut self.rng).await?;
        self.violations.extend(wrong);
        Ok(Some(overload))
    }

    /// Every kind as often as another, in a random order; in a long run few pauses.
    fn plan(&mut self, kinds: &[Fault], rounds: u32) -> Vec<Fault> {
        let (pauses, quick): (Vec<Fault>, Vec<Fault>) =
            kinds.iter().copied().partition(|fault| fault.is_pause());
        let mut plan = Vec::new();
        while plan.len() < rounds as usize {
            if self.cli.short || quick.is_empty() {
                plan.extend(kinds);
            } else {
                plan.extend(&quick);
                if !pauses.is_empty() && self.rng.of(0..PAUSE_ONE_IN) < quick.len() as u64 {
                    plan.push(*self.rng.pick(&pauses));
                }
            }
        }
        plan.truncate(rounds as usize);
        for last in (1..plan.len()).rev() {
            let other = self.rng.of(0..last as u64 + 1) as usize;
            plan.swap(last, other);
        }
        plan
    }

    async fn round(&mut self, number: u32, fault: Fault) -> Result<()> {
        let begun = Instant::now();
        let keys = match self.keys.take() {
            Some(keys) if !number.is_multiple_of(ROUNDS_PER_GENERATION) => keys,
            _ => {
                self.ledger.close_generation();
                let keys = Keys::new(u64::from(number / ROUNDS_PER_GENERATION));
                keys.with_batch(&self.world).await?
            }
        };
        self.keys = Some(keys.clone());
        let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        self.world.round_began.store(u64::try_from(began)?, Ordering::Relaxed);
        let load = Load::start(&self.world, &keys, &mut self.rng);
        tokio::time::sleep(self.rng.millis(BEFORE_MILLIS)).await;
        let pause = self.cli.sizes().pause;
        let back = fault.happen(self.rig, &self.world, &keys, pause, &mut self.rng).await?;
        self.times.add(fault, back);
        tokio::time::sleep(AFTER).await;
        load.stop().await?;
        let loaded = begun.elapsed();

        let before = self.ledger.writes.len();
        let options = Options {
            rows_may_be_gone: fault.kills_postgres(),
            late_put: if fault.strains_seaweedfs() { STRAINED_PUT } else { LATE_PUT },
        };
        let wrong = verify::round(self.rig, &self.world, &mut self.ledger, options).await?;
        self.rounds += 1;
        say(format!(
            "{:>4}  {:<19} back after {:>5.2} s, {:>4} writes, {:>2} broken  ({:.1} s + {:.1} s)",
            number + 1,
            fault.name(),
            back.as_secs_f64(),
            self.ledger.writes.len() - before,
            wrong.len(),
            loaded.as_secs_f64(),
            (begun.elapsed() - loaded).as_secs_f64(),
        ));
        self.violations.extend(wrong);
        Ok(())
    }

    async fn vacuum(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.rig.vacuum().await?;
        let wrong = verify::everything(self.rig, &self.ledger).await?;
        self.vacuums += 1;
        say(format!(
            "      vacuum, then all {} versions were read: {} broken  ({:.1} s)",
            self.ledger.by_version.len(),
            wrong.len(),
            begun.elapsed().as_secs_f64()
        ));
        self.violations.extend(wrong);
        Ok(())
    }

    fn report(&self, overload: Option<&overload::Overload>) {
        let observed = self.world.client.observed();
        let report = Report {
            rounds: self.rounds,
            vacuums: self.vacuums,
            full_disk: self.rig.disk.describe(),
            links: [
                ("clients to the application", self.rig.front.counts()),
                ("application to SeaweedFS", self.rig.to_seaweedfs.counts()),
                ("application to PostgreSQL", self.rig.to_postgres.counts()),
            ],
            ledger: &self.ledger,
            times: &self.times,
            observed: &observed,
            overload,
            violations: &self.violations,
        };
        report.print();
    }
}
