//! Keys of a head, kept turned: see [`super::cache`].

use super::TILE;
use super::cache::{CacheType, RUN, to_q4_0, to_q8_0};
use crate::{Isa, halves};
use blocks::{F16, F32};
use bytemuck::{Pod, Zeroable};
use std::ops::Range;

/// Blocks of so many positions, turned.
trait Turned: Pod {
    /// Replaces a position's block.
    fn store(&mut self, position: usize, x: &[f32; RUN]);

    /// The scale of each position.
    fn scales(&self) -> &[F16; TILE];

    /// The integers, for which there is room if they have to be unpacked.
    fn columns<'a>(&'a self, room: &'a mut [[i8; TILE]; RUN]) -> &'a [[i8; TILE]; RUN];
}

/// Q8_0.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Q8_0Keys {
    d: [F16; TILE],
    q: [[i8; TILE]; RUN],
}

/// Q4_0. Byte `p` of a column has position `p` in its low four bits and position `p + 32` in its high.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Q4_0Keys {
    d: [F16; TILE],
    q: [[u8; TILE / 2]; RUN],
}

const _: () = assert!(size_of::<Q8_0Keys>() == TILE * size_of::<blocks::Q8_0>());
const _: () = assert!(size_of::<Q4_0Keys>() == TILE * size_of::<blocks::Q4_0>());

impl Turned for Q8_0Keys {
    #[inline(always)]
    fn store(&mut self, position: usize, x: &[f32; RUN]) {
        let (d, q) = to_q8_0(x);
        self.d[position] = d;
        for (column, q) in self.q.iter_mut().zip(q) {
            column[position] = q;
        }
    }

    #[inline(always)]
    fn scales(&self) -> &[F16; TILE] {
        &self.d
    }

    #[inline(always)]
    fn columns<'a>(&'a self, _: &'a mut [[i8; TILE]; RUN]) -> &'a [[i8; TILE]; RUN] {
        &self.q
    }
}

impl Turned for Q4_0Keys {
    #[inline(always)]
    fn store(&mut self, position: usize, x: &[f32; RUN]) {
        let (d, q) = to_q4_0(x);
        self.d[position] = d;
        let (byte, shift) = (position % (TILE / 2), position / (TILE / 2) * 4);
        for (column, q) in self.q.iter_mut().zip(q) {
            column[byte] = column[byte] & !(15 << shift) | q << shift;
        }
    }

    #[inline(always)]
    fn scales(&self) -> &[F16; TILE] {
        &self.d
    }

    #[inline(always)]
    fn columns<'a>(&'a self, room: &'a mut [[i8; TILE]; RUN]) -> &'a [[i8; TILE]; RUN] {
        // All of them before any is a float: each loop has numbers of one width.
        for (q, nibbles) in room.iter_mut().zip(&self.q) {
            let (low, high) = q.split_at_mut(TILE / 2);
            for i in 0..TILE / 2 {
                low[i] = (nibbles[i] & 15) as i8 - 8;
                high[i] = (nibbles[i] >> 4) as i8 - 8;
            }
        }
        room
    }
}

#[inline(always)]
fn scales(isa: Isa, d: &[F16; TILE]) -> [f32; TILE] {
    let mut scales = [0.0; TILE];
    halves::to_f32(isa, d, &mut scales);
    scales
}

/// Puts a position's key into its head.
#[inline(always)]
pub(super) fn store(isa: Isa, ty: CacheType, head: &mut [u8], position: usize, x: &[f32]) {
    let tile_bytes = TILE * ty.position_bytes(x.len());
    let tile = &mut head[position / TILE * tile_bytes..][..tile_bytes];
    let position = position % TILE;
    match ty {
        CacheType::F32 => {
            for (column, &x) in bytemuck::cast_slice_mut::<u8, [F32; TILE]>(tile).iter_mut().zip(x) {
                column[position] = F32::from_f32(x);
            }
        }
        CacheType::F16 => {
            let columns = bytemuck::cast_slice_mut::<u8, [F16; TILE]>(tile);
            for (columns, x) in columns.chunks_mut(RUN).zip(x.chunks(RUN)) {
                let mut rounded = [F16([0; 2]); RUN];
                halves::from_f32(isa, x, &mut rounded[..x.len()]);
                for (column, x) in columns.iter_mut().zip(rounded) {
                    column[position] = x;
                }
            }
        }
        CacheType::Q8_0 => store_blocks::<Q8_0Keys>(tile, position, x),
        CacheType::Q4_0 => store_blocks::<Q4_0Keys>(tile, position, x),
    }
}

#[inline(always)]
fn store_blocks<B: Turned>(tile: &mut [u8], position: usize, x: &[f32]) {
    for (block, x) in bytemuck::cast_slice_mut::<u8, B>(tile).iter_mut().zip(x.chunks(RUN)) {
        block.store(position, &padded(x));
    }
}

/// A block's numbers, zeros where the head has no more.
#[inline(always)]
pub(super) fn padded(x: &[f32]) -> [f32; RUN] {
    let mut block = [0.0; RUN];
    block[..x.len()].copy_from_slice(x);
    block
}

/// Columns of a tile as floats; the first is the beginning of a block.
#[inline(always)]
pub(super) fn take(
    isa: Isa,
    ty: CacheType,
    head: &[u8],
    head_dim: usize,
    tile: usize,
    columns: Range<usize>,
    out: &mut [[f32; TILE]],
) {
    let tile_bytes = TILE * ty.position_bytes(head_dim);
    let tile = &head[tile * tile_bytes..][..tile_bytes];
    match ty {
        CacheType::F32 => {
            for (out, column) in out.iter_mut().zip(&bytemuck::cast_slice::<u8, [F32; TILE]>(tile)[columns]) {
                *out = column.map(F32::to_f32);
            }
        }
        CacheType::F16 => {
            let columns = &bytemuck::cast_slice::<u8, [F16; TILE]>(tile)[columns];
            halves::to_f32(isa, columns.as_flattened(), out.as_flattened_mut());
        }
        CacheType::Q8_0 => take_blocks::<Q8_0Keys>(isa, tile, columns.start, out),
        CacheType::Q4_0 => take_blocks::<Q4_0Keys>(isa, tile, columns.start, out),
    }
}

#[inline(always)]
fn take_blocks<B: Turned>(isa: Isa, tile: &[u8], first: usize, out: &mut [[f32; TILE]]) {
    let blocks = &bytemuck::cast_slice::<u8, B>(tile)[first / RUN..];
    let mut room = [[0; TILE]; RUN];
    for (block, out) in blocks.iter().zip(out.chunks_mut(RUN)) {
        let d = scales(isa, block.scales());
        for (out, q) in out.iter_mut().zip(block.columns(&mut room)) {
            for i in 0..TILE {
                out[i] = f32::from(q[i]) * d[i];
            }
        }
    }
}

/// What a tile's keys add to one query's scores, without being written down as floats; `before` is called before each block.
/// Not for types without blocks.
#[inline(always)]
pub(super) fn add_scores(
    isa: Isa,
    ty: CacheType,
    tile: &[u8],
    q: &[f32],
    scores: &mut [f32; TILE],
    before: impl FnMut(),
) {
    match ty {
        CacheType::F32 | CacheType::F16 => unreachable!("{ty} has no blocks"),
        CacheType::Q8_0 => add_blocks::<Q8_0Keys>(isa, tile, q, scores, before),
        CacheType::Q4_0 => add_blocks::<Q4_0Keys>(isa, tile, q, scores, before),
    }
}

#[inline(always)]
fn add_blocks<B: Turned>(
    isa: Isa,
    tile: &[u8],
    q: &[f32],
    scores: &mut [f32; TILE],
    mut before: impl FnMut(),
) {
    let mut room = [[0; TILE]; RUN];
    for (block, q) in bytemuck::cast_slice::<u8, B>(tile).iter().zip(q.chunks(RUN)) {
        before();
        let (d, columns) = (scales(isa, block.scales()), block.columns(&mut room));
        // So many positions at a time that their sums and scales stay in registers.
        for (at, scores) in scores.as_chunks_mut::<AT_ONCE>().0.iter_mut().enumerate() {
            let d = &d.as_chunks::<AT_ONCE>().0[at];
            let mut sums = *scores;
            for (&q, column) in q.iter().zip(columns) {
                let column = &column.as_chunks::<AT_ONCE>().0[at];
                for i in 0..AT_ONCE {
                    sums[i] = q.mul_add(f32::from(column[i]) * d[i], sums[i]);
                }
            }
            *scores = sums;
        }
    }
}

/// Positions whose scores are summed together.
const AT_ONCE: usize = 32;
