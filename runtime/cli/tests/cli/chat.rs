//! Conversations through a pipe.

use crate::{Ended, arg, llamita, model};
use std::io::Write as _;
use std::process::Stdio;

fn chat(flags: &[&str], lines: &str) -> Ended {
    let model = model("q8_0");
    let mut child = llamita(["chat", arg(&model), "-n", "6", "--temperature", "0"])
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends").into()
}

#[test]
fn each_line_is_answered_until_the_end() {
    let ended = chat(&[], "Good morning!\n\nHow is the weather?\n");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr, "");
    assert!(ended.stdout.lines().filter(|line| !line.is_empty()).count() >= 2, "{}", ended.stdout);
}

#[test]
fn a_cleared_conversation_begins_as_the_first_one_did() {
    let once = chat(&["--system", "Be brief."], "Good morning!\n");
    let twice = chat(&["--system", "Be brief."], "Good morning!\n/clear\nGood morning!\n/exit\nnever read\n");
    assert_eq!(twice.status, Some(0), "{}", twice.stderr);
    assert_eq!(twice.stdout, once.stdout.repeat(2));
}

#[test]
fn what_the_session_holds_does_not_change_an_answer() {
    // The second answer of one process, which read new tokens only, and what `run` makes of the whole conversation.
    let ended = chat(&[], "Good morning!\nGood evening!\n");
    let first = chat(&[], "Good morning!\n").stdout;
    let prompt =
        format!("<s>[INST] Good morning! [/INST] {} </s><s>[INST] Good evening! [/INST]", first.trim());
    let model = model("q8_0");
    let args = ["run", arg(&model), "-p", &prompt, "--special", "-n", "6", "--temperature", "0", "-q"];
    let second = crate::succeed(args).stdout;
    assert_eq!(ended.stdout, format!("{first}{}", second.trim_start()));
}

#[test]
fn a_full_context_says_what_to_do_and_goes_on() {
    let long = "word ".repeat(100);
    let ended = chat(&["--context", "64"], &format!("{long}\nHi\n"));
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("/clear"), "{}", ended.stderr);
    assert!(!ended.stdout.trim().is_empty());
}

#[test]
fn an_unknown_command_is_no_message() {
    let ended = chat(&[], "/help\n");
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(0), ""));
    assert!(ended.stderr.contains("/clear and /exit"), "{}", ended.stderr);
}

#[test]
fn a_file_without_a_template_is_not_guessed_at() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("base.gguf");
    let checkpoint = llamita_tests::bundled();
    crate::succeed(["convert", arg(&checkpoint), "--chat-template", "none", "-o", arg(&path)]);
    let ended = Ended::from(llamita(["chat", arg(&path)]).output().expect("the binary runs"));
    assert_eq!(ended.status, Some(1));
    for part in ["base.gguf", "llamita run", "--chat-template"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    let named = llamita(["chat", arg(&path), "--chat-template", "llama2"]).output().expect("the binary runs");
    assert_eq!(named.status.code(), Some(0));
}
