//! Files of which a dead run left a part.

use super::*;
use std::os::unix::fs::FileExt;

const PIECES: [&[u8]; 4] = [b"the header", &[7; 3 << 20], b"x", b"the last"];
const N_BYTES: u64 = 10 + (3 << 20) + 1 + 8;

fn fingerprint(of: &str) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.add(of.as_bytes());
    fingerprint
}

fn begin(path: &Path, of: &str) -> Output {
    Output::recoverable(path, N_BYTES, &fingerprint(of)).unwrap()
}

/// What is noted of a piece.
fn note(piece: &[u8]) -> &'static str {
    if piece.len() > 1000 { "note of the long one" } else { "" }
}

/// Writes what is not there; how many pieces were.
fn write(output: &mut Output, pieces: &[&[u8]]) -> usize {
    let mut n_recovered = 0;
    for piece in pieces {
        if let Some(found) = output.recover(piece.len() as u64).unwrap() {
            assert_eq!(found, note(piece));
            n_recovered += 1;
        } else {
            piece.chunks(1 << 20).for_each(|part| output.write(part).unwrap());
            output.seal(note(piece)).unwrap();
        }
    }
    n_recovered
}

/// A run that ended after so many pieces and half of the next one: the names of its file and its journal.
fn leave(path: &Path, n_pieces: usize) -> (PathBuf, PathBuf) {
    let mut output = begin(path, "this");
    write(&mut output, &PIECES[..n_pieces]);
    if let Some(next) = PIECES.get(n_pieces) {
        output.write(&next[..next.len() / 2]).unwrap();
        output.file.flush().unwrap();
    }
    let partial = output.file.get_ref().path().to_owned();
    output.keep();
    let journal = Journal::path_of(&partial);
    (partial, journal)
}

#[track_caller]
fn check(path: &Path, of: &str, n_expected: usize, case: &str) {
    let mut output = begin(path, of);
    assert_eq!(write(&mut output, &PIECES), n_expected, "{case}");
    output.finish().unwrap();
    assert!(fs::read(path).unwrap() == PIECES.concat(), "{case}");
    assert_eq!(names(path.parent().unwrap()), ["m.gguf"], "{case}");
}

#[test]
fn what_is_whole_is_taken_over() {
    for n_pieces in 0..=PIECES.len() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        leave(&path, n_pieces);
        assert_eq!(names(folder.path()).len(), 2, "a file and its journal");
        check(&path, "this", n_pieces, &format!("{n_pieces} pieces"));
    }
}

#[test]
fn what_is_damaged_is_written_again() {
    type Damage = fn(&fs::File, &fs::File);
    let damages: [(&str, usize, Damage); 10] = [
        ("a bit in the header", 0, |file, _| file.write_all_at(b"T", 0).unwrap()),
        ("a bit in the second piece", 1, |file, _| file.write_all_at(&[6], 2 << 20).unwrap()),
        ("a bit in the third", 2, |file, _| file.write_all_at(b"y", 10 + (3 << 20)).unwrap()),
        ("the file cut in the second piece", 1, |file, _| file.set_len(1 << 20).unwrap()),
        ("the file empty", 0, |file, _| file.set_len(0).unwrap()),
        ("the journal's last line torn", 2, |_, journal| {
            journal.set_len(journal.metadata().unwrap().len() - 1).unwrap();
        }),
        ("the journal without lines", 0, |_, journal| journal.set_len(35).unwrap()),
        ("the journal empty", 0, |_, journal| journal.set_len(0).unwrap()),
        ("letters in the journal's second line", 1, |_, journal| {
            journal.write_all_at(b"zz", 35 + 35).unwrap()
        }),
        // Behind two numbers of 16 digits with their spaces.
        ("a letter in its note", 1, |_, journal| journal.write_all_at(b"N", 35 + 35 + 34).unwrap()),
    ];
    for (case, n_expected, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        let (partial, journal) = leave(&path, 3);
        let open = |path| fs::File::options().write(true).open(path).unwrap();
        damage(&open(&partial), &open(&journal));
        check(&path, "this", n_expected, case);
    }
}

#[test]
fn what_is_taken_over_may_be_left_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    leave(&path, 1);
    let mut output = begin(&path, "this");
    assert_eq!(write(&mut output, &PIECES[..2]), 1);
    output.keep();
    // Left before anything was checked, and before all of it was.
    begin(&path, "this").keep();
    let mut output = begin(&path, "this");
    assert_eq!(output.recover(PIECES[0].len() as u64).unwrap().as_deref(), Some(""));
    output.keep();
    check(&path, "this", 2, "four runs");
}

#[test]
fn what_was_amended_is_taken_over_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let mut output = begin(&path, "this");
    write(&mut output, &PIECES);
    output.amend(4, b"HEAD", 10).unwrap();
    output.keep();
    let mut output = begin(&path, "this");
    assert_eq!(write(&mut output, &PIECES), 4);
    output.amend(5, b"ea", 10).unwrap();
    output.finish().unwrap();
    assert!(fs::read(&path).unwrap() == [b"the HeaDer", &PIECES[1..].concat()[..]].concat());
}

#[test]
fn another_file_is_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    leave(&path, 3);
    check(&path, "other", 0, "another fingerprint");
    // One that is made at once takes nothing over.
    leave(&path, 3);
    drop(Output::create(&path, N_BYTES).unwrap());
    assert_eq!(names(folder.path()), ["m.gguf"]);
    // A journal whose file is gone.
    let (partial, _) = leave(&path, 3);
    fs::remove_file(partial).unwrap();
    check(&path, "this", 0, "a journal alone");
}

#[test]
fn of_two_that_were_left_the_longer_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let mut outputs = [1, 3, 2].map(|n_pieces| (begin(&path, "this"), n_pieces));
    outputs.iter_mut().for_each(|(output, n_pieces)| {
        write(output, &PIECES[..*n_pieces]);
    });
    assert_eq!(begin(&path, "this").recover(10).unwrap(), None, "all are being written");
    outputs.into_iter().for_each(|(output, _)| output.keep());
    check(&path, "this", 3, "three were left");
}

#[test]
fn a_file_that_changes_changes_the_fingerprint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights");
    let of = |path: &Path| {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add_file(path).unwrap();
        format!("{fingerprint:?}")
    };
    fs::write(&path, "1").unwrap();
    let first = of(&path);
    assert_eq!(of(&path), first);
    let moved = folder.path().join("moved");
    fs::create_dir(&moved).unwrap();
    fs::rename(&path, moved.join("weights")).unwrap();
    assert_eq!(of(&moved.join("weights")), first);
    fs::rename(moved.join("weights"), folder.path().join("other")).unwrap();
    assert_ne!(of(&folder.path().join("other")), first);
    fs::write(&path, "22").unwrap();
    assert_ne!(of(&path), first);
    fs::write(&path, "3").unwrap();
    assert_ne!(of(&path), first, "a later time");
    assert!(
        Fingerprint::default().add_file(&moved).is_ok()
            && Fingerprint::default().add_file(&path.join("x")).is_err()
    );
}
