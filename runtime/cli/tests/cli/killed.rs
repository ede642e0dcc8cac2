//! Runs that learn from a text, killed at any moments: they go on, and the file is that of a run that was let be.

use crate::interrupted::names;
use crate::{Ended, arg, llamita};
use engine::tiny::{Tiny, write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Moments at which a run is killed.
const N_KILLS: u32 = 10;

/// A model that takes a second or two.
fn model(folder: &Path) -> PathBuf {
    let mut tiny = Tiny::new();
    (tiny.config.n_layers, tiny.config.dim, tiny.config.ffn_dim) = (6, 128, 256);
    (tiny.config.head_dim, tiny.config.rope_dim) = (32, 32);
    let path = folder.join("in.gguf");
    write(&path, &tiny.metadata(), &tiny.tensors());
    path
}

fn text(folder: &Path) -> PathBuf {
    let path = folder.join("text.txt");
    std::fs::write(&path, &llamita_tests::held_out_text()[..2000]).expect("it writes");
    path
}

/// Kills a call, which writes `output` with more arguments or less, at moments that a seed gives; what it leaves behind and
/// the file in the end are right.
#[track_caller]
fn check(args: &[&str], seed: u32) {
    let folder = TempDir::new().expect("a folder");
    let call = |output: &Path| -> Command {
        let mut call = llamita([args, &["-o", arg(output), "--resume"]].concat());
        call.stderr(Stdio::piped());
        call
    };
    let whole = folder.path().join("whole.gguf");
    let start = Instant::now();
    let ended = Ended::from(call(&whole).output().expect("the binary runs"));
    let time = start.elapsed();
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let whole = std::fs::read(&whole).expect("it was written");

    let out = folder.path().join("out");
    std::fs::create_dir(&out).expect("a folder");
    let output = out.join("m.gguf");
    let is_right = || std::fs::read(&output).is_ok_and(|file| file == whole);
    let has_states = || names(&out).iter().any(|name| name.ends_with(".states"));
    let mut random = seed;
    for round in 0..N_KILLS {
        let mut child = call(&output).spawn().expect("the binary runs");
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Any moment of a whole run: what is there already makes the next one shorter.
        std::thread::sleep(time.mul_f64(f64::from(random >> 8) / f64::from(1 << 24)));
        child.kill().expect("it can be killed");
        let ended = Ended::from(child.wait_with_output().expect("it ends"));
        assert!(!output.exists() || is_right(), "round {round}: {}", ended.stderr);
        let _ = std::fs::remove_file(&output); // where it was done in time
        let left = names(&out);
        let n_ending = |end: &str| left.iter().filter(|name| name.ends_with(end)).count();
        assert!(n_ending(".journal") <= 1 && left.len() <= 4, "round {round}: {left:?}");
    }
    // And once when a layer is there for certain, unless the run is done in the moment before.
    let start = Instant::now();
    while !has_states() {
        assert!(start.elapsed() < Duration::from_secs(120), "no run is killed behind its first layer");
        let mut child = call(&output).spawn().expect("the binary runs");
        while !has_states() && child.try_wait().expect("it can be asked").is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        let _ = std::fs::remove_file(&output);
    }
    let ended = Ended::from(call(&output).output().expect("the binary runs"));
    assert!(ended.status == Some(0) && is_right(), "{}", ended.stderr);
    assert_eq!(names(&out), ["m.gguf"], "nothing is left");
}

#[test]
fn a_calibration_that_is_killed_goes_on_and_gives_the_same_file() {
    let folder = TempDir::new().expect("a folder");
    let (model, text) = (model(folder.path()), text(folder.path()));
    let call = ["quantize", arg(&model), "--type", "q4_0", "--calibration", arg(&text)];
    check(&[&call[..], &["--calibration-context", "64"]].concat(), 7);
}

#[test]
fn an_importance_matrix_that_is_killed_goes_on_and_is_the_same() {
    let folder = TempDir::new().expect("a folder");
    let (model, text) = (model(folder.path()), text(folder.path()));
    check(&["imatrix", arg(&model), "--text", arg(&text), "--context", "64"], 8);
}
