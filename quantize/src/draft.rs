//! A GGUF from one type to another: what it is to be, and the file.

use crate::allocate::allocate;
use crate::calibration::{Course, States};
use crate::mixture::Tensor;
use crate::{
    Architecture, Calibration, Error, Imatrix, Loss, Monitor, Plan, Recipe, Target, TensorStream, Work,
    stream,
};
use gguf::{Fingerprint, Metadata, Value};
use std::borrow::Cow;
use std::path::Path;

/// What is held for a byte of the header: the keys, the output's keys, the output's header, and what the allocator adds.
const HELD_PER_HEADER_BYTE: u64 = 8;

/// `general.quantization_version`: the layouts that ggml has had since June 2023, and that `runtime/blocks` states.
const QUANTIZATION_VERSION: u32 = 2;

/// What keys of our own begin with.
const OWN_KEYS: &str = "llamita.";

/// How to quantize.
#[derive(Clone, Debug)]
pub struct Options {
    /// The types of the output.
    pub recipe: Recipe,
    /// A size to be met, in place of the recipe's file type.
    pub target: Option<Target>,
    /// What an error in each column costs.
    pub imatrix: Option<Imatrix>,
    /// A text from which is learned what each weight's error does, and how others make it good; `None`: weights are
    /// rounded for themselves.
    pub calibration: Option<Calibration>,
    /// Take quantized tensors as input too: they lose twice.
    pub allow_requantize: bool,
    /// How the file is made.
    pub work: Work,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Bytes of the input file.
    pub input_bytes: u64,
    /// Bytes of the output file.
    pub output_bytes: u64,
    /// What each of the input's tensors lost. `None` where that is not known: of those that were copied, and, but for matrices
    /// that a calibration text was there for, where [`Work::measure`] does not ask, or did not in a run before that has made it.
    pub losses: Vec<Option<Loss>>,
}

/// Writes `input` with its matrices as `options` says. Metadata and tensor order are kept; what is no matrix stays as
/// it is, or becomes F32. Everything is checked before anything is written, but for the weights themselves: one that
/// is NaN or infinite is found when it is met. Whatever ends it early, nothing is left at `output`; beside it only what
/// [`Work::resume`] keeps.
pub fn quantize(
    input: &gguf::File,
    output: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Summary, Error> {
    Draft::new(input, options, monitor)?.write(output, monitor)
}

/// A file that is to be: its keys and what becomes of each tensor. Nothing but the input's header was read, save for a
/// [`Target`], which takes a sample of the weights.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    input: &'a gguf::File,
    options: &'a Options,
    metadata: Metadata,
    plan: Plan,
    predicted: Option<f64>,
}

impl<'a> Draft<'a> {
    /// What `options` makes of `input`.
    ///
    /// # Errors
    /// Where the recipe, the importance matrix or the target does not fit the model, or a tensor cannot become what it shall.
    pub fn new(input: &'a gguf::File, options: &'a Options, monitor: &dyn Monitor) -> Result<Self, Error> {
        let mut metadata = metadata(input, options)?;
        let key_error = |source| Error::Key { path: input.path().to_owned(), source };
        let model = Architecture::of(input.metadata()).map_err(key_error)?;
        if let Some(imatrix) = &options.imatrix {
            imatrix.check(input)?;
        }
        let tensors: Vec<_> = input.tensors().iter().map(Tensor::from).collect();
        let imatrix = options.imatrix.as_ref();
        let (plan, predicted) = match &options.target {
            None => (Plan::new(&options.recipe, &model, imatrix.is_some(), &tensors)?, None),
            Some(target) => {
                // Whatever types will be chosen: measuring takes long.
                Plan::new(&options.recipe, &model, imatrix.is_some(), &tensors)?
                    .check(&tensors, options.allow_requantize)?;
                // In their places before anything is counted: only the values change then.
                metadata.set("llamita.quantize.target_bytes", Value::U64(0));
                let found = allocate(input, &metadata, &options.recipe, imatrix, target, monitor)?;
                metadata.set("llamita.quantize.target_bytes", Value::U64(found.target_bytes));
                metadata.set("general.file_type", Value::U32(found.file_type.wire()));
                (Plan::of_types(&tensors, &found.types), found.predicted)
            }
        };
        plan.check(&tensors, options.allow_requantize)?;
        Ok(Self { input, options, metadata, plan, predicted })
    }

    /// The mean divergence from the input that is to be expected, in nats, where it was measured how much each matrix
    /// matters.
    pub fn predicted(&self) -> Option<f64> {
        self.predicted
    }

    /// What becomes of each tensor.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        gguf::total_bytes(&self.metadata, self.plan.specs())
    }

    /// Makes the file: see [`quantize`].
    ///
    /// # Errors
    /// Where the input cannot be read, the output not be written, or a weight is no number.
    pub fn write(&self, output: &Path, monitor: &dyn Monitor) -> Result<Summary, Error> {
        let Self { input, options, plan, .. } = self;
        let mut metadata = Cow::Borrowed(&self.metadata);
        check_paths(input, output)?;
        plan.notes().iter().for_each(|note| monitor.note(note));
        let mut specs = plan.specs().to_vec();
        let course = match &options.calibration {
            Some(calibration) => Some(Course::new(input, &specs, calibration)?),
            None => None,
        };
        let mut source = Fingerprint::default();
        source.add_file(input.path())?;
        if let Some(imatrix) = &options.imatrix {
            source.add_file(imatrix.path())?;
        }
        let mut held_bytes = HELD_PER_HEADER_BYTE * header_bytes(input);
        if let Some(course) = &course {
            specs = course.ordered(&specs);
            course.describe(&mut source);
            course.count(metadata.to_mut());
            held_bytes = held_bytes.saturating_add(course.n_bytes() + 2 * header_bytes(input));
        }
        let states = course.as_ref().map(|_| States::of(output, &metadata, &specs, &source));
        let mut out = TensorStream::create(output, &metadata, &specs, source, &options.work, held_bytes)?;
        if !options.work.resume {
            states.iter().for_each(States::remove);
        }
        let written = match (&course, &states) {
            (Some(course), Some(states)) => course.write(&mut out, states, monitor),
            _ => stream::write(&mut out, input, &specs, options.imatrix.as_ref(), monitor),
        };
        if let Err(error) = written {
            if options.work.resume && error.is_interruption() {
                out.keep(monitor);
            } else {
                states.iter().for_each(States::remove);
            }
            return Err(error);
        }
        let mut losses = out.losses().to_vec();
        if let Some(course) = &course {
            Course::conclude(metadata.to_mut(), &losses);
            out.amend(&metadata)?;
            losses = course.in_input_order(&losses);
        }
        out.finish(monitor)?;
        states.iter().for_each(States::remove);
        Ok(Summary { input_bytes: input.n_bytes(), output_bytes: self.file_bytes(), losses })
    }
}

/// Bytes of the input that are not tensors.
fn header_bytes(input: &gguf::File) -> u64 {
    let tensors: u64 = input.tensors().iter().map(|tensor| tensor.n_bytes).sum();
    input.n_bytes().saturating_sub(tensors)
}

/// The input's keys with what changes. Keys of our own tell how a file was made, so those of the input are not true of the
/// output; and a file from which nothing was learned has none, so that it is no larger than others of its type.
fn metadata(input: &gguf::File, options: &Options) -> Result<Metadata, Error> {
    let key_error = |source| Error::Key { path: input.path().to_owned(), source };
    let uint = |key: &str| input.metadata().uint(key).map_err(key_error);
    if let Some(n_files) = uint("split.count")?.filter(|&n| n > 1) {
        return Err(Error::Split { path: input.path().to_owned(), n_files });
    }
    let mut metadata = input.metadata().clone();
    for (key, _) in input.metadata().iter().filter(|(key, _)| key.starts_with(OWN_KEYS)) {
        metadata.remove(key);
    }
    metadata.set("general.file_type", Value::U32(options.recipe.file_type.wire()));
    metadata.set("general.quantization_version", Value::U32(QUANTIZATION_VERSION));
    if let Some(imatrix) = &options.imatrix {
        imatrix.describe(&mut metadata);
    }
    if let Some(calibration) = &options.calibration {
        calibration.describe(&mut metadata);
    }
    Ok(metadata)
}

/// Replacing the file that is being read is never what somebody meant.
fn check_paths(input: &gguf::File, output: &Path) -> Result<(), Error> {
    // An output that cannot be resolved does not exist yet.
    match (input.path().canonicalize(), output.canonicalize()) {
        (Ok(input), Ok(same)) if input == same => Err(Error::SameFile(output.to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
