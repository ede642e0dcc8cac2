//! Mixtures are llama.cpp's: every tensor of models of true shapes gets the type that llama-quantize gives it.
//!
//! `golden/mixtures.txt` holds its choices. Where `LLAMITA_LLAMA_QUANTIZE` names the program, it is asked again and has to
//! say the same; with `LLAMITA_RECORD` set, the file is written anew.

use blocks::TensorType;
use gguf::{Metadata, Strings, TensorSpec, Writer};
use llamita_tests::did_not_run;
use quantize::{Architecture, FileType, Plan, Recipe, Tensor};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

pub(crate) const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/mixtures.txt");

/// A model's name, layers, width, heads, key and value heads, feed-forward length, vocabulary; experts; whether the
/// embedding serves as output matrix.
struct Shape(&'static str, u64, u64, u64, u64, u64, u64, u64, bool);

const SHAPES: [Shape; 9] = [
    Shape("Llama-2-7B", 32, 4096, 32, 32, 11008, 32000, 0, false),
    Shape("Llama-2-13B", 40, 5120, 40, 40, 13824, 32000, 0, false),
    Shape("Llama-2-70B", 80, 8192, 64, 8, 28672, 32000, 0, false),
    Shape("Llama-3-8B", 32, 4096, 32, 8, 14336, 128_256, 0, false),
    Shape("Llama-3.2-1B", 16, 2048, 32, 8, 8192, 128_256, 0, true),
    Shape("TinyLlama", 22, 2048, 32, 4, 5632, 32000, 0, false),
    // Rows of 3200 and 8640: no multiples of 256.
    Shape("OpenLlama-3B", 26, 3200, 32, 32, 8640, 32000, 0, false),
    Shape("Mixtral-8x7B", 32, 4096, 32, 8, 14336, 32000, 8, false),
    // The bundled model, whose files `files.rs` looks at.
    Shape("novel-8m", 8, 256, 8, 4, 768, 4096, 0, false),
];

/// What a line of the record says of each kind of matrix: its types from the first layer to the last.
pub(crate) fn recorded(case: &str) -> BTreeMap<String, Vec<TensorType>> {
    let record = std::fs::read_to_string(GOLDEN).expect("it is there");
    let line = record.lines().find_map(|line| line.strip_prefix(case)?.strip_prefix(" | "));
    let kinds = line.unwrap_or_else(|| panic!("no line of {case}")).split(' ');
    kinds
        .map(|kind| {
            let (name, runs) = kind.split_once(':').expect("a kind and its runs");
            let types = runs.split(':').flat_map(|run| {
                let (ty, n) = run.split_once('×').expect("a type and how often");
                std::iter::repeat_n(TensorType::from_name(ty).expect("a type"), n.parse().expect("a number"))
            });
            (name.to_owned(), types.collect())
        })
        .collect()
}

impl Shape {
    fn architecture(&self) -> Architecture {
        Architecture { n_layers: self.1, n_heads: self.3, n_kv_heads: self.4, n_experts: self.7 }
    }

    /// Names and shapes.
    fn tensors(&self) -> Vec<(String, Vec<u64>)> {
        let &Self(_, n_layers, dim, n_heads, n_kv_heads, n_ff, n_vocab, n_experts, tied) = self;
        let n_keys = dim / n_heads * n_kv_heads;
        let mut tensors = vec![("token_embd.weight".to_owned(), vec![dim, n_vocab])];
        for layer in 0..n_layers {
            let mut add = |kind: &str, shape: &[u64]| {
                tensors.push((format!("blk.{layer}.{kind}.weight"), shape.to_vec()))
            };
            add("attn_norm", &[dim]);
            add("attn_q", &[dim, dim]);
            add("attn_k", &[dim, n_keys]);
            add("attn_v", &[dim, n_keys]);
            add("attn_output", &[dim, dim]);
            add("ffn_norm", &[dim]);
            if n_experts == 0 {
                add("ffn_gate", &[dim, n_ff]);
                add("ffn_up", &[dim, n_ff]);
                add("ffn_down", &[n_ff, dim]);
            } else {
                add("ffn_gate_inp", &[dim, n_experts]);
                add("ffn_gate_exps", &[dim, n_ff, n_experts]);
                add("ffn_up_exps", &[dim, n_ff, n_experts]);
                add("ffn_down_exps", &[n_ff, dim, n_experts]);
            }
        }
        tensors.push(("output_norm.weight".to_owned(), vec![dim]));
        if !tied {
            tensors.push(("output.weight".to_owned(), vec![dim, n_vocab]));
        }
        tensors
    }

    /// How a converter stores a tensor: routers as vectors.
    fn stored(name: &str, shape: &[u64]) -> TensorType {
        if shape.len() == 1 || name.contains("gate_inp") { TensorType::F32 } else { TensorType::F16 }
    }
}

/// A line: the types of each kind of matrix, from the first layer to the last, as runs.
fn line(types: impl Iterator<Item = (String, TensorType)>) -> String {
    let mut kinds: BTreeMap<String, Vec<(TensorType, usize)>> = BTreeMap::new();
    for (name, ty) in types {
        let name = name.strip_suffix(".weight").unwrap();
        let runs = kinds.entry(name.rsplit('.').next().unwrap().to_owned()).or_default();
        match runs.last_mut() {
            Some((last, n)) if *last == ty => *n += 1,
            _ => runs.push((ty, 1)),
        }
    }
    let mut line = String::new();
    for (kind, runs) in kinds.iter().filter(|(kind, _)| !kind.ends_with("norm")) {
        write!(line, " {kind}").unwrap();
        runs.iter().for_each(|(ty, n)| write!(line, ":{ty}×{n}").unwrap());
    }
    line
}

fn ours(shape: &Shape, file_type: FileType, has_imatrix: bool) -> String {
    let tensors = shape.tensors();
    let of = |(name, shape): &(String, Vec<u64>)| (name.clone(), shape.clone(), Shape::stored(name, shape));
    let owned: Vec<_> = tensors.iter().map(of).collect();
    let tensors: Vec<_> = owned.iter().map(|(name, shape, ty)| Tensor { name, shape, ty: *ty }).collect();
    let plan = Plan::new(&Recipe::new(file_type), &shape.architecture(), has_imatrix, &tensors).unwrap();
    line(plan.specs().iter().map(|spec| (spec.name.clone(), spec.ty)))
}

/// A file of this shape in F16 that takes no room: all its weights are a hole.
fn write_hole(shape: &Shape, path: &Path) {
    let &Shape(_, n_layers, dim, n_heads, n_kv_heads, n_ff, n_vocab, n_experts, _) = shape;
    let mut metadata = Metadata::default();
    metadata.set("general.architecture", "llama");
    metadata.set("general.file_type", FileType::F16.wire());
    metadata.set("llama.attention.layer_norm_rms_epsilon", 1e-5f32);
    for (key, n) in [
        ("context_length", 4096),
        ("embedding_length", dim),
        ("block_count", n_layers),
        ("feed_forward_length", n_ff),
        ("attention.head_count", n_heads),
        ("attention.head_count_kv", n_kv_heads),
        ("vocab_size", n_vocab),
        ("expert_count", n_experts),
        ("expert_used_count", n_experts.min(2)),
    ] {
        metadata.set(format!("llama.{key}"), n as u32);
    }
    let spec =
        |(name, shape): (String, Vec<u64>)| TensorSpec { ty: Shape::stored(&name, &shape), name, shape };
    let specs: Vec<_> = shape.tensors().into_iter().map(spec).collect();
    llamita_tests::write_hole(path, &metadata, &specs);
}

/// An importance matrix: that there is one is all that the choice of types asks.
fn write_imatrix(path: &Path) {
    let mut metadata = Metadata::default();
    metadata.set("general.type", "imatrix");
    metadata.set("imatrix.datasets", ["none"].iter().collect::<Strings>());
    metadata.set("imatrix.chunk_count", 1u32);
    metadata.set("imatrix.chunk_size", 512u32);
    let spec = |name: &str, n| TensorSpec { name: name.to_owned(), shape: vec![n, 1], ty: TensorType::F32 };
    let specs = [spec("blk.0.attn_q.weight.in_sum2", 32), spec("blk.0.attn_q.weight.counts", 1)];
    let mut writer = Writer::create(path, &metadata, &specs).unwrap();
    writer.write(&1f32.to_le_bytes().repeat(32)).unwrap();
    writer.write(&1f32.to_le_bytes()).unwrap();
    writer.finish().unwrap();
}

/// What llama-quantize's dry run says of each tensor: `blk.0.attn_q.weight - [ … ], type = f16, size = … MiB (q4_K)`.
fn theirs(program: &str, model: &Path, imatrix: Option<&Path>, file_type: FileType) -> String {
    let mut command = Command::new(program);
    command.arg("--dry-run");
    if let Some(imatrix) = imatrix {
        command.arg("--imatrix").arg(imatrix);
    }
    let output = command.arg(model).arg(file_type.name()).arg("1").output().expect("the program starts");
    let log = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let types = log.lines().filter(|line| line.contains(" type = ")).map(|line| {
        let (before, after) = line.split_once(" type = ").unwrap();
        let name = before.split_once(']').unwrap().1.split_whitespace().next().unwrap();
        let becomes = line.rsplit_once('(').and_then(|(_, ty)| ty.strip_suffix(')'));
        let ty = becomes.unwrap_or_else(|| after.split_once(',').unwrap().0.trim());
        (name.to_owned(), TensorType::from_name(ty).unwrap_or_else(|| panic!("{ty} in {line}")))
    });
    let line = line(types);
    assert!(!line.is_empty() && output.status.success(), "{log}");
    line
}

#[test]
fn every_tensor_gets_llama_cpps_type() {
    let program = std::env::var("LLAMITA_LLAMA_QUANTIZE").ok();
    let recorded = std::fs::read_to_string(GOLDEN).unwrap_or_default();
    let recorded: BTreeMap<&str, &str> = recorded.lines().filter_map(|line| line.split_once(" | ")).collect();
    let mut record = "What llama-quantize of llama.cpp 0c1e570 makes of F16 files, by its dry run: model, type, + with an \
                      importance matrix | runs of types from the first layer to the last\n"
        .to_owned();
    let folder = tempfile::tempdir().unwrap();
    let (model, imatrix) = (folder.path().join("model.gguf"), folder.path().join("imatrix.gguf"));
    write_imatrix(&imatrix);
    if program.is_none() {
        did_not_run("llama-quantize itself", "LLAMITA_LLAMA_QUANTIZE does not name the program");
    }
    for shape in &SHAPES {
        if program.is_some() {
            write_hole(shape, &model);
        }
        for (file_type, has_imatrix) in FileType::all().flat_map(|ty| [(ty, false), (ty, true)]) {
            let case = format!("{} {file_type}{}", shape.0, if has_imatrix { " +" } else { "" });
            let ours = ours(shape, file_type, has_imatrix);
            if let Some(program) = &program {
                let theirs = theirs(program, &model, has_imatrix.then_some(&imatrix), file_type);
                assert_eq!(ours, theirs, "{case}");
                writeln!(record, "{case} |{theirs}").unwrap();
            }
            if std::env::var_os("LLAMITA_RECORD").is_none() {
                assert_eq!(recorded.get(&*case), Some(&ours.trim_start()), "{case}");
            }
        }
    }
    if std::env::var_os("LLAMITA_RECORD").is_some() && program.is_some() {
        std::fs::write(GOLDEN, record).unwrap();
    }
}
