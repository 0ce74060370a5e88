//! Rounds that take turns, and what is made of them.

use std::ops::AsyncFnMut;

use anyhow::Result;

use crate::target::Side;

/// The figures of each side, one a round.
#[derive(Debug)]
pub(crate) struct Rounds {
    pub(crate) direct: Vec<f64>,
    pub(crate) holdfast: Vec<f64>,
}

impl Rounds {
    /// Measures A B A B ...: what else happens on the machine happens to both.
    pub(crate) async fn take(
        rounds: u32,
        mut measure: impl AsyncFnMut(Side, u32) -> Result<f64>,
    ) -> Result<Self> {
        let mut taken = Self { direct: Vec::new(), holdfast: Vec::new() };
        for round in 0..rounds {
            taken.direct.push(measure(Side::Direct, round).await?);
            taken.holdfast.push(measure(Side::Holdfast, round).await?);
        }
        Ok(taken)
    }

    /// Through Holdfast as a share of direct: the median of the rounds, the least and the largest.
    pub(crate) fn ratio(&self) -> (f64, f64, f64) {
        let pairs = self.holdfast.iter().zip(&self.direct);
        let ratios: Vec<f64> = pairs.map(|(holdfast, direct)| holdfast / direct).collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = ratios.iter().copied().fold(0.0, f64::max);
        (median(&ratios), least, largest)
    }

    /// [`Rounds::ratio`] as a table shows it.
    pub(crate) fn ratio_text(&self) -> String {
        let (median, least, largest) = self.ratio();
        format!("{median:.2} ({least:.2}-{largest:.2})")
    }
}

/// The middle value, or the mean of the two middle ones; 0 of nothing.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (below, above) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    match (sorted.get(below), sorted.get(above)) {
        (Some(a), Some(b)) => f64::midpoint(*a, *b),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[tokio::test]
    async fn sides_take_turns_and_are_compared_by_the_round() {
        let mut order = Vec::new();
        let rounds = Rounds::take(2, async |side, round| {
            order.push((side, round));
            Ok(match side {
                Side::Direct => f64::from(10 * (round + 1)),
                Side::Holdfast => 5.0,
            })
        });
        let rounds = rounds.await.unwrap();
        use Side::{Direct, Holdfast};
        assert_eq!(order, [(Direct, 0), (Holdfast, 0), (Direct, 1), (Holdfast, 1)]);
        assert_eq!(rounds.ratio(), (0.375, 0.25, 0.5));
    }
}
