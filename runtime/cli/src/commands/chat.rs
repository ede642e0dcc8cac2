//! `llamita chat`: a conversation on the terminal, or line by line through a pipe.

mod conversation;
mod input;

use crate::error::Error;
use crate::flags::{EngineFlags, SamplerFlags};
use crate::{generation, interrupt, source, terminal};
use conversation::{Conversation, Ending};
use engine::{ChatTemplate, Model, Sampler, Tokenizer};
use input::{Input, Line};
use std::convert::Infallible;
use std::path::PathBuf;

/// Talk with a model that was trained for it
///
/// Answers go to standard output as they are made. Ctrl-C stops an answer; at the prompt it leaves, as Ctrl-D does.
/// /clear begins a new conversation, /exit leaves. Where standard input is no terminal, each line is one message.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  llamita chat llama-2-7b-chat-q4_0.gguf --system \"Answer in one sentence.\"")]
pub(crate) struct Args {
    /// The model
    #[arg(value_name = "MODEL.gguf")]
    model: PathBuf,
    /// What the model should keep in mind
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// How the conversation is laid out for the model: llama2 or a file with a Jinja template
    /// [default: what the model's file says]
    #[arg(long, value_name = "llama2|FILE", value_parser = template_source)]
    chat_template: Option<TemplateSource>,
    /// Tokens of an answer at most [default: until the model ends it or the context is full]
    #[arg(short = 'n', long = "tokens", value_name = "N")]
    n_tokens: Option<usize>,
    /// Tokens of the whole conversation that fit [default: what the model was trained for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    context: Option<u32>,
    /// Show statistics after each answer
    #[arg(long)]
    statistics: bool,
    #[command(flatten)]
    sampler: SamplerFlags,
    #[command(flatten)]
    engine: EngineFlags,
}

#[derive(Clone, Debug)]
enum TemplateSource {
    Llama2,
    File(PathBuf),
}

fn template_source(text: &str) -> Result<TemplateSource, Infallible> {
    Ok(if text == "llama2" { TemplateSource::Llama2 } else { TemplateSource::File(text.into()) })
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let model = Model::open(&args.model)?;
    let template = template(args, &model)?;
    let options = args.engine.options(args.context.unwrap_or(0) as usize);
    let session = generation::new_session(&model, &options)?;
    let sampler = Sampler::new(args.sampler.options(), model.tokenizer().n_tokens());
    let mut conversation = Conversation::new(session, sampler, template, options.batch, args.system.clone());

    let mut input = Input::open()?;
    if input.is_terminal() {
        terminal::say("Ctrl-C stops an answer, Ctrl-D leaves, /clear begins anew");
    }
    while let Some(line) = input.next()? {
        interrupt::reset();
        match line {
            Line::Exit => break,
            Line::Clear => conversation.clear(),
            Line::Unknown(command) => {
                terminal::say(&format!("there is no command {command}; there are /clear and /exit"));
            }
            Line::Message(message) => {
                let ending =
                    conversation.answer(message, args.n_tokens.unwrap_or(usize::MAX), args.statistics)?;
                if ending == Ending::Interrupted && !input.is_terminal() {
                    return Err(Error::Interrupted(String::new()));
                }
            }
        }
    }
    Ok(())
}

/// The template that was asked for, else the file's own.
fn template(args: &Args, model: &Model) -> Result<ChatTemplate, Error> {
    let tokenizer = model.tokenizer();
    let compile = |source: &str| {
        let text = |token: Option<u32>| token.map_or_else(String::new, |token| token_text(tokenizer, token));
        ChatTemplate::new(source, &text(tokenizer.bos()), &text(tokenizer.eos()))
    };
    match &args.chat_template {
        Some(TemplateSource::Llama2) => Ok(compile(convert::LLAMA2_CHAT_TEMPLATE)?),
        Some(TemplateSource::File(path)) => Ok(compile(&source::read_text(path)?)?),
        None => ChatTemplate::from_gguf(model.file())?.ok_or_else(|| {
            Error::Failed(format!(
                "{}: this file has no chat template, so it was probably not trained for conversations; use \
                 `llamita run`, or name the template with --chat-template llama2 or a file",
                args.model.display()
            ))
        }),
    }
}

fn token_text(tokenizer: &Tokenizer, token: u32) -> String {
    String::from_utf8_lossy(tokenizer.bytes(token, true)).into_owned()
}
