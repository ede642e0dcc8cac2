//! The model: configuration, weights, session, tokenizer, chat template, sampler and memory plan.

#![forbid(unsafe_code)]

mod chat_template;
mod config;
mod divergence;
mod error;
mod forward;
mod generate;
mod kv_cache;
mod layers;
mod machine;
mod memory_plan;
mod model;
mod perplexity;
mod probe;
mod profile;
mod sampler;
mod session;
mod source;
mod stream;
#[cfg(any(test, feature = "tiny"))]
pub mod tiny;
mod tokenizer;
mod watch;
mod weights;
mod windows;

pub use chat_template::{ChatTemplate, Message, Role};
pub use config::Config;
pub use divergence::{Base, Divergence, divergence, kl_divergence};
pub use error::Error;
pub use generate::{Generation, OnFull, StopReason, generate};
pub use layers::{Layers, LayersOptions};
pub use machine::{available_bytes, n_cores};
pub use memory_plan::{MemoryPlan, Streaming};
pub use model::Model;
pub use perplexity::{Perplexity, perplexity};
pub use probe::{Probe, Speeds};
pub use profile::{Operation, Profile};
pub use sampler::{Sampler, SamplerOptions};
pub use session::{Session, SessionOptions};
pub use tokenizer::{TextDecoder, Tokenizer};
pub use weights::{Layer, Matrix, Norm, Weights};
pub use windows::see_windows;
