//! What holds only if several rooms agree. One binary, so one link; a module a subject.

#![forbid(unsafe_code)]

mod chat;
mod converter;
mod files;
mod golden;
mod llama3;
mod mixtures;
mod reference;
mod shards;
mod tidy;
mod vocabulary;

#[cfg(feature = "ggml")]
mod blocks_of_ggml;
#[cfg(feature = "ggml")]
mod peer;
