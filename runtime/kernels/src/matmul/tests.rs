use super::*;
use crate::random::Random;
use blocks::F16;

/// Every type with kernels, and where in its block the half-precision scales are (the rest may hold any bits).
const TYPES: &[(TensorType, &[usize])] = &[
    (TensorType::F32, &[]),
    (TensorType::F16, &[]),
    (TensorType::Bf16, &[]),
    (TensorType::Q4_0, &[0]),
    (TensorType::Q4_1, &[0, 2]),
    (TensorType::Q5_0, &[0]),
    (TensorType::Q5_1, &[0, 2]),
    (TensorType::Q8_0, &[0]),
    (TensorType::Iq4Nl, &[0]),
    (TensorType::Mxfp4, &[]),
    (TensorType::Q2K, &[80, 82]),
    (TensorType::Q3K, &[108]),
    (TensorType::Q4K, &[0, 2]),
    (TensorType::Q5K, &[0, 2]),
    (TensorType::Q6K, &[208]),
    (TensorType::Iq4Xs, &[0]),
    (TensorType::Tq1_0, &[52]),
    (TensorType::Tq2_0, &[64]),
];

const MAX_ROWS: usize = 100;
const MAX_TOKENS: usize = 64;

/// A matrix of random blocks with scales in ±1/64.
fn matrix(ty: TensorType, scales: &[usize], n_rows: usize, n_cols: usize, random: &mut Random) -> Vec<u8> {
    let n_blocks = n_rows * n_cols / ty.block_len();
    let mut bytes = random.bytes(n_blocks * ty.block_bytes());
    for block in bytes.chunks_exact_mut(ty.block_bytes()) {
        for &at in scales {
            block[at..at + 2].copy_from_slice(&F16::from_f32(random.float() / 64.0).0);
        }
        if ty == TensorType::Mxfp4 {
            // Its scale is a power of two, of any size else.
            block[0] = 112 + block[0] % 16;
        }
        match block {
            [a, b, c, d] => [*a, *b, *c, *d] = random.float().to_le_bytes(),
            // The exponent's upper bits come from one: a half and a bfloat16 are both of moderate size then.
            [_, b] => *b = *b & 0x83 | 0x3c,
            _ => (),
        }
    }
    bytes
}

/// `rows × x`, into results that were poisoned, with a gap on either side that must stay as it was.
fn product(team: &Team, rows: Rows<'_>, x: &[f32]) -> Vec<f32> {
    const POISON: f32 = -1.0e30;
    const GAP: usize = 3;
    let (n_rows, n_tokens) = (rows.n_rows(), x.len() / rows.n_cols);
    let mut activations = Activations::new(n_tokens, rows.n_cols, &[rows.ty]);
    activations.pack(team, x, rows.n_cols, &[rows.ty]);
    let stride = n_rows + 2 * GAP;
    let mut out = vec![POISON; n_tokens * stride];
    matmul(team, &activations, &mut [Product { weights: rows, out: &mut out, stride, first: GAP }]);
    out.chunks_exact(stride)
        .flat_map(|out| {
            let (before, out) = out.split_at(GAP);
            let (out, after) = out.split_at(n_rows);
            assert!(before.iter().chain(after).all(|&x| x == POISON), "written beside the results");
            out.to_vec()
        })
        .collect()
}

/// Every level's products of the first rows with the first tokens are those of the scalar's, bit for bit.
fn check_levels(ty: TensorType, n_cols: usize, bytes: &[u8], x: &[f32], rows: &[usize], tokens: &[usize]) {
    let row_bytes = n_cols / ty.block_len() * ty.block_bytes();
    let all = Rows { ty, n_cols, bytes };
    let (n_rows, scalar) = (all.n_rows(), product(&Team::new(1, Isa::Scalar).unwrap(), all, x));
    for isa in Isa::available() {
        let teams = [1, 2, 3, 5].map(|n_threads| Team::new(n_threads, isa).unwrap());
        for (i, (&rows, &tokens)) in
            rows.iter().flat_map(|rows| tokens.iter().map(move |t| (rows, t))).enumerate()
        {
            let some = Rows { bytes: &bytes[..rows * row_bytes], ..all };
            let got = product(&teams[i % 4], some, &x[..tokens * n_cols]);
            for (at, got) in got.iter().enumerate() {
                let (token, row) = (at / rows, at % rows);
                let want = scalar[token * n_rows + row];
                assert!(
                    got.to_bits() == want.to_bits(),
                    "{ty} {isa}, {n_cols} columns, {rows} rows, {tokens} tokens: \
                     row {row}, token {token} is {got:e}, the scalar's {want:e}"
                );
            }
        }
    }
}

/// Of all types with blocks of a length, at all levels: every shape of rows and tokens, over `columns` that end where
/// runs, tiles, vectors and eights do and beside it.
fn check_bits(block_len: usize, columns: &[usize]) {
    let mut random = Random(block_len as u64);
    for &(ty, scales) in TYPES.iter().filter(|(ty, _)| ty.block_len() == block_len) {
        for &n_cols in columns {
            let bytes = matrix(ty, scales, MAX_ROWS, n_cols, &mut random);
            let x = random.floats(MAX_TOKENS * n_cols);
            check_levels(
                ty,
                n_cols,
                &bytes,
                &x,
                &[1, 7, 8, 9, 15, 16, 17, 31, 32, 33, MAX_ROWS],
                &[1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 16, 17, 31, MAX_TOKENS],
            );
        }
    }
}

// Three tests, so that they run beside each other.

#[test]
fn every_level_gives_the_bits_of_the_scalar_for_floats() {
    check_bits(1, &[1, 7, 8, 16, 31, 255, 256, 257, 700, 1032]);
}

#[test]
fn every_level_gives_the_bits_of_the_scalar_for_blocks_of_32() {
    check_bits(32, &[32, 224, 256, 288, 2624]);
}

#[test]
fn every_level_gives_the_bits_of_the_scalar_for_blocks_of_256() {
    check_bits(256, &[256, 1792, 2048, 2304]);
}

#[test]
fn every_level_gives_the_bits_of_the_scalar_for_more_than_one_pass() {
    let (n_rows, n_cols, n_tokens) = (9 * PANEL_ROWS + 1, 512, WIDE_TOKENS + 17);
    let mut random = Random(4);
    for ty in [TensorType::Q4_0, TensorType::Q4K] {
        let (_, scales) = TYPES.iter().find(|&&(tested, _)| tested == ty).expect("it is tested");
        let bytes = matrix(ty, scales, n_rows, n_cols, &mut random);
        let x = random.floats(n_tokens * n_cols);
        check_levels(ty, n_cols, &bytes, &x, &[n_rows], &[PASS_TOKENS + 1, n_tokens]);
    }
}

#[test]
fn every_type_is_tested_and_levels_that_are_not_are_named() {
    for ty in TensorType::all().filter(|&ty| Packing::of(ty).is_some()) {
        assert!(TYPES.iter().any(|&(tested, _)| tested == ty), "{ty}");
        assert!([1, 32, 256].contains(&ty.block_len()), "{ty}");
    }
    let have: Vec<_> = Isa::available().iter().map(|isa| isa.name()).collect();
    println!(
        "levels run: {have:?}; not run: {:?}",
        Isa::names().iter().filter(|n| !have.contains(n)).collect::<Vec<_>>()
    );
}

#[test]
fn the_largest_integers_overflow_nothing() {
    for &(ty, scales) in TYPES.iter().filter(|(ty, _)| ty.is_quantized()) {
        let n_cols = 2 * ty.block_len();
        for fill in [0x00, 0x7f, 0x80, 0x81, 0xff, 0x88, 0xf0, 0x0f] {
            let mut bytes = vec![fill; 17 * 2 * ty.block_bytes()];
            for block in bytes.chunks_exact_mut(ty.block_bytes()) {
                for &at in scales {
                    block[at..at + 2].copy_from_slice(&F16::from_f32(1.0).0);
                }
            }
            for signs in [[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]] {
                let x: Vec<f32> = signs.iter().copied().cycle().take(16 * n_cols).collect();
                check_levels(ty, n_cols, &bytes, &x, &[17], &[1, 7, 16]);
            }
        }
    }
}

#[test]
fn the_scalar_is_near_the_exact_product() {
    let mut random = Random(2);
    let team = Team::new(1, Isa::Scalar).unwrap();
    for &(ty, scales) in TYPES {
        let (n_rows, n_cols, n_tokens) = (5, 1024, 3);
        let bytes = matrix(ty, scales, n_rows, n_cols, &mut random);
        let rows = Rows { ty, n_cols, bytes: &bytes };
        let x = random.floats(n_tokens * n_cols);
        let got = product(&team, rows, &x);
        // What the weights are multiplied with: the activations as they were packed, checked by their own test.
        let mut activations = Activations::new(n_tokens, n_cols, &[ty]);
        activations.pack(&team, &x, n_cols, &[ty]);
        let all = Part { tokens: 0..n_tokens, columns: 0..n_cols };
        let packed: Vec<f64> = match Packing::of(ty).unwrap() {
            Packing::F32 => x.iter().map(|&x| f64::from(x)).collect(),
            Packing::Int8Per32 => {
                let runs = activations.per_32(&all);
                let weight = |token: usize, k: usize| {
                    let run = &runs.at(k / 256)[token];
                    f64::from(run.q.as_flattened()[k % 256]) * f64::from(run.d[k % 256 / 32])
                };
                (0..x.len()).map(|i| weight(i / n_cols, i % n_cols)).collect()
            }
            Packing::Int8Per256 => {
                let runs = activations.per_256(&all);
                let weight = |token: usize, k: usize| {
                    let run = &runs.at(k / 256)[token];
                    f64::from(run.q.as_flattened()[k % 256]) * f64::from(run.d)
                };
                (0..x.len()).map(|i| weight(i / n_cols, i % n_cols)).collect()
            }
        };
        let mut weights = vec![0.0; n_cols];
        for row in 0..n_rows {
            rows.decode(row, &mut weights);
            for (token, x) in packed.chunks(n_cols).enumerate() {
                let terms = weights.iter().zip(x).map(|(&w, &x)| f64::from(w) * x);
                let (exact, size) =
                    terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                // Each term passes at most as many roundings as a row has: an eighth of its columns and three for floats; for blocks
                // with a minimum two a block and a few of the scales.
                let bound = size * (256.0 + 32.0) * f64::from(f32::EPSILON) / 2.0;
                let error = (f64::from(got[token * n_rows + row]) - exact).abs();
                assert!(error <= bound, "{ty} row {row} token {token}: off by {error:e}, at most {bound:e}");
            }
        }
    }
}

#[test]
fn products_of_several_types_share_a_counter_and_a_row_of_results() {
    let mut random = Random(3);
    let (n_cols, n_tokens) = (256, 130);
    let x = random.floats(n_tokens * n_cols);
    let types: Vec<TensorType> = TYPES.iter().map(|&(ty, _)| ty).collect();
    let matrices: Vec<Vec<u8>> = (0..20)
        .map(|i| matrix(types[i % TYPES.len()], TYPES[i % TYPES.len()].1, 33 + i, n_cols, &mut random))
        .collect();
    let rows = |i: usize| Rows { ty: types[i % TYPES.len()], n_cols, bytes: &matrices[i] };
    for isa in Isa::available() {
        for n_threads in [1, 2, 3] {
            let team = Team::new(n_threads, isa).unwrap();
            let mut activations = Activations::new(n_tokens, n_cols, &types);
            activations.pack(&team, &x, n_cols, &types);
            let mut outs: Vec<Vec<f32>> =
                (0..20).map(|i| vec![f32::NAN; n_tokens * rows(i).n_rows()]).collect();
            let mut products: Vec<Product<'_>> = outs
                .iter_mut()
                .enumerate()
                .map(|(i, out)| Product { weights: rows(i), out, stride: rows(i).n_rows(), first: 0 })
                .collect();
            matmul(&team, &activations, &mut products);
            for (i, out) in outs.iter().enumerate() {
                assert_eq!(*out, product(&team, rows(i), &x), "product {i}, {isa}, {n_threads} threads");
            }
        }
    }
}

#[test]
#[should_panic(expected = "activations that were not packed for this type")]
fn weights_without_their_packing_are_refused() {
    let team = Team::new(1, Isa::Scalar).unwrap();
    let mut activations = Activations::new(1, 32, &[TensorType::Q4_0, TensorType::F32]);
    activations.pack(&team, &[0.0; 32], 32, &[TensorType::F32]);
    let weights = Rows { ty: TensorType::Q4_0, n_cols: 32, bytes: &[0; 18] };
    matmul(&team, &activations, &mut [Product { weights, out: &mut [0.0], stride: 1, first: 0 }]);
}

#[test]
fn a_level_without_a_kernel_takes_that_of_one_inside_it() {
    for isa in Isa::available() {
        assert_eq!(kernel(TensorType::Q8_0, isa), Some(isa.name()));
        let name = kernel(TensorType::Tq1_0, isa).unwrap();
        assert!(name == isa.name() || ["avxvnni", "avx512", "amx"].contains(&isa.name()) && name == "avx2");
        let name = kernel(TensorType::F16, isa).unwrap();
        assert!(
            name == isa.name()
                || (isa.name(), name) == ("avxvnni", "avx2")
                || (isa.name(), name) == ("amx", "avx512")
        );
    }
}
