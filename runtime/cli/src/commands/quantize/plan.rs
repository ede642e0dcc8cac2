//! The plan of a file, for people and for programs.

use crate::error::Error;
use crate::{terminal, units};
use gguf::TensorInfo;
use quantize::Draft;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Report<'a> {
    tensors: Vec<Row<'a>>,
    tensor_bytes: u64,
    file_bytes: u64,
    bits_per_weight: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted_divergence: Option<f64>,
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
        predicted_divergence: draft.predicted(),
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
    terminal::print(&format!("{text}{}\n", summary(draft)))
}

/// What there will be of each type, and how large all is.
pub(super) fn summary(draft: &Draft<'_>) -> String {
    let plan = draft.plan();
    let mut counts = BTreeMap::new();
    for spec in plan.specs().iter().filter(|spec| spec.shape.len() > 1) {
        *counts.entry(spec.ty).or_insert(0) += 1;
    }
    let counts: Vec<_> = counts.into_iter().map(|(ty, n)| format!("{n} {ty}")).collect();
    let expected =
        draft.predicted().map_or(String::new(), |nats| format!(", a divergence of about {nats:.2e}"));
    format!(
        "matrices: {}; {} of tensors, {:.3} bits per weight{expected}; the file has {} bytes ({})",
        counts.join(", "),
        units::bytes(plan.tensor_bytes()),
        plan.bits_per_weight(),
        units::count(draft.file_bytes()),
        units::bytes(draft.file_bytes()),
    )
}
