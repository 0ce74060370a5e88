//! Progress on long steps: a spinner on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Writes one line to standard error; a closed pipe is not an error.
pub fn say(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", line.as_ref());
}

/// A step under way. Call [`Step::done`] when it worked; dropping it otherwise says that it failed.
#[derive(Debug)]
pub struct Step {
    name: String,
    since: Instant,
    spinner: Option<ProgressBar>,
    finished: bool,
}

impl Step {
    /// Announces a step: "Starting PostgreSQL".
    pub fn start(name: impl Into<String>) -> Self {
        let name = name.into();
        let spinner = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.set_message(name.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if spinner.is_none() {
            say(format!("{name} ..."));
        }
        Self { name, since: Instant::now(), spinner, finished: false }
    }

    /// The step worked; `detail` says what came of it and may be empty.
    pub fn done(mut self, detail: &str) {
        self.finish("ok", detail);
    }

    fn finish(&mut self, mark: &str, detail: &str) {
        self.finished = true;
        if let Some(bar) = self.spinner.take() {
            bar.finish_and_clear();
        }
        let seconds = self.since.elapsed().as_secs_f64();
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        say(format!("{}: {mark} in {seconds:.1} s{detail}", self.name));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.finished {
            self.finish("failed", "");
        }
    }
}
