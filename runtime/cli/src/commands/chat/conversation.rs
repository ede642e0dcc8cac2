//! What was said, and what of it the session holds already.
//!
//! Each turn renders the whole conversation through the template, and the session keeps the longest prefix that it
//! shares with it: only new tokens are read, and where a template rewrites what came before (many drop a model's
//! thoughts) the result is right all the same.

use crate::error::Error;
use crate::generation::{self, Writer};
use crate::terminal;
use engine::{ChatTemplate, Message, Role, Sampler, Session, StopReason};

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// By itself, or because no more was wanted or would fit: the user knows which.
    Done,
    /// By a signal.
    Interrupted,
}

/// A conversation and the session that it is held in.
pub(super) struct Conversation<'m> {
    session: Session<'m>,
    sampler: Sampler,
    template: ChatTemplate,
    batch: usize,
    system: Option<String>,
    messages: Vec<Message>,
    /// The tokens in the session.
    held: Vec<u32>,
}

impl<'m> Conversation<'m> {
    pub(super) fn new(
        session: Session<'m>,
        sampler: Sampler,
        template: ChatTemplate,
        batch: usize,
        system: Option<String>,
    ) -> Self {
        let mut new =
            Self { session, sampler, template, batch, system, messages: Vec::new(), held: Vec::new() };
        new.clear();
        new
    }

    /// Begins anew. What the session holds stays as long as it serves: the system prompt need not be read again.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.messages.extend(self.system.clone().map(|content| Message { role: Role::System, content }));
    }

    /// Takes a message and shows the answer. One that finds no room is dropped: the conversation can go on.
    pub(super) fn answer(
        &mut self,
        message: String,
        max_tokens: usize,
        statistics: bool,
    ) -> Result<Ending, Error> {
        self.messages.push(Message { role: Role::User, content: message });
        let tokenizer = self.session.model().tokenizer();
        let prompt = self.template.encode(tokenizer, &self.messages)?;
        if prompt.len() >= self.session.context() {
            self.messages.pop();
            self.say_full("your message finds no room");
            return Ok(Ending::Done);
        }
        // The last token is read in any case: its logits choose the answer's first.
        let common = common_prefix(&self.held, &prompt[..prompt.len().saturating_sub(1)]);
        self.session.truncate(common);

        let mut text = String::new();
        let mut writer = Writer { session: &mut self.session, sampler: &mut self.sampler, batch: self.batch };
        let result = writer.write(&prompt[common..], max_tokens, |piece| {
            // Models begin an answer with a space, which is no part of it.
            let piece = if text.is_empty() { piece.trim_start() } else { piece };
            text.push_str(piece);
            terminal::print_generated(piece)
        });
        self.held = prompt;
        if let Ok(written) = &result {
            self.held.extend_from_slice(&written.tokens);
        }
        self.held.truncate(self.session.position());
        let generation = result?.generation;
        terminal::print("\n")?;

        self.messages.push(Message { role: Role::Assistant, content: text });
        if statistics {
            terminal::say(&generation::statistics(&generation));
        }
        if generation.stop == StopReason::ContextFull {
            self.say_full("the answer ends here");
        }
        Ok(if generation.stop == StopReason::Stopped { Ending::Interrupted } else { Ending::Done })
    }

    fn say_full(&self, consequence: &str) {
        terminal::say(&format!(
            "the context of {} tokens is full, {consequence}; /clear begins a new conversation, --context makes room \
             for longer ones",
            self.session.context()
        ));
    }
}

fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::common_prefix;

    #[test]
    fn the_prefix_ends_where_either_ends_or_they_differ() {
        for (a, b, len) in [
            (&[][..], &[1][..], 0),
            (&[1, 2, 3], &[1, 2], 2),
            (&[1, 2], &[1, 2, 3], 2),
            (&[1, 2, 3], &[1, 9, 3], 1),
        ] {
            assert_eq!(common_prefix(a, b), len, "{a:?} {b:?}");
        }
    }
}
