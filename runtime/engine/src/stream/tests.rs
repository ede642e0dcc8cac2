//! Sessions over streams of tiny models: from disks that work, with any part of the weights kept, and from disks that
//! do not.

use super::*;
use crate::source::Source;
use crate::tiny::{Random, Tiny, write};
use crate::{MemoryPlan, Session, SessionOptions};
use blocks::TensorType;
use kernels::{CacheType, CacheTypes};
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A disk in memory.
#[derive(Debug)]
struct TestDisk {
    bytes: Vec<u8>,
    alignment: usize,
    /// Some reads bring less than they could.
    short: Option<Mutex<u64>>,
    /// Reads that begin before this byte and end after it fail.
    bad_byte: Arc<AtomicU64>,
    is_written: Arc<AtomicBool>,
    /// What each read takes.
    latency: Duration,
}

impl TestDisk {
    fn of(bytes: Vec<u8>) -> Self {
        let (bad_byte, is_written) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::default());
        Self { bytes, alignment: 512, short: None, bad_byte, is_written, latency: Duration::ZERO }
    }
}

impl Disk for TestDisk {
    fn alignment(&self) -> usize {
        self.alignment
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        assert!(offset.is_multiple_of(self.alignment as u64) && buffer.len().is_multiple_of(self.alignment));
        assert!(buffer.as_ptr().addr().is_multiple_of(self.alignment));
        if !self.latency.is_zero() {
            std::thread::sleep(self.latency);
        }
        let bad = self.bad_byte.load(Ordering::Relaxed);
        if (offset..offset + buffer.len() as u64).contains(&bad) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let rest = self.bytes.get(offset as usize..).unwrap_or_default();
        let mut n = rest.len().min(buffer.len());
        if let Some(random) = &self.short {
            let mut state = random.lock().unwrap();
            let mut random = Random(*state);
            match random.next() % 4 {
                0 => n = n.min(random.next() as usize % 1500 + self.alignment),
                1 => {
                    return Err(ErrorKind::Interrupted.into()).inspect_err(|_: &io::Error| *state = random.0);
                }
                _ => {}
            }
            *state = random.0;
        }
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn is_unchanged(&self) -> bool {
        !self.is_written.load(Ordering::Relaxed)
    }
}

impl Stream<'_> {
    /// Memory that kept weights take now.
    pub(crate) fn kept_bytes(&self) -> u64 {
        let sum = self.kept.iter().flatten().map(|loaded| loaded.map.len() as u64).sum();
        assert_eq!(self.kept_bytes, sum);
        sum
    }
}

const SMALL: StreamOptions = StreamOptions { piece_bytes: 8192, ahead_bytes: 20_000, n_readers: Some(2) };

/// A model and the bytes of its file.
fn model(tiny: &Tiny) -> (Model, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    write(&path, &tiny.metadata(), &tiny.tensors());
    (Model::open(&path).unwrap(), std::fs::read(path).unwrap())
}

fn options() -> SessionOptions {
    let cache = Some(CacheTypes::both(CacheType::F16));
    SessionOptions { threads: 2, batch: 32, cache, ..Default::default() }
}

/// A session that keeps `pinned_bytes` of its weights and streams the others.
fn streamed(
    model: &Model,
    pinned_bytes: u64,
    disk: TestDisk,
    how: StreamOptions,
) -> Result<Session<'_>, Error> {
    let mut plan = MemoryPlan::new(model, &SessionOptions { max_ram: Some(0), context: 128, ..options() });
    plan.batch = 32;
    let source = Source::Streamed(Box::new(Stream::from_disk(model, how, Box::new(disk))?));
    let mut session = Session::of(model, &options(), plan, source)?;
    session.keep(pinned_bytes);
    Ok(session)
}

/// Logits after some of 70 tokens, of which the first ones come at once.
fn logits(session: &mut Session<'_>) -> Result<Vec<u32>, Error> {
    let mut random = Random(3);
    let tokens: Vec<u32> = (0..70).map(|_| (random.next() % 300) as u32).collect();
    let mut bits = Vec::new();
    let mut feed = |session: &mut Session<'_>, tokens: &[u32]| {
        session.feed_each(
            tokens,
            |index| index % 3 == 0,
            |_, row| bits.extend(row.iter().map(|x| x.to_bits())),
        )
    };
    feed(session, &tokens[..50])?;
    tokens[50..].chunks(2).try_for_each(|tokens| feed(session, tokens))?;
    Ok(bits)
}

#[test]
fn streamed_weights_give_the_bits_of_mapped_ones() {
    for (tied, ty) in [(false, TensorType::F32), (true, TensorType::Q4_0), (false, TensorType::Q8_0)] {
        let tiny = Tiny { tied, ty, rope_factors: true, ..Tiny::new() };
        let (model, bytes) = model(&tiny);
        let expected = logits(&mut Session::new(&model, &options()).unwrap()).unwrap();
        let all = model.weights().n_bytes;
        for pinned_bytes in [0, all / 3, all * 4 / 5, 1 << 30] {
            for (alignment, piece_bytes, ahead_bytes, n_readers) in
                [(512, 8192, 20_000, 2), (4096, 1, 1, 1), (1, 20_000, 1 << 20, 3)]
            {
                let disk = TestDisk {
                    alignment,
                    short: Some(Mutex::new(pinned_bytes + 7)),
                    ..TestDisk::of(bytes.clone())
                };
                let how = StreamOptions { piece_bytes, ahead_bytes, n_readers: Some(n_readers) };
                let mut session = streamed(&model, pinned_bytes, disk, how).unwrap();
                assert!(logits(&mut session).unwrap() == expected, "{ty}, {pinned_bytes} kept, {how:?}");
            }
        }
    }
}

#[test]
fn what_is_kept_is_read_once() {
    let (model, bytes) = model(&Tiny::new());
    let matrices = model.weights().matrices().map(|matrix| model.file().tensors()[matrix.tensor].n_bytes);
    let all: u64 = matrices.sum();
    for pinned_bytes in [0, all / 4, all / 2, all * 3 / 4, 1 << 30] {
        let mut session = streamed(&model, pinned_bytes, TestDisk::of(bytes.clone()), SMALL).unwrap();
        let mut before = 0;
        for pass in 0..6 {
            session.feed(&[5]).unwrap();
            let read = session.read_bytes() - before;
            before += read;
            let kept = session.kept_bytes();
            // What is ahead of the pass, or was at its start, may be read in another.
            let ahead = (SMALL.ahead_bytes + SMALL.piece_bytes) as u64;
            assert!(kept <= pinned_bytes, "{kept} kept of {pinned_bytes}");
            let passing = if pass == 0 { all } else { all.saturating_sub(kept) };
            assert!(read <= passing + ahead, "pass {pass}, {pinned_bytes} kept: {read} read of {passing}");
            if pinned_bytes == 1 << 30 && pass > 0 {
                assert_eq!(read, 0);
            }
            assert!(pinned_bytes > 0 || read + ahead >= all, "{read} read");
        }
    }
}

#[test]
fn a_disk_that_waits_gets_more_readers() {
    let (model, bytes) = model(&Tiny::new());
    let expected = logits(&mut Session::new(&model, &options()).unwrap()).unwrap();
    let disk = TestDisk { latency: Duration::from_millis(2), ..TestDisk::of(bytes) };
    let how = StreamOptions { piece_bytes: 2048, ahead_bytes: 1 << 20, n_readers: None };
    let mut session = streamed(&model, 0, disk, how).unwrap();
    let start = std::time::Instant::now();
    let mut n_readers = None;
    while n_readers.is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "never settled");
        session.truncate(0);
        assert!(logits(&mut session).unwrap() == expected);
        n_readers = session.stream().unwrap().n_readers();
    }
    assert!(n_readers > Some(2), "{n_readers:?}");
}

#[test]
fn a_prompt_takes_one_pass_whatever_its_length() {
    let (model, bytes) = model(&Tiny::new());
    let matrices = model.weights().matrices().map(|matrix| model.file().tensors()[matrix.tensor].n_bytes);
    let all: u64 = matrices.sum();
    let ahead = 2 * model.layer_bytes() + (SMALL.ahead_bytes + SMALL.piece_bytes) as u64;
    let tokens = [9; 100];
    let expected = Session::new(&model, &options()).unwrap().feed(&tokens).unwrap().to_vec();
    for (part, one_pass) in [(1, false), (7, true), (8, true), (20, true)] {
        let mut session = streamed(&model, all * part / 8, TestDisk::of(bytes.clone()), SMALL).unwrap();
        for _ in 0..3 {
            session.truncate(0);
            let before = session.read_bytes();
            assert_eq!(session.feed(&tokens).unwrap(), expected);
            let read = session.read_bytes() - before;
            assert_eq!(read <= all + ahead, one_pass, "{read} of {all}, {part} eighths kept");
        }
        // What was held for the prompt is given back.
        session.feed(&[5]).unwrap();
        assert!(session.kept_bytes() <= all * part / 8);
    }
}

#[test]
fn who_watches_a_prompt_may_end_it() {
    let (model, bytes) = model(&Tiny::new());
    let tokens = [9; 100];
    let expected = Session::new(&model, &options()).unwrap().feed(&tokens).unwrap().to_vec();
    let all = model.weights().n_bytes;
    for pinned_bytes in [0, all * 7 / 8] {
        let mut session = streamed(&model, pinned_bytes, TestDisk::of(bytes.clone()), SMALL).unwrap();
        let parts = std::cell::RefCell::new(Vec::new());
        let parts: &'static _ = Box::leak(Box::new(parts));
        session.watch(|done, all| {
            parts.borrow_mut().push((done, all));
            if parts.borrow().len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(session.feed(&tokens), Err(Error::Stopped)));
        let n = if pinned_bytes == 0 { 2 } else { 8 };
        assert_eq!(parts.borrow()[..2], [(1, n), (2, n)]);
        session.truncate(0);
        assert_eq!(session.feed(&tokens).unwrap(), expected);
        session.feed(&[5]).unwrap();
        let told = parts.borrow().len();
        session.feed(&[5]).unwrap();
        assert_eq!(parts.borrow().len(), told, "a token alone is not worth it");
    }
}

#[test]
fn a_streamed_session_forgets_as_a_mapped_one_does() {
    let (model, bytes) = model(&Tiny::new());
    let all = model.weights().n_bytes;
    let tokens = [9; 128];
    let text = |session: &mut Session<'_>| {
        session.feed(&tokens).unwrap();
        session.forget(64).unwrap();
        session.feed(&[5, 6]).unwrap().to_vec()
    };
    let expected = text(&mut Session::new(&model, &options()).unwrap());
    for pinned_bytes in [0, all / 2, 1 << 30] {
        let mut session = streamed(&model, pinned_bytes, TestDisk::of(bytes.clone()), SMALL).unwrap();
        assert_eq!(text(&mut session), expected, "{pinned_bytes} kept");
    }
    // A disk that fails meanwhile leaves an empty session.
    let disk = TestDisk::of(bytes);
    let bad_byte = Arc::clone(&disk.bad_byte);
    let mut session = streamed(&model, 0, disk, SMALL).unwrap();
    session.feed(&tokens).unwrap();
    let breaks_at = |name| bad_byte.store(model.file().tensor(name).unwrap().offset, Ordering::Relaxed);
    breaks_at("blk.0.ffn_up.weight");
    assert!(session.forget(64).is_err());
    assert_eq!((session.position(), session.n_unbroken()), (0, 0));
    // What is kept of a text are keys and values: the last layer makes nothing else of it.
    breaks_at("blk.1.ffn_up.weight");
    session.feed_each(&tokens, |_| false, |_, _| ()).unwrap();
    session.forget(64).unwrap();
    bad_byte.store(u64::MAX, Ordering::Relaxed);
    session.truncate(0);
    assert_eq!(text(&mut session), expected);
}

#[test]
fn kept_weights_give_way_and_come_back() {
    let (model, bytes) = model(&Tiny::new());
    let tokens = [7, 8, 9];
    let mut mapped = Session::new(&model, &options()).unwrap();
    let mut session = streamed(&model, 1 << 30, TestDisk::of(bytes), SMALL).unwrap();
    for pinned_bytes in [1 << 30, 40_000, 0, 100_000, 20_000, 1 << 30] {
        for token in tokens {
            session.keep(pinned_bytes);
            let found = session.feed(&[token]).unwrap().to_vec();
            assert!(session.kept_bytes() <= pinned_bytes, "at the end of a pass");
            assert_eq!(found, mapped.feed(&[token]).unwrap(), "{pinned_bytes} kept");
        }
    }
}

#[test]
fn a_neighbour_is_given_what_it_needs_and_no_more() {
    let (model, bytes) = model(&Tiny::new());
    let mut mapped = Session::new(&model, &options()).unwrap();
    // A machine of so many bytes, of which weights and a neighbour take theirs.
    let (machine, reserve) = (600_000, 80_000);
    let neighbour = Arc::new(AtomicU64::new(0));
    let kept = Arc::new(AtomicU64::new(0));
    let mut session = streamed(&model, 400_000, TestDisk::of(bytes), SMALL).unwrap();
    let (of_neighbour, of_kept) = (Arc::clone(&neighbour), Arc::clone(&kept));
    let available = move || {
        let taken = of_neighbour.load(Ordering::Relaxed) + of_kept.load(Ordering::Relaxed);
        u64::saturating_sub(machine, taken)
    };
    session.stream().unwrap().give_way(reserve, Duration::from_micros(100), available).unwrap();
    for (needs, least) in
        [(0, 320_000), (200_000, 250_000), (300_000, 150_000), (700_000, 0), (100_000, 300_000)]
    {
        neighbour.store(needs, Ordering::Relaxed);
        let most = u64::saturating_sub(machine - reserve / 2, needs);
        let start = std::time::Instant::now();
        while !(least..=most).contains(&kept.load(Ordering::Relaxed)) {
            assert!(start.elapsed() < Duration::from_secs(20), "{needs} needed, {kept:?} kept");
            session.keep(400_000);
            let found = session.feed(&[6]).unwrap().to_vec();
            assert_eq!(found, mapped.feed(&[6]).unwrap());
            session.truncate(0);
            mapped.truncate(0);
            kept.store(session.kept_bytes(), Ordering::Relaxed);
        }
    }
}

#[test]
fn a_disk_that_fails_ends_in_a_sentence_and_may_recover() {
    let (model, bytes) = model(&Tiny::new());
    let expected = logits(&mut Session::new(&model, &options()).unwrap()).unwrap();
    let bad_place = model.file().tensor("blk.1.ffn_up.weight").unwrap().offset + 5000;
    let disk = TestDisk::of(bytes.clone());
    let (bad_byte, is_written) = (Arc::clone(&disk.bad_byte), Arc::clone(&disk.is_written));
    let mut session = streamed(&model, 0, disk, SMALL).unwrap();
    bad_byte.store(bad_place, Ordering::Relaxed);
    for _ in 0..3 {
        let error = logits(&mut session).unwrap_err().to_string();
        assert!(
            error.contains("cannot be read") && error.contains("tiny.gguf: 8192 bytes at byte"),
            "{error}"
        );
        assert_eq!(session.position(), 0);
    }
    bad_byte.store(u64::MAX, Ordering::Relaxed);
    assert!(logits(&mut session).unwrap() == expected);

    is_written.store(true, Ordering::Relaxed);
    let error = session.feed(&[1]).unwrap_err().to_string();
    assert!(error.contains("written to while it was in use"), "{error}");

    // Cut in a matrix, and in a vector that is read at the start.
    for tensor in ["output.weight", "blk.1.ffn_norm.weight"] {
        let cut = model.file().tensor(tensor).unwrap().offset as usize + 100;
        let session = streamed(&model, 1 << 30, TestDisk::of(bytes[..cut].to_vec()), SMALL);
        let error = session.and_then(|mut session| logits(&mut session)).unwrap_err().to_string();
        assert!(error.contains("cut while in use"), "{tensor}: {error}");
    }
}

#[test]
fn a_file_is_read_past_the_cache_or_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    let tiny = Tiny::new();
    write(&path, &tiny.metadata(), &tiny.tensors());
    let model = Model::open(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let disk = || DiskFile::open(model.file()).unwrap();
    let check = |disk: DiskFile| {
        let mut map = ring::new_map(disk::buffer_bytes(&disk, 70_000)).unwrap();
        for (offset, len) in [(0, 4), (4095, 4098), (bytes.len() - 3, 3), (bytes.len() - 60_001, 60_001)] {
            let place = disk::read(&disk, &mut map, offset as u64, len).unwrap();
            assert_eq!(&map[place], &bytes[offset..offset + len]);
        }
        let beyond = disk::read(&disk, &mut map, bytes.len() as u64 - 3, 4).unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::UnexpectedEof);
    };
    check(disk());
    check(disk().refused());
    // A read that is refused as it comes: the address is no multiple of anything. Others go on behind the cache.
    let refusing = disk();
    let mut map = ring::new_map(8192).unwrap();
    assert_eq!(refusing.read_at(&mut map[1..4097], 0).unwrap(), 4096);
    assert_eq!(map[1..4097], bytes[..4096]);
    check(refusing);
    // Another file under its name: the one that was opened is read.
    let sound = disk();
    std::fs::rename(&path, folder.path().join("old")).unwrap();
    std::fs::write(&path, vec![0; bytes.len()]).unwrap();
    check(disk());
    assert!(sound.is_unchanged());
    std::fs::write(folder.path().join("old"), &bytes).unwrap();
    assert!(!sound.is_unchanged());
}
