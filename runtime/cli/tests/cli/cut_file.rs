//! A model's file that is cut, replaced or written to while a text is made of it.

use crate::{Ended, arg, llamita, model};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The least that a text of 256 tokens of context says it takes: too little for all of the weights.
fn least_mib() -> u64 {
    let refused = Ended::from(few(1, "2").output().expect("the binary runs"));
    assert_eq!(refused.status, Some(1), "{}", refused.stderr);
    let least = refused.stderr.split_once("it takes ").and_then(|(_, rest)| rest.split_once(" MiB"));
    least.and_then(|(n, _)| n.parse().ok()).unwrap_or_else(|| panic!("no least: {}", refused.stderr))
}

/// A call that may take so much memory.
fn few(mib: u64, n_tokens: &str) -> Command {
    let mut call = llamita(["run", arg(&model("q8_0")), "-p", "It", "-n", n_tokens, "--context", "256"]);
    call.args(["--cache-type", "f16", "--seed", "1", "--max-ram", &format!("{mib}MiB")]);
    call
}

/// Makes a text, does something to the file after its first letter, and waits for the end.
fn text(file: &Path, more: &[&str], meanwhile: impl FnOnce(&Path)) -> Ended {
    let mut child = llamita(["run", arg(file), "-p", "It was", "--seed", "1"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0]).expect("a first letter");
    meanwhile(file);
    stdout.read_to_end(&mut Vec::new()).expect("its end");
    Ended::from(child.wait_with_output().expect("it ends"))
}

fn cut(path: &Path) {
    let file = File::options().write(true).open(path).expect("it is ours");
    let n_bytes = file.metadata().expect("a file").len();
    file.set_len(n_bytes / 4).expect("it can be cut");
}

fn replace(path: &Path) {
    let other = path.with_extension("other");
    fs::write(&other, b"no model").expect("there is room");
    fs::rename(other, path).expect("it is ours");
}

/// In place: a file that is made anew is empty for a moment, and then it is a cut one.
fn write_to(path: &Path) {
    let bytes = fs::read(path).expect("it is there");
    let mut file = File::options().write(true).open(path).expect("it is ours");
    file.write_all(&bytes).expect("there is room");
}

#[test]
fn a_file_that_changes_under_a_text_ends_it_with_a_sentence_and_another_one_does_not() {
    let least = format!("{}MiB", least_mib());
    let few = ["--context", "256", "--cache-type", "f16", "--max-ram", &least];
    type Change = fn(&Path);
    // Where the text should be cut short it would take seconds.
    for (case, more, n_tokens, change, says) in [
        (
            "cut while mapped",
            &["--context", "4096"][..],
            "4000",
            cut as Change,
            Some("ended while it was in use"),
        ),
        ("replaced while mapped", &[], "50", replace, None),
        ("cut while streamed", &few, "200", cut, Some("use")),
        ("written while streamed", &few, "200", write_to, Some("written to while it was in use")),
        ("replaced while streamed", &few, "20", replace, None),
    ] {
        let is_streamed = more.contains(&"--max-ram");
        let more = [more, &["-n", n_tokens]].concat();
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("model.gguf");
        fs::copy(model("q8_0"), &file).expect("there is room");
        let ended = text(&file, &more, change);
        assert_eq!(ended.stderr.contains("does not fit into"), is_streamed, "{case}: {}", ended.stderr);
        match says {
            Some(words) => {
                assert_eq!(ended.status, Some(1), "{case}: {}", ended.stderr);
                let sentence = ended.stderr.lines().last().unwrap_or_default();
                assert!(
                    sentence.starts_with("llamita: ") && sentence.contains(words),
                    "{case}: {}",
                    ended.stderr
                );
            }
            None => assert_eq!(ended.status, Some(0), "{case}: {}", ended.stderr),
        }
    }
}

#[test]
fn a_budget_below_the_least_says_the_least() {
    let least = least_mib();
    let call = |mib| Ended::from(few(mib, "2").output().expect("the binary runs"));
    assert_eq!(call(least - 1).status, Some(1));
    let enough = call(least);
    assert_eq!(enough.status, Some(0), "{}", enough.stderr);
}
