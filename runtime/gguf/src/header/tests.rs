//! Files built by hand, and one check for whatever is wrong with them.

use super::*;
use crate::Value;

/// A file in the making.
#[derive(Clone, Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn header(n_tensors: u64, n_keys: u64) -> Self {
        Self::default().raw(b"GGUF").u32(3).u64(n_tensors).u64(n_keys)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u32(self, number: u32) -> Self {
        self.raw(&number.to_le_bytes())
    }

    fn u64(self, number: u64) -> Self {
        self.raw(&number.to_le_bytes())
    }

    fn string(self, text: &[u8]) -> Self {
        self.u64(text.len() as u64).raw(text)
    }

    fn tensor(self, name: &str, shape: &[u64], ty: u32, offset: u64) -> Self {
        let start = self.string(name.as_bytes()).u32(shape.len() as u32);
        shape.iter().fold(start, |bytes, &dim| bytes.u64(dim)).u32(ty).u64(offset)
    }

    /// Zeros up to a multiple of 32, and `n_bytes` of data.
    fn data(mut self, n_bytes: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(32) + n_bytes, 0);
        self
    }
}

/// Two keys and two tensors of 32 and 36 bytes. The header is 198 bytes, the data begins at 224.
fn small() -> Bytes {
    Bytes::header(2, 2)
        .string(b"general.alignment")
        .u32(4)
        .u32(32)
        .string(b"words")
        .u32(9)
        .u32(8)
        .u64(2)
        .string(b"a")
        .string(b"bc")
        .tensor("t", &[8], 0, 0)
        .tensor("u", &[32, 2], 2, 32)
}

#[track_caller]
fn check(bytes: &Bytes, offset: u64, field: &str, problem: &str) {
    let found = parse(&bytes.0).expect_err(problem);
    assert_eq!((found.offset, found.field.as_str()), (offset, field), "{found:?}");
    assert!(found.problem.contains(problem), "{found:?} should say: {problem}");
}

#[test]
fn a_good_file_is_read() {
    for version in [2u8, 3] {
        let mut file = small().data(32 + 36);
        file.0[4] = version;
        let header = parse(&file.0).unwrap();
        assert_eq!((header.version, header.alignment, header.metadata.len()), (version.into(), 32, 2));
        let places: Vec<_> = header.tensors.iter().map(|t| (t.name.as_str(), t.offset, t.n_bytes)).collect();
        let data = small().data(0).0.len() as u64;
        assert_eq!(places, [("t", data, 32), ("u", data + 32, 36)]);
        assert_eq!((header.tensors[1].n_cols(), header.tensors[1].n_rows()), (32, 2));
        assert_eq!(header.tensors[1].n_elements(), 64);
    }
}

#[test]
fn a_file_may_hold_a_vocabulary_alone() {
    let file = Bytes::header(0, 1).string(b"k").u32(7).raw(&[1]);
    let header = parse(&file.0).unwrap();
    assert_eq!((header.metadata.get("k"), header.tensors.len()), (Some(&Value::Bool(true)), 0));
}

#[test]
fn tensors_may_lie_in_any_order() {
    let file = Bytes::header(2, 0).tensor("t", &[8], 0, 32).tensor("u", &[8], 0, 0).data(64);
    let header = parse(&file.0).unwrap();
    assert_eq!(header.tensors[0].offset, header.tensors[1].offset + 32);
}

#[test]
fn what_is_no_gguf_is_named() {
    let safetensors = Bytes::default().u64(2).raw(b"{}").0;
    for (bytes, says) in [
        (&b""[..], "the file is empty"),
        (b"<!DOCTYPE html><html>", "a saved HTML page"),
        (b"\n  <html>", "a saved HTML page"),
        (
            b"PK\x03\x04....",
            "a zip archive, perhaps a PyTorch checkpoint: give its folder to `llamita convert`",
        ),
        (b"\x80\x02ctorch", "a Python pickle"),
        (&safetensors, "a safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"{\"error\": \"not found\"}", "this is JSON"),
        (b"tjgg\x03\0\0\0", "a GGML file from before GGUF"),
        (&[0; 64], "it begins with zeros"),
        (b"\x1bEntry", "it begins with `\\x1bEnt`, not `GGUF`"),
    ] {
        check(&Bytes::default().raw(bytes), 0, "magic", says);
    }
}

#[test]
fn other_versions_are_named() {
    for (version, says) in [
        (0, "GGUF version 0 is unknown"),
        (1, "GGUF version 1 (August 2023)"),
        (4, "GGUF version 4 is unknown: versions 2 and 3 are read"),
        (3u32.swap_bytes(), "big-endian"),
    ] {
        check(&Bytes::default().raw(b"GGUF").u32(version).u64(0).u64(0), 4, "version", says);
    }
}

#[test]
fn declared_counts_are_compared_with_the_file() {
    let huge = 1 << 63;
    check(
        &Bytes::header(huge, 0),
        8,
        "number of tensors",
        "9223372036854775808, but at most 131072 are read",
    );
    check(&Bytes::header(0, huge), 16, "number of metadata keys", "9223372036854775808, but at most 262144");
    check(&Bytes::header(9, 0), 8, "number of tensors", "9, but the file has only 8 bytes for them");
    check(&Bytes::header(0, 9), 16, "number of metadata keys", "9, but the file has only 0 bytes for them");
    for item in [0, 8, 10] {
        let array = Bytes::header(0, 1).string(b"k").u32(9).u32(item).u64(huge).data(64);
        check(&array, 41, "metadata key `k`", "9223372036854775808, but the file has only");
    }
    let string = Bytes::header(0, 1).string(b"k").u32(8).u64(huge).data(64);
    check(&string, 45, "metadata key `k`", "needs 9223372036854775808 bytes, but the file has");
    let key = Bytes::header(0, 1).u64(huge).data(64);
    check(&key, 32, "name of metadata key 0", "needs 9223372036854775808 bytes");
}

#[test]
fn bad_keys_are_refused() {
    let one = |key: &[u8], ty: u32, value: &[u8]| Bytes::header(0, 1).string(key).u32(ty).raw(value).data(32);
    let alignment = |ty, value: &[u8]| one(b"general.alignment", ty, value);
    let (empty, named) = ("name of metadata key 0", "metadata key `general.alignment`");
    for (bytes, offset, field, says) in [
        (one(b"", 0, &[0]), 24, empty, "it is empty"),
        (one(b"a\xff\x1b", 0, &[0]), 24, empty, "`a\u{fffd}\\u{1b}` is no UTF-8"),
        (one(&[b'k'; 65_536], 0, &[0]), 24, empty, "it has 65536 bytes, more than 65535"),
        (one(b"k", 13, &[]), 33, "metadata key `k`", "unknown value type 13"),
        (one(b"k", 7, &[2]), 37, "metadata key `k`", "a bool is 0 or 1, not 2"),
        (one(b"\x1b", 13, &[]), 33, "metadata key `\\u{1b}`", "unknown value type"),
        (one(b"k", 9, &[9, 0, 0, 0]), 37, "metadata key `k`", "an array of arrays"),
        (one(b"k", 9, &[13, 0, 0, 0]), 37, "metadata key `k`", "unknown value type 13"),
        (
            one(b"k", 9, &[7, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 9]),
            51,
            "metadata key `k`",
            "a bool is 0 or 1, not 9",
        ),
        (alignment(4, &[0, 0, 0, 0]), 49, named, "0 is no power of two"),
        (alignment(4, &[3, 0, 0, 0]), 49, named, "3 is no power of two"),
        (alignment(10, &[32, 0, 0, 0, 0, 0, 0, 0]), 49, named, "found u64, expected u32"),
        (alignment(8, &[1, 0, 0, 0, 0, 0, 0, 0, b'8']), 49, named, "found string, expected u32"),
    ] {
        check(&bytes, offset, field, says);
    }
    let twice = Bytes::header(0, 2).string(b"k").u32(0).raw(&[1]).string(b"k").u32(0).raw(&[1]);
    check(&twice, 38, "metadata key `k`", "stands twice");
}

#[test]
fn bad_tensors_are_refused() {
    let one = |shape: &[u64], ty, offset| Bytes::header(1, 0).tensor("t", shape, ty, offset).data(64);
    // The name ends at byte 33; the offset of a one-dimensional tensor stands at 49.
    for (bytes, offset, says) in [
        (one(&[], 0, 0), 33, "it has 0 dimensions, not 1 to 4"),
        (one(&[1; 5], 0, 0), 33, "it has 5 dimensions, not 1 to 4"),
        (one(&[8, 0], 0, 0), 33, "its shape [8, 0] has an empty dimension"),
        (one(&[33], 2, 0), 33, "its rows of 33 weights are no whole blocks: Q4_0 has 32 weights in each"),
        (one(&[1 << 32, 1 << 32], 24, 0), 33, "is too big"),
        (one(&[1 << 63], 0, 0), 33, "is too big"),
        (one(&[1 << 62, 3], 24, 0), 57, "its data ends at byte 13835058055282163808"),
        (one(&[8], 4, 0), 45, "unknown tensor type 4"),
        (one(&[8], 0, 8), 49, "its offset 8 is no multiple of the alignment 32"),
        (one(&[8], 0, u64::MAX - 31), 49, "does not fit 64 bits"),
        (
            one(&[8], 0, 64),
            49,
            "its data ends at byte 160, but the file has 128 bytes: the download may be incomplete",
        ),
        (one(&[17], 0, 0), 49, "its data ends at byte 132, but the file has 128 bytes"),
    ] {
        check(&bytes, offset, "tensor `t`", says);
    }
    let named = |name: &str| Bytes::header(1, 0).tensor(name, &[8], 0, 0).data(64);
    check(&named(""), 24, "name of tensor 0", "it is empty");
    let twice = Bytes::header(2, 0).tensor("t", &[8], 0, 0).tensor("t", &[8], 0, 32).data(64);
    check(&twice, 57, "tensor `t`", "stands twice");
    for ((t_len, t_offset), (u_len, u_offset), at, says) in [
        ((8, 0), (8, 0), 82, "its data overlaps that of `t`"),
        ((9, 0), (8, 32), 82, "its data overlaps that of `t`"),
        ((8, 32), (9, 0), 49, "its data overlaps that of `u`"),
    ] {
        let overlap =
            Bytes::header(2, 0).tensor("t", &[t_len], 0, t_offset).tensor("u", &[u_len], 0, u_offset);
        let field = if at == 82 { "tensor `u`" } else { "tensor `t`" };
        check(&overlap.data(128), at, field, says);
    }
}

#[test]
fn a_header_cut_anywhere_is_refused() {
    let whole = small().data(32 + 36).0;
    for n_bytes in 0..whole.len() {
        let found = parse(&whole[..n_bytes]).expect_err("a part of a file");
        assert!(found.offset <= n_bytes as u64, "{n_bytes}: {found:?}");
        assert!(
            n_bytes == 0 || found.problem.contains("the download may be incomplete"),
            "{n_bytes}: {found:?}"
        );
    }
    parse(&whole).unwrap();
}
