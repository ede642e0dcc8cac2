//! What is fed: the files that llamita reads, through the doors that its commands use.
//!
//! A checkpoint has several files. One of them is the input, the others are sound.

#![forbid(unsafe_code)]

use super::seeds::{self, N_VOCAB};
use super::{Input, words};
use crate::checkpoint::{self, Dtype};
use blocks::{Block, with_block};
use convert::ChatTemplate as Template;
use engine::{ChatTemplate, Message, Model, Role, Session, SessionOptions, Tokenizer};
use quantize::{FileType, Work};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The targets, by name.
pub const NAMES: [&str; 6] = ["gguf", "torch", "safetensors", "tokenizer", "params", "template"];

/// Tokens of the vocabulary where the weights matter and the vocabulary does not.
const N_FEW: usize = 12;

/// Whatever a tokenizer is made of, it must give this back.
const TEXT: &str = "  abc ab, Zoë's\n\n12345 <s>[INST]\u{1F600}\t";

/// What the driver feeds.
#[expect(missing_debug_implementations, reason = "it holds closures")]
pub struct Target {
    /// One of [`NAMES`].
    pub name: &'static str,
    /// Sound inputs.
    pub seeds: Vec<Input>,
    /// Words of the formats.
    pub(super) words: &'static [&'static [u8]],
    /// What an input of each form is tried with.
    forms: Vec<Form>,
    /// Where the files lie.
    #[expect(dead_code, reason = "it goes when the target goes")]
    home: Option<TempDir>,
}

/// Takes an input's bytes: `Ok(Ok)`: it was taken; `Ok(Err)`: refused with this sentence; `Err`: the contract is broken.
type Try = Box<dyn FnMut(&[u8]) -> Result<Result<(), String>, String>>;

struct Form {
    seeds: Vec<Vec<u8>>,
    try_: Try,
}

impl Target {
    /// The target of this name, with its files in a folder of its own: in memory, where the system has such a place.
    pub fn new(name: &str) -> Option<Self> {
        let in_memory = Path::new("/dev/shm");
        let home = if in_memory.is_dir() { TempDir::new_in(in_memory) } else { TempDir::new() };
        let home = home.expect("a folder can be made");
        let at = |form: &str| home.path().join(form);
        let (forms, words): (Vec<Form>, &'static [&'static [u8]]) = match name {
            "gguf" => (vec![gguf(&at("gguf"))], words::GGUF),
            "torch" => (vec![shard(&at("zip")), pickle(&at("pickle"))], words::TORCH),
            "safetensors" => (vec![safetensors(&at("hugging-face"))], words::JSON),
            "tokenizer" => (
                vec![
                    tokenizer_model(&at("meta"), seeds::sentencepiece(N_VOCAB)),
                    tokenizer_model(&at("llama-3"), seeds::tiktoken()),
                    tokenizer_json(&at("pieces"), seeds::tokenizer_json(N_VOCAB).to_string()),
                    tokenizer_json(&at("bytes"), byte_level_json(&at("made"))),
                ],
                words::JSON,
            ),
            "params" => (vec![params(&at("meta")), config(&at("hugging-face"))], words::JSON),
            "template" => (vec![template()], words::TEMPLATE),
            _ => return None,
        };
        let name = NAMES.into_iter().find(|known| *known == name)?;
        let seeds = forms.iter().enumerate().flat_map(|(form, Form { seeds, .. })| {
            seeds.iter().map(move |bytes| Input { form, bytes: bytes.clone() })
        });
        Some(Self { name, seeds: seeds.collect(), words, forms, home: Some(home) })
    }

    /// A target of one's own: a seed, and what is tried with its like. The driver's proofs have some that break the
    /// contract.
    pub fn of(seed: &[u8], try_: impl FnMut(&[u8]) -> Result<Result<(), String>, String> + 'static) -> Self {
        let seeds = vec![Input { form: 0, bytes: seed.to_vec() }];
        let forms = vec![Form { seeds: vec![seed.to_vec()], try_: Box::new(try_) }];
        Self { name: "own", seeds, words: words::JSON, forms, home: None }
    }

    /// Tries an input.
    pub(super) fn run(&mut self, input: &Input) -> Result<Result<(), String>, String> {
        let form = input.form.min(self.forms.len() - 1);
        (self.forms[form].try_)(&input.bytes)
    }
}

/// A GGUF: opened, shown, verified, run and quantized.
fn gguf(home: &Path) -> Form {
    std::fs::create_dir_all(home).expect("a fresh folder");
    let (path, output) = (home.join("model.gguf"), home.join("output.gguf"));
    let mut made = Vec::new();
    for (name, tokenizer, file_type) in [
        ("a", seeds::sentencepiece(N_VOCAB), FileType::F32),
        ("b", seeds::sentencepiece(N_FEW), FileType::Q4_0),
        ("c", seeds::tiktoken(), FileType::Q8_0),
    ] {
        let n_vocab = if name == "b" { N_FEW } else { N_VOCAB };
        let params = if name == "c" { seeds::SCALED_PARAMS } else { seeds::PARAMS };
        let folder = home.join(name);
        meta(&folder, n_vocab, params, &tokenizer);
        crate::convert_checkpoint(&folder, &path, file_type, Template::Llama3).expect("a seed converts");
        made.push(std::fs::read(&path).expect("it was written"));
    }
    let use_it = move |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("there is room");
        let told = use_gguf(&path, &output);
        match output.exists() {
            true => Err(format!("an output is left behind, after {told:?}")),
            false => told,
        }
    };
    Form { seeds: made, try_: Box::new(use_it) }
}

/// All that the commands do with a GGUF.
fn use_gguf(path: &Path, output: &Path) -> Result<Result<(), String>, String> {
    let file = match gguf::File::open(path) {
        Ok(file) => file,
        Err(error) => return named(&error, path),
    };
    let shown: usize = file.metadata().iter().map(|(key, value)| key.len() + value.to_string().len()).sum();
    std::hint::black_box(shown);
    for tensor in file.tensors() {
        with_block!(tensor.ty, B => {
            let mut weights = vec![0.0; B::LEN];
            let blocks = blocks::from_bytes::<B>(file.bytes(tensor));
            blocks.iter().for_each(|block| block.decode(&mut weights));
        }, else ());
    }
    let options = quantize::Options {
        recipe: FileType::Q8_0.into(),
        target: None,
        imatrix: None,
        calibration: None,
        allow_requantize: true,
        work: Work::default(),
    };
    if quantize::quantize(&file, output, &options, &()).is_ok() {
        let opened = gguf::File::open(output);
        std::fs::remove_file(output).map_err(|error| format!("no output, and no error: {error}"))?;
        opened.map_err(|error| format!("what was quantized does not open: {error}"))?;
    }
    if let Ok(tokenizer) = Tokenizer::from_gguf(&file) {
        use_tokenizer(&tokenizer);
        if let Ok(Some(template)) = ChatTemplate::from_gguf(&file) {
            let _ = template.encode(&tokenizer, &conversation());
        }
    }
    match Model::open(path) {
        Ok(model) => {
            let options = SessionOptions { context: 8, batch: 4, threads: 1, ..Default::default() };
            let ran = Session::new(&model, &options)
                .and_then(|mut session| session.feed(&[0, 1, 2, 3, 4]).map(|_| ()));
            Ok(ran.map_err(|error| error.to_string()))
        }
        Err(error) => named(&error, path),
    }
}

fn use_tokenizer(tokenizer: &Tokenizer) {
    let tokens = tokenizer.encode(TEXT, true);
    std::hint::black_box(tokenizer.decode(&tokens, true));
}

/// A checkpoint in Meta's layout, all of it sound.
fn meta(folder: &Path, n_vocab: usize, params: &str, tokenizer: &[u8]) {
    std::fs::create_dir_all(folder).expect("a fresh folder");
    let path = folder.join("tokenizer.model");
    std::fs::write(&path, tokenizer).expect("there is room");
    let kept = folder.join("kept");
    std::fs::rename(&path, &kept).expect("it was written");
    checkpoint::write(folder, 1, Dtype::F16, &seeds::tensors(n_vocab), params, &kept).expect("there is room");
    std::fs::remove_file(kept).expect("it was written");
}

/// One in Hugging Face's.
fn hugging_face(folder: &Path, n_vocab: usize, tokenizer: &str) {
    std::fs::create_dir_all(folder).expect("a fresh folder");
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).expect("there is room");
    put("config.json", seeds::config(n_vocab).to_string().as_bytes());
    put("tokenizer.json", tokenizer.as_bytes());
    put("model.safetensors", &seeds::safetensors(n_vocab));
}

/// A file of a checkpoint, which is converted. `wrap` makes the file of the input.
fn file_of(
    folder: &Path,
    file: &str,
    seeds: Vec<Vec<u8>>,
    wrap: impl Fn(&[u8]) -> Vec<u8> + 'static,
) -> Form {
    let (folder, path) = (folder.to_owned(), folder.join(file));
    let out = folder.with_extension("out");
    std::fs::create_dir_all(&out).expect("a fresh folder");
    let convert_it = move |bytes: &[u8]| {
        std::fs::write(&path, wrap(bytes)).expect("there is room");
        let output = out.join("model.gguf");
        let told = use_checkpoint(&folder, &output);
        match std::fs::read_dir(&out).map_err(|error| error.to_string())?.count() {
            0 => told,
            n => Err(format!("{n} files are left behind, after {told:?}")),
        }
    };
    Form { seeds, try_: Box::new(convert_it) }
}

/// Converts it. What is written is a model that runs.
fn use_checkpoint(folder: &Path, output: &Path) -> Result<Result<(), String>, String> {
    if let Err(error) = crate::convert_checkpoint(folder, output, FileType::Q8_0, Template::Auto) {
        return named(&error, folder);
    }
    let model = Model::open(output);
    std::fs::remove_file(output).map_err(|error| format!("no output, and no error: {error}"))?;
    let model = model.map_err(|error| format!("what was converted cannot run: {error}"))?;
    use_tokenizer(model.tokenizer());
    let _ = ChatTemplate::from_gguf(model.file());
    Ok(Ok(()))
}

/// A sentence has to name the file.
fn named(error: &dyn std::error::Error, path: &Path) -> Result<Result<(), String>, String> {
    let (sentence, path) = (error.to_string(), path.display().to_string());
    match sentence.contains(&path) {
        true => Ok(Err(sentence)),
        false => Err(format!("no file is named: {sentence}")),
    }
}

fn shard(folder: &Path) -> Form {
    meta(folder, N_FEW, seeds::PARAMS, &seeds::sentencepiece(N_FEW));
    let seed = std::fs::read(folder.join("consolidated.00.pth")).expect("it was written");
    file_of(folder, "consolidated.00.pth", vec![seed], <[u8]>::to_vec)
}

/// The pickle alone, in a sound zip.
fn pickle(folder: &Path) -> Form {
    meta(folder, N_FEW, seeds::PARAMS, &seeds::sentencepiece(N_FEW));
    let tensors = seeds::tensors(N_FEW);
    let wrap = |pickle: &[u8]| {
        let mut zip = Vec::new();
        let storages = seeds::tensors(N_FEW).into_iter().map(|tensor| Dtype::F16.bytes(&tensor.values));
        checkpoint::archive(&mut zip, pickle, storages).expect("memory takes it");
        zip
    };
    file_of(folder, "consolidated.00.pth", vec![checkpoint::pickle(&tensors, Dtype::F16)], wrap)
}

fn safetensors(folder: &Path) -> Form {
    hugging_face(folder, N_FEW, &seeds::tokenizer_json(N_FEW).to_string());
    file_of(folder, "model.safetensors", vec![seeds::safetensors(N_FEW)], <[u8]>::to_vec)
}

fn tokenizer_model(folder: &Path, seed: Vec<u8>) -> Form {
    meta(folder, N_VOCAB, seeds::PARAMS, &seed);
    file_of(folder, "tokenizer.model", vec![seed], <[u8]>::to_vec)
}

fn tokenizer_json(folder: &Path, seed: String) -> Form {
    hugging_face(folder, N_VOCAB, &seed);
    file_of(folder, "tokenizer.json", vec![seed.into_bytes()], <[u8]>::to_vec)
}

fn byte_level_json(folder: &Path) -> String {
    meta(folder, N_VOCAB, seeds::PARAMS, &seeds::tiktoken());
    let output: PathBuf = folder.join("made.gguf");
    crate::convert_checkpoint(folder, &output, FileType::F16, Template::None).expect("a seed converts");
    let file = gguf::File::open(output).expect("it was written");
    seeds::byte_level_json(file.metadata()).to_string()
}

fn params(folder: &Path) -> Form {
    meta(folder, N_VOCAB, seeds::PARAMS, &seeds::tiktoken());
    file_of(folder, "params.json", vec![seeds::PARAMS.into(), seeds::SCALED_PARAMS.into()], <[u8]>::to_vec)
}

fn config(folder: &Path) -> Form {
    hugging_face(folder, N_FEW, &seeds::tokenizer_json(N_FEW).to_string());
    file_of(folder, "config.json", vec![seeds::config(N_FEW).to_string().into()], <[u8]>::to_vec)
}

/// A chat template: compiled, and a conversation put into its form.
fn template() -> Form {
    let seeds = seeds::templates().into_iter().map(|text| text.as_bytes().to_vec()).collect();
    let render = |bytes: &[u8]| {
        let source = String::from_utf8_lossy(bytes);
        let rendered =
            ChatTemplate::new(&source, "<s>", "</s>").and_then(|template| template.render(&conversation()));
        // The command puts it on one line, whatever a template says in its refusal.
        Ok(rendered.map(|_| ()).map_err(|error| error.to_string().escape_debug().take(2000).collect()))
    };
    Form { seeds, try_: Box::new(render) }
}

fn conversation() -> Vec<Message> {
    let turn = |role, content: &str| Message { role, content: content.to_owned() };
    vec![
        turn(Role::System, "Be brief."),
        turn(Role::User, TEXT),
        turn(Role::Assistant, "{{ 7 }} </s>"),
        turn(Role::User, "And then?"),
    ]
}
