//! How long work tells the front door how far it is, and learns that it should stop.

/// Watches a conversion or a quantization: counts its bytes and may stop it. (Where a text is learned from, an amount is no
/// bytes but what takes about as long as another.)
///
/// All methods may be called from several threads.
pub trait Monitor: Sync {
    /// The work's size, once, before the first [`advance`](Self::advance).
    fn start(&self, total: u64);

    /// More is done. `Err` asks the work to stop; it cleans up after itself.
    fn advance(&self, n: u64) -> Result<(), Cancelled>;

    /// Something that the user should know: what was assumed, what was left out. A sentence.
    fn note(&self, text: &str);
}

/// Nobody watches.
impl Monitor for () {
    fn start(&self, _total: u64) {}

    fn advance(&self, _n: u64) -> Result<(), Cancelled> {
        Ok(())
    }

    fn note(&self, _text: &str) {}
}

/// The user stopped the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted: the file is not finished")]
pub struct Cancelled;
