//! Values of a head, a position after the other: see [`super::cache`].

use super::cache::{CacheType, RUN, to_q4_0, to_q8_0};
use super::keys::padded;
use crate::{Isa, halves};
use blocks::{Block, F16, F32, Q4_0, Q8_0};
use std::ops::Range;

/// Puts a position's value into its head.
#[inline(always)]
pub(super) fn store(isa: Isa, ty: CacheType, head: &mut [u8], position: usize, x: &[f32]) {
    let row_bytes = ty.position_bytes(x.len());
    let row = &mut head[position * row_bytes..][..row_bytes];
    match ty {
        CacheType::F32 => {
            for (number, &x) in bytemuck::cast_slice_mut::<u8, F32>(row).iter_mut().zip(x) {
                *number = F32::from_f32(x);
            }
        }
        CacheType::F16 => halves::from_f32(isa, x, bytemuck::cast_slice_mut(row)),
        CacheType::Q8_0 => {
            for (block, x) in bytemuck::cast_slice_mut::<u8, Q8_0>(row).iter_mut().zip(x.chunks(RUN)) {
                let (d, q) = to_q8_0(&padded(x));
                *block = Q8_0 { d, q };
            }
        }
        CacheType::Q4_0 => {
            for (block, x) in bytemuck::cast_slice_mut::<u8, Q4_0>(row).iter_mut().zip(x.chunks(RUN)) {
                let (d, q) = to_q4_0(&padded(x));
                *block = Q4_0 { d, q: std::array::from_fn(|i| q[i] | q[i + RUN / 2] << 4) };
            }
        }
    }
}

/// Values of some positions as floats, [`CacheType::row_len`] apart.
#[inline(always)]
pub(super) fn take(
    isa: Isa,
    ty: CacheType,
    head: &[u8],
    head_dim: usize,
    positions: Range<usize>,
    out: &mut [f32],
) {
    let row_bytes = ty.position_bytes(head_dim);
    let rows = &head[positions.start * row_bytes..positions.end * row_bytes];
    match ty {
        CacheType::F32 => {
            for (out, number) in out.iter_mut().zip(bytemuck::cast_slice::<u8, F32>(rows)) {
                *out = number.to_f32();
            }
        }
        CacheType::F16 => halves::to_f32(isa, bytemuck::cast_slice(rows), out),
        CacheType::Q8_0 => take_blocks::<Q8_0>(isa, rows, out),
        CacheType::Q4_0 => take_blocks::<Q4_0>(isa, rows, out),
    }
}

/// A block whose numbers are integers times a scale.
trait Scaled: Block {
    fn scale(&self) -> F16;

    /// Its numbers, by the scale as a float.
    fn take(&self, d: f32, out: &mut [f32; RUN]);
}

impl Scaled for Q8_0 {
    #[inline(always)]
    fn scale(&self) -> F16 {
        self.d
    }

    #[inline(always)]
    fn take(&self, d: f32, out: &mut [f32; RUN]) {
        *out = self.q.map(|q| f32::from(q) * d);
    }
}

impl Scaled for Q4_0 {
    #[inline(always)]
    fn scale(&self) -> F16 {
        self.d
    }

    #[inline(always)]
    fn take(&self, d: f32, out: &mut [f32; RUN]) {
        let (low, high) = out.as_mut_slice().split_at_mut(RUN / 2);
        low.copy_from_slice(&self.q.map(|q| (i32::from(q & 15) - 8) as f32 * d));
        high.copy_from_slice(&self.q.map(|q| (i32::from(q >> 4) - 8) as f32 * d));
    }
}

/// Scales become floats some at a time: there is no plain code for one.
#[inline(always)]
fn take_blocks<B: Scaled>(isa: Isa, rows: &[u8], out: &mut [f32]) {
    const AT_A_TIME: usize = 16;
    let (blocks, out) = (bytemuck::cast_slice::<u8, B>(rows), out.as_chunks_mut::<RUN>().0);
    for (blocks, out) in blocks.chunks(AT_A_TIME).zip(out.chunks_mut(AT_A_TIME)) {
        let (mut halves, mut scales) = ([F16([0; 2]); AT_A_TIME], [0.0; AT_A_TIME]);
        for (half, block) in halves.iter_mut().zip(blocks) {
            *half = block.scale();
        }
        halves::to_f32(isa, &halves, &mut scales);
        for ((block, d), out) in blocks.iter().zip(scales).zip(out) {
            block.take(d, out);
        }
    }
}
