//! Scales and minimums of eight rows, as formats give them and as they are multiplied.

use crate::isa::avx2::{lower, upper};
use core::arch::x86_64::*;

/// What a block has beside its weights.
#[derive(Clone, Copy)]
pub(crate) struct Scales {
    /// The scales of groups `4j … 4j + 3` of each row in its lane, a byte each: groups of sixteen, or of 32, which fill two
    /// vectors. They are signed, but for a type that has minimums.
    pub(crate) scales: [__m256i; 4],
    pub(crate) d: __m256,
    /// Looked at only where weights of up to six bits are not shifted: those are the types that have minimums.
    pub(crate) minimums: Minimums,
}

/// Minimums of eight rows, which lie as the scales do.
#[derive(Clone, Copy)]
pub(crate) struct Minimums {
    pub(crate) min: [__m256i; 4],
    pub(crate) dmin: __m256,
}

impl Minimums {
    /// For a type that has none.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(crate) fn none() -> Self {
        Self { min: [_mm256_setzero_si256(); 4], dmin: _mm256_setzero_ps() }
    }
}

/// Byte `i` of each lane as two equal numbers of 16 bits.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn twice<const SIGNED: bool>(four: __m256i, i: usize) -> __m256i {
    let of = |i| {
        if SIGNED {
            // As the upper of two bytes, and down with its sign.
            _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(four, upper([i, i])))
        } else {
            _mm256_shuffle_epi8(four, lower([i, i]))
        }
    };
    // Not computed from `i`: where a loop is left of those over groups, that took as long as all the rest.
    match i {
        0 => of(0),
        1 => of(1),
        2 => of(2),
        _ => of(3),
    }
}

/// Unsigned bytes as numbers of 16 bits, two neighbours side by side.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn pairs([a, b, c, d]: [__m256i; 4]) -> [__m256i; 8] {
    let of = |four, at| _mm256_shuffle_epi8(four, lower(at));
    let (low, high) = ([0, 1], [2, 3]);
    [of(a, low), of(a, high), of(b, low), of(b, high), of(c, low), of(c, high), of(d, low), of(d, high)]
}

/// Whether a type has minimums, and so scales without a sign.
pub(super) const fn has_minimums(bits: u32, shifted: bool) -> bool {
    bits < 8 && !shifted
}
