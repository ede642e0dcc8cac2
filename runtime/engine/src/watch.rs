//! Someone who waits for a long pass, and may lose patience.

use crate::Error;
use std::fmt::{self, Debug};
use std::ops::ControlFlow;

/// Is told how many parts of a pass are done, and of how many; may end it.
type Told<'w> = dyn FnMut(usize, usize) -> ControlFlow<()> + 'w;

/// Nobody, or someone.
#[derive(Default)]
pub(crate) struct Watch<'w>(Option<Box<Told<'w>>>);

impl<'w> Watch<'w> {
    pub(crate) fn new(told: impl FnMut(usize, usize) -> ControlFlow<()> + 'w) -> Self {
        Self(Some(Box::new(told)))
    }

    /// Tells of what is done.
    ///
    /// # Errors
    /// If that is enough.
    pub(crate) fn tell(&mut self, done: usize, all: usize) -> Result<(), Error> {
        let flow = self.0.as_mut().map_or(ControlFlow::Continue(()), |told| told(done, all));
        if flow.is_break() { Err(Error::Stopped) } else { Ok(()) }
    }
}

impl Debug for Watch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "watched" } else { "unwatched" })
    }
}
