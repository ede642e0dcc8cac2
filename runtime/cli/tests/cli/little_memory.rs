//! A bound on memory is kept: the system itself enforces it here, with a limit on the process's data.

use crate::{Ended, arg, deep_checkpoint, llamita, model, within};
use std::path::Path;
use tempfile::TempDir;

/// The least that a call says it takes, in MiB, when it is given nothing.
fn least(args: &[&str]) -> u64 {
    let ended =
        Ended::from(llamita([args, &["--max-ram", "1MiB"]].concat()).output().expect("the binary runs"));
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    let least = ended.stderr.split_once("at least --max-ram ").and_then(|(_, rest)| rest.split_once("MiB"));
    let (least, _) = least.unwrap_or_else(|| panic!("no least: {}", ended.stderr));
    least.parse().expect("a number")
}

#[track_caller]
fn check(folder: &Path, args: &[&str], threads: &str) {
    let args = [args, &["--threads", threads]].concat();
    let to = |name: &str| folder.join(name);
    let (small, large) = (to("small.gguf"), to("large.gguf"));
    let (small_args, large_args) =
        ([&args[..], &["-o", arg(&small)]].concat(), [&args[..], &["-o", arg(&large)]].concat());
    for file in [&small, &large] {
        let _ = std::fs::remove_file(file); // of the check before
    }
    let least = least(&small_args);
    let refused = Ended::from(
        llamita([&small_args[..], &["--max-ram", &format!("{}MiB", least - 1)]].concat())
            .output()
            .expect("the binary runs"),
    );
    assert_eq!((refused.status, small.exists()), (Some(1), false), "{}", refused.stderr);
    let max = format!("{least}MiB");
    for (args, limit) in [
        // What is said to be enough is enough.
        ([&small_args[..], &["--max-ram", &max]].concat(), least),
        // The limit itself is what the process may use, and the default.
        (large_args, least + 8),
    ] {
        let ended = Ended::from(within(limit, &llamita(&args)).output().expect("a shell runs"));
        assert_eq!(ended.status, Some(0), "{args:?} within {limit} MiB: {}", ended.stderr);
    }
    assert!(std::fs::read(small).unwrap() == std::fs::read(large).unwrap(), "{args:?}");
}

#[test]
fn a_bound_on_memory_is_kept_and_the_least_is_told() {
    if !cfg!(target_os = "linux") {
        return llamita_tests::did_not_run("a bound on memory", "only Linux limits a process's data");
    }
    let folder = TempDir::new().expect("a folder");
    let checkpoint = folder.path().join("deep");
    deep_checkpoint(&checkpoint);
    let input = model("f32");
    for threads in ["1", "2", "6"] {
        check(folder.path(), &["convert", arg(&checkpoint), "--type", "f32"], threads);
        check(folder.path(), &["quantize", arg(&input), "--type", "q4_0"], threads);
    }
}
