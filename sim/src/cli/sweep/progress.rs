//! How far a sweep is: bars on a terminal, a line now and then elsewhere, and a line on stdout for each scenario that is
//! done, in the order of the scenarios.

use super::super::terminal;
use crate::story::paper::{BAD, paint};
use crate::story::words::count;
use crate::sweep::{Began, Row, Sweep};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::Duration;

/// Seconds between two lines where there is no terminal.
const LINE_EVERY_S: f64 = 5.0;

/// See the module.
pub(super) struct Progress {
    began: Began,
    scenarios: Vec<Scenario>,
    /// Scenarios whose line was printed.
    told: usize,
    name_width: usize,
    bars: Option<MultiProgress>,
    last_line_s: f64,
}

struct Scenario {
    name: String,
    runs: u64,
    done: u64,
    failures: u64,
    /// When its first run was seen (less that run's own time) and its last.
    first_s: f64,
    last_s: f64,
    bar: Option<ProgressBar>,
}

impl Scenario {
    fn rate(&self) -> f64 {
        self.done as f64 / (self.last_s - self.first_s).max(1e-3)
    }

    fn failures_text(&self) -> String {
        match self.failures {
            0 => "0 failures".to_owned(),
            1 => paint(BAD, "1 failure"),
            n => paint(BAD, format!("{} failures", count(n))),
        }
    }
}

impl Progress {
    pub(super) fn new(sweep: &Sweep<'_>, began: Began) -> Progress {
        let scenario = |(index, file): (usize, &crate::scenario::ScenarioFile)| Scenario {
            name: file.name().to_owned(),
            runs: sweep.runs_of(index),
            done: 0,
            failures: 0,
            first_s: 0.0,
            last_s: 0.0,
            bar: None,
        };
        let mut scenarios: Vec<Scenario> = sweep.files.iter().enumerate().map(scenario).collect();
        let name_width = scenarios.iter().map(|scenario| scenario.name.chars().count()).max().unwrap_or(0);
        let on_terminal = io::stderr().is_terminal();
        let bars = on_terminal.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));
        // The first run may take a while; until then it should be seen that there is one.
        if let (Some(bars), Some(first)) = (&bars, scenarios.first_mut()) {
            first.bar = Some(bars.add(bar(&first.name, first.runs, name_width)));
        }
        Progress { began, scenarios, told: 0, name_width, bars, last_line_s: 0.0 }
    }

    /// A run is done.
    pub(super) fn seen(&mut self, row: &Row) {
        let now = self.began.seconds();
        let width = self.name_width;
        let scenario = &mut self.scenarios[row.scenario];
        if scenario.done == 0 {
            scenario.first_s = (now - row.cpu_s).max(0.0);
            if scenario.bar.is_none() {
                scenario.bar = self.bars.as_ref().map(|bars| bars.add(bar(&scenario.name, scenario.runs, width)));
            }
        }
        scenario.done += 1;
        scenario.last_s = now;
        scenario.failures += u64::from(row.exit != 0);
        if let Some(bar) = &scenario.bar {
            bar.set_position(scenario.done);
            if row.exit != 0 || scenario.done == 1 {
                bar.set_message(scenario.failures_text());
            }
            if scenario.done == scenario.runs {
                bar.finish_and_clear();
            }
        }
        if self.bars.is_none() && now - self.last_line_s >= LINE_EVERY_S {
            self.last_line_s = now;
            self.line(now);
        }
        while self.scenarios.get(self.told).is_some_and(|scenario| scenario.done == scenario.runs) {
            self.tell_next();
        }
    }

    /// Where the sweep is, for a log.
    fn line(&self, now: f64) {
        let (done, runs) = self.scenarios.iter().fold((0, 0), |(done, runs), s| (done + s.done, runs + s.runs));
        let rate = done as f64 / now.max(1e-3);
        let left = (runs - done) as f64 / rate;
        let failures: u64 = self.scenarios.iter().map(|scenario| scenario.failures).sum();
        let rate = count(rate.round() as u64);
        let (done, runs) = (count(done), count(runs));
        terminal::say(&format!("{done} of {runs} runs, {failures} failed, {rate} runs/s, {left:.0} s left"));
    }

    fn tell_next(&mut self) {
        let scenario = &self.scenarios[self.told];
        self.told += 1;
        if scenario.runs == 0 {
            return;
        }
        let width = self.name_width;
        let runs = count(scenario.done);
        let seeds = match scenario.done {
            done if done < scenario.runs => format!("{runs} of {}", count(scenario.runs)),
            1 => "1 seed".to_owned(),
            _ => format!("{runs} seeds"),
        };
        let rate = match scenario.rate() {
            rate if rate < 10.0 => format!("{rate:.1}"),
            rate => count(rate.round() as u64),
        };
        let line = format!(
            "  {:width$}   {seeds:>12}   {}   {rate:>6} seeds/s\n",
            scenario.name,
            pad(&scenario.failures_text(), 11),
        );
        match &self.bars {
            Some(bars) => bars.suspend(|| terminal::print(&line)),
            None => terminal::print(&line),
        }
    }

    /// The sweep is over, or was interrupted: what is not told yet is told now.
    pub(super) fn finish(&mut self) {
        self.scenarios.iter().filter_map(|scenario| scenario.bar.as_ref()).for_each(ProgressBar::finish_and_clear);
        while self.told < self.scenarios.len() {
            self.tell_next();
        }
    }
}

/// Text with blanks behind it; colours take no room.
fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(textwrap::core::display_width(text))))
}

fn bar(name: &str, runs: u64, width: usize) -> ProgressBar {
    let template = format!(
        "  {{prefix:{width}}}   {{bar:24}} {{human_pos}} of {{human_len}}   {{msg}}   {{per_sec}}   {{eta}} left"
    );
    let style = ProgressStyle::with_template(&template).expect("invariant: the template is right");
    let style = style.progress_chars("█▌ ").with_key(
        "per_sec",
        |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0} seeds/s", state.per_sec());
        },
    );
    let bar = ProgressBar::new(runs).with_style(style).with_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}
