//! `llamita tokenize`: text to token ids and back.

use crate::error::Error;
use crate::{flags, source, terminal};
use engine::Tokenizer;
use serde::Serialize;
use std::path::PathBuf;

/// Turn text into token ids, or ids into text
///
/// Prints the ids alone, one line per text. Files that hold a vocabulary and no weights will do.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  llamita tokenize llama-2-7b-q4_0.gguf --text \"Hello, world\"
  llamita tokenize llama-2-7b-q4_0.gguf --ids 15043,29892,3186")]
pub(crate) struct Args {
    /// The model
    #[arg(value_name = "MODEL.gguf")]
    model: PathBuf,
    #[command(flatten)]
    input: Input,
    /// Read control tokens such as `</s>` in the text as tokens; with --ids: write them
    #[arg(long)]
    special: bool,
    /// Begin as a prompt does, with the model's token for the beginning of a text
    #[arg(long, conflicts_with = "ids")]
    bos: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Input {
    /// A text; may be given several times
    #[arg(long, value_name = "TEXT")]
    text: Vec<String>,
    /// A file with a text; - is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Token ids, separated by commas or spaces
    #[arg(long, value_name = "1,2,3")]
    ids: Option<String>,
}

#[derive(Serialize)]
struct Report<'t> {
    tokens: &'t [u32],
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let tokens = args.input.ids.as_deref().map(flags::token_ids).transpose()?;
    let file = gguf::File::open(&args.model)?;
    let tokenizer = Tokenizer::from_gguf(&file)?;
    if let Some(tokens) = tokens {
        return print_text(args, &tokenizer, &tokens);
    }
    let texts = match &args.input.file {
        Some(path) => vec![source::read_text(path)?],
        None => args.input.text.clone(),
    };
    for text in &texts {
        let mut tokens = tokenizer.encode(text, args.special);
        if args.bos {
            tokens = tokenizer.with_bos(tokens);
        }
        if args.json {
            terminal::print_json(&Report { tokens: &tokens, text: None })?;
        } else {
            let ids: Vec<String> = tokens.iter().map(u32::to_string).collect();
            terminal::print(&format!("{}\n", ids.join(" ")))?;
        }
    }
    Ok(())
}

fn print_text(args: &Args, tokenizer: &Tokenizer, tokens: &[u32]) -> Result<(), Error> {
    let n_tokens = tokenizer.n_tokens();
    if let Some(unknown) = tokens.iter().find(|&&token| token as usize >= n_tokens) {
        return Err(Error::Failed(format!(
            "{}: there is no token {unknown}; the vocabulary ends at {}",
            args.model.display(),
            n_tokens.saturating_sub(1)
        )));
    }
    let text = tokenizer.decode(tokens, args.special);
    if args.json {
        terminal::print_json(&Report { tokens, text: Some(text) })
    } else {
        terminal::print_generated(&text)?;
        terminal::print("\n")
    }
}
