//! The plan of a file, for people and for programs.

use crate::error::Error;
use crate::{terminal, units};
use gguf::TensorInfo;
use quantize::Draft;
use serde::Serialize;

#[derive(Serialize)]
struct Report<'a> {
    tensors: Vec<Row<'a>>,
    tensor_bytes: u64,
    file_bytes: u64,
    bits_per_weight: f64,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    shape: &'a [u64],
    from: &'static str,
    to: &'static str,
    bytes: u64,
}

/// Writes what `draft` makes of `tensors` to standard output.
pub(super) fn print(draft: &Draft<'_>, tensors: &[TensorInfo], json: bool) -> Result<(), Error> {
    let plan = draft.plan();
    let row = |(tensor, spec): (&'_ TensorInfo, _)| {
        let spec: &'_ gguf::TensorSpec = spec;
        Row {
            name: &spec.name,
            shape: &spec.shape,
            from: tensor.ty.name(),
            to: spec.ty.name(),
            bytes: spec.n_bytes().unwrap_or(0),
        }
    };
    let report = Report {
        tensors: tensors.iter().zip(plan.specs()).map(row).collect(),
        tensor_bytes: plan.tensor_bytes(),
        file_bytes: draft.file_bytes(),
        bits_per_weight: plan.bits_per_weight(),
        notes: plan.notes(),
    };
    if json {
        return terminal::print_json(&report);
    }
    report.notes.iter().for_each(|note| terminal::say(note));
    let widest = report.tensors.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Row { name, shape, from, to, bytes } in &report.tensors {
        let shape = shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" × ");
        let name = terminal::visible(name);
        text += &format!("{name:widest$}  {shape:>16}  {from:>7} → {to:<7} {:>10}\n", units::bytes(*bytes));
    }
    text += &format!(
        "{} of tensors, {:.3} bits per weight; the file has {} bytes ({})\n",
        units::bytes(report.tensor_bytes),
        report.bits_per_weight,
        units::count(report.file_bytes),
        units::bytes(report.file_bytes),
    );
    terminal::print(&text)
}
