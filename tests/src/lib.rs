//! What the proofs share: where models and vectors lie, conversions of the bundled checkpoint, and a writer of
//! checkpoints as Meta lays them out.
//!
//! The proofs themselves are in `tests/`: `proofs` (one binary, one module a subject), `memory.rs` and `fuzz.rs` (binaries of
//! their own, because they count every allocation of the process). A proof that cannot run here says so on standard error, past
//! the capture of the test harness: a silent skip is no pass.

pub mod checkpoint;
mod compare;
pub mod counting;
pub mod fuzz;
mod hole;
mod models;
pub mod tiktoken;

pub use compare::{Divergence, Window, log_softmax, windows};
pub use hole::write_hole;
pub use models::{
    Learning, bundled, convert_checkpoint, converted, decoded_to_f32, learned, quantized, scratch_folder,
};

use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of this package.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the workspace.
pub fn workspace() -> &'static Path {
    package().parent().expect("the package lies in the workspace")
}

/// A text of the package: "The Adventures of Sherlock Holmes", held out from the bundled model's training, its first
/// 2048 tokens and some more.
pub fn held_out_text() -> String {
    std::fs::read_to_string(package().join("text/sherlock-holmes.txt")).expect("the package ships it")
}

/// Says, past the test harness, that a proof did not run, and why.
pub fn did_not_run(what: &str, why: &str) {
    // `eprintln!` would be captured and thrown away with the output of a test that passes.
    let _ = writeln!(std::io::stderr(), "did not run: {what}: {why}");
}

/// A file of the vectors that are too large, or not ours, to ship: in the folder `LLAMITA_TEST_DATA`, or else in `shared`
/// beside the workspace. `None` where it is not there, which is said.
pub fn vector(file: &str) -> Option<PathBuf> {
    let folder = match std::env::var_os("LLAMITA_TEST_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => workspace().join("../shared"),
    };
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    did_not_run(file, "it is not in the folder that LLAMITA_TEST_DATA names");
    None
}
