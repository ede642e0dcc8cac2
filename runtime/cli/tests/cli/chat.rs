//! Conversations through a pipe.

use crate::{Ended, arg, llamita, model};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

fn chat(flags: &[&str], lines: &str) -> Ended {
    let model = model("q8_0");
    let greedy = if flags.contains(&"--temperature") { &[][..] } else { &["--temperature", "0"] };
    let few = if flags.contains(&"-n") { &[][..] } else { &["-n", "6"] };
    let mut child = llamita(["chat", arg(&model)])
        .args(few)
        .args(greedy)
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
    // With a penalty too: what was cleared is not repeated.
    for penalty in ["1", "1.5"] {
        let flags = ["--system", "Be brief.", "--repeat-penalty", penalty];
        let once = chat(&flags, "Good morning!\n");
        let again = chat(&flags, "Good morning!\n/regen\n/clear\nGood morning!\n/exit\nnever read\n");
        assert_eq!(again.status, Some(0), "{}", again.stderr);
        assert_eq!(again.stdout, once.stdout.repeat(3), "{penalty}");
    }
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
fn a_message_without_room_is_told_and_the_chat_goes_on() {
    let long = "word ".repeat(100);
    let ended = chat(&["--context", "64"], &format!("{long}\nHi\n"));
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the context holds 64") && ended.stderr.contains("--context"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stdout, chat(&["--context", "64"], "Hi\n").stdout, "as if it had not been said");
}

#[test]
fn a_full_context_forgets_the_oldest_turns_only() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("chat.json");
    let (flags, save) = (["--context", "96", "--system", "Be brief."], format!("/save {}", arg(&path)));
    let lines: String = (0..6).map(|turn| format!("This is the message with number {turn}.\n")).collect();
    let ended = chat(&flags, &format!("{lines}/stats\n{save}\n"));
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("the oldest turns were forgotten"), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 6, "{}", ended.stdout);

    // All of it is saved. What is left answers as a conversation of the system prompt and the last turns does.
    let saved = messages(&path);
    assert_eq!(saved.len(), 13);
    assert_eq!(saved[0], ("system".into(), "Be brief.".into()));
    let left =
        ended.stderr.lines().rev().find_map(|line| line.strip_suffix(" of 6 turns")?.rsplit(' ').next());
    let n_left: usize = left.and_then(|n| n.parse().ok()).expect("the statistics say it");
    assert!((1..6).contains(&n_left), "{n_left}");
    let seen: Vec<_> = [&saved[..1], &saved[13 - 2 * n_left..11]].concat();
    write_messages(&path, &seen);
    let again = chat(&flags, &format!("/load {}\n{}\n", arg(&path), saved[11].1));
    assert_eq!(again.stdout, format!("{}\n", saved[12].1), "{}", again.stderr);
}

#[test]
fn an_answer_that_fills_the_context_ends_or_goes_on() {
    let flags = ["--context", "256", "--system", "Be brief.", "-n", "600", "--on-full"];
    let answer = |on_full| chat(&[&flags[..], &[on_full]].concat(), "Go on.\nAnd on.\n/stats\n");
    let (stop, shift) = (answer("stop"), answer("shift"));
    assert!(stop.stderr.contains("the answer ends here"), "{}", stop.stderr);
    assert!(!shift.stderr.contains("the answer ends here"), "{}", shift.stderr);
    assert!(shift.stderr.contains("text 600 tokens"), "{}", shift.stderr);
    assert_eq!((stop.status, shift.status), (Some(0), Some(0)));
    let first = |ended: &Ended| ended.stdout.lines().next().unwrap_or_default().to_owned();
    assert!(first(&shift).starts_with(first(&stop).trim_end()), "{} is the beginning", first(&stop));
}

#[test]
fn a_saved_conversation_goes_on_elsewhere() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("chat.json");
    let whole = chat(&["--system", "Be brief."], "Good morning!\nGood evening!\n").stdout;
    let first = chat(&["--system", "Be brief."], &format!("Good morning!\n/save {}\n", arg(&path)));
    let second = chat(&[], &format!("/load {}\nGood evening!\n", arg(&path)));
    assert_eq!(
        (second.status, format!("{}{}", first.stdout, second.stdout)),
        (Some(0), whole),
        "{}",
        second.stderr
    );
}

#[test]
fn an_answer_can_be_made_again() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("chat.json");
    let once = chat(&[], "Good morning!\n").stdout;
    let ended = chat(&[], &format!("Good morning!\n/regen\n/save {}\n", arg(&path)));
    assert_eq!((ended.status, &ended.stdout), (Some(0), &once.repeat(2)), "{}", ended.stderr);
    assert_eq!(messages(&path).len(), 2, "the second answer took the place of the first");
    let drawn = chat(&["--temperature", "1.5", "--seed", "1"], "Good morning!\n/regen\n").stdout;
    let (first, second) = drawn.split_once('\n').expect("two answers");
    assert_ne!(first, second.trim_end());
}

#[test]
fn the_system_prompt_can_be_another() {
    let ended = chat(&["--system", "Be brief."], "/system Be kind.\nHi\n/clear\nHi\n/clear\n/system\nHi\n");
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let kind = chat(&["--system", "Be kind."], "Hi\n").stdout;
    assert_eq!(ended.stdout, format!("{}{}", kind.repeat(2), chat(&[], "Hi\n").stdout));
}

#[test]
fn a_message_may_have_several_lines() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("chat.json");
    let ended = chat(&[], &format!("one\\\ntwo\n\"\"\"\nthree\n/clear\n\"\"\"\n/save {}\n", arg(&path)));
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let said: Vec<_> =
        messages(&path).into_iter().filter(|(role, _)| role == "user").map(|(_, text)| text).collect();
    assert_eq!(said, ["one\ntwo", "three\n/clear"]);
}

#[test]
fn what_cannot_be_obeyed_is_told() {
    for (line, says) in [
        ("/dance", "/help"),
        ("/save", "needs the name of a file"),
        ("/save /absent/chat.json", "no folder /absent"),
        ("/load /absent/chat.json", "/absent/chat.json"),
        ("/load /dev/zero", "this is no file"),
        ("/regen", "no answer yet"),
        ("/exit now", "stands alone"),
    ] {
        let ended = chat(&[], &format!("{line}\n"));
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{line}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{line}: {}", ended.stderr);
    }
    let help = chat(&[], "/help\n");
    assert_eq!((help.status, help.stdout.as_str()), (Some(0), ""));
    assert!(help.stderr.contains("/regen"), "{}", help.stderr);
}

/// Role and content of each message in a saved conversation.
pub(crate) fn messages(path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).expect("it was saved");
    let list: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let field = |message: &Value, name: &str| message[name].as_str().expect("a text").to_owned();
    list.iter().map(|message| (field(message, "role"), field(message, "content"))).collect()
}

fn write_messages(path: &Path, messages: &[(String, String)]) {
    let list: Vec<Value> =
        messages.iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    std::fs::write(path, serde_json::to_string(&list).expect("JSON")).expect("there is room");
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
    assert!(String::from_utf8_lossy(&named.stderr).contains("not trained for conversations"));
}
