//! What the program prints, and how it ends.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// Ends with the error and all its causes on standard error.
///
/// Exit codes: 0 done, 1 failed, 2 wrong arguments (clap), 3 a check said no (`receipt verify`, `doctor`).
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    #[expect(clippy::print_stderr, reason = "the one place that reports a failed command")]
    {
        eprintln!("openledger: {error:#}");
    }
    ExitCode::FAILURE
}

/// The exit code of a check that ran and said no.
pub(crate) const CHECK_FAILED: u8 = 3;

/// Prints a line of the result. A reader that went away (`| head`) has what it wanted.
pub(crate) fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A number with its noun, such as `1 record` and `2 records`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Prints a part of a line of the result at once.
pub(crate) fn piece(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints the result as one JSON object, indented for people.
///
/// # Errors
/// When `value` has no JSON form.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    line(serde_json::to_string_pretty(value).context("could not write the result as JSON")?);
    Ok(())
}

/// Tells the person at the terminal something that is not the result.
#[expect(clippy::print_stderr, reason = "standard error is for everything but the result")]
pub(crate) fn note(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// Sends logs to standard error, filtered by `filter` (as in `RUST_LOG`).
pub(crate) fn init_logging(filter: &str) {
    let filter =
        tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true).init();
}

/// Rows under headings, columns padded to their widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned).to_vec()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    pub(crate) fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            line(cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
}
