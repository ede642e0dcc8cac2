//! What can be wrong with a checkpoint.

/// Why a checkpoint was not converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The output cannot be written.
    #[error(transparent)]
    Output(#[from] gguf::Error),
    /// The user stopped it.
    #[error(transparent)]
    Cancelled(#[from] quantize::Cancelled),
}
