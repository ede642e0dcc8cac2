//! `llamita run`: a prompt goes on.

use crate::error::Error;
use crate::flags::{EngineFlags, FullFlags, SamplerFlags};
use crate::generation::{self, Writer};
use crate::{source, terminal};
use engine::{Model, Sampler, StopReason};
use std::path::PathBuf;

/// Continue a text
///
/// The text that follows the prompt goes to standard output as it is made, statistics go to standard error.
/// A model that was trained for conversations answers better in `llamita chat`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  llamita run llama-2-7b-q4_0.gguf --prompt \"It was the best of times,\" -n 100
  llamita run llama-2-7b-q4_0.gguf --prompt-file letter.txt --temperature 0 > continued.txt")]
pub(crate) struct Args {
    /// The model
    #[arg(value_name = "MODEL.gguf")]
    model: PathBuf,
    #[command(flatten)]
    prompt: Prompt,
    /// Tokens to make at most [default: until the model ends the text or the context is full; with --on-full shift
    /// there is no other end than the model's]
    #[arg(short = 'n', long = "tokens", value_name = "N")]
    n_tokens: Option<usize>,
    /// Tokens of prompt and text that fit [default: what the model was trained for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    context: Option<u32>,
    #[command(flatten)]
    full: FullFlags,
    /// Read control tokens such as `</s>` in the prompt as tokens, not as text
    #[arg(long)]
    special: bool,
    /// Write the prompt before the text
    #[arg(long)]
    echo: bool,
    /// No statistics
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    sampler: SamplerFlags,
    #[command(flatten)]
    engine: EngineFlags,
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Prompt {
    /// The text to continue
    #[arg(short, long, value_name = "TEXT")]
    prompt: Option<String>,
    /// A file with the text to continue; its last line end is left out; - is standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    prompt_file: Option<PathBuf>,
}

/// Tokens at the beginning of a text that much attention rests on, whatever they are: they are never forgotten.
const N_SINKS: usize = 4;

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let text = match (&args.prompt.prompt, &args.prompt.prompt_file) {
        (_, Some(file)) => source::read_prompt(file)?,
        (text, None) => text.clone().unwrap_or_default(),
    };
    let model = Model::open(&args.model)?;
    let tokenizer = model.tokenizer();
    let prompt = tokenizer.with_bos(tokenizer.encode(&text, args.special));
    if prompt.is_empty() {
        return Err(Error::Call(
            "the prompt is empty, and this model does not begin a text by itself".into(),
        ));
    }

    let options = args.engine.options(args.context.unwrap_or(0) as usize);
    let mut session = generation::new_session(&model, &options)?;
    if prompt.len() > session.context() {
        return Err(Error::Failed(format!(
            "the prompt has {} tokens, but the context holds {}; raise --context or shorten the prompt",
            prompt.len(),
            session.context()
        )));
    }
    let sampler_options = args.sampler.options();
    let seed = (sampler_options.temperature > 0.0).then_some(sampler_options.seed);
    let mut sampler = Sampler::new(sampler_options, tokenizer.n_tokens());

    if args.echo {
        terminal::print_generated(&text)?;
    }
    let on_full = args.full.on_full(N_SINKS);
    let mut writer = Writer { session: &mut session, sampler: &mut sampler, batch: options.batch, on_full };
    let max_tokens = args.n_tokens.unwrap_or(usize::MAX);
    let written = writer.write(&prompt, max_tokens, terminal::print_generated)?;
    terminal::print("\n")?;

    let stop = written.generation.stop;
    if !args.quiet {
        let seed = seed.map(|seed| format!("; seed {seed}")).unwrap_or_default();
        terminal::say(&format!("{}{seed}", generation::statistics(&written.generation)));
        if stop == StopReason::ContextFull {
            terminal::say(&format!(
                "the context of {} tokens is full; --context makes it larger, --on-full shift goes on without its oldest part",
                session.context()
            ));
        }
    }
    if stop == StopReason::Stopped { Err(Error::Interrupted(String::new())) } else { Ok(()) }
}
