//! `llamita perplexity`: how well a model predicts a text.

use crate::error::Error;
use crate::flags::EngineFlags;
use crate::generation;
use crate::progress::{Progress, Unit};
use crate::{interrupt, source, terminal, units};
use engine::{Base, Divergence, Model, Perplexity};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Measure how well a model predicts a text
///
/// Lower is better. It is measured as llama.cpp does it, so that figures compare: the text is cut into windows of
/// --context tokens, and the second half of each window is predicted. With --reference, the model that it was made
/// from, it is measured as well how far its predictions are from the original's: the mean of their Kullback-Leibler
/// divergences, which is 0 for the same model, and how often the likeliest token is the same. Where there is no memory
/// for both, the original runs first with --save-kl-base, and other models with --kl-base: the file has what matters of
/// its predictions, not all of them, and the figures agree within some thousandths.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  llamita perplexity llama-2-7b-q4_0.gguf --text book.txt
  llamita perplexity llama-2-7b-q4_0.gguf --text book.txt --reference llama-2-7b-f16.gguf
  llamita perplexity llama-2-7b-f16.gguf --text book.txt --save-kl-base book.klb
  llamita perplexity llama-2-7b-q4_0.gguf --text book.txt --kl-base book.klb")]
pub(crate) struct Args {
    /// The model
    #[arg(value_name = "MODEL.gguf")]
    model: PathBuf,
    /// A file with the text; - is standard input
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// The model to compare with; both run, so there must be memory for both
    #[arg(long, value_name = "MODEL.gguf")]
    reference: Option<PathBuf>,
    /// Compare with the original that has written this file
    #[arg(long, value_name = "FILE", conflicts_with = "reference")]
    kl_base: Option<PathBuf>,
    /// Keep this model's predictions in a file, for --kl-base
    #[arg(long, value_name = "FILE", conflicts_with_all = ["reference", "kl_base"])]
    save_kl_base: Option<PathBuf>,
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

    let base = args.kl_base.as_deref().map(Base::open).transpose()?;
    let mut session = generation::new_session(&model, &args.engine.fixed_options(context))?;
    let progress = Progress::new("reading", Unit::Tokens);
    progress.set_total((tokens.len() / context * context) as u64);
    let advance = |what| {
        progress.set_what(what);
        progress.add(context as u64);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let by_perplexity = |_, _, so_far: Perplexity| advance(format!("perplexity {:.2}", so_far.perplexity));
    let by_divergence = |_, _, mean| advance(format!("divergence {mean:.5}"));
    let result = if let Some(path) = &args.reference {
        let original = Model::open(path)?;
        if original.tokenizer().with_bos(original.tokenizer().encode(&text, false)) != tokens {
            return Err(Error::Failed(format!(
                "{} and {} cut the text into different tokens: these are not two forms of the same model",
                args.model.display(),
                path.display()
            )));
        }
        let mut reference = generation::new_session(&original, &args.engine.fixed_options(context))?;
        Measured::Against(engine::divergence(&mut session, &mut reference, &tokens, context, by_divergence)?)
    } else if let Some(base) = base {
        Measured::Against(base.divergence(&mut session, &tokens, context, by_divergence)?)
    } else if let Some(path) = &args.save_kl_base {
        interrupt::file_is_written();
        Measured::Alone(Base::save(path, &mut session, &tokens, context, by_perplexity)?)
    } else {
        Measured::Alone(engine::perplexity(&mut session, &tokens, context, by_perplexity)?)
    };
    drop(progress);

    if interrupt::requested() {
        return Err(Error::Interrupted(format!("interrupted; so far: {}", result.sentence())));
    }
    if let Some(path) = &args.save_kl_base {
        let n_bytes = path.metadata().map_err(Error::io(path))?.len();
        terminal::say(&format!("wrote {}: {}", path.display(), units::bytes(n_bytes)));
    }
    if args.json {
        terminal::print_json(&result)
    } else {
        terminal::print(&format!("{}\n", result.sentence()))
    }
}

/// What was measured.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Measured {
    Alone(Perplexity),
    Against(Divergence),
}

impl Measured {
    fn sentence(&self) -> String {
        let alone = |&Perplexity { perplexity, error, n_tokens, n_windows }: &Perplexity| {
            format!(
                "perplexity {perplexity:.4} ± {error:.4} ({n_tokens} tokens predicted in {n_windows} windows)"
            )
        };
        match self {
            Self::Alone(result) => alone(result),
            Self::Against(result) => format!(
                "{}\n\
                 original   {:.4} ± {:.4}; ln of the ratio {:+.5} ± {:.5}\n\
                 divergence {:.6} ± {:.6}; median {:.6}, 99 % below {:.5}, largest {:.4}\n\
                 same likeliest token {:.2} %",
                alone(&result.perplexity),
                result.reference.perplexity,
                result.reference.error,
                result.ln_ratio,
                result.ln_ratio_error,
                result.mean,
                result.mean_error,
                result.median,
                result.percentile_99,
                result.largest,
                result.same_top * 100.0,
            ),
        }
    }
}
