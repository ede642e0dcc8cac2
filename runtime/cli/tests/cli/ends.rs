//! How calls end: wrong calls, readers that go away, signals.

use crate::{Ended, arg, deep_checkpoint, llamita, model, succeed};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Read as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[test]
fn a_wrong_call_has_status_2() {
    let model = model("q8_0");
    let model = arg(&model);
    for (args, says) in [
        (&[][..], "Usage"),
        (&["dance"], "dance"),
        (&["run"], "MODEL.gguf"),
        (&["run", model], "--prompt"),
        (&["run", model, "-p", "a", "-f", "b"], "cannot be used with"),
        (&["run", model, "-p", "a", "--top-p", "1.5"], "between 0 and 1"),
        (&["run", model, "-p", "a", "--temperature", "-1"], "0 or more"),
        (&["run", model, "-p", "a", "--isa", "abacus"], "scalar"),
        (&["run", model, "-p", "a", "--threads", "0"], "--threads"),
        (&["run", model, "-p", "a", "--cache-type", "q5_1"], "f16, q8_0, q4_0"),
        (&["run", model, "-p", "a", "--ctk", "f64"], "--cache-type-k"),
        (&["convert", "x", "--type", "q9_9"], "q8_0"),
        (&["convert", "x", "--max-ram", "lots"], "256MiB"),
        (&["tokenize", model, "--ids", "1,x"], "`x` is no token id"),
        (&["bench", model, "-p", "0", "-n", "0"], "both 0"),
        (&["bench", model, "-p", "1,99999999"], "1048576"),
    ] {
        let ended = Ended::from(llamita(args).output().expect("the binary runs"));
        assert_eq!(ended.status, Some(2), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{args:?}");
        assert!(ended.stderr.contains(says), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for args in [&["--help"][..], &["--version"], &["run", "--help"], &["help", "convert"]] {
        let ended = succeed(args);
        assert_eq!(ended.stderr, "", "{args:?}");
        assert!(ended.stdout.contains("llamita"), "{args:?}: {}", ended.stdout);
    }
}

#[test]
fn a_file_name_cannot_steer_the_terminal() {
    let ended = Ended::from(llamita(["inspect", "\u{1b}[31m\nred.gguf"]).output().expect("the binary runs"));
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("\\u{1b}[31m\\nred.gguf"), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1);
}

#[test]
fn a_token_that_does_not_exist_is_named() {
    let model = model("q8_0");
    let ended =
        Ended::from(llamita(["tokenize", arg(&model), "--ids", "4096"]).output().expect("the binary runs"));
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("no token 4096"), "{}", ended.stderr);
}

#[test]
fn a_prompt_that_does_not_fit_is_counted() {
    let model = model("q8_0");
    let args = ["run", arg(&model), "-p", "one two three four five six seven", "--context", "4"];
    let ended = Ended::from(llamita(args).output().expect("the binary runs"));
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("the context holds 4"), "{}", ended.stderr);
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let model = model("q8_0");
    let mut child = llamita(["run", arg(&model), "-p", "It was", "--seed", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut first = [0];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("a first letter");
    // The pipe is closed here, long before 2048 tokens are made.
    let ended = Ended::from(child.wait_with_output().expect("it ends"));
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_on_standard_output_is_an_error() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        return llamita_tests::did_not_run("a full standard output", "this system has no /dev/full");
    };
    let model = model("q8_0");
    let ended =
        Ended::from(llamita(["inspect", arg(&model)]).stdout(full).output().expect("the binary runs"));
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("standard output"), "{}", ended.stderr);
}

#[test]
fn a_signal_ends_a_text() {
    if signals_are_ignored() {
        return;
    }
    let model = model("q8_0");
    let mut child = llamita(["run", arg(&model), "-p", "It was", "--seed", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0]).expect("a first letter");
    signal(&child, Signal::INT);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("UTF-8");
    let ended = Ended::from(child.wait_with_output().expect("it ends"));
    assert_eq!(ended.status, Some(130), "{}", ended.stderr);
    assert!(rest.ends_with('\n'), "the line is ended");
    assert!(ended.stderr.contains("tokens/s"), "{}", ended.stderr);
}

#[test]
fn a_signal_during_a_conversion_leaves_nothing() {
    if signals_are_ignored() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let checkpoint = folder.path().join("deep");
    deep_checkpoint(&checkpoint);
    for kind in [Signal::INT, Signal::TERM, Signal::HUP] {
        let out = TempDir::new().expect("a folder");
        let child = llamita(["convert", arg(&checkpoint), "--type", "q5_1", "--threads", "1"])
            .current_dir(out.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let start = Instant::now();
        while out.path().read_dir().expect("the folder").next().is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "no file was begun");
            std::thread::sleep(Duration::from_millis(1));
        }
        signal(&child, kind);
        let ended = Ended::from(child.wait_with_output().expect("it ends"));
        assert_eq!(ended.status, Some(130), "{kind:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("interrupted") && ended.stderr.contains("with --resume"),
            "{kind:?}: {}",
            ended.stderr
        );
        let left: Vec<_> = out.path().read_dir().expect("the folder").flatten().collect();
        assert!(left.is_empty(), "{kind:?}: {left:?}");
    }
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().cast_signed()).expect("a process has a number");
    kill_process(pid, signal).expect("it runs still");
}

/// Under `nohup`, or in the background of a script, signals are ignored on purpose, and llamita leaves it so.
pub(crate) fn signals_are_ignored() -> bool {
    // Bit n - 1 stands for signal n: HUP is 1, INT 2, TERM 15.
    const SIGNALS: u64 = 0x4003;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    if ignored & SIGNALS != 0 {
        llamita_tests::did_not_run("signals", "the tests themselves were started with signals ignored");
    }
    ignored & SIGNALS != 0
}
