//! `llamita inspect`: what is in a GGUF, whatever its architecture.

mod compare;
mod values;
mod verify;

use crate::error::Error;
use crate::terminal::{print, print_json, visible};
use crate::units;
use blocks::TensorType;
use gguf::{File, TensorInfo};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Show what is in a GGUF file
///
/// Any GGUF will do: other architectures, files with a vocabulary alone. Only the header is read, unless --verify
/// is given. With --compare, it is set beside the file that it was made from: the type and size of each tensor in
/// both, and how far its weights are from the original's.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  llamita inspect llama-2-7b-q4_0.gguf
  llamita inspect llama-2-7b-q4_0.gguf --verify
  llamita inspect --compare llama-2-7b-f16.gguf llama-2-7b-q4_0.gguf")]
pub(crate) struct Args {
    /// The file
    #[arg(value_name = "MODEL.gguf")]
    model: PathBuf,
    /// List all tensors
    #[arg(long)]
    tensors: bool,
    /// Read all weights and report those that are no finite numbers; then the exit status is 1
    #[arg(long)]
    verify: bool,
    /// Read all weights and report how far they are from those of this file
    #[arg(long, value_name = "ORIGINAL.gguf", conflicts_with_all = ["tensors", "verify"])]
    compare: Option<PathBuf>,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    path: String,
    version: u32,
    alignment: u64,
    file_bytes: u64,
    n_tensors: usize,
    n_parameters: u64,
    bits_per_weight: Option<f64>,
    types: Vec<TypeReport>,
    metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<TensorReport>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<verify::Report>,
}

#[derive(Serialize)]
struct TypeReport {
    #[serde(rename = "type")]
    ty: &'static str,
    n_tensors: usize,
    n_parameters: u64,
    n_bytes: u64,
}

#[derive(Serialize)]
struct TensorReport {
    name: String,
    #[serde(rename = "type")]
    ty: &'static str,
    shape: Vec<u64>,
    offset: u64,
    n_bytes: u64,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let file = File::open(&args.model)?;
    if let Some(original) = &args.compare {
        let report = compare::compare(&File::open(original)?, &file)?;
        return if args.json { print_json(&report) } else { report.print() };
    }
    let mut report = Report::new(&file, args.tensors);
    if !args.json {
        report.print()?;
    }
    let verdict = args.verify.then(|| verify::verify(&file)).transpose()?;
    let failure = verdict.as_ref().and_then(|verdict| verdict.failure(&file));
    match verdict {
        Some(verdict) if !args.json => verdict.print()?,
        verdict => report.verify = verdict,
    }
    if args.json {
        print_json(&report)?;
    }
    failure.map_or(Ok(()), Err)
}

impl Report {
    fn new(file: &File, tensors: bool) -> Self {
        let all = file.tensors();
        let n_parameters = sum(all.iter().map(TensorInfo::n_elements));
        let n_bytes = sum(all.iter().map(|tensor| tensor.n_bytes));
        Self {
            path: file.path().display().to_string(),
            version: file.version(),
            alignment: file.alignment(),
            file_bytes: file.n_bytes(),
            n_tensors: all.len(),
            n_parameters,
            bits_per_weight: (n_parameters > 0).then(|| n_bytes as f64 * 8.0 / n_parameters as f64),
            types: type_reports(all),
            metadata: file
                .metadata()
                .iter()
                .map(|(key, value)| (key.to_owned(), values::short(value)))
                .collect(),
            tensors: tensors.then(|| all.iter().map(TensorReport::new).collect()),
            verify: None,
        }
    }

    fn print(&self) -> Result<(), Error> {
        let bits = self.bits_per_weight.map(|bits| format!(", {bits:.2} bits each")).unwrap_or_default();
        print(&format!(
            "file        {}\nformat      GGUF v{}, alignment {}\nsize        {}\ntensors     {}\nparameters  {}{bits}\n",
            visible(&self.path),
            self.version,
            self.alignment,
            units::bytes(self.file_bytes),
            self.n_tensors,
            units::count(self.n_parameters),
        ))?;
        for (index, ty) in self.types.iter().enumerate() {
            let head = if index == 0 { "types" } else { "" };
            print(&format!(
                "{head:<12}{:<8} {:>5} tensors  {:>15} parameters  {:>10}\n",
                ty.ty,
                ty.n_tensors,
                units::count(ty.n_parameters),
                units::bytes(ty.n_bytes)
            ))?;
        }
        print("\n")?;
        for (key, value) in &self.metadata {
            print(&format!("{} = {}\n", visible(key), values::line(value)))?;
        }
        for (index, tensor) in self.tensors.iter().flatten().enumerate() {
            if index == 0 {
                print("\n")?;
            }
            let shape = tensor.shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" × ");
            print(&format!(
                "{:<30} {:<8} {shape:<20} {:>10}  at byte {}\n",
                visible(&tensor.name),
                tensor.ty,
                units::bytes(tensor.n_bytes),
                tensor.offset
            ))?;
        }
        Ok(())
    }
}

impl TensorReport {
    fn new(tensor: &TensorInfo) -> Self {
        Self {
            name: tensor.name.clone(),
            ty: tensor.ty.name(),
            shape: tensor.shape.clone(),
            offset: tensor.offset,
            n_bytes: tensor.n_bytes,
        }
    }
}

/// One entry a type, the one that takes most first.
fn type_reports(tensors: &[TensorInfo]) -> Vec<TypeReport> {
    let mut reports: Vec<TypeReport> = TensorType::all()
        .filter_map(|ty| {
            let of_type = || tensors.iter().filter(move |tensor| tensor.ty == ty);
            let report = TypeReport {
                ty: ty.name(),
                n_tensors: of_type().count(),
                n_parameters: sum(of_type().map(TensorInfo::n_elements)),
                n_bytes: sum(of_type().map(|tensor| tensor.n_bytes)),
            };
            (report.n_tensors > 0).then_some(report)
        })
        .collect();
    reports.sort_by_key(|report| std::cmp::Reverse(report.n_bytes));
    reports
}

/// Tensors of no bytes may claim any number of weights: the sum stops at the top.
fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}
