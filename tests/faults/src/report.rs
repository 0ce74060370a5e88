//! The tables at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use holdfast_dev::say;

use crate::client::{Observed, REQUEST_LIMIT};
use crate::fault::Fault;
use crate::history::Way;
use crate::ledger::Ledger;
use crate::overload::Overload;
use crate::verify::{Kind, Violation};

/// Longest evidence that is printed, in lines.
const SHOWN_VIOLATIONS: usize = 20;

/// How long the service was away after each kind of fault.
#[derive(Debug, Default)]
pub(crate) struct Times(BTreeMap<Fault, Vec<Duration>>);

impl Times {
    pub(crate) fn add(&mut self, fault: Fault, back: Duration) {
        self.0.entry(fault).or_default().push(back);
    }
}

/// All that a run has to say.
pub(crate) struct Report<'a> {
    pub(crate) rounds: u32,
    pub(crate) vacuums: u32,
    pub(crate) full_disk: &'static str,
    /// Each link with how many connections it had and how many of them were reset.
    pub(crate) links: [(&'static str, (u64, u64)); 3],
    pub(crate) ledger: &'a Ledger,
    pub(crate) times: &'a Times,
    pub(crate) observed: &'a Observed,
    pub(crate) overload: Option<&'a Overload>,
    pub(crate) violations: &'a [Violation],
}

impl Report<'_> {
    pub(crate) fn print(&self) {
        self.operations();
        self.times();
        self.answers();
        if let Some(overload) = self.overload {
            print_overload(overload);
        }
        for violation in self.violations.iter().take(SHOWN_VIOLATIONS) {
            say(format!("BROKEN ({:?}): {}", violation.kind, violation.text));
        }
        if self.violations.len() > SHOWN_VIOLATIONS {
            say(format!("... and {} more", self.violations.len() - SHOWN_VIOLATIONS));
        }
    }

    fn operations(&self) {
        let counts = &self.ledger.counts;
        let of = |way: Way| counts.by_way.get(&way).copied().unwrap_or(0);
        let broken = |kind| self.violations.iter().filter(|it| it.kind == kind).count() as u64;
        let lines: [(&str, u64); 29] = [
            ("rounds", self.rounds.into()),
            ("uploads held", of(Way::Held)),
            ("uploads spliced", of(Way::Spliced)),
            ("uploads chunked", of(Way::Chunked)),
            ("uploads in parts", of(Way::Parts)),
            ("uploads by TUS", of(Way::Tus)),
            ("of these, went on after a break", self.observed.resumed),
            ("uploads cut by the client", of(Way::Cut)),
            ("cards of batches", of(Way::Card)),
            ("files adopted", of(Way::Adopt)),
            ("copies within a bucket", of(Way::Copy)),
            ("copies to another bucket", of(Way::CopyAcross)),
            ("moves", of(Way::Move)),
            ("restorations", of(Way::Restore)),
            ("deletes", of(Way::Delete)),
            ("deletes for good", of(Way::Erase)),
            ("versions that the worker purged", self.ledger.purged as u64),
            ("reads answered", counts.reads),
            ("reads failed", counts.failed_reads),
            ("writes acknowledged", counts.acknowledged),
            ("writes refused (4xx)", counts.refused),
            ("writes failed (5xx)", counts.failed),
            ("writes unknown (no answer)", counts.unknown),
            ("of these two, had happened", counts.found),
            ("lost", broken(Kind::Lost)),
            ("torn", broken(Kind::Torn)),
            ("against the register", broken(Kind::Order)),
            ("orphans after the worker", broken(Kind::Orphan)),
            ("drift and other invariants", broken(Kind::Drift) + broken(Kind::Database)),
        ];
        say("");
        for (name, count) in lines {
            say(format!("{name:<32}{count:>10}"));
        }
        let unlisted = self.ledger.seen_unlisted;
        say(format!("{:<32}{unlisted:>10}  which the reconciler deleted", "blobs without a row"));
        say(format!("{:<32}{:>10}  each followed by a comparison of all", "vacuums", self.vacuums));
    }

    fn times(&self) {
        say("");
        say(format!("{:<22}{:>7}{:>10}{:>10}", "service back after", "rounds", "p50 s", "max s"));
        for (fault, times) in &self.times.0 {
            let mut times = times.clone();
            times.sort_unstable();
            let middle = times.get(times.len() / 2).copied().unwrap_or_default();
            let most = times.last().copied().unwrap_or_default();
            let (middle, most) = (middle.as_secs_f64(), most.as_secs_f64());
            let count = times.len();
            say(format!("{:<22}{count:>7}{middle:>10.2}{most:>10.2}", fault.name()));
        }
        say(format!("the disk was made full by {}", self.full_disk));
        for (name, (connections, resets)) in self.links {
            say(format!("{name}: {connections} connections, {resets} of them broken"));
        }
    }

    fn answers(&self) {
        let Observed { requests, longest, statuses, .. } = self.observed;
        let statuses: Vec<String> = statuses
            .iter()
            .map(|(status, count)| match status {
                0 => format!("none {count}"),
                status => format!("{status} {count}"),
            })
            .collect();
        say("");
        say(format!("{requests} requests, answered: {}", statuses.join(", ")));
        say(format!(
            "the longest took {:.1} s; the limit is {} s; each 503 must say when to come back",
            longest.as_secs_f64(),
            REQUEST_LIMIT.as_secs()
        ));
    }
}

fn print_overload(overload: &Overload) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let Overload { connections, idle_bytes, first_half_bytes, peak_bytes, statuses, after, .. } =
        overload;
    let latencies: &Histogram<u64> = &overload.latencies;
    say("");
    say(format!(
        "overload of {connections} connections: {} answers {statuses:?}, p50 {} ms, p99 {} ms, longest {} ms",
        latencies.len(),
        latencies.value_at_quantile(0.5),
        latencies.value_at_quantile(0.99),
        latencies.max()
    ));
    say(format!(
        "memory of the host: idle {:.0} MiB, first half at most {:.0} MiB, at most {:.0} MiB; \
         just after, PUT and GET took {:.2} s",
        mib(*idle_bytes),
        mib(*first_half_bytes),
        mib(*peak_bytes),
        after.as_secs_f64()
    ));
}
