//! `llamita convert`: a checkpoint becomes one GGUF.

use crate::error::Error;
use crate::flags::{self, RecipeFlags, WorkFlags};
use crate::progress::{Progress, Unit};
use crate::{terminal, units};
use convert::ChatTemplate;
use quantize::FileType;
use std::convert::Infallible;
use std::path::PathBuf;

/// Convert a Llama model, from Meta's download or a Hugging Face folder, into one GGUF file
///
/// Meta's folder holds consolidated.00.pth (and more parts), params.json and, there or one level up, tokenizer.model.
/// Hugging Face's holds model.safetensors (or parts and their index), config.json, and tokenizer.json or
/// tokenizer.model, of a LlamaForCausalLM or MistralForCausalLM; what is in the folder decides. The model need not fit
/// in memory. The output appears when it is complete, or not at all; what was interrupted goes on with --resume.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  llamita convert llama-2-7b
  llamita convert llama-2-7b-chat --type q4_0 -o chat.gguf
  llamita convert Mistral-7B-Instruct-v0.1 --type q4_0")]
pub(crate) struct Args {
    /// The folder with the checkpoint
    #[arg(value_name = "CHECKPOINT_DIR")]
    folder: PathBuf,
    /// The file to write [default: named after the folder and the type, in the current folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How the weights are stored: q8_0 is as good as the original at half its size; q4_k_m has a third of its size and
    /// loses little
    #[arg(long = "type", value_name = "TYPE", default_value = "q8_0", ignore_case = true, value_parser = flags::file_type())]
    file_type: FileType,
    /// How a conversation is laid out for the model: auto (the folder's own template; where it has none, llama2 or
    /// llama3 where its name says chat or Instruct, else none), llama2, llama3, none, or a file with a Jinja template
    #[arg(long, value_name = "auto|llama2|llama3|none|FILE", default_value = "auto", value_parser = chat_template)]
    chat_template: ChatTemplate,
    /// Tokens that the model was trained to see at once [default: what config.json or the folder's name tells]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 31))]
    context_length: Option<u32>,
    /// Do not compare the files with the checksums in checklist.chk
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    recipe: RecipeFlags,
    #[command(flatten)]
    work: WorkFlags,
}

fn chat_template(text: &str) -> Result<ChatTemplate, Infallible> {
    Ok(match text {
        "auto" => ChatTemplate::Auto,
        "llama2" => ChatTemplate::Llama2,
        "llama3" => ChatTemplate::Llama3,
        "none" => ChatTemplate::None,
        file => ChatTemplate::File(file.into()),
    })
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let options = convert::Options {
        recipe: args.recipe.recipe(args.file_type),
        imatrix: args.recipe.imatrix()?,
        chat_template: args.chat_template.clone(),
        check_template: |source| engine::ChatTemplate::check(source).map_err(|error| error.to_string()),
        context_length: args.context_length,
        verify: !args.no_verify,
        work: args.work.start()?,
    };
    let progress = Progress::new("converting", Unit::Bytes);
    let summary = convert::convert(&args.folder, args.output.as_deref(), &options, &progress)
        .map_err(|error| args.work.ended(error.into()))?;
    let time = progress.elapsed();
    drop(progress);
    terminal::say(&format!(
        "wrote {}: {} from {}, in {} ({}/s)",
        summary.output.display(),
        units::bytes(summary.output_bytes),
        units::bytes(summary.input_bytes),
        units::duration(time),
        units::bytes(units::rate(summary.input_bytes, time) as u64),
    ));
    Ok(())
}
