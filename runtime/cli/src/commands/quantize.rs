//! `llamita quantize`: a GGUF in a smaller type.

mod plan;
mod predictions;
mod report;
mod watch;

use crate::error::Error;
use crate::flags::{self, CalibrationFlags, RecipeFlags, ReportFlags, TargetFlags, WorkFlags};
use crate::progress::{Progress, Unit};
use crate::{resident, terminal, units};
use quantize::{Draft, FileType};
use report::{Cost, Report};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use watch::Watch;

/// Write a GGUF file again with its weights in another type
///
/// The input holds f32, f16 or bf16 weights; everything else in it is kept. The output appears when it is complete,
/// or not at all.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  llamita quantize llama-2-7b-f16.gguf --type q4_k_m --imatrix llama-2-7b.imatrix.gguf
  llamita quantize llama-2-7b-f16.gguf --type q4_0 --calibration book.txt --resume
  llamita quantize llama-2-7b-f16.gguf --type q4_k_m --report lost.json --report-text novel.txt
  llamita quantize llama-2-7b-f16.gguf --target-size 3.5GiB --imatrix llama-2-7b.imatrix.gguf --measure book.txt")]
pub(crate) struct Args {
    /// The file to read
    #[arg(value_name = "IN.gguf")]
    input: PathBuf,
    /// The file to write [default: the input's name with the type, beside the input]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How the weights are stored
    #[arg(long = "type", value_name = "TYPE", ignore_case = true, value_parser = flags::file_type(),
          required_unless_present = "target", conflicts_with = "target")]
    file_type: Option<FileType>,
    /// Take weights that are quantized already: they lose a second time
    #[arg(long)]
    allow_requantize: bool,
    /// Write nothing: print the type of each tensor and the size; the weights are not read
    #[arg(long)]
    dry_run: bool,
    /// Print the plan of --dry-run as JSON, in bytes
    #[arg(long, requires = "dry_run")]
    json: bool,
    #[command(flatten)]
    target: TargetFlags,
    #[command(flatten)]
    recipe: RecipeFlags,
    #[command(flatten)]
    calibration: CalibrationFlags,
    #[command(flatten)]
    report: ReportFlags,
    #[command(flatten)]
    work: WorkFlags,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    if args.calibration.is_asked() && args.recipe.has_imatrix() && !args.target.is_asked() {
        return Err(Error::Call(
            "a calibration text says more of the columns than an importance matrix: take one of --calibration and \
             --imatrix (with a size to be met both: the matrix then serves to choose the types)"
                .to_owned(),
        ));
    }
    let input = gguf::File::open(&args.input)?;
    let mut options = quantize::Options {
        // Of a target's recipe the pins alone count.
        recipe: args.recipe.recipe(args.file_type.unwrap_or(FileType::Q4KM)),
        target: args.target.target(&args.input)?,
        imatrix: args.recipe.imatrix()?,
        calibration: args.calibration.read()?,
        allow_requantize: args.allow_requantize,
        work: if args.calibration.is_asked() {
            args.work.start_within(u64::MAX)?
        } else {
            args.work.start()?
        },
    };
    options.work.measure = args.report.path().is_some();
    let failed = |error| Error::quantize(&args.input, error);
    let measuring = Progress::new("measuring", Unit::Tokens);
    let draft = Draft::new(&input, &options, &measuring).map_err(failed)?;
    drop(measuring);
    if args.dry_run {
        return plan::print(&draft, input.tensors(), args.json);
    }
    if options.target.is_some() {
        terminal::say(&plan::summary(&draft));
    }
    let name = args
        .file_type
        .map_or_else(|| units::bytes(draft.file_bytes()).replace(' ', ""), |ty| ty.name().to_owned());
    let output = args.output.clone().unwrap_or_else(|| output_path(&args.input, &name));
    let reading = args.report.check(&args.input, &[&args.input, &output])?;
    let unit = if args.calibration.is_asked() { Unit::Effort } else { Unit::Bytes };
    let progress = Progress::new("quantizing", unit);
    let watch = Watch::new(&progress);
    let summary = draft.write(&output, &watch).map_err(|error| args.work.ended(failed(error)))?;
    let (time, peak_anonymous_bytes) = (progress.elapsed(), watch.most_bytes());
    drop(progress);
    judged(&summary);
    terminal::say(&format!(
        "wrote {}: {} from {}, in {} ({}/s)",
        output.display(),
        units::bytes(summary.output_bytes),
        units::bytes(summary.input_bytes),
        units::duration(time),
        units::bytes(units::rate(summary.input_bytes, time) as u64),
    ));
    let Some(path) = args.report.path() else { return Ok(()) };
    let peak_resident_bytes = resident::status_bytes("VmHWM:");
    let cost = Cost { time, peak_anonymous_bytes, peak_resident_bytes };
    let mut report = Report::new(&input, &output, &draft, &summary.losses, &cost);
    // At once: reading a text may take long, and be stopped.
    report.write(path)?;
    if let Some(reading) = &reading {
        let (threads, max_ram) = (args.work.threads(), args.work.max_ram());
        report.predicts(reading, predictions::compare(&args.input, &output, reading, threads, max_ram)?);
        report.write(path)?;
    }
    report.show();
    Ok(())
}

/// Says how the matrices fared that were learned.
fn judged(summary: &quantize::Summary) {
    let mut n_rows = [0; 3];
    let (mut sum, mut n) = (0.0, 0.0);
    let learned = summary.losses.iter().flatten().filter_map(|loss| Some((loss.judgement?, loss.held_out?)));
    for (judged, taken) in learned {
        n_rows.iter_mut().zip(judged.n_rows).for_each(|(sum, n)| *sum += n);
        // Against what rounding for importance alone would have left.
        if judged.held_out[1] > 0.0 {
            sum += (taken.error / judged.held_out[1]).ln();
            n += 1.0;
        }
    }
    if n > 0.0 {
        let all = n_rows.iter().sum::<u64>() as f64;
        let [plain, importance, feedback] = n_rows.map(|n| n as f64 / all * 100.0);
        terminal::say(&format!(
            "held-out errors of {} matrices: {:.3} of those without feedback; rows by feedback {feedback:.1} %, by \
             importance {importance:.1} %, by themselves {plain:.1} %",
            n,
            f64::exp(sum / n),
        ));
    }
}

/// `models/llama-7b-f16.gguf` as q4_0 is `models/llama-7b-q4_0.gguf`: the old type's name goes, the new one comes.
fn output_path(input: &Path, new: &str) -> PathBuf {
    let stem = input.file_stem().unwrap_or_default();
    let base = stem.to_str().and_then(|stem| {
        FileType::all().find_map(|old| {
            let (base, name) = stem.split_at_checked(stem.len().checked_sub(old.name().len())?)?;
            name.eq_ignore_ascii_case(old.name()).then(|| base.strip_suffix(['-', '.', '_'])).flatten()
        })
    });
    let mut name = base.map_or_else(|| stem.to_owned(), OsString::from);
    name.push(format!("-{new}.gguf"));
    input.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_follows_the_type() {
        for (input, output) in [
            ("models/llama-7b-f16.gguf", "models/llama-7b-q4_0.gguf"),
            ("llama.F16.gguf", "llama-q4_0.gguf"),
            ("llama-bf16.gguf", "llama-q4_0.gguf"),
            ("llama.gguf", "llama-q4_0.gguf"),
            ("f16.gguf", "f16-q4_0.gguf"),
            ("buff16", "buff16-q4_0.gguf"),
        ] {
            assert_eq!(output_path(Path::new(input), "q4_0"), Path::new(output));
        }
    }
}
