//! What a file has lost, told in another.

use crate::error::Error;
use crate::source;
use engine::Model;
use std::path::{Path, PathBuf};

/// Tokens of a window where nobody says, and the model was not trained for fewer.
const CONTEXT: usize = 512;

/// What is told of a file beside that it is written.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Report")]
pub(crate) struct ReportFlags {
    /// Measure what each tensor loses while it is written, and tell it: as JSON in this file, and as a table on standard
    /// error
    #[arg(long, value_name = "FILE.json", conflicts_with = "dry_run")]
    report: Option<PathBuf>,
    /// Have both models read this text then, and report how far the predictions of the new one are from the original's;
    /// - is standard input
    #[arg(long, value_name = "FILE", requires = "report")]
    report_text: Option<PathBuf>,
    /// Tokens of a window of that text [default: 512, or the model's context]
    #[arg(long, value_name = "N", requires = "report_text", value_parser = clap::value_parser!(u32).range(4..))]
    report_context: Option<u32>,
}

/// A text that the models will read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) name: String,
    pub(crate) tokens: Vec<u32>,
    pub(crate) context: usize,
}

impl ReportFlags {
    /// Where it goes.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.report.as_deref()
    }

    /// Whether it can be written, and the text, as `model` reads it, before the work is done.
    ///
    /// # Errors
    /// If the report would replace one of `others` or cannot be written, or the text is too short.
    pub(crate) fn check(&self, model: &Path, others: &[&Path]) -> Result<Option<Reading>, Error> {
        let Some(report) = &self.report else { return Ok(None) };
        let same = |other: &Path| match (report.canonicalize(), other.canonicalize()) {
            (Ok(report), Ok(other)) => report == other,
            _ => report == other,
        };
        if let Some(other) = others.iter().find(|other| same(other)) {
            let other = other.display();
            return Err(Error::Call(format!("--report would replace {other}: name another file")));
        }
        drop(gguf::Output::create(report, 0)?);
        let Some(path) = &self.report_text else { return Ok(None) };
        let text = source::read_text(path)?;
        let model = Model::open(model)?;
        let context = self
            .report_context
            .map_or(CONTEXT.min(model.config().context_length), |context| context as usize);
        let tokenizer = model.tokenizer();
        let tokens = tokenizer.with_bos(tokenizer.encode(&text, false));
        if tokens.len() < 2 * context {
            return Err(Error::Failed(format!(
                "{}: the text to report on has {} tokens, but two windows take {}: take a longer one, or shorter windows \
                 (--report-context)",
                path.display(),
                tokens.len(),
                2 * context
            )));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(Reading { name, tokens, context }))
    }
}
