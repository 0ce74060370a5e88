//! What an instance may remember for a second, such as a permission.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// How long an answer is kept. A permission may be no older than this.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The most answers of one kind in an instance.
const MAX_KEPT: usize = 256;

/// Answers by what was asked.
pub struct Kept<K, V>(RefCell<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    /// What was answered a moment ago.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, asked: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let kept = self.0.borrow();
        let (since, answer) = kept.get(asked)?;
        (since.elapsed() < KEPT_FOR).then(|| answer.clone())
    }

    /// Keeps an answer that was asked for at `since`. Where there is no room it is not kept.
    pub fn keep(&self, asked: K, since: Instant, answer: V) {
        let mut kept = self.0.borrow_mut();
        if kept.len() >= MAX_KEPT {
            kept.retain(|_, (since, _)| since.elapsed() < KEPT_FOR);
        }
        if kept.len() < MAX_KEPT {
            kept.insert(asked, (since, answer));
        }
    }
}
