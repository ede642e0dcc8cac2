//! What can go wrong while a file is quantized.

/// Why a file was not quantized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input cannot be read or the output cannot be written.
    #[error(transparent)]
    File(#[from] gguf::Error),
    /// The user stopped it.
    #[error(transparent)]
    Cancelled(#[from] crate::Cancelled),
}
