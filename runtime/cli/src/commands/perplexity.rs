//! `llamita perplexity`: how well a model predicts a text.

use crate::error::Error;
use crate::flags::EngineFlags;
use crate::generation;
use crate::progress::{Progress, Unit};
use crate::{interrupt, source, terminal};
use engine::{Model, Perplexity};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Measure how well a model predicts a text
///
/// Lower is better. It is measured as llama.cpp does it, so that figures compare: the text is cut into windows of
/// --context tokens, and the second half of each window is predicted.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  llamita perplexity llama-2-7b-q4_0.gguf --text book.txt")]
pub(crate) struct Args {
    /// The model
    #[arg(value_name = "MODEL.gguf")]
    model: PathBuf,
    /// A file with the text; - is standard input
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// Tokens of a window
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(4..))]
    context: u32,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineFlags,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let text = source::read_text(&args.text)?;
    let model = Model::open(&args.model)?;
    let tokenizer = model.tokenizer();
    let tokens = tokenizer.with_bos(tokenizer.encode(&text, false));
    let context = args.context as usize;
    if tokens.len() < context {
        return Err(Error::Failed(format!(
            "{}: the text has {} tokens, but one window takes {context}; take a longer text or a smaller --context",
            args.text.display(),
            tokens.len()
        )));
    }

    let mut session = generation::new_session(&model, &args.engine.options(context))?;
    let progress = Progress::new("reading", Unit::Tokens);
    progress.set_total((tokens.len() / context * context) as u64);
    let result = engine::perplexity(&mut session, &tokens, context, |_, _, so_far| {
        progress.set_what(format!("perplexity {:.2}", so_far.perplexity));
        progress.add(context as u64);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    drop(progress);

    if interrupt::requested() {
        return Err(Error::Interrupted(format!("interrupted; so far: {}", sentence(&result))));
    }
    if args.json {
        terminal::print_json(&result)
    } else {
        terminal::print(&format!("{}\n", sentence(&result)))
    }
}

fn sentence(result: &Perplexity) -> String {
    let Perplexity { perplexity, error, n_tokens, n_windows } = result;
    format!("perplexity {perplexity:.4} ± {error:.4} ({n_tokens} tokens predicted in {n_windows} windows)")
}
