//! See the parent.

use crate::isa::avx512::{Avx512, load_32, store_floats};
use blocks::F16;
use core::arch::x86_64::*;

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) fn to_f32(_level: Avx512, halves: &[F16], out: &mut [f32]) {
    let ((halves, halves_rest), (out, out_rest)) = (halves.as_chunks::<16>(), out.as_chunks_mut::<16>());
    for (halves, out) in halves.iter().zip(out) {
        store_floats(out, _mm512_cvtph_ps(load_32(bytemuck::cast_ref(halves))));
    }
    super::scalar::to_f32(halves_rest, out_rest);
}
