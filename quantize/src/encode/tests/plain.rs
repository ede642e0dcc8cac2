//! What weights become by each format's formula without any search.

use blocks::{FP4_LEVELS, IQ4_LEVELS, TensorType};
use half::f16;

/// A type, and what one block becomes by its format's formula without any search, as ggml's reference quantizers have
/// it.
pub(super) type Plain = (TensorType, fn(&[f32]) -> Vec<f32>);

pub(super) const ENCODED: [Plain; 18] = [
    (TensorType::F32, |x| x.to_vec()),
    (TensorType::F16, |x| vec![half(x[0])]),
    (TensorType::Bf16, |x| vec![half::bf16::from_f32(x[0]).to_f32()]),
    (TensorType::Q4_0, |x| plain_symmetric(x, 8.0)),
    (TensorType::Q4_1, |x| plain_affine(x, 15.0)),
    (TensorType::Q5_0, |x| plain_symmetric(x, 16.0)),
    (TensorType::Q5_1, |x| plain_affine(x, 31.0)),
    (TensorType::Q8_0, |x| {
        let d = extreme(x).abs() / 127.0;
        x.iter().map(|x| (x * inverse(d)).round() * half(d)).collect()
    }),
    (TensorType::Q2K, |x| plain_affine_groups::<16>(x, 3.0, 15.0)),
    (TensorType::Q3K, |x| plain_groups::<16>(x, &integers(4), 32.0)),
    (TensorType::Q4K, |x| plain_affine_groups::<32>(x, 15.0, 63.0)),
    (TensorType::Q5K, |x| plain_affine_groups::<32>(x, 31.0, 63.0)),
    (TensorType::Q6K, |x| plain_groups::<16>(x, &integers(32), 128.0)),
    (TensorType::Iq4Nl, |x| {
        let d = extreme(x) / IQ4_LEVELS[0] as f32;
        x.iter().map(|x| half(d) * nearest(&IQ4_LEVELS, x * inverse(d))).collect()
    }),
    (TensorType::Iq4Xs, |x| plain_groups::<32>(x, &IQ4_LEVELS, 32.0)),
    (TensorType::Mxfp4, |x| {
        let max = extreme(x).abs();
        let d = if max > 0.0 { (max.log2().floor() - 3.0).clamp(-126.0, 125.0).exp2() } else { 0.0 };
        x.iter().map(|x| d * nearest(&FP4_LEVELS, x * inverse(d))).collect()
    }),
    (TensorType::Tq1_0, plain_ternary),
    (TensorType::Tq2_0, plain_ternary),
];

/// What weights become by the plain formula.
pub(super) fn plainly((ty, block): Plain, weights: &[f32]) -> Vec<f32> {
    weights.chunks(ty.block_len()).flat_map(block).collect()
}

fn half(x: f32) -> f32 {
    f16::from_f32(x).to_f32()
}

fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

/// The largest becomes −n.
fn plain_symmetric(x: &[f32], n: f32) -> Vec<f32> {
    let d = -extreme(x) / n;
    let q = |x: &f32| (x * inverse(d) + n + 0.5).floor().min(2.0 * n - 1.0) - n;
    x.iter().map(|x| q(x) * half(d)).collect()
}

/// The smallest becomes 0, the largest `top`.
fn plain_affine(x: &[f32], top: f32) -> Vec<f32> {
    let (min, max) = x.iter().fold((f32::MAX, f32::MIN), |(min, max), &x| (min.min(x), max.max(x)));
    let d = (max - min) / top;
    let q = |x: &f32| ((x - min) * inverse(d) + 0.5).floor().min(top);
    x.iter().map(|x| q(x) * half(d) + half(min)).collect()
}

pub(super) fn extreme(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |best: f32, &x| if x.abs() > best.abs() { x } else { best })
}

fn integers(n: i8) -> Vec<i8> {
    (-n..n).collect()
}

fn nearest(levels: &[i8], y: f32) -> f32 {
    let levels = levels.iter().map(|&level| level as f32);
    levels.reduce(|a, b| if (b - y).abs() < (a - y).abs() { b } else { a }).unwrap()
}

/// In each group the largest becomes the lowest level; the largest scale becomes −top.
fn plain_groups<const GROUP: usize>(x: &[f32], levels: &[i8], top: f32) -> Vec<f32> {
    let steps: Vec<f32> = x.chunks(GROUP).map(|group| extreme(group) / levels[0] as f32).collect();
    let d = extreme(&steps) / -top;
    let decoded = x.chunks(GROUP).zip(steps).flat_map(|(group, step)| {
        let step = half(d) * (step * inverse(d)).round().clamp(-top, top - 1.0);
        group.iter().map(move |x| step * nearest(levels, x * inverse(step)))
    });
    decoded.collect()
}

/// In each group the smallest, or 0, becomes 0, the largest `highest`; the largest scale and minimum become `top`.
fn plain_affine_groups<const GROUP: usize>(x: &[f32], highest: f32, top: f32) -> Vec<f32> {
    let ends = |group: &[f32]| group.iter().fold((0.0_f32, 0.0_f32), |(a, b), &x| (a.min(x), b.max(x)));
    let ends: Vec<_> = x.chunks(GROUP).map(ends).collect();
    let (d, dmin) = ends.iter().fold((0.0_f32, 0.0_f32), |(d, dmin), (min, max)| {
        (d.max((max - min) / highest / top), dmin.max(-min / top))
    });
    let decoded = x.chunks(GROUP).zip(ends).flat_map(|(group, (min, max))| {
        let step = half(d) * ((max - min) / highest * inverse(d)).round().min(top);
        let offset = half(dmin) * (-min * inverse(dmin)).round().min(top);
        group.iter().map(move |x| ((x + offset) * inverse(step)).round().clamp(0.0, highest) * step - offset)
    });
    decoded.collect()
}

/// The largest becomes 1 or −1.
fn plain_ternary(x: &[f32]) -> Vec<f32> {
    let d = extreme(x).abs();
    x.iter().map(|x| (x * inverse(d)).round() * half(d)).collect()
}
