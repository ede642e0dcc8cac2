//! From inputs to inputs. A change that keeps most of a file sound gets past its reader's first look; so changes are few,
//! and of the kinds that readers trip over.

#![forbid(unsafe_code)]

use super::Input;
use std::ops::Range;

/// Numbers at which types, signs, alignments and products end.
const NUMBERS: [u64; 24] = [
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    31,
    32,
    33,
    64,
    100,
    127,
    128,
    255,
    256,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];

/// Inputs do not grow beyond: more bytes are more time, and seldom another way to fail.
const MAX_BYTES: usize = 256 << 10;

/// Formats keep their tables at the beginning or at the end: half of all changes go there.
const TABLE_BYTES: usize = 2048;

/// Marsaglia's xorshift: any numbers will do, if they are always the same.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below `n`, which is not 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// One of the seeds with one bit changed.
pub(super) fn flip(random: &mut Random, seeds: &[Input]) -> Input {
    let Input { form, mut bytes } = random.pick(seeds).clone();
    let bit = random.below(8 * bytes.len());
    bytes[bit / 8] ^= 1 << (bit % 8);
    Input { form, bytes }
}

/// Makes new inputs.
#[derive(Debug)]
pub(super) struct Mutator<'a> {
    pub(super) random: &'a mut Random,
    /// Of the formats, to put anywhere.
    pub(super) words: &'a [&'a [u8]],
}

impl Mutator<'_> {
    /// One of the inputs, changed in a few places.
    pub(super) fn mutate(&mut self, corpus: &[Input]) -> Input {
        // The later of two: what led somewhere new lately is worth more.
        let at = self.random.below(corpus.len()).max(self.random.below(corpus.len()));
        let Input { form, mut bytes } = corpus[at].clone();
        // Mostly one or two: each more leaves less that is sound.
        let n_changes = 1 << self.random.below(4).min(self.random.below(4));
        for _ in 0..n_changes {
            self.change(&mut bytes, form, corpus);
        }
        bytes.truncate(MAX_BYTES);
        Input { form, bytes }
    }

    fn change(&mut self, bytes: &mut Vec<u8>, form: usize, corpus: &[Input]) {
        if bytes.is_empty() {
            bytes.extend_from_slice(self.words[0]);
            return;
        }
        match self.random.below(12) {
            0 => {
                let at = self.place(bytes);
                bytes[at] ^= 1 << self.random.below(8);
            }
            1 => {
                let at = self.place(bytes);
                bytes[at] = self.random.next() as u8;
            }
            2 | 3 => self.number(bytes),
            4 => self.digits(bytes),
            5 => {
                let cut = self.part(bytes);
                bytes.drain(cut);
            }
            6 => {
                let copy = bytes[self.part(bytes)].to_vec();
                let at = self.place(bytes);
                bytes.splice(at..at, copy);
            }
            7 => {
                let copy = bytes[self.part(bytes)].to_vec();
                let at = self.place(bytes).min(bytes.len() - copy.len());
                bytes[at..at + copy.len()].copy_from_slice(&copy);
            }
            8 => {
                let word = *self.random.pick(self.words);
                let at = self.place(bytes);
                let over = if self.random.below(2) == 0 { 0 } else { word.len().min(bytes.len() - at) };
                bytes.splice(at..at + over, word.iter().copied());
            }
            9 => self.field(bytes),
            10 => self.much(bytes),
            _ => self.join(bytes, form, corpus),
        }
    }

    fn place(&mut self, bytes: &[u8]) -> usize {
        let near = bytes.len().min(TABLE_BYTES);
        match self.random.below(4) {
            0 => self.random.below(near),
            1 => bytes.len() - 1 - self.random.below(near),
            _ => self.random.below(bytes.len()),
        }
    }

    /// A part of it, mostly short, never empty.
    fn part(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.place(bytes);
        let most = (bytes.len() - start).min(1 << self.random.below(12));
        start..start + 1 + self.random.below(most)
    }

    /// A binary number: another one, or a little more or less.
    fn number(&mut self, bytes: &mut [u8]) {
        let width = 1 << self.random.below(4);
        if bytes.len() < width {
            return;
        }
        let at = self.place(bytes).min(bytes.len() - width);
        let place = &mut bytes[at..at + width];
        let mut old = [0; 8];
        old[..width].copy_from_slice(place);
        let new = match self.random.below(3) {
            0 => *self.random.pick(&NUMBERS),
            1 => u64::from_le_bytes(old).wrapping_add(self.random.below(33) as u64).wrapping_sub(16),
            // A power of two and its neighbours, as a product's overflow needs.
            _ => (1u64 << self.random.below(64)).wrapping_sub(self.random.below(3) as u64),
        };
        place.copy_from_slice(&new.to_le_bytes()[..width]);
    }

    /// A number that is written out.
    fn digits(&mut self, bytes: &mut Vec<u8>) {
        let at = self.place(bytes);
        let Some(start) = (at..bytes.len()).find(|&at| bytes[at].is_ascii_digit()) else { return };
        let len = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let new = match self.random.below(4) {
            0 => format!("-{}", self.random.below(100)),
            1 => "1e999".into(),
            _ => self.random.pick(&NUMBERS).to_string(),
        };
        bytes.splice(start..start + len, new.into_bytes());
    }

    /// Something with its length before it, longer or shorter, and the length made right: so that what comes after it is
    /// still read as what it is.
    fn field(&mut self, bytes: &mut Vec<u8>) {
        let from = self.place(bytes);
        let width = *self.random.pick(&[1, 4, 8]);
        let length = |at: usize| -> Option<usize> {
            let field = bytes.get(at..at + width)?;
            let mut number = [0; 8];
            number[..width].copy_from_slice(field);
            let n = usize::try_from(u64::from_le_bytes(number)).ok()?;
            (n > 0 && n <= bytes.len() - at - width).then_some(n)
        };
        let Some((at, n)) = (from..bytes.len()).take(256).find_map(|at| Some((at, length(at)?))) else {
            return;
        };
        let start = at + width;
        let mut content = bytes[start..start + n].to_vec();
        match self.random.below(3) {
            0 => content.truncate(self.random.below(n)),
            1 => content.extend_from_within(self.random.below(n)..),
            _ => {
                let at = self.random.below(n);
                content.splice(at..at, self.random.pick(self.words).iter().copied());
            }
        }
        if width == 1 && content.len() > 127 {
            return;
        }
        bytes[at..start].copy_from_slice(&(content.len() as u64).to_le_bytes()[..width]);
        bytes.splice(start..start + n, content);
    }

    /// A part many times: what nests, nests deeply.
    fn much(&mut self, bytes: &mut Vec<u8>) {
        let part = match self.random.below(2) {
            0 => self.random.pick(self.words).to_vec(),
            _ => bytes[self.part(bytes)].iter().copied().take(16).collect(),
        };
        let n = 1 << self.random.below(14);
        let at = self.place(bytes);
        let many = part.repeat(n.min(MAX_BYTES / part.len().max(1)));
        bytes.splice(at..at, many);
    }

    /// The beginning of this, the end of another; or only the beginning.
    fn join(&mut self, bytes: &mut Vec<u8>, form: usize, corpus: &[Input]) {
        let cut = self.place(bytes);
        bytes.truncate(cut);
        let other = self.random.pick(corpus);
        if other.form == form && !other.bytes.is_empty() && self.random.below(4) > 0 {
            let from = self.place(&other.bytes);
            bytes.extend_from_slice(&other.bytes[from..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_inputs_and_they_differ() {
        let corpus = [Input { form: 0, bytes: b"\x05\0\0\0hello, 12 worlds".repeat(4) }];
        let made = || {
            let mut random = Random(7);
            let mut make = |_| Mutator { random: &mut random, words: &[b"{", b"word"] }.mutate(&corpus);
            (0..500).map(&mut make).collect::<Vec<_>>()
        };
        let (first, second) = (made(), made());
        assert_eq!(first, second);
        assert!(first.iter().filter(|input| **input != corpus[0]).count() > 450);
        let mut bytes: Vec<_> = first.iter().map(|input| &input.bytes).collect();
        bytes.sort();
        bytes.dedup();
        assert!(bytes.len() > 450, "{} different ones", bytes.len());
    }
}
