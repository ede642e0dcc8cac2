//! AMX: tiles of sixteen rows of 64 bytes, and products of two of them as sums of 32 bits. Intel's servers since 2023.

use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;
use std::sync::LazyLock;

/// The proof that this processor multiplies tiles of bytes, and that the system lets this program do so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amx(());

impl Amx {
    /// Asks the processor and the system.
    pub(crate) fn detect() -> Option<Self> {
        /// AMX-TILE and AMX-INT8, in EDX of leaf 7.
        const FEATURES: u32 = 3 << 24;
        static HAS_TILES: LazyLock<bool> =
            LazyLock::new(|| __cpuid_count(7, 0).edx & FEATURES == FEATURES && is_permitted());
        HAS_TILES.then_some(Self(()))
    }

    /// Gives the tiles their shapes, rows and bytes of each.
    pub(crate) fn tiles(self, shapes: [(u8, u16); N_TILES]) -> Tiles {
        let mut config = Config { palette: 1, ..Config::default() };
        for (i, (n_rows, n_bytes)) in shapes.into_iter().enumerate() {
            assert!(n_rows <= 16 && n_bytes <= 64, "a tile has sixteen rows of 64 bytes");
            (config.n_rows[i], config.n_bytes[i]) = (n_rows, n_bytes);
        }
        let mut before = Config::default();
        // SAFETY: this token proves that there are tiles; 64 bytes are written, and 64 of a valid configuration read.
        unsafe {
            asm!("sttilecfg [{}]", in(reg) &mut before, options(nostack, preserves_flags));
            asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, preserves_flags, readonly));
        }
        Tiles { before, thread: PhantomData }
    }
}

/// Asks Linux for the room that tiles take in the state of each thread; once for the process.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_PRCTL: u64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const TILE_DATA: u64 = 18;
    let result: i64;
    // SAFETY: this call takes two numbers and touches no memory of the program; the kernel's convention spares all
    // registers but these.
    unsafe {
        asm!("syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") TILE_DATA,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result == 0
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// What `ldtilecfg` reads.
#[derive(Default)]
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    n_bytes: [u16; 16],
    n_rows: [u8; 16],
}

/// How many tiles there are.
pub(crate) const N_TILES: usize = 8;

/// Tokens of a tile. Fewer are not for tiles.
pub(crate) const STEP_TOKENS: usize = 16;

/// The first token of a step. The last step begins as early as to be whole; what it computes anew is dropped.
pub(crate) fn first_token(step: usize, n_tokens: usize) -> usize {
    (step * STEP_TOKENS).min(n_tokens - STEP_TOKENS)
}

/// Sums of a product of tiles: a row has sixteen.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Sums(pub(crate) [[i32; 16]; 16]);

/// The tiles of this thread with their shapes, given back at the end as they were: ggml, which runs by turns with llamita in a benchmark,
/// shapes a thread's once. The compiler has no use for tiles, so that they hold from one of these calls to the next, and calls are made
/// in the order in which they are written.
pub(crate) struct Tiles {
    before: Config,
    thread: PhantomData<*const ()>,
}

impl Tiles {
    /// Loads rows into a tile that lie `stride` bytes apart.
    ///
    /// # Safety
    /// The rows and bytes of the tile's shape can be read from there.
    #[inline(always)]
    pub(crate) unsafe fn load<const TILE: usize>(&self, rows: *const u8, stride: usize) {
        // SAFETY: the caller's promise; that `self` is there proves that there are tiles.
        unsafe {
            asm!("tileloadd tmm{tile}, [{rows} + {stride}]", tile = const TILE, rows = in(reg) rows, stride = in(reg) stride,
                options(nostack, preserves_flags, readonly));
        }
    }

    /// Fills a tile with zeros.
    #[inline(always)]
    pub(crate) fn zero<const TILE: usize>(&self) {
        // SAFETY: as above; no memory is touched.
        unsafe { asm!("tilezero tmm{tile}", tile = const TILE, options(nomem, nostack, preserves_flags)) };
    }

    /// Adds to the sums in tile `SUMS` the products of signed bytes: row `t` and column `r` get `Σ A[t][4j + i] · B[j][4r + i]`.
    #[inline(always)]
    pub(crate) fn add_products<const SUMS: usize, const A: usize, const B: usize>(&self) {
        // SAFETY: as above.
        unsafe {
            asm!("tdpbssd tmm{sums}, tmm{a}, tmm{b}", sums = const SUMS, a = const A, b = const B,
                options(nomem, nostack, preserves_flags));
        }
    }

    /// Likewise with unsigned bytes in `B`.
    #[inline(always)]
    pub(crate) fn add_unsigned_products<const SUMS: usize, const A: usize, const B: usize>(&self) {
        // SAFETY: as above.
        unsafe {
            asm!("tdpbsud tmm{sums}, tmm{a}, tmm{b}", sums = const SUMS, a = const A, b = const B,
                options(nomem, nostack, preserves_flags));
        }
    }

    /// Stores the sums of a tile, whose shape must be sixteen rows of sixteen.
    #[inline(always)]
    pub(crate) fn store<const TILE: usize>(&self, sums: &mut Sums) {
        let stride = size_of_val(&sums.0[0]);
        // SAFETY: as above; no tile has more than sixteen rows of 64 bytes, which are these.
        unsafe {
            asm!("tilestored [{sums} + {stride}], tmm{tile}", tile = const TILE, sums = in(reg) sums.0.as_mut_ptr(),
                stride = in(reg) stride, options(nostack, preserves_flags));
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: as above; this is what the processor itself has written. Where there were no shapes it frees the tiles, without which
        // a switch between threads would save eight of them.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &self.before, options(nostack, preserves_flags, readonly)) };
    }
}
