//! What systems do in ways of their own. Each has one file with the same functions.

#[cfg(unix)]
mod cut;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

#[cfg(unix)]
pub use cut::explain_cut_files;
#[cfg(windows)]
pub use windows::explain_cut_files;
