//! Where the time of a pass goes: one clock reading after each operation, some tens of nanoseconds beside operations
//! of microseconds to milliseconds, so that it is always on and what is profiled is what runs.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// What a pass does, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Rows of the embedding, and the angles of the positions.
    Embedding,
    /// Root mean square norms.
    Norm,
    /// Packing the activations of a product as its weights want them.
    Pack,
    /// The products that make queries, keys and values.
    Qkv,
    /// The rotation of queries and keys.
    Rope,
    /// Keys and values into the cache.
    Store,
    /// Attention over the cache.
    Attention,
    /// The product with the attention's output matrix.
    AttentionOutput,
    /// The products that make gate and up.
    GateUp,
    /// SiLU of the gate, times up.
    Silu,
    /// The product that leads back from the feed-forward's width.
    Down,
    /// What a half of a layer adds to the residual stream.
    Add,
    /// The product that makes logits.
    Output,
}

impl Operation {
    /// All, in the order of a pass.
    pub const ALL: [Self; 13] = [
        Self::Embedding,
        Self::Norm,
        Self::Pack,
        Self::Qkv,
        Self::Rope,
        Self::Store,
        Self::Attention,
        Self::AttentionOutput,
        Self::GateUp,
        Self::Silu,
        Self::Down,
        Self::Add,
        Self::Output,
    ];

    /// Whether it multiplies by weights.
    pub fn is_product(self) -> bool {
        matches!(self, Self::Qkv | Self::AttentionOutput | Self::GateUp | Self::Down | Self::Output)
    }

    /// As a person reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embedding => "embedding",
            Self::Norm => "norm",
            Self::Pack => "pack",
            Self::Qkv => "q, k, v",
            Self::Rope => "rope",
            Self::Store => "store k, v",
            Self::Attention => "attention",
            Self::AttentionOutput => "attention output",
            Self::GateUp => "gate, up",
            Self::Silu => "silu",
            Self::Down => "down",
            Self::Add => "add",
            Self::Output => "output",
        }
    }
}

/// The time that each operation took.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    times: [Duration; Operation::ALL.len()],
    /// When the last operation ended; none before the first pass.
    mark: Option<Instant>,
}

impl AddAssign<&Self> for Profile {
    fn add_assign(&mut self, other: &Self) {
        for (time, other) in self.times.iter_mut().zip(other.times) {
            *time += other;
        }
    }
}

impl Profile {
    /// The time that all operations took together.
    pub fn total(&self) -> Duration {
        self.times.iter().sum()
    }

    /// The time that an operation took, over all layers and passes.
    pub fn time(&self, operation: Operation) -> Duration {
        self.times[operation as usize]
    }

    /// Work begins: what passed since the last operation was somebody else's.
    pub(crate) fn begin(&mut self) {
        self.mark = Some(Instant::now());
    }

    /// An operation has ended, and began where the last one ended.
    pub(crate) fn end(&mut self, operation: Operation) {
        let now = Instant::now();
        self.times[operation as usize] += self.mark.map_or(Duration::ZERO, |mark| now - mark);
        self.mark = Some(now);
    }
}
