//! Sums over a text, layer by layer; what is done lies on the disk after each.

use super::{Entry, Imatrix};
use crate::calibration::States;
use crate::{Cancelled, Error};
use engine::{Layers, LayersOptions, Model};
use gguf::Fingerprint;
use std::ops::ControlFlow;
use std::path::Path;

/// How a text is read.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    /// The text's name.
    pub dataset: &'a str,
    /// Tokens of a window.
    pub context: usize,
    /// Threads; 0: all cores that this process may use.
    pub threads: usize,
    /// Whether the output matrix has an entry, too.
    pub with_output: bool,
    /// The file that will be written: what is done lies beside it.
    pub output: &'a Path,
    /// Go on where a run before was interrupted, and keep what is done when this one is.
    pub resume: bool,
    /// The most memory that the process may take, but for mapped files; `None`: any.
    pub max_ram_bytes: Option<u64>,
}

impl Reading<'_> {
    /// What the sums follow from.
    fn source(&self, model: &Model, tokens: &[u32]) -> Result<Fingerprint, Error> {
        let mut source = Fingerprint::default();
        source.add(b"imatrix 1");
        source.add_file(model.file().path())?;
        source.add(&(self.context as u64).to_le_bytes());
        source.add(bytemuck::cast_slice(tokens));
        Ok(source)
    }

    /// Whether there is memory for it.
    fn check(&self, model: &Model, n_tokens: usize) -> Result<(), Error> {
        let Some(max_bytes) = self.max_ram_bytes else { return Ok(()) };
        let n_windows = n_tokens.checked_div(self.context).unwrap_or(0);
        let config = model.config();
        let sums = config.n_layers * (2 * config.dim + config.q_dim() + config.ffn_dim) * size_of::<f64>();
        // The sums lie in their entries, too: some of these share one.
        let least_bytes = Layers::n_bytes(model, n_windows, self.context).saturating_add(4 * sums as u64);
        let least_bytes = least_bytes.saturating_add(PROGRAM_BYTES);
        if least_bytes <= max_bytes {
            return Ok(());
        }
        Err(Error::Calibration(format!(
            "{} MiB of memory are too little: {n_tokens} tokens take at least --max-ram {}MiB; fewer (--tokens) take less",
            max_bytes >> 20,
            least_bytes.div_ceil(1 << 20)
        )))
    }
}

/// The program with its tokenizer and threads.
const PROGRAM_BYTES: u64 = 24 << 20;

/// Adds the squares of rows of inputs.
pub(super) fn add_squares(sums: &mut [f64], x: &[f32]) {
    for x in x.chunks_exact(sums.len()) {
        sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
    }
}

impl Imatrix {
    /// Runs a model over a text, layer by layer: see [`engine::Layers`]. `each(tokens)` is told of tokens that are through
    /// the whole model, or of as many as so much work is worth, and may stop it.
    ///
    /// # Errors
    /// If the text makes no window, there is too little memory, or the model cannot run; [`Error::Cancelled`].
    pub fn collect(
        model: &Model,
        tokens: &[u32],
        reading: &Reading<'_>,
        mut each: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Self, Error> {
        let (context, config) = (reading.context, model.config());
        reading.check(model, tokens.len())?;
        let options = LayersOptions { context, threads: reading.threads, types: Vec::new() };
        let mut layers = Layers::new(model, tokens, &options)?;
        let n_windows = layers.n_windows();
        let tokens = &tokens[..n_windows * context];
        // Of each layer: what q, k and v share, the attention's output, what gate and up share, the input of down.
        let sizes = [config.dim, config.q_dim(), config.dim, config.ffn_dim];
        let per_layer: usize = sizes.iter().sum();
        let mut sums = vec![0.0; config.n_layers * per_layer];

        let states = States::new(reading.output, &reading.source(model, tokens)?);
        let found = reading.resume.then(|| {
            states.load(|l| match sums.get_mut(..l * per_layer) {
                Some(sums) => {
                    vec![bytemuck::cast_slice_mut(sums), bytemuck::cast_slice_mut(layers.states())]
                }
                None => Vec::new(),
            })
        });
        let first = match found.flatten() {
            Some(l) => l,
            None => {
                states.remove();
                layers = Layers::new(model, tokens, &options)?;
                sums.fill(0.0);
                0
            }
        };
        let all = (n_windows * config.n_layers) as u64;
        let mut told = 0;
        let mut tell = |done: usize| {
            let so_far = tokens.len() as u64 * done as u64 / all;
            each(so_far - std::mem::replace(&mut told, so_far))
        };
        let mut collected = || -> Result<(), Error> {
            let _ = tell(first * n_windows);
            for l in first..config.n_layers {
                let of_layer = &mut sums[l * per_layer..][..per_layer];
                let of = &model.weights().layers[l];
                let inputs =
                    [&of.attn_q, &of.attn_output, &of.ffn_gate, &of.ffn_down].map(|matrix| matrix.tensor);
                layers.layer(
                    l,
                    |done| tell(l * n_windows + done),
                    |_, matrices, x| {
                        let input = inputs.iter().position(|&input| input == matrices[0].tensor).unwrap_or(0);
                        let start = sizes[..input].iter().sum();
                        add_squares(&mut of_layer[start..][..sizes[input]], x);
                    },
                )?;
                let sums = &sums[..(l + 1) * per_layer];
                states.save(l + 1, &[bytemuck::cast_slice(sums), bytemuck::cast_slice(layers.states())])?;
            }
            Ok(())
        };
        if let Err(error) = collected() {
            let stopped = matches!(error, Error::Engine(engine::Error::Stopped));
            if !(stopped && reading.resume) {
                states.remove();
            }
            return Err(if stopped { Error::Cancelled(Cancelled) } else { error });
        }
        let mut imatrix = Self {
            datasets: vec![reading.dataset.to_owned()],
            n_windows: n_windows as u32,
            context: context as u32,
            ..Self::default()
        };
        let name = |matrix: &engine::Matrix| model.file().tensors()[matrix.tensor].name.clone();
        let n_tokens = tokens.len() as u64;
        for (of, mut sums) in model.weights().layers.iter().zip(sums.chunks_exact(per_layer)) {
            let shared: [&[&engine::Matrix]; 4] = [
                &[&of.attn_q, &of.attn_k, &of.attn_v],
                &[&of.attn_output],
                &[&of.ffn_gate, &of.ffn_up],
                &[&of.ffn_down],
            ];
            for (matrices, size) in shared.iter().zip(sizes) {
                let (of_input, rest) = sums.split_at(size);
                sums = rest;
                for matrix in *matrices {
                    imatrix.entries.insert(name(matrix), Entry { sums: of_input.to_vec(), n_tokens });
                }
            }
        }
        if reading.with_output {
            let output = &model.weights().output;
            let mut sums = vec![0.0; config.dim];
            (0..n_windows).for_each(|window| {
                layers.before_output(window, &mut |_, x| add_squares(&mut sums, x));
            });
            imatrix.entries.insert(name(output), Entry { sums, n_tokens });
        }
        states.remove();
        Ok(imatrix)
    }
}
