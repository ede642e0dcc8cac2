//! `llamita chat`: a conversation on the terminal, or line by line through a pipe.

mod command;
mod conversation;
mod input;
mod transcript;

use crate::error::Error;
use crate::flags::{EngineFlags, FullFlags, SamplerFlags};
use crate::{generation, interrupt, source, terminal};
use command::Command;
use conversation::{Conversation, Ending};
use engine::{ChatTemplate, Model, Sampler, Tokenizer};
use input::{Input, Line};
use std::convert::Infallible;
use std::path::PathBuf;

/// Talk with a model that was trained for it
///
/// Answers go to standard output as they are made. Ctrl-C stops an answer; at the prompt it leaves, as Ctrl-D does.
/// /help shows the commands: /clear, /regen, /system, /save, /load, /stats, /exit. A line that ends in a backslash goes
/// on in the next one. A message that finds the context full makes the model forget the oldest turns; an answer that
/// fills it ends there, or goes on with --on-full shift. The system prompt stays. Where
/// standard input is no terminal, each line is one message, and the status is 1 if one of them found no room.
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
    /// How the conversation is laid out for the model: llama2, llama3, or a file with a Jinja template
    /// [default: what the model's file says]
    #[arg(long, value_name = "llama2|llama3|FILE", value_parser = template_source)]
    chat_template: Option<TemplateSource>,
    /// Tokens of an answer at most [default: until the model ends it or the context is full]
    #[arg(short = 'n', long = "tokens", value_name = "N")]
    n_tokens: Option<usize>,
    /// Tokens of the whole conversation that fit [default: what the model was trained for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    context: Option<u32>,
    #[command(flatten)]
    full: FullFlags,
    /// Show statistics after each answer
    #[arg(long)]
    statistics: bool,
    #[command(flatten)]
    sampler: SamplerFlags,
    #[command(flatten)]
    engine: EngineFlags,
}

/// Where a model that was trained for conversations says how they are laid out.
const TEMPLATE_KEY: &str = "tokenizer.chat_template";

#[derive(Clone, Debug)]
enum TemplateSource {
    Llama2,
    Llama3,
    File(PathBuf),
}

fn template_source(text: &str) -> Result<TemplateSource, Infallible> {
    Ok(match text {
        "llama2" => TemplateSource::Llama2,
        "llama3" => TemplateSource::Llama3,
        file => TemplateSource::File(file.into()),
    })
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let model = Model::open(&args.model)?;
    let template = template(args, &model)?;
    let options = args.engine.options(args.context.unwrap_or(0) as usize);
    let session = generation::new_session(&model, &options)?;
    let sampler = Sampler::new(args.sampler.options(), model.tokenizer().n_tokens());
    let max_tokens = args.n_tokens.unwrap_or(usize::MAX);
    let mut conversation = Conversation::new(session, sampler, template, options.batch, max_tokens);
    conversation.on_full = args.full.on_full(0);
    conversation.set_system(args.system.clone());

    let mut input = Input::open()?;
    if input.is_terminal() {
        terminal::say("Ctrl-C stops an answer, Ctrl-D leaves, /help shows the commands");
    }
    let mut n_refused = 0;
    while let Some(line) = input.next()? {
        if line == Line::Command(Command::Exit) {
            break;
        }
        interrupt::reset();
        match obey(&mut conversation, line, args.statistics)? {
            Ending::Done => {}
            Ending::Interrupted if input.is_terminal() && !interrupt::terminated() => {}
            Ending::Interrupted => return Err(Error::Interrupted(String::new())),
            Ending::Refused(error) => {
                n_refused += 1;
                terminal::say(&error.sentence().unwrap_or_default());
            }
        }
    }
    if n_refused > 0 && !input.is_terminal() {
        return Err(Error::Failed(format!(
            "standard input: {n_refused} of its messages and commands came to nothing, as told above"
        )));
    }
    Ok(())
}

/// Does what a line asks for.
fn obey(conversation: &mut Conversation<'_>, line: Line, statistics: bool) -> Result<Ending, Error> {
    let command = match line {
        Line::Message(message) => return shown(conversation.answer(message)?, conversation, statistics),
        Line::NoCommand(why) => return Ok(Ending::Refused(Error::Failed(why))),
        Line::Command(command) => command,
    };
    match command {
        Command::Regenerate => return shown(conversation.answer_again()?, conversation, statistics),
        Command::Clear => conversation.clear(),
        Command::System(text) => conversation.set_system(text),
        Command::Statistics => terminal::say(&conversation.statistics()),
        Command::Help => command::HELP.lines().for_each(terminal::say),
        Command::Save(path) => {
            let messages = conversation.messages();
            if let Err(error) = transcript::save(&path, &messages) {
                return Ok(Ending::Refused(error));
            }
            terminal::say(&format!("wrote {}: {} messages", path.display(), messages.len()));
        }
        Command::Load(path) => match transcript::load(&path) {
            Ok(messages) => {
                terminal::say(&format!("read {}: {} messages", path.display(), messages.len()));
                conversation.replace(messages);
            }
            Err(error) => return Ok(Ending::Refused(error)),
        },
        // The caller leaves.
        Command::Exit => {}
    }
    Ok(Ending::Done)
}

/// Shows the figures of an answer, where they are wanted and there is one.
fn shown(ending: Ending, conversation: &Conversation<'_>, statistics: bool) -> Result<Ending, Error> {
    if statistics && !matches!(ending, Ending::Refused(_)) {
        terminal::say(&conversation.statistics());
    }
    Ok(ending)
}

/// The template that was asked for, else the file's own.
fn template(args: &Args, model: &Model) -> Result<ChatTemplate, Error> {
    let tokenizer = model.tokenizer();
    let compile = |source: &str| {
        let text = |token: Option<u32>| token.map_or_else(String::new, |token| token_text(tokenizer, token));
        ChatTemplate::new(source, &text(tokenizer.bos()), &text(tokenizer.eos()))
    };
    if args.chat_template.is_some() && matches!(model.file().metadata().str(TEMPLATE_KEY), Ok(None)) {
        terminal::say(&format!(
            "{}: this file has no chat template of its own, so it was probably not trained for conversations: it may go \
             on with your text instead of answering",
            args.model.display()
        ));
    }
    match &args.chat_template {
        Some(TemplateSource::Llama2) => Ok(compile(convert::LLAMA2_CHAT_TEMPLATE)?),
        Some(TemplateSource::Llama3) => Ok(compile(convert::LLAMA3_CHAT_TEMPLATE)?),
        Some(TemplateSource::File(path)) => {
            let text = source::read_text(path)?;
            ChatTemplate::check(&text)
                .and_then(|()| compile(&text))
                .map_err(|error| Error::Failed(format!("{}: {error}", path.display())))
        }
        None => ChatTemplate::from_gguf(model.file())?.ok_or_else(|| {
            Error::Failed(format!(
                "{}: this file has no chat template, so it was probably not trained for conversations; use \
                 `llamita run`, or name the template with --chat-template llama2, llama3 or a file",
                args.model.display()
            ))
        }),
    }
}

fn token_text(tokenizer: &Tokenizer, token: u32) -> String {
    String::from_utf8_lossy(tokenizer.bytes(token, true)).into_owned()
}
