//! The tokens that may still be chosen, and what narrows them.
//!
//! A vocabulary has up to 256 000 tokens and few of them matter, so nothing here sorts it whole: top-k keeps a buffer
//! of 2k and a rising floor while it reads the logits once; top-p sorts a front part that grows until it has the mass.

use super::exp::exp;
use std::cmp::Ordering;

/// How many are sorted first when a mass is looked for; four times as many each time it was not enough.
const FIRST_SORTED: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Candidate {
    id: u32,
    /// Finite.
    logit: f32,
    /// Proportional to the probability; the best one's is 1.
    weight: f64,
}

/// The candidates, never none while they are narrowed. In order of id, or the best first: sums over them are
/// the same everywhere.
#[derive(Debug)]
pub(super) struct Candidates(Vec<Candidate>);

impl Candidates {
    pub(super) fn with_capacity(n: usize) -> Self {
        Self(Vec::with_capacity(n))
    }

    /// The `k` tokens with the greatest logits, best first; all in order of id if `k` is 0 or not below their number.
    pub(super) fn fill(&mut self, logits: &[f32], k: usize) {
        self.0.clear();
        let all = logits.iter().zip(0..).map(|(&logit, id)| Candidate { id, logit, weight: 0.0 });
        if k == 0 || k >= logits.len() {
            self.0.extend(all);
            return;
        }
        // Once k are there, only a greater logit than the least of them can change anything: ids come in order, and
        // of equals the lower stays.
        let n_buffer = k.saturating_mul(2).max(FIRST_SORTED);
        let mut floor = f32::NEG_INFINITY;
        for candidate in all {
            if candidate.logit > floor {
                self.0.push(candidate);
                if self.0.len() == n_buffer {
                    self.cut(k);
                    floor = self.0[k - 1].logit;
                }
            }
        }
        if self.0.len() > k {
            self.cut(k);
        }
        self.0.sort_unstable_by(best_first);
    }

    /// Keeps the best `k`, the least of them last.
    fn cut(&mut self, k: usize) {
        self.0.select_nth_unstable_by(k - 1, best_first);
        self.0.truncate(k);
    }

    /// Sets the weights at a temperature above 0.
    pub(super) fn weigh(&mut self, temperature: f32) {
        let best = self.0.iter().map(|c| c.logit).fold(f32::MIN, f32::max);
        for candidate in &mut self.0 {
            candidate.weight = exp((f64::from(candidate.logit) - f64::from(best)) / f64::from(temperature));
        }
    }

    /// −ln p − entropy = (ln z − x) − (ln z − mean x): the logarithms cancel out.
    pub(super) fn keep_typical(&mut self, p: f32) {
        let mean = self.0.iter().map(|c| c.weight * f64::from(c.logit)).sum::<f64>() / self.total();
        let distance = |c: &Candidate| (f64::from(c.logit) - mean).abs();
        self.keep_mass(p, |a, b| distance(a).total_cmp(&distance(b)).then(a.id.cmp(&b.id)));
        self.0.sort_unstable_by(best_first);
    }

    /// The fewest of the best whose weights reach `p` of the whole.
    pub(super) fn keep_top_p(&mut self, p: f32) {
        self.keep_mass(p, best_first);
    }

    /// Those whose weight is at least `p` of the best one's.
    pub(super) fn keep_min_p(&mut self, p: f32) {
        let best = self.0.iter().map(|c| c.weight).fold(0.0, f64::max);
        let least = f64::from(p.min(1.0)) * best;
        self.0.retain(|c| c.weight >= least);
    }

    /// Keeps the first ones in `order` whose weights reach `p` of the whole, at least one, in that order.
    fn keep_mass(&mut self, p: f32, order: impl Fn(&Candidate, &Candidate) -> Ordering) {
        let wanted = self.total() * f64::from(p);
        let mut mass = 0.0;
        let mut n_sorted = 0;
        while n_sorted < self.0.len() {
            let n_next = (n_sorted * 4).max(FIRST_SORTED).min(self.0.len());
            let rest = &mut self.0[n_sorted..];
            if n_next - n_sorted < rest.len() {
                rest.select_nth_unstable_by(n_next - n_sorted, &order);
            }
            rest[..n_next - n_sorted].sort_unstable_by(&order);
            for index in n_sorted..n_next {
                mass += self.0[index].weight;
                if mass >= wanted {
                    self.0.truncate(index + 1);
                    return;
                }
            }
            n_sorted = n_next;
        }
    }

    fn total(&self) -> f64 {
        self.0.iter().map(|c| c.weight).sum()
    }

    /// The token at `unit` (in [0, 1)) of the whole weight.
    pub(super) fn draw(&self, unit: f64) -> u32 {
        let wanted = self.total() * unit;
        let mut mass = 0.0;
        for candidate in &self.0 {
            mass += candidate.weight;
            if mass > wanted {
                return candidate.id;
            }
        }
        // Only an empty vocabulary comes here: the best one weighs 1, and `wanted` is below the whole.
        self.0.last().map_or(0, |c| c.id)
    }
}

fn best_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}
