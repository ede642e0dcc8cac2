//! A text that quantization learns from.

use crate::error::Error;
use crate::source;
use quantize::Calibration;
use std::path::PathBuf;

/// What is learned from a text. It takes hours for a large model, and gives the best file of its size.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Calibration")]
pub(crate) struct CalibrationFlags {
    /// Run the model over this text, and round each weight for what the others make good of its error: of the files of a
    /// type this is the best. The text should be of the kind that the model will meet; - is standard input
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// Tokens of a window: the text is cut, and each window is read on its own [default: 512, or the model's context]
    #[arg(long, value_name = "N", requires = "calibration", value_parser = clap::value_parser!(u32).range(1..))]
    calibration_context: Option<u32>,
    /// Read no more than so many tokens; four for each column of the widest matrix do [default: 65536]
    #[arg(long, value_name = "N", requires = "calibration", value_parser = clap::value_parser!(u32).range(1..))]
    calibration_tokens: Option<u32>,
}

impl CalibrationFlags {
    /// Whether there is a text.
    pub(crate) fn is_asked(&self) -> bool {
        self.calibration.is_some()
    }

    /// Reads it.
    pub(crate) fn read(&self) -> Result<Option<Calibration>, Error> {
        let Some(path) = &self.calibration else { return Ok(None) };
        Ok(Some(Calibration {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            text: source::read_text(path)?,
            context: self.calibration_context.map(|n| n as usize),
            max_tokens: self.calibration_tokens.map(|n| n as usize),
        }))
    }
}
