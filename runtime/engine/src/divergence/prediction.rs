//! One prediction, small enough to keep: the likeliest tokens by themselves, all others as one.
//!
//! Of a vocabulary of 32 000 tokens some hundreds hold nearly all of the probability. Those are kept that it takes to leave
//! less than [`MAX_REST`]; of the rest, its sum. Logarithms are rounded to multiples of [`STEP`], which fits 15 bits: a
//! token that is kept has more than its share of what is left, so its −ln p is below ln(vocabulary / MAX_REST) < 32.
//!
//! A divergence is that of "kept or rest", and that within either part. Within the rest it is taken to be what it is within
//! what is kept. What that does to a divergence D, in nats:
//! - Rounding moves each ln p by δ ≤ STEP, the sum of all being 1 again, and so D by no more than δ (D + √(2 D)) and δ²:
//!   Σ p |ln(p / q)| is at most D + √(2 D). The roundings of many tokens cancel: over a text it is a hundredth of that.
//! - The rest adds no more than its probability, which is below MAX_REST, times the difference of its divergence from that
//!   within the others.
//!
//! ```text
//! −ln p of the token that came, f32   the rest's probability, f32   likeliest token   n kept
//! n × { −ln p / STEP in 15 bits, and whether tokens were left out since the last one, u16   how many, less 1, if so }
//! ```
//! Numbers without a width are LEB128.

use crate::perplexity::log_softmax;
use std::io::{self, Read};

/// Nats between two values that a logarithm can have.
pub(crate) const STEP: f64 = 1.0 / 1024.0;
/// The tokens that are not kept have less than this probability together.
pub(crate) const MAX_REST: f64 = 1.0 / 256.0;
/// More, and a logarithm might not fit its bits.
pub(crate) const MAX_VOCAB: usize = 1 << 24;
/// Tokens were left out between this one and the last that was kept.
const GAP: u16 = 1 << 15;

/// What a model said of the token that comes next.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Prediction {
    /// −ln p of the token that came.
    pub(crate) nll: f32,
    /// The likeliest token; the first of equals.
    pub(crate) top: u32,
    /// Probability of all tokens that are not in `kept`.
    rest: f32,
    /// Tokens, ascending, with −ln p in steps.
    kept: Vec<(u32, u16)>,
}

/// Why a prediction cannot be read.
#[derive(Debug)]
pub(crate) enum Damage {
    /// The file ends, or the system says no.
    Io(io::Error),
    /// What stands there cannot have been written.
    Value(&'static str),
}

impl From<io::Error> for Damage {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Prediction {
    /// Of the logits that predict `next`; `None` if they are no finite numbers.
    pub(crate) fn new(logits: &[f32], next: u32) -> Option<Self> {
        let top = super::top(logits);
        let weight = |logit: f32| f64::from(logit - logits[top]).exp();
        let sum: f64 = logits.iter().map(|&logit| weight(logit)).sum();
        if !sum.is_finite() {
            return None;
        }
        // Whoever has less cannot be kept: see above.
        let least = sum * MAX_REST / logits.len() as f64;
        let mut likely: Vec<(u32, f64)> = (0..)
            .zip(logits)
            .map(|(token, &logit)| (token, weight(logit)))
            .filter(|x| x.1 >= least)
            .collect();
        likely.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let (mut left, mut n_kept) = (sum, 0);
        while left >= sum * MAX_REST && n_kept < likely.len() {
            left -= likely[n_kept].1;
            n_kept += 1;
        }
        likely.truncate(n_kept);
        likely.sort_unstable_by_key(|&(token, _)| token);
        Some(Self {
            nll: -log_softmax(logits, next) as f32,
            top: top as u32,
            rest: (left / sum).max(0.0) as f32,
            kept: likely
                .into_iter()
                .map(|(token, weight)| (token, (-(weight / sum).ln() / STEP).round() as u16))
                .collect(),
        })
    }

    /// Appends it to bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.nll.to_le_bytes());
        out.extend_from_slice(&self.rest.to_le_bytes());
        write_number(self.top, out);
        write_number(self.kept.len() as u32, out);
        let mut after = 0;
        for &(token, steps) in &self.kept {
            let gap = if token > after { GAP } else { 0 };
            out.extend_from_slice(&(steps | gap).to_le_bytes());
            if token > after {
                write_number(token - after - 1, out);
            }
            after = token + 1;
        }
    }

    /// Reads the next one of a vocabulary of `n_vocab` tokens over this one.
    pub(crate) fn read(&mut self, from: &mut impl Read, n_vocab: usize) -> Result<(), Damage> {
        self.nll = f32::from_le_bytes(take(from)?);
        self.rest = f32::from_le_bytes(take(from)?);
        self.top = read_number(from)?;
        let n_kept = read_number(from)? as usize;
        if n_kept > n_vocab || self.top as usize >= n_vocab {
            return Err(Damage::Value("it has tokens that the vocabulary does not have"));
        }
        self.kept.clear();
        let mut after = 0u64;
        for _ in 0..n_kept {
            let steps = u16::from_le_bytes(take(from)?);
            let gap = if steps & GAP == 0 { 0 } else { u64::from(read_number(from)?) + 1 };
            let token = after + gap;
            if token >= n_vocab as u64 {
                return Err(Damage::Value("it has tokens that the vocabulary does not have"));
            }
            self.kept.push((token as u32, steps & !GAP));
            after = token + 1;
        }
        let sum = f64::from(self.rest) + self.kept.iter().map(|&(_, steps)| probability(steps)).sum::<f64>();
        let rest_is = (0.0..=MAX_REST).contains(&f64::from(self.rest));
        if self.nll.is_finite() && rest_is && (sum - 1.0).abs() <= 2.0 * STEP {
            Ok(())
        } else {
            Err(Damage::Value("its probabilities are none"))
        }
    }

    /// Divergence of what `logits` predict from this.
    pub(crate) fn divergence(&self, logits: &[f32]) -> f64 {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |logit: f32| f64::from(logit - max).exp();
        let (mut kept, mut others, mut after) = (0.0, 0.0, 0);
        // Σ p, and Σ p (ln p − logit): within the kept tokens, what either side's sum adds to ln p and ln q cancels out.
        let (mut p_sum, mut difference) = (0.0, 0.0);
        for &(token, steps) in &self.kept {
            let (token, p) = (token as usize, probability(steps));
            others += logits[after..token].iter().copied().map(weight).sum::<f64>();
            kept += weight(logits[token]);
            p_sum += p;
            difference += p * (-f64::from(steps) * STEP - f64::from(logits[token] - max));
            after = token + 1;
        }
        others += logits[after..].iter().copied().map(weight).sum::<f64>();
        let kept = kept.max(f64::MIN_POSITIVE);
        let within = difference / p_sum - p_sum.ln() + kept.ln();
        let rest = f64::from(self.rest);
        let part = |p: f64, q: f64| if p > 0.0 { p * (p / q.max(f64::MIN_POSITIVE)).ln() } else { 0.0 };
        let either = part(1.0 - rest, kept / (kept + others)) + part(rest, others / (kept + others));
        (within + either).max(0.0)
    }
}

fn probability(steps: u16) -> f64 {
    (-f64::from(steps) * STEP).exp()
}

fn take<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// LEB128: seven bits a byte, the lowest first, the eighth set where more follow.
fn write_number(mut number: u32, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(from: &mut impl Read) -> Result<u32, Damage> {
    let mut number = 0u64;
    for shift in (0..35).step_by(7) {
        let [byte] = take(from)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return u32::try_from(number).map_err(|_| Damage::Value("it has a number of more than 32 bits"));
        }
    }
    Err(Damage::Value("it has a number of more than 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::Random;

    fn logits(random: &mut Random, n: usize, spread: f32) -> Vec<f32> {
        (0..n).map(|_| (random.next() % 10_000) as f32 * 1e-4 * spread).collect()
    }

    #[test]
    fn a_prediction_that_was_kept_diverges_as_the_logits_do() {
        let mut random = Random(7);
        // From flat, where nearly all tokens are kept, to steep, where few are.
        for spread in [0.0, 1.0, 10.0, 30.0, 300.0] {
            let (mut sum, mut exact_sum) = (0.0, 0.0);
            for _ in 0..20 {
                let original = logits(&mut random, 3000, spread);
                let noise = logits(&mut random, 3000, 0.3);
                let other: Vec<f32> = original.iter().zip(noise).map(|(a, b)| a + b).collect();
                let kept = Prediction::new(&original, 5).unwrap();
                let (found, exact) =
                    (kept.divergence(&other), super::super::kl_divergence(&original, &other));
                // The noise is even on 0 … 0.3, whose variance is 0.0075: D is about half of that, in the rest too.
                let bound = STEP * (exact + (2.0 * exact).sqrt() + STEP) + MAX_REST * 0.002;
                assert!((found - exact).abs() <= bound, "spread {spread}: {found}, exactly {exact}");
                (sum, exact_sum) = (sum + found, exact_sum + exact);
            }
            assert!(
                (sum - exact_sum).abs() <= 2e-3 * exact_sum + 1e-9,
                "spread {spread}: {sum}, {exact_sum}"
            );
        }
    }

    #[test]
    fn what_the_other_model_rules_out_diverges_far() {
        let original = [0.0, 1.0, -20.0, 0.5];
        for logits in
            [[-900.0, -900.0, 0.0, -900.0], [-3000.0, -3000.0, 0.0, -3000.0], [0.0, 1.0, -20.0, -2000.0]]
        {
            let found = Prediction::new(&original, 0).unwrap().divergence(&logits);
            let exact = super::super::kl_divergence(&original, &logits);
            assert!((found / exact - 1.0).abs() < 0.3 && exact > 500.0, "{found}, exactly {exact}");
        }
    }

    #[test]
    fn what_is_left_out_is_little_and_what_is_kept_fits() {
        let mut random = Random(3);
        for (spread, few) in [(0.0, false), (4.0, false), (40.0, true), (5e4, true)] {
            let logits = logits(&mut random, 5000, spread);
            let kept = Prediction::new(&logits, 4999).unwrap();
            assert!(f64::from(kept.rest) < MAX_REST, "{}", kept.rest);
            assert_eq!(kept.kept.len() < 2500, few, "{} at {spread}", kept.kept.len());
            assert!(kept.kept.iter().any(|&(token, _)| token == kept.top));
            assert_eq!(kept.top as usize, super::super::top(&logits));
            assert_eq!(kept.nll, -log_softmax(&logits, 4999) as f32);
            let mut bytes = Vec::new();
            kept.write(&mut bytes);
            let (mut read, mut from) = (Prediction::default(), bytes.as_slice());
            read.read(&mut from, 5000).unwrap();
            assert_eq!((&read, from.len()), (&kept, 0));
            // Cut anywhere, it is the end of the file that is told, and nothing worse.
            for n in 0..bytes.len().min(200) {
                assert!(matches!(read.read(&mut &bytes[..n], 5000), Err(Damage::Io(_))), "{n} bytes");
            }
            // For a smaller vocabulary it cannot have been written.
            assert!(matches!(read.read(&mut bytes.as_slice(), kept.top as usize), Err(Damage::Value(_))));
        }
        assert_eq!(Prediction::new(&[0.0, f32::NAN, 1.0], 0), None);
        assert_eq!(Prediction::new(&[f32::INFINITY, 1.0], 0), None);
    }

    #[test]
    fn numbers_go_there_and_back() {
        for number in [0, 1, 127, 128, 300, 16_383, 16_384, u32::MAX] {
            let mut bytes = Vec::new();
            write_number(number, &mut bytes);
            assert_eq!(read_number(&mut bytes.as_slice()).unwrap(), number);
        }
        for bytes in [[0xff; 6].as_slice(), &[0xff, 0xff, 0xff, 0xff, 0x7f]] {
            assert!(matches!(read_number(&mut &bytes[..]), Err(Damage::Value(_))));
        }
    }
}
