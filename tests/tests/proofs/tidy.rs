//! The house's invariants, read off its source. Most are absences, which no compiler checks.

use llamita_tests::workspace;
use std::path::Path;

/// A file of two minutes' reading, with room for its tests.
const MAX_LINES: usize = 450;

/// A source file: its path from the workspace, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Lines by number, comments dropped.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
    }

    /// Fails if code outside of `folders` holds any of `words`.
    #[track_caller]
    fn must_not_hold(&self, words: &[&str], folders: &[&str], why: &str) {
        if folders.iter().any(|folder| self.path.starts_with(folder)) {
            return;
        }
        for (line, code) in self.code() {
            for word in words {
                assert!(!code.contains(word), "{}:{line} holds `{word}`: {why}", self.path);
            }
        }
    }
}

fn walk(folder: &Path, ends: &[&str], found: &mut Vec<Source>) {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in entries {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && name != ".git" {
            walk(&path, ends, found);
        } else if ends.iter().any(|end| name.ends_with(end)) {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(workspace()).unwrap().to_str().unwrap().to_owned();
            found.push(Source { path, text });
        }
    }
}

fn files(ends: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    walk(workspace(), ends, &mut found);
    found
}

fn rust() -> Vec<Source> {
    let found = files(&[".rs"]);
    assert!(found.len() > 50, "the walk found {} files", found.len());
    found
}

/// This file names what it forbids.
const SELF: &str = "tests/tests/proofs/tidy.rs";

#[test]
fn architectures_and_intrinsics_live_in_kernels_alone() {
    for file in rust() {
        file.must_not_hold(
            &["target_arch", "core::arch", "std::arch", "target_feature", "is_x86_feature_detected"],
            &["runtime/kernels/", SELF],
            "what depends on the processor belongs to runtime/kernels",
        );
    }
}

#[test]
fn no_marker_of_unfinished_work_is_left() {
    for file in rust() {
        let markers = ["todo!(", "unimplemented!(", "dbg!(", "FIXME", "XXX"];
        file.must_not_hold(&markers, &[SELF], "finish it or take it out");
    }
}

/// `TensorType::Q4_0 =>`, `TensorType::Q4_0 | …`: an arm of a match.
fn is_arm_over_types(code: &str) -> bool {
    let arms = code.split("=>").collect::<Vec<_>>();
    arms.len() > 1
        && code.match_indices("TensorType::").any(|(at, prefix)| {
            let rest =
                code[at + prefix.len()..].trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            matches!(rest.trim_start().as_bytes(), [b'=', b'>', ..] | [b'|', ..])
        })
}

#[test]
fn only_blocks_matches_over_tensor_types() {
    assert!(
        is_arm_over_types("    TensorType::F32 => 4,")
            && is_arm_over_types("TensorType::F16 | TensorType::F32 => 1")
    );
    assert!(!is_arm_over_types("with_block!(TensorType::Q4_0, B => B::LEN, else 0)"));
    for file in rust() {
        if file.path.starts_with("runtime/blocks/") || file.path == SELF {
            continue;
        }
        for (line, code) in file.code() {
            assert!(
                !is_arm_over_types(code),
                "{}:{line}: a second table of types; use with_block!",
                file.path
            );
        }
        file.must_not_hold(&["TensorType::*"], &[], "it hides a match over types");
    }
}

/// Whether a line begins something unsafe that needs a note of its own.
fn is_unsafe(code: &str) -> bool {
    code.contains("unsafe {") || code.contains("unsafe impl")
}

#[test]
fn every_unsafe_says_why_it_is_sound() {
    /// Lines between a note and what it is about: the note's own, attributes, the rest of a statement.
    const REACH: usize = 8;
    let mut n_found = 0;
    for file in rust().iter().filter(|file| file.path != SELF) {
        let lines: Vec<&str> = file.text.lines().collect();
        for (line, _) in file.code().filter(|(_, code)| is_unsafe(code)) {
            n_found += 1;
            let noted = lines[line.saturating_sub(REACH)..line].iter().any(|text| text.contains("SAFETY"));
            assert!(noted, "{}:{line}: no SAFETY note near", file.path);
        }
    }
    assert!(n_found > 10, "the search found {n_found} unsafe things");
}

#[test]
fn a_crate_without_unsafe_forbids_it() {
    for file in
        rust().iter().filter(|file| file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs"))
    {
        let room = file.path.rsplit_once('/').unwrap().0;
        let mut of_room = rust().into_iter().filter(|other| other.path.starts_with(room));
        let any = of_room.any(|other| other.code().any(|(_, code)| code.contains("unsafe ")));
        assert!(
            any || file.text.contains("#![forbid(unsafe_code)]"),
            "{}: #![forbid(unsafe_code)]",
            file.path
        );
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for file in rust() {
        let n_lines = file.text.lines().count();
        assert!(n_lines <= MAX_LINES, "{}: {n_lines} lines, more than {MAX_LINES}", file.path);
        let of_a_module = file.path.ends_with("/tests.rs"); // its name says what it is
        assert!(of_a_module || file.text.starts_with("//! "), "{}: no module documentation", file.path);
    }
}

/// Who may use whom, as the map in the README draws it. Development dependencies are free.
const USES: &[(&str, &[&str])] = &[
    ("runtime/blocks", &[]),
    ("runtime/gguf", &["blocks"]),
    ("runtime/kernels", &["blocks", "ggml"]),
    ("runtime/ggml", &["blocks"]),
    ("runtime/engine", &["blocks", "gguf", "kernels"]),
    ("quantize", &["blocks", "gguf", "kernels", "engine"]),
    ("convert", &["blocks", "gguf", "quantize"]),
    ("runtime/server", &["blocks", "gguf", "kernels", "engine"]),
    ("runtime/cli", &["blocks", "gguf", "kernels", "engine", "ggml", "quantize", "convert", "server"]),
    ("tests", &["blocks", "gguf", "kernels", "engine", "ggml", "quantize", "convert", "server"]),
];

#[test]
fn uses_run_one_way() {
    let rooms: Vec<&str> = USES.iter().map(|(room, _)| room.rsplit('/').next().unwrap()).collect();
    let mut n_found = 0;
    for manifest in files(&["Cargo.toml"]) {
        let Some((room, _)) = manifest.path.rsplit_once('/') else { continue }; // the workspace's own
        let (_, allowed) =
            USES.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("no room {room}"));
        let dependencies = manifest.text.split("\n[").find(|section| section.starts_with("dependencies]"));
        for line in dependencies.unwrap_or_default().lines() {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if rooms.contains(&name) {
                n_found += 1;
                assert!(allowed.contains(&name), "{room} must not use {name}");
            }
        }
    }
    assert!(n_found > 15, "the search found {n_found} uses");
}

#[test]
fn nothing_speaks_of_the_machine_it_was_written_on() {
    let homes = ["/root/", "/home/", "/opt/", "/work/"];
    for file in files(&[".rs", ".toml", ".md", ".yml", ".json"]).iter().filter(|file| file.path != SELF) {
        for (at, line) in file.text.lines().enumerate() {
            for home in homes {
                assert!(!line.contains(home), "{}:{}: a path of some machine: `{home}`", file.path, at + 1);
            }
        }
    }
}
