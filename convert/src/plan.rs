//! Which tensors the output has, and where each comes from: everything is checked here, before a byte is written.

use crate::Error;
use crate::merge::Merged;
use crate::names::{self, Kind, Layout, Length};
use crate::params::{FeedForward, Params};
use crate::tensors::Tensors;
use gguf::Shown;
use std::collections::HashSet;

/// A tensor of the output.
#[derive(Debug)]
pub(crate) struct Planned<'a> {
    /// The checkpoint's name.
    pub(crate) source_name: String,
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
    /// Why there is an output matrix that is not written: a sentence.
    pub(crate) tied_note: Option<String>,
}

/// The parts of a checkpoint.
type Parts<'p, 'a> = &'p [Box<dyn Tensors<'a> + 'a>];

impl<'a> Plan<'a> {
    /// Finds every tensor that `params` asks for in `parts`, which are at least one, and nothing else.
    pub(crate) fn new(parts: Parts<'_, 'a>, params: &Params) -> Result<Self, Error> {
        let first = &*parts[0];
        check_names(first, params.layout)?;
        let find = |kind: &Kind, layer, n_cols| {
            let name = kind.source_name(params.layout, layer);
            Merged::new(parts, kind, &name, n_cols, params).map(|merged| (name, merged))
        };
        let (name, embedding) = find(&names::TOKEN_EMBEDDING, None, params.dim)?;
        let n_vocab = embedding.n_rows();
        if let Some(claimed) = params.vocab_size.filter(|&claimed| claimed != n_vocab) {
            let problem = format!("it says {claimed}, but {name} has {n_vocab} rows");
            return Err(Error::malformed(&params.path, "key `vocab_size`", problem));
        }
        let (name, gate) = find(&names::FEED_FORWARD, Some(0), params.dim)?;
        let n_ff = gate.n_rows();
        if let FeedForward::Exact(claimed) = params.feed_forward
            && claimed != n_ff
        {
            let problem = format!("it says {claimed}, but {name} has {n_ff} rows");
            return Err(Error::malformed(&params.path, "key `intermediate_size`", problem));
        }
        // GGUF's keys for them have 32 bits; a sparse file may claim more rows than anyone has weights.
        if let Some(n) = [n_vocab, n_ff].into_iter().find(|&n| n > u64::from(u32::MAX)) {
            return Err(Error::unfit(first.path(), format!("a matrix of {n} rows is none of a Llama")));
        }
        let length = |length: Length| match length {
            Length::Embedding => params.dim,
            Length::Queries => params.n_heads * params.head_dim,
            Length::Keys => params.n_kv_heads * params.head_dim,
            Length::FeedForward => n_ff,
            Length::Vocabulary => n_vocab,
        };

        let output_name = names::OUTPUT.source_name(params.layout, None);
        let tied_note = match first.contains(&output_name) {
            true => why_tied(&embedding, &find(&names::OUTPUT, None, params.dim)?.1, params),
            false => None,
        };
        // Without one, and where nothing says that the embedding serves, its absence is told below.
        let tied = tied_note.is_some() || (!first.contains(&output_name) && params.tied != Some(false));
        let mut tensors = Vec::new();
        for (kind, layer) in names::all(params.n_layers, tied) {
            let (source_name, source) = find(&kind, layer, length(kind.cols))?;
            source.expect(kind.rows.map(length), length(kind.cols), params).map_err(|problem| {
                Error::malformed(source.path_of(0, 0), format_args!("tensor `{source_name}`"), problem)
            })?;
            tensors.push(Planned { source_name, name: kind.gguf_name(layer), source });
        }
        check_nothing_left(parts, &tensors, tied.then_some(&*output_name), params)?;
        Ok(Self { tensors, n_vocab, n_ff, tied_note })
    }

    /// Bytes of the checkpoint's numbers.
    pub(crate) fn input_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.source.n_rows() * tensor.source.row_bytes()).sum()
    }

    /// A sentence where `params.json` promises another feed-forward length than the shapes have.
    pub(crate) fn feed_forward_note(&self, params: &Params) -> Option<String> {
        match params.feed_forward {
            FeedForward::Claimed(claimed) if claimed != self.n_ff => Some(format!(
                "multiple_of and ffn_dim_multiplier in params.json make a feed-forward length of {claimed}; the weights \
                 have {}, which is taken",
                self.n_ff
            )),
            _ => None,
        }
    }
}

/// Why the embedding serves in place of an output matrix that is there, if it does.
fn why_tied(embedding: &Merged<'_>, output: &Merged<'_>, params: &Params) -> Option<String> {
    let [embedding_name, output_name] =
        [names::TOKEN_EMBEDDING, names::OUTPUT].map(|kind| kind.source_name(params.layout, None));
    if embedding.has_the_numbers_of(output) {
        Some(format!("{output_name} repeats {embedding_name}: it is written once, and serves as both"))
    } else if params.tied == Some(true) {
        Some(format!(
            "{output_name} is left out, although its numbers are its own: tie_word_embeddings in config.json says that \
             {embedding_name} serves as both"
        ))
    } else {
        None
    }
}

/// Whether the first part's names are the layout's at all.
fn check_names(first: &dyn Tensors<'_>, layout: Layout) -> Result<(), Error> {
    let embedding = names::TOKEN_EMBEDDING.source_name(layout, None);
    if first.contains(&embedding) {
        return Ok(());
    }
    let problem = match first.names().min() {
        None => "the file describes no tensors".to_owned(),
        Some(name)
            if layout == Layout::Meta && (name.starts_with("model.") || name.starts_with("lm_head")) =>
        {
            format!("it holds `{}`: these are Hugging Face's names, in a file of Meta's kind", Shown(name))
        }
        Some(name) => {
            let name = Shown(name);
            format!(
                "it has no tensor `{embedding}`, but for example `{name}`: this is no Llama in this layout"
            )
        }
    };
    Err(Error::unfit(first.path(), problem))
}

/// A tensor that nobody asked for is part of the model's arithmetic, unless it can be computed. `unused`: an output
/// matrix in whose place the embedding serves.
fn check_nothing_left(
    parts: Parts<'_, '_>,
    tensors: &[Planned<'_>],
    unused: Option<&str>,
    params: &Params,
) -> Result<(), Error> {
    let known: HashSet<&str> =
        tensors.iter().map(|tensor| tensor.source_name.as_str()).chain(unused).collect();
    for part in parts {
        let left = part.names().filter(|name| !known.contains(name) && !names::is_computed(name)).min();
        let Some(name) = left else { continue };
        let problem = match names::layer_of(name) {
            Some(layer) if layer >= params.n_layers => {
                let (key, file) = (params.n_layers_key(), params.file_name());
                format!("there is a layer {layer}, but {key} in {file} is {}", params.n_layers)
            }
            _ => "no Llama has such a tensor; llamita would leave out a part of the model".into(),
        };
        let place = format_args!("tensor `{}`", Shown(name)).to_string();
        return Err(Error::malformed(part.path(), place, problem));
    }
    Ok(())
}
