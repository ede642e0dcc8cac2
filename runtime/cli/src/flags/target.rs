//! A size in place of a type.

use super::size;
use crate::error::Error;
use crate::source;
use blocks::TensorType;
use engine::{MemoryPlan, Model, SessionOptions};
use quantize::{Size, Target};
use std::path::{Path, PathBuf};

/// The file's size; each matrix gets the type that this is spent best on.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Size in place of a type")]
pub(crate) struct TargetFlags {
    /// The largest file, such as 3.5GiB: it will be as large, but for half a percent at most
    #[arg(long, value_name = "SIZE", group = "target", value_parser = size)]
    target_size: Option<u64>,
    /// The same in bits for each weight, such as 4.5
    #[arg(long, value_name = "BITS", group = "target", value_parser = bits)]
    target_bpw: Option<f64>,
    /// The largest model that runs within this much memory, with --context tokens
    #[arg(long, value_name = "SIZE", group = "target", value_parser = size)]
    fit_ram: Option<u64>,
    /// Tokens of context for --fit-ram [default: what the model was trained for]
    #[arg(long, value_name = "N", requires = "fit_ram", value_parser = clap::value_parser!(u32).range(1..))]
    context: Option<u32>,
    /// What matrices may become, such as q4_k,q5_k,q6_k
    #[arg(long, value_name = "TYPE,…", requires = "target", value_delimiter = ',', value_parser = quantize::encodable)]
    types: Vec<TensorType>,
    /// Run the model over some of this text to measure how much each matrix matters, which makes a better file; without it
    /// all count alike. - is standard input
    #[arg(long, value_name = "FILE", requires = "target")]
    measure: Option<PathBuf>,
}

impl TargetFlags {
    /// Whether a size is asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.target_size.is_some() || self.target_bpw.is_some() || self.fit_ram.is_some()
    }

    /// What was asked for, of this model.
    pub(crate) fn target(&self, input: &Path) -> Result<Option<Target>, Error> {
        let size = match (self.target_size, self.target_bpw, self.fit_ram) {
            (Some(n), ..) => Size::File(n),
            (_, Some(bits), _) => Size::BitsPerWeight(bits),
            (_, _, Some(ram)) => Size::Tensors(self.tensors_in(ram, input)?),
            _ => return Ok(None),
        };
        let text = self.measure.as_deref().map(source::read_text).transpose()?;
        Ok(Some(Target { size, types: self.types.clone(), text }))
    }

    /// What a memory of `ram` bytes leaves for the weights.
    fn tensors_in(&self, ram: u64, input: &Path) -> Result<u64, Error> {
        let model = Model::open(input)?;
        let context = self.context.unwrap_or(0) as usize;
        // With room for all, so that the plan is that of a model that fits.
        let plan = MemoryPlan::new(
            &model,
            &SessionOptions { context, max_ram: Some(u64::MAX), ..Default::default() },
        );
        ram.checked_sub(plan.total_bytes() - plan.weights_bytes).ok_or_else(|| {
            let (ram, others) = (crate::units::bytes(ram), crate::units::bytes(plan.total_bytes() - plan.weights_bytes));
            Error::Failed(format!(
                "--fit-ram {ram} leaves nothing for weights: a context of {} tokens and all else take {others}; a shorter \
                 --context takes less",
                plan.context
            ))
        })
    }
}

fn bits(text: &str) -> Result<f64, String> {
    let bits = text.parse::<f64>().ok().filter(|bits| (0.5..=32.0).contains(bits));
    bits.ok_or_else(|| "it must be a number from 0.5 to 32".to_owned())
}
