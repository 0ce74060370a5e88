//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures Holdfast against SeaweedFS called directly, on a stack of its own.
///
/// A whole run writes about 20 GiB below the temporary folder (TMPDIR), `--quick` about 5 GiB.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// Fewer rounds and requests, and smaller uploads for the memory figure.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only this measurement; may be repeated.
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Measurement>,
    /// Only the steps of the database, at 10 thousand and at 1 million objects.
    #[arg(long, conflicts_with = "only")]
    pub(crate) metadata: bool,
    /// Rounds per side of every comparison [default: 5, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: Option<u32>,
    /// The development host, when it is not beside this program.
    #[arg(long, value_name = "FILE")]
    pub(crate) devhost: Option<PathBuf>,
}

/// What can be measured, in the order in which it is: memory first, while the host is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Measurement {
    /// Sizes of the built components.
    Size,
    /// Peak memory of the host while 8 large uploads stream.
    Memory,
    /// 256 MiB PUT with Content-Length.
    LargePut,
    /// 256 MiB PUT without a length (chunked).
    LargePutChunked,
    /// 256 MiB GET.
    LargeGet,
    /// 256 MiB in parts of 8 MiB on 4 connections, through Holdfast and by signed URLs.
    Multipart,
    /// 256 MiB by TUS in requests of several lengths, against parts of 8 MiB on one connection too.
    Tus,
    /// 4 KiB and 64 KiB by TUS, each in the request that creates it, on 16 connections.
    SmallTus,
    /// 4 KiB and 64 KiB PUT on 16 connections.
    SmallPut,
    /// 4 KiB and 64 KiB GET on 16 connections.
    SmallGet,
    /// 4 KiB and 64 KiB GET of one object on 16 connections.
    HotGet,
    /// 64 MiB PUT with each digest that a client may declare.
    Digests,
    /// One request at a time: what a small request's time goes to.
    Latency,
    /// Signed URLs, one and 100 in a call.
    Presign,
    /// GET of a 200 KB image by a fresh instance.
    ColdImage,
    /// An instance's start, estimated from outside.
    Instantiate,
    /// Lists, stat, resolve, begin and commit at 10 thousand and at 1 million objects.
    Metadata,
}

impl Cli {
    /// The chosen measurements; without a choice all of them but `metadata`, which fills the database.
    pub(crate) fn measurements(&self) -> Vec<Measurement> {
        if self.metadata {
            return vec![Measurement::Metadata];
        }
        let all = Measurement::value_variants().iter().copied();
        let wanted = |one: &Measurement| match self.only.as_slice() {
            [] => *one != Measurement::Metadata,
            only => only.contains(one),
        };
        all.filter(wanted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chooses_and_keeps_the_order() {
        let chosen = |args: &[&str]| Cli::parse_from(args).measurements();
        assert_eq!(chosen(&["bench"]).len(), Measurement::value_variants().len() - 1);
        assert_eq!(chosen(&["bench", "--metadata"]), [Measurement::Metadata]);
        assert_eq!(
            chosen(&["bench", "--only", "small-get", "--only", "memory"]),
            [Measurement::Memory, Measurement::SmallGet]
        );
    }
}
