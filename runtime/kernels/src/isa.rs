//! Which instructions this processor has: a value that is detected once and handed down.
//!
//! A level's variant carries a token, a zero-sized value that only detection makes: whoever holds it has the proof
//! that the features are there. The two ways from the value to code that uses the features are [`dispatch!`], for code
//! that is written for each level, and [`Isa::run`], for plain code that is compiled for each level.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx_vnni;
#[cfg(target_arch = "aarch64")]
pub(crate) mod dotprod;
#[cfg(target_arch = "aarch64")]
pub(crate) mod i8mm;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;

use core::fmt;
use core::str::FromStr;

/// An instruction set level. Its variants cannot be forged: they carry a token that only detection makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Isa {
    /// The specification.
    Scalar,
    /// AVX2, FMA and F16C: x86-64 since 2013.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    /// With dot products of bytes: Intel's laptops since 2021, AMD's since Zen 5.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(avx_vnni::AvxVnni),
    /// AVX-512 F, BW, VL, DQ and VNNI over AVX2, FMA and F16C: Intel's servers since 2019, AMD since Zen 4. Also `amx`, which is
    /// this with products of tiles of bytes for many tokens: Intel's servers since 2023, where the system permits it.
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    /// NEON as every 64-bit Arm has it.
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    /// With dot products of bytes: Arm's cores since 2018, the Raspberry Pi 5.
    #[cfg(target_arch = "aarch64")]
    DotProd(dotprod::DotProd),
    /// With products of matrices of bytes also: Arm's cores since 2021.
    #[cfg(target_arch = "aarch64")]
    I8mm(i8mm::I8mm),
}

/// Calls the function of this name in the sibling module of the level.
///
/// Siblings are `scalar`, `avx2` and `neon`. Levels with vectors of one width share theirs, whose functions get the
/// level's token first: it is the type by which they reach what the levels do differently. AVX-512 takes `avx2`, which it
/// contains, unless `and avx512` says that there is a sibling of its own.
macro_rules! dispatch {
    ($isa:expr, $name:ident($($arg:expr),* $(,)?)) => {
        $crate::isa::dispatch!($isa, $name($($arg),*), level => avx2::$name(level.avx2(), $($arg),*))
    };
    ($isa:expr, $name:ident($($arg:expr),* $(,)?) and avx512) => {
        $crate::isa::dispatch!($isa, $name($($arg),*), level => avx512::$name(level, $($arg),*))
    };
    ($isa:expr, $name:ident($($arg:expr),*), $avx512:ident => $call:expr) => {
        match $isa {
            $crate::Isa::Scalar => scalar::$name($($arg),*),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the variant's token proves that the features which the sibling enables were detected.
            $crate::Isa::Avx2(level) => unsafe { avx2::$name(level, $($arg),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: likewise; this level contains AVX2.
            $crate::Isa::AvxVnni(level) => unsafe { avx2::$name(level, $($arg),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: likewise; this token proves the features of both siblings that may stand here.
            $crate::Isa::Avx512($avx512) => unsafe { $call },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: likewise.
            $crate::Isa::Neon(level) => unsafe { neon::$name(level, $($arg),*) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: likewise; this level and the next contain NEON.
            $crate::Isa::DotProd(level) => unsafe { neon::$name(level, $($arg),*) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: likewise.
            $crate::Isa::I8mm(level) => unsafe { neon::$name(level, $($arg),*) },
        }
    };
}
pub(crate) use dispatch;

/// Bytes that memory gives at a time, nearly everywhere.
pub(crate) const LINE: usize = 64;

/// Asks for the line of memory at an address, which may lie anywhere, in the second cache.
#[inline(always)]
pub(crate) fn prefetch(address: *const u8) {
    // SAFETY: a prefetch is a hint: it reads nothing that the program sees and never faults; x86-64 always has it.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T1 }>(address.cast());
    }
    // SAFETY: likewise.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!("prfm pldl2keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}

/// Likewise, in the first cache of an x86-64: from memory that brings a little more (Xeon, model 167, a token alone, medians of five by
/// turns: Q4_0 20.3 -> 21.0 GB/s, Q8_0 22.1 -> 23.1, Q4_K 20.1 -> 20.6), on a Zen 3 nothing. Arm's first caches are smaller.
#[inline(always)]
pub(crate) fn prefetch_near(address: *const u8) {
    // SAFETY: as above.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    prefetch(address);
}

/// Likewise the lines of so many bytes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn prefetch_near_all(first: *const u8, n_bytes: usize) {
    for at in (0..n_bytes).step_by(LINE) {
        prefetch_near(first.wrapping_add(at));
    }
}

/// Copies numbers that nobody needs soon to memory, past the caches where that can be: whole lines, which are not fetched first. Other
/// threads see them after [`settle_stores`].
#[inline(always)]
pub(crate) fn store_past_caches<const N: usize>(out: &mut [f32; N], x: &[f32; N]) {
    #[cfg(target_arch = "x86_64")]
    if out.as_ptr().cast::<core::arch::x86_64::__m128>().is_aligned() {
        for (out, x) in out.as_chunks_mut::<4>().0.iter_mut().zip(x.as_chunks::<4>().0) {
            // SAFETY: four floats can be read from one array and written to the other, which is aligned as the store wants it; x86-64
            // always has the instructions.
            unsafe {
                use core::arch::x86_64::*;
                _mm_stream_ps(out.as_mut_ptr(), _mm_loadu_ps(x.as_ptr()));
            }
        }
        return;
    }
    *out = *x;
}

/// What was stored past the caches comes before what is stored after this.
#[inline(always)]
pub(crate) fn settle_stores() {
    // SAFETY: a fence has no operands; x86-64 always has it.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::x86_64::_mm_sfence();
    }
}

/// The names of the levels of this architecture, the scalar first.
const NAMES: &[&str] = &[
    "scalar",
    #[cfg(target_arch = "x86_64")]
    "avx2",
    #[cfg(target_arch = "x86_64")]
    "avxvnni",
    #[cfg(target_arch = "x86_64")]
    "avx512",
    #[cfg(target_arch = "x86_64")]
    "amx",
    #[cfg(target_arch = "aarch64")]
    "neon",
    #[cfg(target_arch = "aarch64")]
    "dotprod",
    #[cfg(target_arch = "aarch64")]
    "i8mm",
];

impl Isa {
    /// The best level of this processor.
    pub fn detect() -> Self {
        *Self::available().last().expect("the scalar level is always there")
    }

    /// Every level that this processor has, the scalar first, the best last.
    pub fn available() -> Vec<Self> {
        [
            Some(Self::Scalar),
            #[cfg(target_arch = "x86_64")]
            avx2::Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "x86_64")]
            avx_vnni::AvxVnni::detect().map(Self::AvxVnni),
            #[cfg(target_arch = "x86_64")]
            avx512::Avx512::detect().map(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            avx512::Avx512::detect().and_then(avx512::Avx512::with_tiles).map(Self::Avx512),
            #[cfg(target_arch = "aarch64")]
            neon::Neon::detect().map(Self::Neon),
            #[cfg(target_arch = "aarch64")]
            dotprod::DotProd::detect().map(Self::DotProd),
            #[cfg(target_arch = "aarch64")]
            i8mm::I8mm::detect().map(Self::I8mm),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The names of all levels of this build, whether this processor has them or not.
    pub fn names() -> &'static [&'static str] {
        NAMES
    }

    /// As `--isa` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(level) if level.amx().is_some() => "amx",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            #[cfg(target_arch = "aarch64")]
            Self::DotProd(_) => "dotprod",
            #[cfg(target_arch = "aarch64")]
            Self::I8mm(_) => "i8mm",
        }
    }

    /// Floats of a vector.
    pub(crate) fn n_floats(self) -> usize {
        match self {
            Self::Scalar => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) | Self::AvxVnni(_) => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => 16,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) | Self::DotProd(_) | Self::I8mm(_) => 4,
        }
    }

    /// Runs plain code compiled with this level's features. What `body` calls must be `#[inline(always)]`, or it stays
    /// what it is: right, but slow. The result has the same bits at every level, for the compiler fuses and reorders
    /// nothing that is not written so.
    #[inline(always)]
    pub fn run<R>(self, body: impl FnOnce() -> R) -> R {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.run(body),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(vnni) => vnni.avx2().run(body),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(avx512) => avx512.run(body),
            // Scalar, and Arm: NEON's features are on wherever aarch64 is compiled for, and others bring plain code nothing.
            _ => body(),
        }
    }

    /// Likewise, but AVX-512 runs what AVX2 does: for large bodies, of which another copy costs more than wider
    /// vectors bring.
    #[inline(always)]
    pub fn run_narrow<R>(self, body: impl FnOnce() -> R) -> R {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.run(body),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(vnni) => vnni.avx2().run(body),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(avx512) => avx512.avx2().run(body),
            _ => body(),
        }
    }
}

/// The name of the level whose code weights of a packing meet where [`dispatch!`] has the same ending: the level's own,
/// or that of a level inside.
macro_rules! sibling {
    ($isa:expr, $packing:expr, $($avx512:tt)*) => {
        match $isa {
            // AVX2 shares its sibling, and only a scale per 32 makes something of the difference.
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::AvxVnni(_) if $packing != $crate::activations::Packing::Int8Per32 => "avx2",
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::Avx512(_) if stringify!($($avx512)*).is_empty() => "avx2",
            // Tiles are of bytes.
            #[cfg(target_arch = "x86_64")]
            $crate::Isa::Avx512(_) if $packing == $crate::activations::Packing::F32 => "avx512",
            isa => isa.name(),
        }
    };
}
pub(crate) use sibling;

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a name gives no level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsaError {
    name: String,
    available: Vec<&'static str>,
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, available } = self;
        if NAMES.contains(&name.as_str()) {
            write!(f, "this processor lacks the instruction set {name}; it has {}", available.join(", "))
        } else {
            write!(f, "there is no instruction set \"{name}\"; this processor has {}", available.join(", "))
        }
    }
}

impl core::error::Error for IsaError {}

impl FromStr for Isa {
    type Err = IsaError;

    /// The level of this name, if this processor has it.
    fn from_str(name: &str) -> Result<Self, IsaError> {
        let available = Self::available();
        available.iter().copied().find(|isa| isa.name() == name).ok_or_else(|| IsaError {
            name: name.to_owned(),
            available: available.iter().map(|isa| isa.name()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_levels_and_back() {
        for isa in Isa::available() {
            assert_eq!(isa.name().parse(), Ok(isa));
            assert!(Isa::names().contains(&isa.name()));
        }
        let error = "sse9".parse::<Isa>().unwrap_err().to_string();
        assert!(
            error.starts_with("there is no instruction set \"sse9\"; this processor has scalar"),
            "{error}"
        );
        for name in Isa::names().iter().filter(|name| name.parse::<Isa>().is_err()) {
            let error = name.parse::<Isa>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("this processor lacks the instruction set {name}; it has")),
                "{error}"
            );
            println!("not run here: {name}");
        }
    }
}
