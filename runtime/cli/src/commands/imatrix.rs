//! `llamita imatrix`: how much an error in each column of a model's matrices counts.

use crate::error::Error;
use crate::flags::EngineFlags;
use crate::progress::{Progress, Unit};
use crate::{generation, interrupt, source, terminal, units};
use engine::Model;
use quantize::Imatrix;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Measure which weights of a model matter, by running it over a text
///
/// The file, an importance matrix, makes `quantize --imatrix` put the errors where they do least harm. It has
/// llama.cpp's format: either program reads what the other wrote. The text should be of the kind that the model will
/// meet; some ten thousand tokens do. Use the model before it is quantized. A run that is stopped starts anew.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  llamita imatrix llama-2-7b-f16.gguf --text book.txt -o llama-2-7b.imatrix.gguf")]
pub(crate) struct Args {
    /// The model
    #[arg(value_name = "MODEL.gguf")]
    model: PathBuf,
    /// A file with the text; - is standard input
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Tokens of a window: the text is cut, and each window is read on its own
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    context: u32,
    /// Read no more than so many tokens
    #[arg(long, value_name = "N")]
    tokens: Option<usize>,
    /// Measure the output matrix too; llama.cpp's quantizer uses it
    #[arg(long)]
    output_matrix: bool,
    #[command(flatten)]
    engine: EngineFlags,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let text = source::read_text(&args.text)?;
    let model = Model::open(&args.model)?;
    let tokenizer = model.tokenizer();
    let mut tokens = tokenizer.with_bos(tokenizer.encode(&text, false));
    tokens.truncate(args.tokens.unwrap_or(usize::MAX));
    let context = args.context as usize;

    let mut session = generation::new_session(&model, &args.engine.fixed_options(context))?;
    let progress = Progress::new("reading", Unit::Tokens);
    progress.set_total((tokens.len() / context * context) as u64);
    let dataset = args.text.display().to_string();
    let imatrix = Imatrix::collect(&mut session, &tokens, &dataset, context, args.output_matrix, |_| {
        progress.add(context as u64);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .map_err(|error| Error::quantize(&args.text, error))?;
    let time = progress.elapsed();
    drop(progress);
    if interrupt::requested() {
        return Err(Error::Interrupted("interrupted; nothing was written".to_owned()));
    }
    imatrix.write(&args.output).map_err(|error| Error::quantize(&args.output, error))?;
    terminal::say(&format!(
        "wrote {}: {} matrices over {} windows of {context} tokens, in {}",
        args.output.display(),
        imatrix.n_matrices(),
        imatrix.n_windows(),
        units::duration(time),
    ));
    Ok(())
}
