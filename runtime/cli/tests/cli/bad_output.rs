//! Outputs that cannot be written.

use crate::{Bad, Ended, arg, check_bad, llamita, model};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Both commands that write a file, to `output`.
#[track_caller]
fn check_output(case: &str, output: &Path, says: &[&str]) {
    let (checkpoint, input, output) = (llamita_tests::bundled(), model("f32"), arg(output));
    let convert = ["convert", arg(&checkpoint), "--type", "f32", "-o", output];
    let quantize = ["quantize", arg(&input), "--type", "q8_0", "-o", output];
    for args in [convert, quantize] {
        let sentence = check_bad(&Bad { case, args: &args, status: 1, says });
        assert!(!sentence.contains(".partial"), "{case}: {sentence}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("a-file");
    std::fs::write(&file, "no folder").expect("it writes");
    check_output("below a file", &file.join("out.gguf"), &["a-file"]);
    check_output("below nothing", &folder.path().join("nowhere/out.gguf"), &["nowhere"]);
    let long = folder.path().join("x".repeat(300));
    check_output("a long name", &long, &[arg(&long), "File name too long"]);
    check_output("a folder itself", folder.path(), &[arg(folder.path())]);
    if Path::new("/proc/self").exists() {
        // Whoever runs this, root included: nobody makes files there.
        check_output("read-only", Path::new("/proc/out.gguf"), &["/proc"]);
    }
    assert_eq!(folder.path().read_dir().expect("the folder").count(), 1, "nothing but the file is left");
}

#[test]
fn a_full_disk_is_named_before_the_work() {
    let folder = TempDir::new().expect("a folder");
    let Some(_disk) = Disk::mount(folder.path(), "1m") else {
        return llamita_tests::did_not_run("a full disk", "no tmpfs can be mounted here; root may");
    };
    check_output("full disk", &folder.path().join("out.gguf"), &["out.gguf", "free"]);
    assert_eq!(folder.path().read_dir().expect("the folder").count(), 0);
}

#[test]
fn a_limit_on_files_gets_a_sentence_and_no_signal() {
    let model = model("q8_0");
    let folder = TempDir::new().expect("a folder");
    let (output, text) = (folder.path().join("out.gguf"), folder.path().join("text"));
    let quantize = ["quantize", arg(&model), "--type", "q8_0", "-o", arg(&output)];
    let run = ["run", arg(&model), "-p", "It was", "-n", "400"];
    // A megabyte at most, in blocks of 512 bytes or 1024; and nothing at all.
    for (blocks, args, stdout, says) in [
        ("1000", &quantize[..], Stdio::null(), "`ulimit -f`"),
        ("0", &run[..], Stdio::from(std::fs::File::create(&text).expect("a file")), "standard output"),
    ] {
        let call = llamita(args);
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -f \"$0\" && exec \"$@\"", blocks]).arg(call.get_program()).args(args);
        let ended = shell.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn();
        let ended = Ended::from(ended.and_then(std::process::Child::wait_with_output).expect("a shell runs"));
        assert!(ended.status == Some(1) && ended.stderr.contains(says), "{args:?}: {ended:?}");
    }
    assert_eq!(folder.path().read_dir().expect("the folder").count(), 1, "nothing but the empty text");
}

/// A small disk.
pub(crate) struct Disk<'p>(&'p Path);

impl<'p> Disk<'p> {
    /// Of a size as `mount` takes it: `20m`. `None` for whoever may not mount.
    pub(crate) fn mount(path: &'p Path, size: &str) -> Option<Self> {
        let args = ["-t", "tmpfs", "-o", &format!("size={size}"), "none", arg(path)];
        let output = Command::new("mount").args(args).output().ok()?;
        output.status.success().then_some(Self(path))
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}
