//! Files that appear, files that must not, and what the dead leave behind.

mod recovery;

use super::*;
use std::os::unix::fs::symlink;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    let long = vec![b'l'; 2 * BUFFER_BYTES];

    let mut output = Output::create(&path, 0).unwrap();
    output.write(&long).unwrap();
    let [partial] = &names(folder.path())[..] else { panic!("one partial file") };
    assert!(is_partial(OsStr::new(partial), OsStr::new(".m.gguf.")), "{partial}");
    drop(output);
    assert_eq!(names(folder.path()), [""; 0]);

    let mut output = Output::create(&path, 0).unwrap();
    output.write(b"short").unwrap();
    output.write(&long).unwrap();
    assert!(!path.exists());
    output.finish().unwrap();
    assert_eq!(names(folder.path()), ["m.gguf"]);
    assert_eq!(fs::read(&path).unwrap(), [b"short", &long[..]].concat());

    let ordinary = folder.path().join("ordinary");
    fs::File::create(&ordinary).unwrap();
    assert_eq!(mode(&path), mode(&ordinary));
}

#[test]
fn what_is_replaced_keeps_its_permissions_and_its_links() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("m.gguf"), folder.path().join("link"));
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o620)).unwrap();
    symlink("m.gguf", &link).unwrap();
    let mut output = Output::create(&link, 0).unwrap();
    output.write(b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    output.finish().unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o620));
    assert!(link.is_symlink());
}

#[test]
fn what_cannot_become_a_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    for (path, n_bytes, says) in [
        (folder.path().into(), 0, "this is a directory"),
        (inside("absent/m.gguf"), 0, "there is no folder"),
        (inside("m.gguf/"), 0, "it has no file name"),
        ("".into(), 0, "it has no file name"),
        ("/dev/null".into(), 0, "this is a device"),
        (inside(&"x".repeat(300)), 0, "cannot be given its name"),
        ("/proc/m.gguf".into(), 0, "a file cannot be created in its folder"),
        (inside("m.gguf"), 1 << 62, "needs 4294967296.00 GiB, but its disk has"),
    ] {
        let error = Output::create(&path, n_bytes).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: ", path.display())) && error.contains(says), "{error}");
        assert!(!error.contains(".partial"), "{error}");
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn only_what_a_dead_process_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let stale = ".m.gguf.aB3dEf.partial";
    let others = [
        ".m.gguf.aB3dE-.partial",
        ".m.gguf.aB3dEfg.partial",
        ".n.gguf.aB3dEf.partial",
        "m.gguf.aB3dEf.partial",
    ];
    [stale].iter().chain(&others).for_each(|name| fs::write(folder.path().join(name), "").unwrap());
    let alive = Output::create(folder.path().join("m.gguf"), 0).unwrap();
    let second = Output::create(folder.path().join("m.gguf"), 0).unwrap();
    let left = names(folder.path());
    assert!(
        !left.contains(&stale.into()) && others.iter().all(|&name| left.contains(&name.into())),
        "{left:?}"
    );
    assert_eq!(left.len(), others.len() + 2, "both that are being written: {left:?}");
    second.finish().unwrap();
    alive.finish().unwrap();
}

#[test]
fn a_name_may_be_as_long_as_names_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x".to_string() + &"é".repeat(127));
    Output::create(&path, 0).unwrap().finish().unwrap();
    assert!(path.exists());
}
