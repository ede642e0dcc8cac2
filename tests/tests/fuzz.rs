//! A few thousand inputs for every target, always the same ones: `scripts/fuzz` goes on from there for hours.
//!
//! A binary of its own, because its allocator counts for the whole process.

#![forbid(unsafe_code)]

use llamita_tests::counting::Counting;
use llamita_tests::fuzz::{Change, Input, NAMES, Options, Target, again, fuzz};
use std::path::Path;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test: two at a time would count each other's memory, and hear each other's panics.
#[test]
fn nearly_right_inputs_break_no_contract() {
    the_driver_finds_what_breaks_it();
    let folder = tempfile::tempdir().expect("a folder");
    a_flipped_bit_does_no_harm(folder.path());
    for name in NAMES {
        let mut target = Target::new(name).expect("it is one of the names");
        for input in target.seeds.clone() {
            let taken =
                again(&mut target, &input).unwrap_or_else(|broken| panic!("{name}: a seed: {broken}"));
            assert_eq!(taken, Ok(()), "{name}: a seed is sound");
        }
        let options = Options {
            executions: 700,
            time: Duration::MAX,
            seed: 1,
            change: Change::Any,
            folder: folder.path().to_owned(),
            keep: false,
            report: false,
        };
        let report = fuzz(&mut target, &options).expect("the folder can be written");
        assert!(report.findings.is_empty(), "{name}: {:?}", report.findings);
        // Neither is all of it rubbish, nor all of it sound; and some of it is news.
        let n_refused = report.executions - report.accepted;
        assert!(
            report.accepted > 10 && n_refused > 100,
            "{name}: {} of {} taken",
            report.accepted,
            report.executions
        );
        assert!(report.kept > target.seeds.len() + 5, "{name}: {} kept", report.kept);
    }
}

/// 5000 here; `fuzz gguf flips 50000` makes ten times as many.
fn a_flipped_bit_does_no_harm(folder: &Path) {
    let mut target = Target::new("gguf").expect("it is one of the names");
    let options = Options {
        executions: 5000,
        time: Duration::MAX,
        seed: 2,
        change: Change::Bit,
        folder: folder.to_owned(),
        keep: false,
        report: false,
    };
    let report = fuzz(&mut target, &options).expect("the folder can be written");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    // Most bits are of weights or of the vocabulary; those of lengths and types are the ones that are refused.
    assert!((500..4900).contains(&report.accepted), "{} of 5000 taken", report.accepted);
}

/// What a target did, and what the driver has to say of it.
type Broken = (&'static str, fn() -> Result<Result<(), String>, String>);

fn the_driver_finds_what_breaks_it() {
    let cases: [Broken; 5] = [
        ("panic at", || panic!("out of cheese")),
        // The thread's owner may make an error of it, and it is a panic all the same.
        ("out of cheese", || {
            Ok(Err(format!("{:?}", std::thread::spawn(|| panic!("out of cheese")).join().is_err())))
        }),
        ("takes 4", || {
            drop(std::hint::black_box(vec![1u8; 40 << 20]));
            Ok(Ok(()))
        }),
        ("no line of visible characters", || Ok(Err("two\nlines".into()))),
        ("left behind", || Err("a file is left behind".into())),
    ];
    for (says, breaks) in cases {
        let mut target = Target::of(b"seed", move |_| breaks());
        let found = again(&mut target, &Input { form: 0, bytes: b"seed".to_vec() });
        assert!(found.as_ref().is_err_and(|broken| broken.contains(says)), "{says}: {found:?}");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        let options = Options {
            executions: 50,
            time: Duration::MAX,
            seed: 1,
            change: Change::Any,
            folder: path,
            keep: true,
            report: false,
        };
        let report = fuzz(&mut target, &options).expect("the folder can be written");
        assert_eq!(report.findings.len(), 1, "{says}: {:?}", report.findings);
        assert!(report.findings.values().all(|path| path.exists()), "{says}: the input is kept");
    }
    let mut sound = Target::of(b"seed", |_| Ok(Err("a sentence".into())));
    assert_eq!(again(&mut sound, &Input { form: 0, bytes: Vec::new() }), Ok(Err("a sentence".into())));
}
