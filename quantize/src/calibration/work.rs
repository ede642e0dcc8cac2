//! A layer's turn: its inputs are seen, its matrices quantized and written, and the text goes through.

use super::course::{Course, Step, TOKENS, inputs};
use crate::feedback::{self, Input, Moments, Task, Upstream};
use crate::{Error, Loss, Monitor, TensorStream, stream};
use engine::{Layers, Matrix};
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

/// What is at hand while the pass goes on.
pub(super) struct Work<'a> {
    pub(super) course: &'a Course,
    pub(super) out: &'a mut TensorStream,
    pub(super) monitor: &'a dyn Monitor,
    /// Tensors of the order that are there from a run before.
    pub(super) n_done: usize,
}

/// Blocks of tensors, and what they lost.
type Encoded = HashMap<usize, (Vec<u8>, Loss)>;

impl Work<'_> {
    /// Writes the tensors of a step.
    pub(super) fn step(&mut self, step: Step, mut encoded: Encoded) -> Result<(), Error> {
        let Self { course, n_done, .. } = *self;
        for (place, &at) in course.order.iter().enumerate() {
            if course.steps[at] != step || place < n_done {
                continue;
            }
            match encoded.remove(&at) {
                Some((bytes, loss)) => self.out.copy_measured(&bytes, loss)?,
                None => stream::write_tensor(
                    self.out,
                    course.model.file(),
                    &course.model.file().tensors()[at],
                    course.types[at],
                    None,
                    self.monitor,
                )?,
            }
        }
        Ok(())
    }

    /// Collects the input that some matrices share, of a layer or behind all, and quantizes them.
    pub(super) fn learn(
        &mut self,
        layers: &mut Layers<'_>,
        original: &mut Layers<'_>,
        layer: Option<usize>,
        matrices: &[&Matrix],
        effort: u64,
    ) -> Result<Encoded, Error> {
        let (course, windows) = (self.course, &self.course.windows);
        let learned: Vec<&Matrix> =
            matrices.iter().copied().filter(|matrix| course.is_learned(matrix.tensor)).collect();
        let Some(&first) = learned.first() else {
            self.monitor.advance(effort)?;
            return Ok(Encoded::new());
        };
        let n_cols = first.n_cols;
        let mut moments = Moments::new(n_cols);
        // Before the first layer both have the embeddings as they were.
        let is_first = layer == Some(0) && first.tensor == inputs(&course.model, 0)[0][0].tensor;
        let mut upstream = (!is_first).then(|| Upstream::new(n_cols));
        for window in 0..windows.len() {
            let of_original = match upstream {
                Some(_) => look(original, layer, window, matrices)?,
                None => Vec::new(),
            };
            let x = look(layers, layer, window, matrices)?;
            for at in (0..x.len()).step_by(TOKENS * n_cols) {
                let some = at..x.len().min(at + TOKENS * n_cols);
                let x = &x[some.clone()];
                let is_held_out = windows.is_held_out(window);
                if is_held_out {
                    moments.hold_out(x)
                } else {
                    moments.add(x)
                }
                if let Some(upstream) = &mut upstream {
                    let original = &of_original[some];
                    if is_held_out { upstream.hold_out(x, original) } else { upstream.add(x, original) }
                }
            }
            self.monitor.advance(effort / windows.len() as u64)?;
        }
        let Some(mut input) = moments.normalize() else { return Err(course.not_finite(first)) };
        self.quantize(&learned, &mut input, upstream.as_ref())
    }

    /// Quantizes the matrices that share an input.
    fn quantize(
        &mut self,
        matrices: &[&Matrix],
        input: &mut Input,
        upstream: Option<&Upstream>,
    ) -> Result<Encoded, Error> {
        let (course, file) = (self.course, self.course.model.file());
        let fills: Vec<_> = matrices
            .iter()
            .map(|matrix| {
                let tensor = &file.tensors()[matrix.tensor];
                move |rows: Range<usize>, out: &mut [f32]| stream::floats(file, tensor, rows, out)
            })
            .collect();
        let tasks: Vec<_> = matrices
            .iter()
            .zip(&fills)
            .map(|(matrix, fill)| Task { ty: course.types[matrix.tensor], n_rows: matrix.n_rows, fill })
            .collect();
        let mut encoded = Encoded::new();
        let choice = feedback::choose(input, upstream, &tasks)?;
        for (matrix, task) in matrices.iter().zip(&tasks) {
            let of_row = course.effort_of_row(matrix.n_cols as u64);
            // A layer that is made again for what is behind it is no progress.
            let place = course.order.iter().position(|&at| at == matrix.tensor);
            let counts = place.is_some_and(|place| place >= self.n_done);
            let each = |n_rows: usize| self.monitor.advance(if counts { n_rows as u64 * of_row } else { 0 });
            let measures = self.out.measures();
            encoded.insert(matrix.tensor, feedback::encode(input, upstream, choice, task, measures, &each)?);
        }
        Ok(encoded)
    }

    /// Sends the text through a layer as it is now.
    pub(super) fn advance(&mut self, layers: &mut Layers<'_>, l: usize, effort: u64) -> Result<(), Error> {
        let mut cancelled = None;
        let of_window = effort / layers.n_windows() as u64;
        let passed = layers.layer(
            l,
            |_| match self.monitor.advance(of_window) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    cancelled = Some(error);
                    ControlFlow::Break(())
                }
            },
            |_, _, _| (),
        );
        match cancelled {
            Some(error) => Err(error.into()),
            None => Ok(passed?),
        }
    }
}

/// What some matrices of a layer, or behind all, are multiplied with in a window: a row a token.
fn look(
    layers: &mut Layers<'_>,
    layer: Option<usize>,
    window: usize,
    matrices: &[&Matrix],
) -> Result<Vec<f32>, Error> {
    let mut seen = Vec::new();
    match layer {
        Some(l) => layers.look(l, window, &mut |of, x| {
            if of[0].tensor != matrices[0].tensor {
                return ControlFlow::Continue(());
            }
            seen.extend_from_slice(x);
            ControlFlow::Break(())
        })?,
        None => layers.before_output(window, &mut |_, x| seen.extend_from_slice(x)),
    }
    Ok(seen)
}
