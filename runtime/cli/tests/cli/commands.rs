//! The commands on the bundled model, where all is well.

use crate::{arg, llamita, model, succeed};
use serde_json::Value;
use std::io::Write as _;
use std::process::Stdio;
use tempfile::TempDir;

/// What PyTorch made of the bundled checkpoint.
fn reference() -> Vec<Value> {
    let text =
        std::fs::read_to_string(llamita_tests::bundled().join("reference.json")).expect("it is bundled");
    let reference: Value = serde_json::from_str(&text).expect("JSON");
    reference["prompts"].as_array().expect("a list").clone()
}

fn ids(tokens: &Value) -> String {
    let ids: Vec<String> = tokens.as_array().expect("a list").iter().map(Value::to_string).collect();
    ids.join(" ")
}

#[test]
fn run_writes_what_pytorch_writes() {
    let model = model("f32");
    for prompt in reference() {
        let text = prompt["text"].as_str().expect("a text");
        let greedy = ["--cache-type", "f32", "--temperature", "0", "-n", "64", "--echo"];
        let ended = succeed([&["run", arg(&model), "--prompt", text][..], &greedy].concat());
        assert_eq!(ended.stdout.trim_end(), prompt["greedy_text"].as_str().expect("a text").trim_end());
        assert_eq!(ended.stderr.lines().count(), 1, "one line of statistics: {}", ended.stderr);
        assert!(ended.stderr.contains("tokens/s"), "{}", ended.stderr);
    }
}

#[test]
fn the_same_seed_gives_the_same_text() {
    let model = model("q8_0");
    let run = |seed, threads| {
        let args =
            ["run", arg(&model), "-p", "The", "-n", "24", "--seed", seed, "--threads", threads, "--quiet"];
        let ended = succeed(args);
        assert_eq!(ended.stderr, "");
        ended.stdout
    };
    assert_eq!(run("7", "1"), run("7", "2"));
    assert_ne!(run("7", "1"), run("8", "1"));
}

#[test]
fn a_prompt_may_come_through_a_pipe() {
    let model = model("q8_0");
    let mut child = llamita(["run", arg(&model), "-f", "-", "-n", "8", "--temperature", "0", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(b"In the morning\n").expect("it reads");
    let piped = child.wait_with_output().expect("it ends").stdout;
    let args = ["run", arg(&model), "-p", "In the morning", "-n", "8", "--temperature", "0", "-q"];
    assert_eq!(String::from_utf8(piped).expect("UTF-8"), succeed(args).stdout);
}

#[test]
fn a_long_prompt_is_read_in_passes_to_the_same_end() {
    let model = model("q8_0");
    let text = llamita_tests::held_out_text();
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("prompt.txt");
    std::fs::write(&file, &text[..text.floor_char_boundary(1500)]).expect("it writes");
    let run = |batch| {
        let args =
            ["run", arg(&model), "-f", arg(&file), "-n", "8", "--temperature", "0", "-q", "--batch", batch];
        succeed(args).stdout
    };
    assert_eq!(run("3"), run("512"));
}

#[test]
fn tokenize_goes_there_and_back() {
    let model = model("q8_0");
    for prompt in reference() {
        let text = prompt["text"].as_str().expect("a text");
        let forth = succeed(["tokenize", arg(&model), "--text", text, "--bos"]).stdout;
        assert_eq!(forth.trim_end(), ids(&prompt["tokens"]));
        let back = succeed(["tokenize", arg(&model), "--ids", forth.trim_end()]).stdout;
        assert_eq!(back.strip_suffix('\n'), Some(text));
    }
    let two = succeed(["tokenize", arg(&model), "--text", "one", "--text", "two"]).stdout;
    assert_eq!(two.lines().count(), 2, "{two}");
    let plain = succeed(["tokenize", arg(&model), "--text", "</s>"]).stdout;
    let special = succeed(["tokenize", arg(&model), "--text", "</s>", "--special", "--json"]).json();
    assert!(plain.split_whitespace().count() > 1, "{plain}");
    assert_eq!(special["tokens"], serde_json::json!([2]));
}

#[test]
fn quantize_names_its_output_after_the_type() {
    let folder = TempDir::new().expect("a folder");
    let input = folder.path().join("novel-f32.gguf");
    std::fs::copy(model("f32"), &input).expect("it copies");
    let ended = succeed(["quantize", arg(&input), "--type", "q4_0"]);
    let output = folder.path().join("novel-q4_0.gguf");
    assert!(ended.stderr.contains("novel-q4_0.gguf"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");

    // The way through a file of floats and the direct way end in the same weights.
    let types = |path| succeed(["inspect", arg(path), "--json", "--tensors"]).json()["tensors"].clone();
    let direct = model("q4_0");
    assert_eq!(strip_offsets(types(&output)), strip_offsets(types(&direct)));
}

/// Two files may differ in their metadata, and so in where the tensors begin.
fn strip_offsets(mut tensors: Value) -> Value {
    for tensor in tensors.as_array_mut().expect("a list") {
        tensor.as_object_mut().expect("an object").remove("offset");
    }
    tensors
}

#[test]
fn inspect_counts_and_verifies() {
    let model = model("q8_0");
    let text = succeed(["inspect", arg(&model)]).stdout;
    for part in ["parameters  8,392,960", "general.architecture = \"llama\"", "Q8_0", "F32"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = succeed(["inspect", arg(&model), "--json", "--tensors", "--verify"]).json();
    assert_eq!(json["n_parameters"], 8_392_960);
    assert_eq!(json["tensors"].as_array().map(Vec::len), Some(75));
    assert_eq!(json["verify"]["n_checked"], 75);
    assert_eq!(json["metadata"]["tokenizer.ggml.tokens"]["len"], 4096);
}

#[test]
fn verify_finds_the_weight_that_is_no_number() {
    let mut bytes = std::fs::read(model("q8_0")).expect("it reads");
    let tensors = succeed(["inspect", arg(&model("q8_0")), "--json", "--tensors"]).json()["tensors"].clone();
    let tensor =
        tensors.as_array().expect("a list").iter().find(|tensor| tensor["name"] == "blk.3.ffn_up.weight");
    let offset = tensor.and_then(|tensor| tensor["offset"].as_u64()).expect("it is there") as usize;
    // The scale of the tensor's second block, 34 bytes each, becomes infinite.
    bytes[offset + 34..][..2].copy_from_slice(&[0x00, 0x7c]);
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("damaged.gguf");
    std::fs::write(&file, bytes).expect("it writes");

    let output = llamita(["inspect", arg(&file), "--verify"]).output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for part in ["damaged.gguf", "blk.3.ffn_up.weight", &format!("byte {}", offset + 34)] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[test]
fn perplexity_is_a_figure_with_an_error() {
    let model = model("q8_0");
    let folder = TempDir::new().expect("a folder");
    let text = folder.path().join("text.txt");
    std::fs::write(&text, llamita_tests::held_out_text()).expect("it writes");
    let json =
        succeed(["perplexity", arg(&model), "--text", arg(&text), "--context", "256", "--json"]).json();
    // The whole book gives 43.2; a chapter of it is near.
    let perplexity = json["perplexity"].as_f64().expect("a number");
    assert!((25.0..75.0).contains(&perplexity), "{json}");
    assert!(json["error"].as_f64().is_some_and(|error| error > 0.0 && error < 10.0), "{json}");
    let n_windows = json["n_windows"].as_u64().expect("a number");
    assert_eq!(json["n_tokens"], n_windows * 127, "{json}");
    let line = succeed(["perplexity", arg(&model), "--text", arg(&text), "--context", "256"]).stdout;
    assert!(line.starts_with(&format!("perplexity {perplexity:.4} ± ")), "{line}");
}

#[test]
fn plan_adds_up() {
    let model = model("q8_0");
    let plan = |context, cache| {
        succeed(["plan", arg(&model), "--context", context, "--cache-type", cache, "--json"]).json()
    };
    let (small, large) = (plan("256", "f16"), plan("512", "f32"));
    let part = |plan: &Value, key: &str| plan[key].as_u64().expect("a number");
    let parts = ["weights_bytes", "kv_cache_bytes", "scratch_bytes", "tables_bytes"];
    assert_eq!(part(&small, "total_bytes"), parts.iter().map(|key| part(&small, key)).sum::<u64>());
    assert_eq!(part(&large, "kv_bytes_per_token"), 2 * part(&small, "kv_bytes_per_token"));
    assert_eq!(small["fits"], true, "{small}");
    // A block of 32 numbers takes 34 bytes as Q8_0, 18 as Q4_0; 32 halves take 64.
    let mixed = succeed(["plan", arg(&model), "-ctk", "q8_0", "--cache-type-v", "q4_0", "--json"]).json();
    assert_eq!(128 * part(&mixed, "kv_bytes_per_token"), (34 + 18) * part(&small, "kv_bytes_per_token"));
    assert!(succeed(["plan", arg(&model)]).stdout.contains("it fits"));
}

#[test]
fn plan_tells_the_speed_and_what_would_be_faster() {
    let model = model("q8_0");
    // Less than all takes with one cache, and more than with the other; not by much, so that some weights stay in the end.
    let whole = |cache| {
        let call =
            ["plan", arg(&model), "--context", "4096", "--max-ram", "1TiB", "--cache-type", cache, "--json"];
        succeed(call).json()["total_bytes"].as_u64().expect("a number")
    };
    let ram = ((whole("q8_0") + 3 * whole("f16")) / 4).to_string();
    let plan = |more: &[&str]| {
        let few = ["plan", arg(&model), "--context", "4096", "--max-ram", &ram, "--json"];
        succeed([&few[..], more].concat()).json()
    };
    let number = |plan: &Value, key: &str| plan[key].as_f64().unwrap_or_else(|| panic!("{key}: {plan}"));
    let at = |mbps| plan(&["--cache-type", "f16", "--storage-mbps", mbps]);
    let (slow, fast) = (at("1"), at("2"));
    assert_eq!((&slow["fits"], &slow["cache"]), (&Value::from(false), &Value::from("f16")), "{slow}");
    let own = plan(&[]);
    assert_eq!((&own["fits"], &own["cache"]), (&Value::from(true), &Value::from("q8_0")), "{own}");
    let ratio = number(&fast, "tokens_per_second_full") / number(&slow, "tokens_per_second_full");
    assert!((1.99..2.01).contains(&ratio), "twice the disk's speed: {ratio} times the tokens");
    // What a full cache takes of the weights is read.
    let streamed = number(&slow, "pass_bytes") + number(&slow, "kv_cache_bytes")
        - (number(&slow, "budget_bytes")
            - number(&slow["streaming"], "ring_bytes")
            - number(&slow, "scratch_bytes")
            - number(&slow, "tables_bytes"));
    let found = 1e6 / number(&slow, "tokens_per_second_full");
    assert!((found / streamed - 1.0).abs() < 0.01, "{found} bytes a token for {streamed}");
    let choices = slow["choices"].as_array().expect("a list");
    for what in ["--context 2048", "--cache-type q4_0", "a file of type q4_0"] {
        assert!(choices.iter().any(|choice| choice["what"] == what), "{what}: {slow}");
    }
    let few = ["--max-ram", &ram, "--context", "4096", "--cache-type", "f16"];
    let words = succeed([&["plan", arg(&model)], &few[..]].concat()).stdout;
    assert!(words.contains("tokens/s") && words.contains("does not fit, but runs"), "{words}");
}

#[test]
fn a_text_that_fills_its_context_ends_or_goes_on() {
    let model = model("q8_0");
    let run = |on_full| {
        let args = ["run", arg(&model), "-p", "The", "-n", "400", "--seed", "3", "--on-full", on_full];
        succeed([&args[..], &["--context", "192"]].concat())
    };
    let (stop, shift) = (run("stop"), run("shift"));
    assert!(stop.stderr.contains("the context of 192 tokens is full"), "{}", stop.stderr);
    assert!(shift.stderr.contains("text 400 tokens"), "{}", shift.stderr);
    assert!(shift.stdout.starts_with(stop.stdout.trim_end()), "{} is the beginning", stop.stdout);
    let short = ["run", arg(&model), "-p", "The", "-n", "99", "--context", "64", "--on-full", "shift"];
    let short = llamita(short).output().expect("the binary runs");
    assert_eq!(short.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&short.stderr).contains("192 at least (--context)"), "{short:?}");
}

/// A row of one repetition, with a profile.
fn check_row(row: &Value) {
    let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key}: {row}"));
    let [seconds] = row["seconds"].as_array().expect("a list").as_slice() else { panic!("{row}") };
    let rate = number("n_tokens") / seconds.as_f64().expect("a number");
    assert!((number("tokens_per_second") / rate - 1.0).abs() < 1e-9, "{row}");
    assert_eq!(row["limits"].as_array().map(Vec::len), Some(1));
    assert!(number("share") > 0.0);
    // What the products reach is more than what the whole does, by the time between them.
    assert!(row["test"] == "text" || number("share_in_products") > number("share"), "{row}");
    // The operations are all that a pass does: their shares add up, and the products lead.
    let steps = row["profile"].as_array().expect("a profile");
    let shares: f64 = steps.iter().filter_map(|step| step["share"].as_f64()).sum();
    assert!((shares - 1.0).abs() < 1e-6, "{row}");
    assert!(steps.iter().any(|step| step["operation"] == "gate, up" && step["share"].as_f64() > Some(0.05)));
}

#[test]
fn bench_measures_what_was_asked() {
    let model = model("q4_0");
    let args = [
        "bench",
        arg(&model),
        arg(&model),
        "-p",
        "16,3",
        "-n",
        "4",
        "--depth",
        "0,8",
        "-r",
        "1",
        "-t",
        "2,1,2",
        "--isa",
        "scalar",
        "--profile",
        "--json",
    ];
    let json = succeed(args).json();
    assert_eq!(json["isa"], "scalar");
    let machine = json["machine"].as_array().expect("a list");
    assert_eq!(machine.iter().map(|limits| &limits["threads"]).collect::<Vec<_>>(), [2, 1]);
    for limits in machine {
        let levels = limits["int8_macs_per_second"].as_object().expect("levels");
        for rate in levels.values().chain([&limits["read_bytes_per_second"]]) {
            assert!(rate.as_f64().is_some_and(|rate| rate > 0.0), "{limits}");
        }
    }
    let tests = [
        ("prompt", 0, 16),
        ("prompt", 0, 3),
        ("text", 0, 4),
        ("prompt", 8, 16),
        ("prompt", 8, 3),
        ("text", 8, 4),
    ];
    let models = json["models"].as_array().expect("models");
    assert_eq!(models.len(), 2);
    for measured in models {
        assert_eq!(measured["model"], arg(&model));
        let all = ["Q4_0", "Q6_K"];
        let kernels = measured["kernels"].as_array().expect("a list");
        assert!(
            kernels.iter().zip(all).all(|(kernel, ty)| kernel["type"] == ty && kernel["level"] == "scalar")
        );
        assert!(measured["first_token"]["warm_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
        let rows = measured["rows"].as_array().expect("rows");
        let found = rows.iter().map(|row| {
            let number = |key: &str| row[key].as_u64().unwrap_or_else(|| panic!("{key}: {row}"));
            (row["test"].as_str().expect("a name"), number("depth"), number("n_tokens"), number("threads"))
        });
        let wanted = [2, 1].map(|threads| tests.map(|(name, depth, n)| (name, depth, n, threads)));
        assert!(found.eq(wanted.into_iter().flatten()), "{measured}");
        rows.iter().for_each(check_row);
    }
    let table = succeed(["bench", arg(&model), "-p", "0", "-n", "2", "-r", "1"]).stdout;
    assert!(table.contains("text") && !table.contains("prompt"), "{table}");
}
