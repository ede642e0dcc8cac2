//! What quantization cannot be told: importance matrices that are damaged or another model's, texts of nothing, sizes that
//! nothing fits.

use crate::{Bad, Ended, arg, check_bad, llamita, model, succeed};
use blocks::TensorType;
use gguf::{File, Metadata, Strings, TensorSpec, Writer};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An importance matrix of ones for some matrices of the model: those whose name `of` gives another number of columns,
/// and with the numbers that it gives.
fn imatrix(path: &Path, of: impl Fn(&str, u64) -> Option<(String, Vec<f32>)>) -> PathBuf {
    let model = File::open(model("f16")).expect("our own file");
    let matrices =
        model.tensors().iter().filter(|tensor| tensor.shape.len() > 1 && tensor.name.starts_with("blk."));
    let entries: Vec<_> = matrices.filter_map(|tensor| of(&tensor.name, tensor.shape[0])).collect();
    let mut keys = Metadata::default();
    keys.set("general.type", "imatrix");
    keys.set("imatrix.datasets", ["none"].iter().collect::<Strings>());
    let spec = |name: String, n: usize| TensorSpec { name, shape: vec![n as u64, 1], ty: TensorType::F32 };
    let specs: Vec<_> = entries
        .iter()
        .flat_map(|(name, sums)| {
            [spec(format!("{name}.in_sum2"), sums.len()), spec(format!("{name}.counts"), 1)]
        })
        .collect();
    let mut writer = Writer::create(path, &keys, &specs).expect("there is room");
    for (_, sums) in entries {
        writer.write(&sums.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>()).expect("there is room");
        writer.write(&1f32.to_le_bytes()).expect("there is room");
    }
    writer.finish().expect("there is room");
    path.to_owned()
}

fn ones(name: &str, n_cols: u64) -> Option<(String, Vec<f32>)> {
    Some((name.to_owned(), vec![1.0; n_cols as usize]))
}

/// Ones, but for one number of one matrix, or for all of them.
fn with(value: f32, all: bool) -> impl Fn(&str, u64) -> Option<(String, Vec<f32>)> {
    move |name, n_cols| {
        let (name, mut sums) = ones(name, n_cols)?;
        if name == "blk.3.ffn_up.weight" {
            if all { sums.fill(value) } else { sums[7] = value }
        }
        Some((name, sums))
    }
}

#[test]
fn an_importance_matrix_that_is_no_good_gets_a_sentence() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let good = imatrix(&path("good.gguf"), ones);
    let cut = path("cut.gguf");
    let bytes = std::fs::read(&good).expect("it reads");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).expect("it writes");
    let deeper = |name: &str, n_cols| ones(&name.replace("blk.7.", "blk.70."), n_cols);
    let wider =
        |name: &str, n_cols| ones(name, if name == "blk.2.attn_q.weight" { 2 * n_cols } else { n_cols });
    let model = model("f16");
    let cases: [(&str, PathBuf, &[&str]); 9] = [
        ("another model", imatrix(&path("deeper.gguf"), deeper), &["deeper.gguf", "blk.7.", "another model"]),
        (
            "other shapes",
            imatrix(&path("wider.gguf"), wider),
            &["wider.gguf", "512 columns", "not 256", "blk.2.attn_q"],
        ),
        (
            "zeros",
            imatrix(&path("zeros.gguf"), with(0.0, true)),
            &["zeros.gguf", "blk.3.ffn_up.weight", "zero"],
        ),
        (
            "NaN",
            imatrix(&path("nan.gguf"), with(f32::NAN, false)),
            &["nan.gguf", "number 7", "NaN", "damaged"],
        ),
        ("negative", imatrix(&path("less.gguf"), with(-1.0, false)), &["less.gguf", "number 7", "-1"]),
        (
            "infinite",
            imatrix(&path("inf.gguf"), with(f32::INFINITY, false)),
            &["inf.gguf", "number 7", "inf"],
        ),
        ("truncated", cut, &["cut.gguf", "byte"]),
        ("a model", model.clone(), &["f16.gguf", "no importance matrix"]),
        ("nothing", path("none.gguf"), &["none.gguf", "No such file"]),
    ];
    let checkpoint = llamita_tests::bundled();
    for (case, file, says) in &cases {
        for input in [&["quantize", arg(&model)][..], &["convert", arg(&checkpoint)]] {
            let args = [input, &["--type", "q4_0", "--imatrix", arg(file), "-o", "out.gguf"]].concat();
            check_bad(&Bad { case, args: &args, status: 1, says });
        }
    }
    // What was spoilt was sound; and one column that no token used is no fault.
    for imatrix in [&good, &imatrix(&path("unused.gguf"), with(0.0, false))] {
        let out = path("out.gguf");
        succeed(["quantize", arg(&model), "--type", "q4_0", "--imatrix", arg(imatrix), "-o", arg(&out)]);
    }
}

#[test]
fn a_text_of_nothing_gets_a_sentence() {
    let folder = TempDir::new().expect("a folder");
    let model = model("f16");
    let texts = [("empty.txt", ""), ("short.txt", "It was a dark night.")].map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it writes");
        path
    });
    for text in &texts {
        let text = arg(text);
        for (args, says) in [
            (
                &["quantize", arg(&model), "--type", "q4_0", "--calibration", text][..],
                "two windows take 1024",
            ),
            (
                &["quantize", arg(&model), "--target-size", "6MiB", "--measure", text],
                "but a window takes 256",
            ),
            (&["imatrix", arg(&model), "--text", text], "one window takes 512"),
            (
                &[
                    "quantize",
                    arg(&model),
                    "--type",
                    "q4_0",
                    "--report",
                    "report.json",
                    "--report-text",
                    text,
                ],
                "two windows take 1024",
            ),
        ] {
            let args = [args, &["-o", "out.gguf"]].concat();
            let out = TempDir::new().expect("a folder");
            // A model runs here, or its vocabulary is read, which takes more memory than bad input alone may.
            let ended =
                Ended::from(llamita(&args).current_dir(out.path()).output().expect("the binary runs"));
            assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{args:?}: {}", ended.stderr);
            let sentence = ended.stderr.lines().last().unwrap_or_default();
            assert!(sentence.contains(says) && sentence.contains(" tokens"), "{says} in: {sentence}");
            assert_eq!(out.path().read_dir().expect("the folder").count(), 0, "{args:?}");
        }
    }
}

#[test]
fn a_size_that_nothing_fits_is_told_with_the_smallest() {
    let model = model("f16");
    let call = ["quantize", arg(&model), "-o", "out.gguf"];
    for target in [
        &["--target-size", "1MiB"][..],
        &["--target-bpw", "1"],
        &["--target-size", "5MiB", "--types", "q8_0"],
    ] {
        let args = [&call[..], target].concat();
        let says = ["the smallest that these types make has", "bits for each weight"];
        let sentence = check_bad(&Bad { case: target[1], args: &args, status: 1, says: &says });
        let (_, rest) = sentence.split_once("types make has ").expect("it was found");
        let smallest: u64 = rest.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        // What is said to be the smallest can be had, and nothing smaller.
        let types = target.get(2..).unwrap_or_default();
        let (smallest, less) = (smallest.to_string(), (smallest - 1).to_string());
        let plan = [&call[..], &["--target-size", &smallest, "--dry-run", "--json"], types].concat();
        assert_eq!(succeed(&plan).json()["file_bytes"].to_string(), smallest);
        check_bad(&Bad {
            case: "less",
            args: &[&call[..], &["--target-size", &less], types].concat(),
            status: 1,
            says: &says,
        });
    }
    let ram = [&call[..], &["--fit-ram", "2MiB", "--context", "4096"]].concat();
    check_bad(&Bad { case: "no room", args: &ram, status: 1, says: &["--fit-ram", "a shorter --context"] });
}

#[test]
fn what_is_quantized_already_is_not_quantized_again_unasked() {
    let model = model("q8_0");
    let call = ["quantize", arg(&model), "-o", "out.gguf"];
    for how in [&["--type", "q4_0"][..], &["--type", "f32"], &["--target-size", "6MiB"]] {
        let says = ["is Q8_0 already", "--allow-requantize"];
        check_bad(&Bad { case: how[1], args: &[&call[..], how].concat(), status: 1, says: &says });
    }
}
