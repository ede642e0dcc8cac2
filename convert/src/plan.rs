//! Which tensors the output has, and where each comes from: everything is checked here, before a byte is written.

use crate::Error;
use crate::merge::Merged;
use crate::names::{self, Kind, Length};
use crate::params::Params;
use crate::torch::Tensors;
use std::collections::HashSet;

/// A tensor of the output.
#[derive(Debug)]
pub(crate) struct Planned<'a> {
    /// Meta's name.
    pub(crate) meta: String,
    /// GGUF's.
    pub(crate) name: String,
    pub(crate) source: Merged<'a>,
}

/// The output's tensors, and the lengths that only the shapes tell.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) tensors: Vec<Planned<'a>>,
    pub(crate) n_vocab: u64,
    pub(crate) n_ff: u64,
    /// There is no output matrix, or it repeats the embedding: the embedding serves.
    pub(crate) tied: bool,
    /// It repeats it, as Meta's Llama 3.2 files have it.
    pub(crate) tied_by_copy: bool,
}

impl<'a> Plan<'a> {
    /// Finds every tensor that `params` asks for in `shards`, which are at least one, and nothing else.
    pub(crate) fn new(shards: &[Tensors<'a>], params: &Params) -> Result<Self, Error> {
        let first = &shards[0];
        check_names(first)?;
        let embedding = names::TOKEN_EMBEDDING;
        let n_vocab = Merged::new(shards, &embedding, embedding.meta, params.dim)?.n_rows();
        if let Some(claimed) = params.vocab_size.filter(|&claimed| claimed != n_vocab) {
            let problem = format!("it says {claimed}, but {} has {n_vocab} rows", embedding.meta);
            return Err(Error::malformed(&params.path, "key `vocab_size`", problem));
        }
        let gate = names::FEED_FORWARD;
        let n_ff = Merged::new(shards, &gate, &gate.names(Some(0)).0, params.dim)?.n_rows();
        // GGUF's keys for them have 32 bits; a sparse file may claim more rows than anyone has weights.
        if let Some(n) = [n_vocab, n_ff].into_iter().find(|&n| n > u64::from(u32::MAX)) {
            return Err(Error::unfit(first.path(), format!("a matrix of {n} rows is none of a Llama")));
        }
        let length = |length: Length| match length {
            Length::Embedding => params.dim,
            Length::Queries => params.n_heads * params.head_dim(),
            Length::Keys => params.n_kv_heads * params.head_dim(),
            Length::FeedForward => n_ff,
            Length::Vocabulary => n_vocab,
        };

        let output = names::OUTPUT;
        let has_output = first.contains(output.meta);
        let tied_by_copy = has_output && {
            let [embedding, output] =
                [embedding, output].map(|kind| Merged::new(shards, &kind, kind.meta, params.dim));
            embedding?.has_the_numbers_of(&output?)
        };
        let tied = !has_output || tied_by_copy;
        let mut tensors = Vec::new();
        for (kind, layer) in names::all(params.n_layers, tied) {
            let (meta, name) = kind.names(layer);
            let source = Merged::new(shards, &kind, &meta, length(kind.cols))?;
            source.expect(kind.rows.map(length), length(kind.cols)).map_err(|problem| {
                Error::malformed(first.path(), format_args!("tensor `{meta}`"), problem)
            })?;
            tensors.push(Planned { meta, name, source });
        }
        check_nothing_left(shards, &tensors, tied_by_copy, params)?;
        Ok(Self { tensors, n_vocab, n_ff, tied, tied_by_copy })
    }

    /// Bytes of the checkpoint's numbers.
    pub(crate) fn input_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.source.n_rows() * tensor.source.row_bytes()).sum()
    }

    /// A sentence where `params.json` promises another feed-forward length than the shapes have.
    pub(crate) fn feed_forward_note(&self, params: &Params) -> Option<String> {
        let claimed = params.n_ff_claimed.filter(|&claimed| claimed != self.n_ff)?;
        Some(format!(
            "multiple_of and ffn_dim_multiplier in params.json make a feed-forward length of {claimed}; the weights have \
             {}, which is taken",
            self.n_ff
        ))
    }
}

/// Whether the first shard's names are Meta's at all.
fn check_names(first: &Tensors<'_>) -> Result<(), Error> {
    let Kind { meta, .. } = names::TOKEN_EMBEDDING;
    if first.contains(meta) {
        return Ok(());
    }
    let problem = match first.names().min() {
        None => "the file describes no tensors".to_owned(),
        Some(name) if name.starts_with("model.") || name.starts_with("lm_head") => {
            format!(
                "it holds `{name}`: these are Hugging Face's names; llamita converts Meta's own checkpoints"
            )
        }
        Some(name) => {
            format!("it has no tensor `{meta}`, but for example `{name}`: this is no Llama in Meta's layout")
        }
    };
    Err(Error::unfit(first.path(), problem))
}

/// A tensor that nobody asked for is part of the model's arithmetic, unless it can be computed.
fn check_nothing_left(
    shards: &[Tensors<'_>],
    tensors: &[Planned<'_>],
    tied_by_copy: bool,
    params: &Params,
) -> Result<(), Error> {
    let copy = tied_by_copy.then_some(names::OUTPUT.meta);
    let known: HashSet<&str> = tensors.iter().map(|tensor| tensor.meta.as_str()).chain(copy).collect();
    for shard in shards {
        let left = shard.names().filter(|name| !known.contains(name) && !names::is_computed(name)).min();
        let Some(name) = left else { continue };
        let layer = name.strip_prefix("layers.").and_then(|rest| rest.split('.').next()?.parse::<u64>().ok());
        let problem = match layer {
            Some(layer) if layer >= params.n_layers => {
                format!("there is a layer {layer}, but n_layers in params.json is {}", params.n_layers)
            }
            _ => "no Llama has such a tensor; llamita would leave out a part of the model".into(),
        };
        return Err(Error::malformed(shard.path(), format_args!("tensor `{name}`"), problem));
    }
    Ok(())
}
