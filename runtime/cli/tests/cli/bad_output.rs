//! Outputs that cannot be written.

use crate::{Bad, arg, check_bad, model};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Both commands that write a file, to `output`.
#[track_caller]
fn check_output(case: &str, output: &Path, says: &[&str]) {
    let (checkpoint, input, output) = (llamita_tests::bundled(), model("f32"), arg(output));
    let convert = ["convert", arg(&checkpoint), "--type", "f32", "-o", output];
    let quantize = ["quantize", arg(&input), "--type", "q8_0", "-o", output];
    for args in [convert, quantize] {
        check_bad(&Bad { case, args: &args, status: 1, says });
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("a-file");
    std::fs::write(&file, "no folder").expect("it writes");
    check_output("below a file", &file.join("out.gguf"), &["a-file"]);
    check_output("below nothing", &folder.path().join("nowhere/out.gguf"), &["nowhere"]);
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
