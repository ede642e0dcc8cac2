//! Checkpoints to GGUF, from Meta's layout or Hugging Face's.
//!
//! ```text
//! folder ──▶ checkpoint   which files            family     what the name tells
//!                         Meta                              Hugging Face
//!        ──▶ tensors      torch: zip, pickle                safetensors
//!        ──▶ params       params.json                       config.json
//!        ──▶ tokenizer    tokenizer.model                   tokenizer.json or tokenizer.model
//!        ──▶ plan         names, merge
//!        ──▶ metadata ──▶ quantize::TensorStream ──▶ one GGUF, whole or not at all
//! ```
//!
//! Everything that can be checked without reading the weights is checked before the output is begun. Then each tensor is
//! decoded from the mapped shards, encoded and written in one pass, a few megabytes at a time: no merged copy, no f16
//! file in between, and memory that does not grow with the model. The shards' MD5 sums are made in the same pass.

mod chat_template;
mod checklist;
mod checkpoint;
mod error;
mod family;
#[cfg(test)]
mod fixture;
mod foreign;
mod input;
mod json;
mod mapped_file;
mod merge;
mod metadata;
mod names;
mod params;
mod plan;
mod rope_factors;
mod safetensors;
mod tensors;
#[cfg(test)]
mod tests;
mod tokenizer;
mod torch;

pub use chat_template::{LLAMA2_CHAT_TEMPLATE, LLAMA3_CHAT_TEMPLATE};
pub use error::Error;

use checklist::Watch;
use checkpoint::Checkpoint;
use family::Name;
use gguf::Fingerprint;
use mapped_file::MappedFile;
use params::{Params, RopeScaling};
use plan::{Plan, Planned};
use quantize::{Architecture, Imatrix, Matrix, Monitor, Recipe, TensorStream, Work};
use std::path::{Path, PathBuf};
use tokenizer::Vocabulary;

/// What is held for a byte of a small file: its text, what is parsed from it, the output's keys and header. Measured with
/// Llama 3's vocabulary: 11 for `tokenizer.json`, 17 for `tokenizer.model`, whose merges have to be found first.
const HELD_PER_JSON_BYTE: u64 = 14;
const HELD_PER_MODEL_BYTE: u64 = 24;

/// How to convert.
#[derive(Clone, Debug)]
pub struct Options {
    /// The types of the output.
    pub recipe: Recipe,
    /// What an error in each column costs.
    pub imatrix: Option<Imatrix>,
    /// Which chat template the file carries.
    pub chat_template: ChatTemplate,
    /// What is wrong with a chat template, for whoever runs the model. One that was named is refused for it; the folder's
    /// own is written all the same, because others may run the file, and it is told.
    pub check_template: fn(&str) -> Result<(), String>,
    /// The context length, in place of what the checkpoint or the folder's name tells.
    pub context_length: Option<u32>,
    /// Check `checklist.chk`.
    pub verify: bool,
    /// How the file is made.
    pub work: Work,
}

/// The chat template that a converted file carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatTemplate {
    /// The folder's own, where it has one; else Llama 2's where the folder's name says chat, Llama 3's where it says
    /// Instruct, else none. Said either way.
    Auto,
    /// None.
    None,
    /// Llama 2's.
    Llama2,
    /// Llama 3's.
    Llama3,
    /// The text of this file.
    File(PathBuf),
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The file that was written.
    pub output: PathBuf,
    /// Its size.
    pub output_bytes: u64,
    /// Bytes of the checkpoint that were read.
    pub input_bytes: u64,
}

/// Converts the checkpoint in `folder` to one GGUF: `output`, or a name made of the folder's and the type's in the
/// current folder. A file of that name is replaced when the new one is complete.
///
/// # Errors
/// A sentence that names file and place. Nothing is left at `output` then; a file that was there before stays. Beside it
/// only what [`Work::resume`] keeps is left.
pub fn convert(
    folder: &Path,
    output: Option<&Path>,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Summary, Error> {
    let checkpoint = Checkpoint::find(folder)?;
    let name = Name::of(folder);
    let output = match output {
        Some(output) => output.to_owned(),
        None => PathBuf::from(format!("{}-{}.gguf", name.as_str(), options.recipe.file_type)),
    };
    check_is_no_input(&output, &checkpoint)?;

    let checklists = if options.verify { checkpoint.checklists(monitor)? } else { Vec::new() };
    let params = checkpoint.params()?;
    let files =
        checkpoint.weights().iter().map(|file| MappedFile::open(file)).collect::<Result<Vec<_>, _>>()?;
    let plan = Plan::new(&checkpoint.tensors(&files)?, &params)?;
    let types = types(folder, &plan, &params, options)?;
    let mut specs = types.specs().to_vec();
    let held_bytes = held_bytes(&checkpoint);
    options.work.check(&specs, held_bytes)?;
    let vocabulary = checkpoint.vocabulary(plan.n_vocab, &params, &name, monitor)?;

    let context_length = context_length(options, &name, &params, &vocabulary, monitor);
    let feed_forward_note = plan.feed_forward_note(&params);
    for note in params.notes.iter().chain(&feed_forward_note).chain(&plan.tied_note) {
        monitor.note(note);
    }
    let source = (checkpoint.kind(), files.len());
    let mut metadata =
        metadata::describe(name.as_str(), &params, &plan, source, context_length, options.recipe.file_type);
    if let Some(imatrix) = &options.imatrix {
        imatrix.describe(&mut metadata);
    }
    let own = match options.chat_template {
        ChatTemplate::Auto => checkpoint.chat_template()?,
        _ => None,
    };
    let template = chat_template::choose(options, own, &name, &vocabulary, monitor)?;
    vocabulary.describe(&mut metadata);
    if let Some(template) = template {
        metadata.set("tokenizer.chat_template", &*template);
    }

    let factors = match &params.rope_scaling {
        RopeScaling::Llama3(stretch) => Some((rope_factors::of(&params, stretch), stretch.factor)),
        RopeScaling::None | RopeScaling::Linear(_) => None,
    };
    if let Some((factors, factor)) = &factors {
        let file = params.file_name();
        monitor.note(&format!("scaled rotary embedding, by {factor}: {file} has Llama 3.1's"));
        specs.push(rope_factors::spec(factors));
    }
    types.notes().iter().for_each(|note| monitor.note(note));
    let mut watch = Watch::default();
    for file in &files {
        let listed = checklists.iter().any(|list| watch.add(list, file));
        if !listed && !checklists.is_empty() {
            monitor
                .note(&format!("{} is not in checklist.chk: its MD5 is not checked", file.path().display()));
        }
    }
    let output_bytes = gguf::total_bytes(&metadata, &specs);
    let mut source = Fingerprint::default();
    checkpoint.weights().iter().try_for_each(|file| source.add_file(file))?;
    if let Some(imatrix) = &options.imatrix {
        source.add_file(imatrix.path())?;
    }
    let mut stream = TensorStream::create(&output, &metadata, &specs, source, &options.work, held_bytes)?;
    let factors = factors.as_ref().map(|(factors, _)| factors.as_slice());
    match write(&mut stream, &plan, &specs, factors, options.imatrix.as_ref(), watch, monitor) {
        Ok(()) => stream.finish(monitor)?,
        Err(error) => {
            if options.work.resume && error.is_interruption() {
                stream.keep(monitor);
            }
            return Err(error);
        }
    }

    let input_bytes = checkpoint.files().map(|file| file.metadata().map_or(0, |found| found.len())).sum();
    Ok(Summary { output, output_bytes, input_bytes })
}

impl Planned<'_> {
    /// What the choice of types asks of it.
    fn described<'t>(&'t self, shape: &'t [u64]) -> quantize::Tensor<'t> {
        quantize::Tensor { name: &self.name, shape, ty: self.source.ty() }
    }
}

/// The type that every tensor gets.
fn types(
    folder: &Path,
    plan: &Plan<'_>,
    params: &Params,
    options: &Options,
) -> Result<quantize::Plan, Error> {
    let shapes: Vec<_> = plan.tensors.iter().map(|tensor| tensor.source.shape()).collect();
    let tensors: Vec<_> =
        plan.tensors.iter().zip(&shapes).map(|(tensor, shape)| tensor.described(shape)).collect();
    if let Some(imatrix) = &options.imatrix {
        imatrix.check_tensors(&tensors, folder)?;
    }
    let &Params { n_layers, n_heads, n_kv_heads, .. } = params;
    let model = Architecture { n_layers, n_heads, n_kv_heads, n_experts: 0 };
    let types = quantize::Plan::new(&options.recipe, &model, options.imatrix.is_some(), &tensors)?;
    types.check(&tensors, true)?;
    Ok(types)
}

/// Decodes, encodes and writes every tensor, while the hashes follow.
fn write(
    stream: &mut TensorStream,
    plan: &Plan<'_>,
    specs: &[gguf::TensorSpec],
    rope_factors: Option<&[f32]>,
    imatrix: Option<&Imatrix>,
    mut watch: Watch<'_>,
    monitor: &dyn Monitor,
) -> Result<(), Error> {
    let total = plan.input_bytes();
    let (mut done, mut hashed) = (0, 0);
    monitor.start(total);
    for (Planned { source_name, name, source }, spec) in plan.tensors.iter().zip(specs) {
        let n_bytes = source.n_rows() * source.row_bytes();
        if stream.recover(n_bytes, monitor)? {
            done += n_bytes; // and will be hashed: a sum is of the whole file
            continue;
        }
        let (n_cols, n_rows) = (source.n_cols(), source.n_rows());
        let importance = imatrix.and_then(|imatrix| imatrix.importance(name));
        let matrix = Matrix { name, ty: spec.ty, n_cols, n_rows, importance: importance.as_deref() };
        let encode = || {
            stream.tensor(&matrix, |rows, floats| {
                let n_bytes = (rows.end - rows.start) * source.row_bytes();
                source.decode(rows, floats);
                Ok::<_, Error>(monitor.advance(n_bytes)?)
            })
        };
        // Up to what was converted before this tensor: those bytes are still in the page cache. What was there from a run
        // before is caught up with at twice the pace, so that no core waits for one long hash.
        hashed = done.min(hashed + 2 * n_bytes);
        let (encoded, ()) = rayon::join(encode, || watch.follow(hashed, total));
        encoded.map_err(|error| match error {
            // The checkpoint's word for the tensor, and the file that is damaged.
            Error::Encode(quantize::Error::NotFinite { row, col, value, .. }) => {
                let row = source.source_row(row as usize) as u64;
                let problem = format!(
                    "row {row}, column {col} of the whole is {value}: the file is damaged; download it again, or take it \
                     as it is with --allow-nonfinite"
                );
                Error::malformed(source.path_of(row, col), format_args!("tensor `{source_name}`"), problem)
            }
            error => error,
        })?;
        done += n_bytes;
    }
    if let Some(factors) = rope_factors
        && !stream.recover(0, monitor)?
    {
        stream.copy(&factors.iter().flat_map(|factor| factor.to_le_bytes()).collect::<Vec<_>>())?;
    }
    watch.finish()
}

/// The memory that everything but the weights takes.
fn held_bytes(checkpoint: &Checkpoint) -> u64 {
    let held = |file: &Path| {
        let is_model = file.extension().is_some_and(|extension| extension == "model");
        let per_byte = if is_model { HELD_PER_MODEL_BYTE } else { HELD_PER_JSON_BYTE };
        per_byte * file.metadata().map_or(0, |found| found.len())
    };
    checkpoint
        .files()
        .filter(|&file| !checkpoint.weights().iter().any(|weights| weights == file))
        .map(held)
        .sum()
}

/// Replacing a file of the checkpoint is never what somebody meant.
fn check_is_no_input(output: &Path, checkpoint: &Checkpoint) -> Result<(), Error> {
    // An output that cannot be resolved does not exist yet.
    let Ok(resolved) = output.canonicalize() else { return Ok(()) };
    match checkpoint.files().find(|file| file.canonicalize().is_ok_and(|file| file == resolved)) {
        Some(_) => Err(Error::unfit(output, "this is a file of the checkpoint itself; name another output")),
        None => Ok(()),
    }
}

fn context_length(
    options: &Options,
    name: &Name,
    params: &Params,
    vocabulary: &Vocabulary,
    monitor: &dyn Monitor,
) -> u32 {
    options.context_length.unwrap_or_else(|| {
        let is_scaled = matches!(params.rope_scaling, RopeScaling::Llama3(_));
        let (n, why) = match (params.context_length, is_scaled, vocabulary.is_byte_level()) {
            (Some(n), ..) => (n, "max_position_embeddings in config.json says so"),
            (None, true, _) => (131_072, "params.json has Llama 3.1's scaled rotary embedding"),
            (None, false, true) => (8192, "the tokenizer is Llama 3's"),
            (None, false, false) => name.context_length(params.rope_theta),
        };
        monitor.note(&format!("context length: {n}, because {why}; --context-length overrides it"));
        n
    })
}
