//! A file's tensors in the order of a pass, and their blocks as the pass reaches them.
//!
//! A file may hold its tensors in any order. This one gets them layer by layer, so that what a layer's inputs teach is
//! used and forgotten before the next one's are collected; readers find tensors by name.

use super::states::States;
use super::work::Work;
use super::{Calibration, ERROR_KEY, TOKENS_KEY, Windows};
use crate::feedback::{self, Moments};
use crate::loss::mean_held_out;
use crate::{Error, Loss, Monitor, TensorStream, stream};
use blocks::{TensorType, with_block};
use engine::{Layers, LayersOptions, Matrix, Model};
use gguf::{Fingerprint, Metadata, TensorInfo, TensorSpec, Value};
use std::collections::HashMap;

/// Tokens whose products are summed at once.
pub(super) const TOKENS: usize = 512;

/// Times that a layer is run, about: its inputs are seen one after the other, each as far as the layer has to be run for it,
/// about half of it; then it is run.
const READINGS: u64 = 3;

/// Where in a pass a tensor is used: before the layers, in one, or behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Before,
    Layer(usize),
    Behind,
}

/// A model, a text, and the way through.
#[derive(Debug)]
pub(crate) struct Course {
    pub(super) model: Model,
    pub(super) windows: Windows,
    /// The file's tensors in the order of the output.
    pub(super) order: Vec<usize>,
    /// By tensor of the file: its step, and its type to be.
    pub(super) steps: Vec<Step>,
    pub(super) types: Vec<TensorType>,
}

/// The matrices of a layer by the input that they share, in the order of a pass.
pub(super) fn inputs(model: &Model, layer: usize) -> [Vec<&Matrix>; 4] {
    let of = &model.weights().layers[layer];
    [
        vec![&of.attn_q, &of.attn_k, &of.attn_v],
        vec![&of.attn_output],
        vec![&of.ffn_gate, &of.ffn_up],
        vec![&of.ffn_down],
    ]
}

impl Course {
    /// Of a model whose tensors shall become `specs`, in the file's order.
    ///
    /// # Errors
    /// If the model cannot run or the text is too short.
    pub(crate) fn new(
        input: &gguf::File,
        specs: &[TensorSpec],
        calibration: &Calibration,
    ) -> Result<Self, Error> {
        let model = Model::open(input.path())?;
        let windows = Windows::new(&model, calibration)?;
        let mut steps = vec![Step::Before; specs.len()];
        let weights = model.weights();
        for (l, layer) in weights.layers.iter().enumerate() {
            let prefix = format!("blk.{l}.");
            let of_layer = |tensor: &TensorInfo| tensor.name.starts_with(&prefix);
            for (at, _) in input.tensors().iter().enumerate().filter(|(_, tensor)| of_layer(tensor)) {
                steps[at] = Step::Layer(l);
            }
            debug_assert_eq!(steps[layer.attn_q.tensor], Step::Layer(l));
        }
        steps[weights.output_norm.tensor] = Step::Behind;
        steps[weights.output.tensor] = Step::Behind;
        let mut order: Vec<usize> = (0..specs.len()).collect();
        order.sort_by_key(|&at| (steps[at], at));
        let types = specs.iter().map(|spec| spec.ty).collect();
        Ok(Self { model, windows, order, steps, types })
    }

    /// The specs in the order of the output.
    pub(crate) fn ordered(&self, specs: &[TensorSpec]) -> Vec<TensorSpec> {
        self.order.iter().map(|&at| specs[at].clone()).collect()
    }

    /// In the file's order what is in that of the output.
    pub(crate) fn in_input_order<T: Copy + Default>(&self, of: &[T]) -> Vec<T> {
        let mut out = vec![T::default(); of.len()];
        self.order.iter().zip(of).for_each(|(&at, &x)| out[at] = x);
        out
    }

    /// The keys of [`Calibration::describe`], with the tokens that are read.
    pub(crate) fn count(&self, keys: &mut Metadata) {
        keys.set(TOKENS_KEY, Value::U32(self.windows.tokens.len() as u32));
    }

    /// The same, with what was lost.
    pub(crate) fn conclude(keys: &mut Metadata, losses: &[Option<Loss>]) {
        keys.set(ERROR_KEY, Value::F32(mean_held_out(losses).unwrap_or(0.0) as f32));
    }

    /// Adds what the output follows from.
    pub(crate) fn describe(&self, source: &mut Fingerprint) {
        source.add(b"feedback 1");
        source.add(&(self.windows.context as u64).to_le_bytes());
        source.add(bytemuck::cast_slice(&self.windows.tokens));
    }

    /// Bytes of memory that it takes at most.
    pub(crate) fn n_bytes(&self) -> u64 {
        let (n_windows, context) = (self.windows.len(), self.windows.context);
        let n_held_out = (self.windows.n_held_out() * context) as u64;
        let file = self.model.file();
        let config = self.model.config();
        let of_input = |n: usize| {
            let moments = Moments::n_bytes(n as u64, n_held_out, TOKENS.min(context) as u64);
            // Of both streams; and a window's input in each.
            2 * moments + 2 * (context * n * size_of::<f32>()) as u64
        };
        let widest = config.dim.max(config.q_dim()).max(config.ffn_dim);
        let n_threads = rayon::current_num_threads() as u64;
        let at_work = self
            .model
            .weights()
            .matrices()
            .map(|matrix| feedback::n_bytes(matrix.n_rows as u64, matrix.n_cols as u64, n_threads));
        let blocks = |step: Step| {
            let tensors = self.order.iter().filter(|&&at| self.steps[at] == step && self.is_learned(at));
            let bytes = tensors.map(|&at| {
                let tensor = &file.tensors()[at];
                self.types[at].row_bytes(tensor.n_cols()).unwrap_or(0) * tensor.n_rows()
            });
            bytes.sum::<u64>()
        };
        let most = (0..config.n_layers).map(|l| blocks(Step::Layer(l))).max().unwrap_or(0);
        [
            2 * Layers::n_bytes(&self.model, n_windows, context),
            of_input(widest),
            at_work.max().unwrap_or(0),
            2 * most.max(blocks(Step::Behind)),
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// Whether a tensor becomes blocks whose scales and codes are searched for.
    pub(super) fn is_learned(&self, tensor: usize) -> bool {
        let file = self.model.file();
        let ty = self.types[tensor];
        self.model.weights().matrices().any(|matrix| matrix.tensor == tensor)
            && !stream::stays(&file.tensors()[tensor], ty)
            && with_block!(grid ty, _B => true, else false)
    }

    /// Writes every tensor that is not there yet, in the order of [`ordered`](Self::ordered).
    ///
    /// # Errors
    /// As of [`quantize`](crate::quantize).
    pub(crate) fn write(
        &self,
        out: &mut TensorStream,
        states: &States,
        monitor: &dyn Monitor,
    ) -> Result<(), Error> {
        let n_layers = self.model.config().n_layers;
        let of_tensors: u64 = (0..self.steps.len()).map(|at| self.effort_of_tensor(at)).sum();
        let of_layers: u64 = (0..n_layers).map(|l| READINGS * self.effort_of_reading(l)).sum();
        monitor.start(of_tensors + of_layers);

        let mut n_done = 0;
        while n_done < self.order.len() && out.recover(self.effort_of_tensor(self.order[n_done]), monitor)? {
            n_done += 1;
        }
        let mut work = Work { course: self, out, monitor, n_done };
        work.step(Step::Before, HashMap::new())?;
        let Some(&next) = self.order.get(n_done) else { return Ok(()) };
        let options = LayersOptions {
            context: self.windows.context,
            threads: rayon::current_num_threads(),
            types: self
                .types
                .iter()
                .copied()
                .filter(|ty| with_block!(grid *ty, _B => true, else false))
                .collect(),
        };
        let new = || Layers::new(&self.model, &self.windows.tokens, &options);
        let (mut layers, mut original) = (new()?, new()?);
        let reached = match self.steps[next] {
            Step::Before => 0,
            Step::Layer(l) => l,
            Step::Behind => n_layers,
        };
        // What was saved for a layer whose tensors are not all there is of no use: they are what it follows from.
        let first = match states
            .load(|_| {
                vec![bytemuck::cast_slice_mut(layers.states()), bytemuck::cast_slice_mut(original.states())]
            })
            .filter(|&l| l <= reached)
        {
            Some(l) => l,
            None => {
                (layers, original) = (new()?, new()?);
                0
            }
        };
        for l in 0..first {
            monitor.advance(READINGS * self.effort_of_reading(l))?;
        }
        for l in first..n_layers {
            let mut encoded = HashMap::new();
            let half = self.effort_of_reading(l) / 2;
            // Each input is seen behind matrices that are quantized already.
            for matrices in inputs(&self.model, l) {
                let learned = work.learn(&mut layers, &mut original, Some(l), &matrices, half)?;
                for matrix in matrices {
                    if let Some((bytes, _)) = learned.get(&matrix.tensor) {
                        layers.replace(matrix, self.types[matrix.tensor], bytes.clone());
                    }
                }
                encoded.extend(learned);
            }
            work.step(Step::Layer(l), encoded)?;
            work.advance(&mut layers, l, half)?;
            work.advance(&mut original, l, half)?;
            layers.restore();
            states.save(
                l + 1,
                &[bytemuck::cast_slice(layers.states()), bytemuck::cast_slice(original.states())],
            )?;
        }
        let output = [&self.model.weights().output];
        let encoded = work.learn(&mut layers, &mut original, None, &output, 0)?;
        work.step(Step::Behind, encoded)
    }
}

/// How long things take, about, in products of two numbers: for the share that is done and the time that is left. (Bytes say
/// nothing of either: a text may have any length, and a weight takes the longer the wider its matrix is.)
impl Course {
    /// Of a tensor: its bytes, unless its blocks are searched for.
    pub(super) fn effort_of_tensor(&self, at: usize) -> u64 {
        let tensor = &self.model.file().tensors()[at];
        if self.is_learned(at) {
            tensor.n_rows() * self.effort_of_row(tensor.n_cols())
        } else {
            tensor.n_bytes
        }
    }

    /// Of a row of one whose blocks are.
    pub(super) fn effort_of_row(&self, n_cols: u64) -> u64 {
        feedback::n_products(n_cols, (self.windows.n_held_out() * self.windows.context) as u64)
    }

    /// Of running a layer on the text once, in both streams, and a part of what is learned from that.
    fn effort_of_reading(&self, l: usize) -> u64 {
        let n_tokens = self.windows.tokens.len() as u64;
        let of_input = |matrices: Vec<&Matrix>| {
            let n_weights: u64 = matrices.iter().map(|matrix| (matrix.n_rows * matrix.n_cols) as u64).sum();
            2 * n_weights * n_tokens
                + feedback::n_products_of_input(matrices[0].n_cols as u64, n_tokens) / READINGS
        };
        inputs(&self.model, l).into_iter().map(of_input).sum()
    }
}

impl Course {
    /// Why a matrix' inputs are no numbers: the first weight up to it that is none, if there is one.
    pub(super) fn not_finite(&self, matrix: &Matrix) -> Error {
        let file = self.model.file();
        for &at in &self.order {
            let tensor = &file.tensors()[at];
            if self.steps[at] > self.steps[matrix.tensor] {
                break;
            }
            let mut row_floats = vec![0.0; tensor.n_cols() as usize];
            for row in 0..tensor.n_rows() as usize {
                if let Err(error) = stream::floats(file, tensor, row..row + 1, &mut row_floats) {
                    return error;
                }
            }
        }
        Error::Calibration(format!(
            "the inputs of `{}` are no finite numbers on the calibration text, though its weights are: the model cannot run",
            file.tensors()[matrix.tensor].name
        ))
    }
}
