//! Conversions that are killed, stopped, or run out of disk.

use crate::bad_output::Disk;
use crate::{Ended, arg, deep_checkpoint, llamita};
use rustix::fs::{FallocateFlags, fallocate};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Moments at which a conversion is killed.
const N_KILLS: u32 = 20;

/// What is in a folder, by name.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let names = folder.read_dir().expect("the folder").flatten();
    names.map(|entry| entry.file_name().into_string().expect("our own names")).collect()
}

/// The first file in a folder whose name ends so.
fn file_that_ends(folder: &Path, end: &str) -> Option<PathBuf> {
    names(folder).iter().find(|name| name.ends_with(end)).map(|name| folder.join(name))
}

fn convert(checkpoint: &Path, output: &Path, more: &[&str]) -> Command {
    let mut command = llamita(["convert", arg(checkpoint), "--type", "q5_1", "-o", arg(output)]);
    command.args(more).stderr(Stdio::piped());
    command
}

fn kill(mut child: Child) -> Ended {
    child.kill().expect("it can be killed");
    Ended::from(child.wait_with_output().expect("it ends"))
}

#[test]
fn killed_at_any_moment_it_goes_on_and_the_file_is_the_same() {
    let folder = TempDir::new().expect("a folder");
    let checkpoint = folder.path().join("deep");
    deep_checkpoint(&checkpoint);
    let (expected, out) = (folder.path().join("expected.gguf"), folder.path().join("out"));
    std::fs::create_dir(&out).expect("a folder");
    let start = Instant::now();
    let ended = Ended::from(convert(&checkpoint, &expected, &[]).output().expect("the binary runs"));
    let time = start.elapsed();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let expected = std::fs::read(expected).expect("it was written");
    let output = out.join("m.gguf");
    let is_right = || std::fs::read(&output).is_ok_and(|file| file == expected);

    let mut random = 20_u32;
    for round in 0..N_KILLS {
        // Every fourth run does not ask for what is there, and goes on with it all the same.
        let more: &[&str] = if round % 4 == 3 { &[] } else { &["--resume"] };
        let child = convert(&checkpoint, &output, more).spawn().expect("the binary runs");
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Up to half of the time that all of it takes, so that several runs are needed for one file.
        std::thread::sleep(time.mul_f64(f64::from(random >> 8) / f64::from(1 << 25)));
        let ended = kill(child);
        if ended.status == Some(0) {
            assert!(is_right(), "round {round}: {}", ended.stderr);
            std::fs::remove_file(&output).expect("it is there");
        } else {
            // It may have ended its file in the moment before.
            assert!(!output.exists() || is_right(), "round {round}: {}", ended.stderr);
        }
        let left = names(&out);
        let n_ending = |end: &str| left.iter().filter(|name| name.ends_with(end)).count();
        assert!(n_ending(".partial") <= 1 && n_ending(".journal") <= 1, "round {round}: {left:?}");
    }

    // And once when something is there for certain.
    let kill = |child: &mut Child| child.kill().expect("it can be killed");
    stopped(&output, 30, || convert(&checkpoint, &output, &[]), kill);
    // Whoever was killed may not know of --resume.
    let ended = Ended::from(convert(&checkpoint, &output, &[]).output().expect("the binary runs"));
    assert!(ended.status == Some(0) && is_right(), "{}", ended.stderr);
    assert!(ended.stderr.contains("going on behind"), "{}", ended.stderr);
    assert_eq!(names(&out), ["m.gguf"]);
}

/// Starts a conversion in an empty folder and stops it when its journal has so many lines; a fast machine may have ended its
/// file by then, or between that look and the stop, and it is started anew.
fn stopped(output: &Path, n_lines: usize, call: impl Fn() -> Command, stop: impl Fn(&mut Child)) -> Ended {
    let folder = output.parent().expect("a folder");
    for _ in 0..100 {
        // One that was killed behind its file's last byte leaves a journal alone, whose lines are not this one's.
        for name in names(folder) {
            std::fs::remove_file(folder.join(name)).expect("it is there");
        }
        let mut child = call().spawn().expect("the binary runs");
        if wait_for_lines(&mut child, folder, n_lines) {
            stop(&mut child);
        }
        let ended = Ended::from(child.wait_with_output().expect("it ends"));
        if ended.status != Some(0) && !output.exists() {
            return ended;
        }
    }
    panic!("each of a hundred conversions ended before it was stopped");
}

/// Waits until a conversion's journal has so many lines; false if it has ended before.
fn wait_for_lines(child: &mut Child, folder: &Path, n: usize) -> bool {
    let start = Instant::now();
    let n_lines = || {
        let journal = file_that_ends(folder, ".journal").and_then(|path| std::fs::read_to_string(path).ok());
        journal.map_or(0, |text| text.lines().count())
    };
    while n_lines() < n {
        if child.try_wait().expect("its state").is_some() {
            return false;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was converted");
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

#[test]
fn a_signal_keeps_what_is_done_if_it_is_to_go_on() {
    if crate::ends::signals_are_ignored() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let checkpoint = folder.path().join("deep");
    deep_checkpoint(&checkpoint);
    let out = folder.path().join("out");
    std::fs::create_dir(&out).expect("a folder");
    let output = out.join("m.gguf");
    let interrupt = |child: &mut Child| crate::ends::signal(child, rustix::process::Signal::INT);
    let ended = stopped(&output, 20, || convert(&checkpoint, &output, &["--resume"]), interrupt);
    assert_eq!(ended.status, Some(130), "{}", ended.stderr);
    for says in ["nothing of this file is there", "what is done is kept", "interrupted"] {
        assert!(ended.stderr.contains(says), "{says}: {}", ended.stderr);
    }
    assert!(file_that_ends(&out, ".partial").is_some() && file_that_ends(&out, ".journal").is_some());

    // Weights that have changed since then are other weights.
    let shard = std::fs::File::options().append(true).open(checkpoint.join("consolidated.00.pth"));
    let shard = shard.expect("the shard is there");
    shard.set_modified(std::time::SystemTime::now()).expect("it is ours");
    let ended = Ended::from(convert(&checkpoint, &output, &["--resume"]).output().expect("the binary runs"));
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("nothing of this file is there"), "{}", ended.stderr);
    assert_eq!(names(&out), ["m.gguf"]);
}

#[test]
fn a_full_disk_keeps_what_is_done_if_it_is_to_go_on() {
    let folder = TempDir::new().expect("a folder");
    let Some(_disk) = Disk::mount(folder.path(), "150m") else {
        return llamita_tests::did_not_run("a disk that fills up", "no tmpfs can be mounted here; root may");
    };
    let elsewhere = TempDir::new().expect("a folder");
    let checkpoint = elsewhere.path().join("deep");
    deep_checkpoint(&checkpoint);
    let out = folder.path().join("out");
    std::fs::create_dir(&out).expect("a folder");
    let output = out.join("m.gguf");
    let convert = || {
        let mut command =
            llamita(["convert", arg(&checkpoint), "--type", "f32", "-o", arg(&output), "--resume"]);
        command.stderr(Stdio::piped());
        command
    };
    let mut child = convert().spawn().expect("the binary runs");
    assert!(wait_for_lines(&mut child, &out, 3), "it ended before the disk was full");
    // Something else takes the disk.
    let other = std::fs::File::create(folder.path().join("other")).expect("a file");
    let takes = |mib: u64| fallocate(&other, FallocateFlags::empty(), 0, mib << 20).is_ok();
    let taken = (1..150).rev().step_by(2).find(|&mib| takes(mib)).expect("there is some room");
    let ended = Ended::from(child.wait_with_output().expect("it ends"));
    assert_eq!(ended.status, Some(1), "{taken} MiB were taken: {}", ended.stderr);
    for says in ["the disk is full after", "what is done is kept"] {
        assert!(ended.stderr.contains(says), "{says}: {}", ended.stderr);
    }
    // Another try, too early.
    let ended = Ended::from(convert().output().expect("the binary runs"));
    assert!(ended.status == Some(1) && ended.stderr.contains("free some space"), "{}", ended.stderr);
    std::fs::remove_file(folder.path().join("other")).expect("it is there");
    drop(other);
    let ended = Ended::from(convert().output().expect("the binary runs"));
    assert!(ended.status == Some(0) && ended.stderr.contains("going on behind"), "{}", ended.stderr);
    assert_eq!(names(&out), ["m.gguf"]);
}
