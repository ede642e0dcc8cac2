//! The command line, from outside: what it prints where, how it ends, and what it says of input that is no good.

#![forbid(unsafe_code)]

mod bad_checkpoint;
mod bad_environment;
mod bad_gguf;
mod bad_output;
mod bad_quantize;
mod chat;
mod chat_terminal;
mod commands;
mod cut_file;
mod ends;
mod interrupted;
mod killed;
mod little_memory;
mod quality;

use assert_cmd::cargo::cargo_bin;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A call of the binary that is tested.
fn llamita<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(cargo_bin!("llamita"));
    command.args(args).stdin(Stdio::null());
    command
}

/// The same call in a process that may have so much data, its threads' stacks included; only Linux can bound it.
fn within(mib: u64, call: &Command) -> Command {
    let bound = if cfg!(target_os = "linux") { (mib * 1024).to_string() } else { "unlimited".to_owned() };
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -d \"$0\" && exec \"$@\"", &bound]);
    command.arg(call.get_program()).args(call.get_args()).stdin(Stdio::null());
    command
}

/// Runs a call that must succeed.
#[track_caller]
fn succeed<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Ended {
    let ended = Ended::from(llamita(args).output().expect("the binary runs"));
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    ended
}

/// How a call ended.
#[derive(Debug)]
struct Ended {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("we write UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("we write UTF-8"),
        }
    }
}

impl Ended {
    #[track_caller]
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).expect("JSON")
    }
}

/// The bundled checkpoint as a GGUF of this type, with Llama 2's chat template: made once by the binary itself.
fn model(file_type: &str) -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| TempDir::new().expect("a folder"));
    let path = folder.path().join(format!("novel-8m-{file_type}.gguf"));
    // Two tests may convert at the same time: the file appears whole, whoever is last.
    if !path.exists() {
        let checkpoint = llamita_tests::bundled();
        let args =
            ["convert", arg(&checkpoint), "--type", file_type, "--chat-template", "llama2", "-o", arg(&path)];
        succeed(args);
    }
    path
}

/// Writes a checkpoint that has each layer of the bundled one three times, so that there is time to interrupt its
/// conversion.
fn deep_checkpoint(folder: &Path) {
    use llamita_tests::checkpoint::{Dtype, tensors_of, write};
    let file = gguf::File::open(model("f32")).expect("our own file");
    let mut tensors = Vec::new();
    for tensor in tensors_of(&file) {
        let layer = tensor.name.strip_prefix("layers.").and_then(|rest| {
            let (layer, name) = rest.split_once('.')?;
            Some((layer.parse::<usize>().ok()?, name.to_owned()))
        });
        match layer {
            None => tensors.push(tensor),
            Some((layer, name)) => tensors.extend((0..3).map(|copy| {
                let mut tensor = tensor.clone();
                tensor.name = format!("layers.{}.{name}", layer + 8 * copy);
                tensor
            })),
        }
    }
    let bundled = llamita_tests::bundled();
    let params = std::fs::read_to_string(bundled.join("params.json")).expect("it is bundled");
    let params = params.replace("\"n_layers\": 8", "\"n_layers\": 24");
    write(folder, 1, Dtype::Bf16, &tensors, &params, &bundled.join("tokenizer.model"))
        .expect("there is room");
}

/// A path as an argument. Those of the tests are UTF-8.
fn arg(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Input that is no good, and what is said of it.
struct Bad<'a> {
    case: &'a str,
    args: &'a [&'a str],
    status: i32,
    /// The sentence names these: the file and the place.
    says: &'a [&'a str],
}

/// Memory that any input may take: 32 MiB, and four times the metadata that are there, which no case here has a megabyte of.
const BAD_MIB: u64 = 36;

/// Runs the call in an empty folder: it fails within a second and within [`BAD_MIB`], with a sentence, which is
/// returned, and leaves nothing behind.
#[track_caller]
fn check_bad(bad: &Bad<'_>) -> String {
    let Bad { case, args, status, says } = bad;
    let folder = TempDir::new().expect("a folder");
    // The machine may be busy: the best of three counts.
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let mut call = within(BAD_MIB, &llamita(*args));
        let ended = Ended::from(call.current_dir(folder.path()).output().expect("the binary runs"));
        best = best.min(start.elapsed());

        let stderr = &ended.stderr;
        assert_eq!(ended.status, Some(*status), "{case}: {stderr}");
        assert_eq!(ended.stdout, "", "{case}");
        assert!(stderr.lines().all(|line| line.starts_with("llamita: ")), "{case}: {stderr}");
        assert!(!stderr.contains("panicked") && !stderr.contains("fault of llamita"), "{case}: {stderr}");
        let sentence = stderr.lines().last().unwrap_or_default();
        for part in *says {
            assert!(sentence.contains(part), "{case}: `{part}` is not in: {sentence}");
        }
        let left: Vec<_> = folder.path().read_dir().expect("the folder").flatten().collect();
        assert!(left.is_empty(), "{case}: {left:?}");
        if best < Duration::from_secs(1) {
            return sentence.to_owned();
        }
    }
    panic!("{case}: took {best:?}");
}
