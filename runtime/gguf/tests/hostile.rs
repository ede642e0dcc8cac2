//! Damaged files: opening them never panics, and takes memory by what they hold, not by what they declare.
//!
//! One test in a binary of its own: its allocator counts whatever the process allocates.

use gguf::{Array, Error, File, Metadata, Strings, TensorSpec, Value, Writer};
use llamita_gguf as gguf;
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts the bytes in use, and remembers the most.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let in_use = IN_USE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(in_use, Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `alloc` above got the pointer from the same allocator with the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What opening a file may take beside four times its header.
const ALLOWED_BYTES: usize = 32 << 20;

/// Makes the file these bytes, and zeros up to `n_bytes`. In place: a file that is cut to nothing first is flushed by
/// some file systems, which takes milliseconds.
fn write(path: &Path, bytes: &[u8], n_bytes: u64) {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(n_bytes).unwrap();
}

/// Opens these bytes as a file, and checks what that took; `header_bytes` of them are no tensor data.
#[track_caller]
fn open(path: &Path, bytes: &[u8], header_bytes: usize) -> Result<File, Error> {
    write(path, bytes, bytes.len() as u64);
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let opened = File::open(path);
    let taken = PEAK.load(Relaxed) - before;
    assert!(taken <= ALLOWED_BYTES + 4 * header_bytes, "{taken} bytes for a header of {header_bytes}");
    opened
}

/// A small file with a bit of everything.
fn small(path: &Path) -> Vec<u8> {
    let mut metadata = Metadata::default();
    metadata.set("general.architecture", "llama");
    metadata.set("general.alignment", 32u32);
    metadata.set("llama.block_count", 1u32);
    metadata.set("tokenizer.ggml.tokens", Strings::from_iter(["<unk>", "<s>", "</s>", "a"]));
    metadata.set("tokenizer.ggml.scores", vec![0f32, -1.0, -2.0, -3.0]);
    metadata.set("tokenizer.ggml.add_bos_token", true);
    metadata.set("flags", vec![true, false]);
    let spec = |name: &str, shape: &[u64], ty| TensorSpec { name: name.into(), shape: shape.into(), ty };
    let specs = [
        spec("token_embd.weight", &[32, 4], blocks::TensorType::Q4_0),
        spec("output_norm.weight", &[32], blocks::TensorType::F32),
    ];
    let mut writer = Writer::create(path, &metadata, &specs).unwrap();
    specs.iter().for_each(|spec| writer.write(&vec![7; spec.n_bytes().unwrap() as usize]).unwrap());
    writer.finish().unwrap();
    std::fs::read(path).unwrap()
}

/// A header with these counts, then `body`.
fn header(n_tensors: u64, n_keys: u64, body: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(n_tensors.to_le_bytes());
    bytes.extend(n_keys.to_le_bytes());
    bytes.extend(body);
    bytes
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

#[test]
fn memory_follows_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.gguf");
    flipped_bits(&path);
    cut_files(&path);
    many_small_things(&path);
    hollow_declarations(&path);
}

fn flipped_bits(path: &Path) {
    let good = small(path);
    let header_bytes = good.len() - 7 * 32; // the data: 4 × 18 and 128 bytes, padded
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    let mut refused = 0;
    for _ in 0..30_000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random % 3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let bit = (random >> 8) as usize % (8 * header_bytes);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        match open(path, &bytes, bytes.len()) {
            // What opens is whole: every tensor's bytes are there to be read.
            Ok(file) => file.tensors().iter().for_each(|tensor| {
                assert_eq!(file.bytes(tensor).len() as u64, tensor.n_bytes);
            }),
            Err(error) => {
                assert!(matches!(error, Error::Malformed { .. }), "{error}");
                refused += 1;
            }
        }
    }
    assert!(
        (3_000..30_000).contains(&refused),
        "{refused} of 30000 refused: the flips do not do what they should"
    );
}

fn cut_files(path: &Path) {
    let good = small(path);
    for n_bytes in 0..good.len() {
        let error = open(path, &good[..n_bytes], n_bytes).expect_err("a part of a file");
        assert!(matches!(error, Error::Malformed { .. }), "{error}");
    }
    open(path, &good, good.len()).unwrap();
}

/// The worst that a file of a given size can hold.
fn many_small_things(path: &Path) {
    for n_keys in [100_000, 1 << 18] {
        let keys =
            (0..n_keys).flat_map(|index: u64| [string(&format!("{index:x}")), vec![7, 0, 0, 0, 1]].concat());
        let bytes = header(0, n_keys, keys);
        let file = open(path, &bytes, bytes.len()).unwrap();
        assert_eq!(file.metadata().len() as u64, n_keys);
        assert_eq!(file.metadata().bool("1869f"), Ok(Some(true)));
    }

    let n_tensors = 1u64 << 17;
    let tensors = (0..n_tensors).flat_map(|index| {
        let rest =
            [&1u32.to_le_bytes()[..], &1u64.to_le_bytes(), &24u32.to_le_bytes(), &(32 * index).to_le_bytes()];
        [string(&format!("{index:x}")), rest.concat()].concat()
    });
    let mut bytes = header(n_tensors, 0, tensors);
    let header_bytes = bytes.len();
    bytes.resize(header_bytes.next_multiple_of(32) + 32 * n_tensors as usize, 0);
    let file = open(path, &bytes, header_bytes).unwrap();
    assert_eq!(file.tensor("1ffff").map(|tensor| tensor.offset), Some(bytes.len() as u64 - 32));

    let n_strings = 5_000_000u64;
    let array = [9u32, 8].into_iter().flat_map(u32::to_le_bytes).chain(n_strings.to_le_bytes());
    let bytes = header(0, 1, string("k").into_iter().chain(array).chain((0..8 * n_strings).map(|_| 0)));
    let file = open(path, &bytes, bytes.len()).unwrap();
    assert!(
        matches!(file.metadata().get("k"), Some(Value::Array(Array::String(all))) if all.len() == 5_000_000)
    );
}

/// A file with much data, whose header declares as much as that lets it, and holds nothing of it.
fn hollow_declarations(path: &Path) {
    let data_bytes = 256u64 << 20;
    let strings = string("k").into_iter().chain([9u32, 8].into_iter().flat_map(u32::to_le_bytes));
    let strings = strings.chain((data_bytes / 8 - 8).to_le_bytes()).chain(u64::MAX.to_le_bytes());
    for bytes in [header(1 << 17, 1 << 18, u64::MAX.to_le_bytes()), header(0, 1, strings)] {
        write(path, &bytes, data_bytes);
        let before = IN_USE.load(Relaxed);
        PEAK.store(before, Relaxed);
        let error = File::open(path).unwrap_err();
        assert!(error.to_string().contains("needs 18446744073709551615 bytes"), "{error}");
        assert!(PEAK.load(Relaxed) - before < ALLOWED_BYTES, "{} bytes", PEAK.load(Relaxed) - before);
    }
}
