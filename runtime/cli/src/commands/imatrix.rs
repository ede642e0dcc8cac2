//! `llamita imatrix`: how much an error in each column of a model's matrices counts.

use crate::error::Error;
use crate::flags;
use crate::progress::{Progress, Unit};
use crate::{interrupt, source, terminal, units};
use engine::Model;
use quantize::{Imatrix, Reading};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Measure which weights of a model matter, by running it over a text
///
/// The file, an importance matrix, makes `quantize --imatrix` put the errors where they do least harm. It has
/// llama.cpp's format: either program reads what the other wrote. The text should be of the kind that the model will
/// meet; some ten thousand tokens do. Use the model before it is quantized. A model bigger than the memory is read once.
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
    /// Take at most this much memory, besides mapped files: 256MiB, 1GiB [default: what this process may use]
    #[arg(long, value_name = "SIZE", value_parser = flags::size)]
    max_ram: Option<u64>,
    /// Go on where the same call was interrupted before, and keep what is done if it is interrupted again. The file will be
    /// the same as without an interruption
    #[arg(long)]
    resume: bool,
    /// Threads that work; auto: the fast physical cores that this process may use
    #[arg(long, value_name = "N", default_value = "auto", value_parser = flags::threads)]
    threads: usize,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let text = source::read_text(&args.text)?;
    let model = Model::open(&args.model)?;
    let tokenizer = model.tokenizer();
    let mut tokens = tokenizer.with_bos(tokenizer.encode(&text, false));
    tokens.truncate(args.tokens.unwrap_or(usize::MAX));
    let context = args.context as usize;

    interrupt::file_is_written();
    let progress = Progress::new("reading", Unit::Tokens);
    progress.set_total((tokens.len() / context * context) as u64);
    let dataset = args.text.display().to_string();
    let reading = Reading {
        dataset: &dataset,
        context,
        threads: args.threads,
        with_output: args.output_matrix,
        output: &args.output,
        resume: args.resume,
        max_ram_bytes: Some(args.max_ram.unwrap_or_else(|| engine::available_bytes(model.file().n_bytes()))),
    };
    let imatrix = Imatrix::collect(&model, &tokens, &reading, |n_tokens| {
        progress.add(n_tokens);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let time = progress.elapsed();
    drop(progress);
    let imatrix = imatrix.map_err(|error| match error {
        quantize::Error::Cancelled(_) if args.resume => {
            Error::Interrupted("interrupted; what is done is kept: the same call goes on there".to_owned())
        }
        quantize::Error::Cancelled(_) => Error::Interrupted("interrupted; nothing was written".to_owned()),
        error => Error::quantize(&args.text, error),
    })?;
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
