//! Progress bars on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Without a terminal a line is written at most this often.
const PLAIN_EVERY: Duration = Duration::from_secs(15);

/// Progress of one piece of work.
pub(crate) struct Progress {
    label: String,
    bar: Option<ProgressBar>,
    last_line: Instant,
    started: Instant,
}

impl Progress {
    /// Work of `total` units, shown in units.
    pub(crate) fn new(label: &str, total: u64) -> Self {
        Self::with_template(label, total, "{msg:<34} [{bar:32}] {pos}/{len} {eta}")
    }

    /// Work of `total` bytes.
    pub(crate) fn bytes(label: &str, total: u64) -> Self {
        Self::with_template(label, total, "{msg:<34} [{bar:32}] {bytes}/{total_bytes} {eta}")
    }

    fn with_template(label: &str, total: u64, template: &str) -> Self {
        let started = Instant::now();
        if !std::io::stderr().is_terminal() {
            output::note(format_args!("{label} ..."));
            return Self { label: label.to_owned(), bar: None, last_line: started, started };
        }
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(total).with_style(style.progress_chars("=> ")).with_message(label.to_owned());
        Self { label: label.to_owned(), bar: Some(bar), last_line: started, started }
    }

    /// `done` of `total` units are done; `detail` says more, such as the loss.
    pub(crate) fn set(&mut self, done: u64, total: u64, detail: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(format!("{} {detail}", self.label));
        } else if self.last_line.elapsed() >= PLAIN_EVERY {
            self.last_line = Instant::now();
            output::note(format_args!("{}: {done} of {total} {detail}", self.label));
        }
    }

    /// The work is done; `outcome` says what came of it.
    pub(crate) fn finish(self, outcome: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        output::note(format_args!("{}: {outcome} ({:.1} s)", self.label, self.started.elapsed().as_secs_f64()));
    }
}
