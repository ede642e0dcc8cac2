//! Surroundings that are no good: variables, standard streams, folders, and files that are none.

use crate::{Bad, Ended, arg, check_bad, llamita, model};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What a variable holds, which need not be text.
type Variable = (&'static str, &'static [u8]);

#[test]
fn a_variable_changes_no_text() {
    let model = model("q8_0");
    let args = ["run", arg(&model), "-p", "It was", "-n", "4", "--temperature", "0"];
    let expected = Ended::from(llamita(args).output().expect("the binary runs"));
    assert_eq!(expected.status, Some(0), "{}", expected.stderr);
    let cases: [&[Variable]; 14] = [
        &[("RAYON_NUM_THREADS", b"many")],
        &[("RAYON_NUM_THREADS", b"-1")],
        &[("TERM", b"")],
        &[("TERM", b"no-such-terminal")],
        &[("TERM", b"\xff\x1b[31m")],
        &[("COLUMNS", b"0"), ("LINES", b"-7")],
        &[("COLUMNS", b"99999999999999999999")],
        &[("LANG", b"xx_XX.latin1"), ("LC_ALL", b"\xff")],
        &[("HOME", b"")],
        &[("HOME", b"not/absolute"), ("XDG_STATE_HOME", b"neither/is/this")],
        &[("TMPDIR", b"/nowhere/at/all")],
        &[("PATH", b"")],
        &[("CLICOLOR_FORCE", b"1"), ("NO_COLOR", b"\xff")],
        &[("RUST_BACKTRACE", b"full"), ("RUST_LOG", b"trace")],
    ];
    for variables in cases {
        let mut call = llamita(args);
        call.envs(variables.iter().map(|(name, value)| (name, OsStr::from_bytes(value))));
        let ended = Ended::from(call.output().expect("the binary runs"));
        assert_eq!(
            (ended.status, &ended.stdout),
            (expected.status, &expected.stdout),
            "{variables:?}: {}",
            ended.stderr
        );
    }
    let ended = Ended::from(llamita(args).env_clear().output().expect("the binary runs"));
    assert_eq!((ended.status, &ended.stdout), (expected.status, &expected.stdout), "{}", ended.stderr);
}

#[test]
fn what_is_no_file_gets_a_sentence() {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let pipe = at("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is part of every Unix").success());
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");
    std::os::unix::fs::symlink(at("loop"), at("loop")).expect("a link");
    std::os::unix::fs::symlink(at("nothing"), at("dangling")).expect("a link");
    let long = "x".repeat(300);

    for (name, says) in [
        (".", "directory"),
        ("pipe", "device, pipe or socket"),
        ("socket", "cannot be opened"),
        ("loop", "cannot be opened"),
        ("dangling", "No such file"),
        ("nothing", "No such file"),
        ("nothing/below", "No such file"),
        ("pipe/below", "Not a directory"),
        (&long, "File name too long"),
    ] {
        let path = at(name);
        for args in [
            &["inspect", arg(&path)][..],
            &["quantize", arg(&path), "--type", "q8_0"],
            &["run", arg(&path), "-p", "a"],
        ] {
            check_bad(&Bad { case: name, args, status: 1, says: &[arg(&path), says] });
        }
        let args = ["convert", arg(&path)];
        let says: &[&str] = if name == "." { &[arg(folder.path())] } else { &[arg(&path)] };
        check_bad(&Bad { case: name, args: &args, status: 1, says });
    }
}

#[test]
fn a_text_without_an_end_is_not_read_for_ever() {
    let model = model("q8_0");
    let model = arg(&model);
    if !Path::new("/dev/zero").exists() {
        return llamita_tests::did_not_run("a text without an end", "this system has no /dev/zero");
    }
    for args in [
        &["run", model, "-f", "/dev/zero"][..],
        &["tokenize", model, "--file", "/dev/zero"],
        &["perplexity", model, "--text", "/dev/zero"],
    ] {
        check_bad(&Bad { case: "no end", args, status: 1, says: &["/dev/zero", "16 MiB"] });
    }
    let folder = TempDir::new().expect("a folder");
    let latin = folder.path().join("latin.txt");
    std::fs::write(&latin, b"caf\xe9").expect("there is room");
    let file = arg(&latin);
    for args in [
        &["run", model, "-f", file][..],
        &["tokenize", model, "--file", file],
        &["perplexity", model, "--text", file],
    ] {
        check_bad(&Bad { case: "not UTF-8", args, status: 1, says: &[file, "at byte 3"] });
    }
    // What comes through standard input is named so.
    let endless = std::fs::File::open("/dev/zero").expect("it is there");
    let ended =
        Ended::from(llamita(["run", model, "-f", "-"]).stdin(endless).output().expect("the binary runs"));
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("standard input: a text from a pipe"), "{}", ended.stderr);
}

#[test]
fn a_name_that_is_no_text_is_shown_as_far_as_it_is() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join(OsStr::from_bytes(b"caf\xe9\x07.gguf"));
    let ended =
        Ended::from(llamita([OsStr::new("inspect"), path.as_os_str()]).output().expect("the binary runs"));
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("caf\u{fffd}\\u{7}.gguf"), "{}", ended.stderr);
    // Where text is asked for, it is a wrong call.
    let ended = Ended::from(
        llamita([OsStr::new("inspect"), OsStr::new("x"), OsStr::from_bytes(b"--caf\xe9")])
            .output()
            .expect("the binary runs"),
    );
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
}

#[test]
fn closed_streams_and_a_folder_that_is_gone_are_survived() {
    let model = model("q8_0");
    let folder = TempDir::new().expect("a folder");
    let gone = folder.path().join("gone");
    std::fs::create_dir(&gone).expect("a folder");
    let whole = llamita(["run", arg(&model), "-p", "It was", "-n", "4", "--temperature", "0"]);
    for (script, status) in [
        ("\"$@\" <&-", 0),
        ("\"$@\" 2>&-", 0),
        ("\"$@\" <&- 2>&-", 0),
        ("cd \"$0\" && rmdir \"$0\" && \"$@\"", 0),
    ] {
        let mut call = Command::new("sh");
        call.args(["-c", script, arg(&gone)]).arg(whole.get_program()).args(whole.get_args());
        let ended = Ended::from(call.stdin(Stdio::null()).output().expect("a shell runs"));
        assert_eq!(ended.status, Some(status), "{script}: {}", ended.stderr);
        assert!(!ended.stdout.is_empty(), "{script}");
    }
}
