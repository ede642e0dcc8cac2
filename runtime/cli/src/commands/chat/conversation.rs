//! What was said, and what of it the session holds already.
//!
//! Each turn renders the conversation through the template, and the session keeps the longest prefix that it shares
//! with it: only new tokens are read, and where a template rewrites what came before (many drop a model's thoughts)
//! the result is right all the same.
//!
//! **A full context.** A message that leaves less than a quarter of the context for its answer makes the model forget
//! the oldest turns, as many as it takes to have half of the context free: forgetting has everything that follows read
//! again, so it should be seldom. The system prompt and the message itself always stay. What is forgotten is not lost:
//! the conversation is saved whole.

use crate::error::Error;
use crate::generation::{self, Writer};
use crate::terminal;
use engine::{ChatTemplate, Generation, Message, OnFull, Role, Sampler, Session, StopReason};

/// This part of the context is kept for an answer.
const ANSWER_PART: usize = 4;
/// This part is free after turns were forgotten.
const FREE_PART: usize = 2;

/// How a line of the user's ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// As it should, or because no more was wanted or would fit: the user knows which.
    Done,
    /// By a signal.
    Interrupted,
    /// Nothing was done, for this reason; the conversation is what it was, and goes on.
    Refused(Error),
}

/// A conversation and the session that it is held in.
pub(super) struct Conversation<'m> {
    session: Session<'m>,
    sampler: Sampler,
    template: ChatTemplate,
    batch: usize,
    /// Tokens of an answer at most.
    max_tokens: usize,
    /// What an answer does that fills the context; what the system prompt takes is found out for each.
    pub(super) on_full: OnFull,
    system: Option<Message>,
    /// Messages and answers in turn.
    messages: Vec<Message>,
    /// How many of them, the oldest, the model does not see any more.
    n_forgotten: usize,
    /// The tokens in the session.
    held: Vec<u32>,
    /// The figures of the last answer.
    last: Option<Generation>,
}

impl<'m> Conversation<'m> {
    pub(super) fn new(
        session: Session<'m>,
        sampler: Sampler,
        template: ChatTemplate,
        batch: usize,
        max_tokens: usize,
    ) -> Self {
        Self {
            session,
            sampler,
            template,
            batch,
            max_tokens,
            on_full: OnFull::Stop,
            system: None,
            messages: Vec::new(),
            n_forgotten: 0,
            held: Vec::new(),
            last: None,
        }
    }

    /// Begins anew. What the session holds stays as long as it serves: the system prompt need not be read again.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.n_forgotten = 0;
    }

    /// Gives the model something else to keep in mind, from the next answer on.
    pub(super) fn set_system(&mut self, content: Option<String>) {
        self.system = content.map(|content| Message { role: Role::System, content });
    }

    /// Everything that was said, the system prompt first.
    pub(super) fn messages(&self) -> Vec<Message> {
        self.system.iter().chain(&self.messages).cloned().collect()
    }

    /// Goes on from other messages, in the order of [`messages`](Self::messages).
    pub(super) fn replace(&mut self, mut messages: Vec<Message>) {
        self.clear();
        let has_system = messages.first().is_some_and(|message| message.role == Role::System);
        self.system = has_system.then(|| messages.remove(0));
        self.messages = messages;
    }

    /// Takes a message and shows the answer. One that finds no room, or that the template refuses, is dropped.
    pub(super) fn answer(&mut self, message: String) -> Result<Ending, Error> {
        self.messages.push(Message { role: Role::User, content: message });
        match self.prompt() {
            Ok(prompt) => self.write(prompt),
            Err(error) => {
                self.messages.pop();
                Ok(Ending::Refused(error))
            }
        }
    }

    /// Answers the last message again.
    pub(super) fn answer_again(&mut self) -> Result<Ending, Error> {
        let Some(old) = self.messages.pop() else {
            return Ok(Ending::Refused(Error::Failed("there is no answer yet that could be another".into())));
        };
        match self.prompt() {
            Ok(prompt) => self.write(prompt),
            Err(error) => {
                self.messages.push(old);
                Ok(Ending::Refused(error))
            }
        }
    }

    /// The tokens of the conversation, whose last message waits for its answer; see the module's text on what is
    /// forgotten.
    fn prompt(&mut self) -> Result<Vec<u32>, Error> {
        let context = self.session.context();
        let room = self.max_tokens.min(context / ANSWER_PART);
        // A template may run into its limits on a conversation that is far too long: that too means less of it.
        let fitting = |first: usize, n_max: usize| self.encode(first).ok().filter(|p| p.len() <= n_max);
        if let Some(prompt) = fitting(self.n_forgotten, context - room) {
            return Ok(prompt);
        }
        let later_turns: Vec<usize> = (self.n_forgotten + 1..self.messages.len())
            .filter(|&at| self.messages[at].role == Role::User)
            .collect();
        let wanted = later_turns.partition_point(|&first| fitting(first, context / FREE_PART).is_none());
        let first = *later_turns.get(wanted).or(later_turns.last()).unwrap_or(&self.n_forgotten);
        let prompt = self.encode(first)?;
        if prompt.len() >= context {
            return Err(Error::Failed(format!(
                "your message finds no room: with what the model keeps in mind it has {} tokens, and the context holds \
                 {context}; shorten it, or begin again with a larger --context",
                prompt.len(),
            )));
        }
        if first > self.n_forgotten {
            terminal::say(&format!(
                "the context of {context} tokens is full: the oldest turns were forgotten, {} of {} are left; /save \
                 keeps them all",
                n_turns(&self.messages[first..]),
                n_turns(&self.messages),
            ));
            self.n_forgotten = first;
        }
        Ok(prompt)
    }

    /// The tokens of the system prompt and the messages from `first` on.
    fn encode(&self, first: usize) -> Result<Vec<u32>, Error> {
        let seen: Vec<Message> = self.system.iter().chain(&self.messages[first..]).cloned().collect();
        Ok(self.template.encode(self.session.model().tokenizer(), &seen)?)
    }

    /// Tokens of a prompt up to the first message: those that it shares with another conversation.
    fn n_system(&self, prompt: &[u32]) -> usize {
        let other = Message { role: Role::User, content: String::new() };
        let other: Vec<Message> = self.system.iter().cloned().chain([other]).collect();
        let other = self.template.encode(self.session.model().tokenizer(), &other);
        other.map_or(0, |other| common_prefix(&other, prompt))
    }

    fn write(&mut self, prompt: Vec<u32>) -> Result<Ending, Error> {
        // The last token is read in any case: its logits choose the answer's first.
        let common = common_prefix(&self.held, &prompt[..prompt.len().saturating_sub(1)]);
        self.session.truncate(common);
        // What was cleared, forgotten or answered anew is no repetition.
        self.sampler.restart(&prompt[..common]);

        let on_full = match self.on_full {
            OnFull::Forget { .. } => OnFull::Forget { n_keep: self.n_system(&prompt) },
            OnFull::Stop => OnFull::Stop,
        };
        let mut text = String::new();
        let mut writer =
            Writer { session: &mut self.session, sampler: &mut self.sampler, batch: self.batch, on_full };
        let result = writer.write(&prompt[common..], self.max_tokens, |piece| {
            // Models begin an answer with a space, which is no part of it.
            let piece = if text.is_empty() { piece.trim_start() } else { piece };
            text.push_str(piece);
            terminal::print_generated(piece)
        });
        self.held = prompt;
        if let Ok(written) = &result {
            self.held.extend_from_slice(&written.tokens);
        }
        // What comes after something that was forgotten is no beginning of anything.
        self.held.truncate(self.session.n_unbroken());
        let generation = result?.generation;
        terminal::print("\n")?;

        self.messages.push(Message { role: Role::Assistant, content: text });
        let stop = generation.stop;
        self.last = Some(generation);
        if stop == StopReason::ContextFull {
            terminal::say(&format!(
                "the context of {} tokens is full, the answer ends here; the oldest turns make room for your next \
                 message",
                self.session.context()
            ));
        }
        Ok(if stop == StopReason::Stopped { Ending::Interrupted } else { Ending::Done })
    }

    /// The figures of the last answer and of the context, as one line.
    pub(super) fn statistics(&self) -> String {
        let answer = self.last.as_ref().map_or_else(|| "no answer yet".to_owned(), generation::statistics);
        format!(
            "{answer}; context {} of {} tokens, {} of {} turns",
            self.session.position(),
            self.session.context(),
            n_turns(&self.messages[self.n_forgotten..]),
            n_turns(&self.messages),
        )
    }
}

fn n_turns(messages: &[Message]) -> usize {
    messages.iter().filter(|message| message.role == Role::User).count()
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
