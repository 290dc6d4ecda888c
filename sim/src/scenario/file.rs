//! A scenario file: parsed, checked in all its arms and draws, and resolved on demand.

use super::{
    Scenario,
    arm::{self, Choice, Setting},
    at::At,
    error::{Problem, ScenarioError, unknown},
    resolve,
    shape::{FileShape, VaryShape},
};
use serde::Deserialize;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// As many draws of a swarm are checked one by one; of more, each candidate with two choices of the others.
const DRAWS_CHECKED: usize = 400;

/// A scenario file that is known to be right: every arm resolves, and so does every candidate of the swarm.
#[derive(Clone, Debug)]
pub struct ScenarioFile {
    file: String,
    text: String,
    base: Scenario,
    arms: Vec<String>,
}

impl ScenarioFile {
    /// Reads the text of a scenario file. `file` is what messages call it; nothing is opened.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        Self::checked(file, text).map_err(|problem| problem.in_file(file, text))
    }

    fn checked(file: &str, text: &str) -> Result<Self, Problem> {
        let document = Document::read(text)?;
        let base = resolve::scenario(&document.shape, &document.root)?;
        document.check()?;
        let arms = document.arms.iter().map(|arm| arm.name.clone()).collect();
        Ok(Self { file: file.to_owned(), text: text.to_owned(), base, arms })
    }

    /// What messages call the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text that it was parsed from, for a capsule to carry.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The scenario's name.
    pub fn name(&self) -> &str {
        &self.base.name
    }

    /// What happens and why.
    pub fn about(&self) -> &str {
        &self.base.about
    }

    /// The chapter of the book that it belongs to; empty when to none.
    pub fn chapter(&self) -> &str {
        &self.base.chapter
    }

    /// The names of its arms, in the file's order. When there are none, the file is its only arm.
    pub fn arms(&self) -> Vec<&str> {
        self.arms.iter().map(String::as_str).collect()
    }

    /// One arm (`None`: the file as it stands, without its arms). `draw(n)` gives a number below `n` and is asked once
    /// for each key of `[swarm]`, in the file's order, so that arms of one seed draw alike.
    ///
    /// # Errors
    /// An arm that does not exist, or a combination of draws that does not fit together.
    pub fn resolve(&self, arm: Option<&str>, draw: &mut dyn FnMut(u64) -> u64) -> Result<Scenario, ScenarioError> {
        self.resolved(arm, draw).map_err(|problem| problem.in_file(&self.file, &self.text))
    }

    fn resolved(&self, arm: Option<&str>, draw: &mut dyn FnMut(u64) -> u64) -> Result<Scenario, Problem> {
        let document = Document::read(&self.text)?;
        let arm = match arm {
            None => None,
            Some(name) => Some(document.arms.iter().find(|arm| arm.name == name).ok_or_else(|| {
                let (message, hint) = unknown("arm", name, &self.arms());
                Problem::new(0..0, message, if self.arms.is_empty() { "this file has none".to_owned() } else { hint })
            })?),
        };
        let mut picks = Vec::new();
        for choice in &document.choices {
            let count = choice.candidates.len();
            picks.push(draw(count as u64) as usize % count);
        }
        document.resolve(arm, &picks)
    }
}

/// The text, read: its table (where values have places), its shape, and the changes that it offers.
struct Document<'a> {
    root: DeTable<'a>,
    shape: FileShape,
    arms: Vec<Arm<'a>>,
    choices: Vec<Choice<'a>>,
}

struct Arm<'a> {
    name: String,
    span: Range<usize>,
    settings: Vec<Setting<'a>>,
    /// Where its `bugs` stand.
    bug_spans: Vec<Range<usize>>,
    /// Which of [`FileShape::vary`].
    index: usize,
}

impl<'a> Document<'a> {
    fn read(text: &'a str) -> Result<Self, Problem> {
        let root = DeTable::parse(text).map_err(|error| Problem::from_toml(&error))?.into_inner();
        let shape = shape_of(&root)?;
        let arms = arms(&root, shape.vary.as_deref().unwrap_or_default())?;
        let choices = match root.get("swarm").map(|value| value.get_ref()) {
            Some(DeValue::Table(swarm)) => arm::choices(swarm)?,
            _ => Vec::new(),
        };
        Ok(Self { root, shape, arms, choices })
    }

    /// The scenario of an arm, with candidate `picks[i]` of choice `i`.
    fn resolve(&self, arm: Option<&Arm<'a>>, picks: &[usize]) -> Result<Scenario, Problem> {
        let drawn = self.choices.iter().zip(picks).map(|(choice, pick)| &choice.candidates[*pick]);
        let settings: Vec<&Setting<'a>> = drawn.chain(arm.into_iter().flat_map(|arm| &arm.settings)).collect();
        let result = self.with(arm, &settings);
        result.map_err(|problem| blame(problem, arm, &settings, &self.choices))
    }

    fn with(&self, arm: Option<&Arm<'a>>, settings: &[&Setting<'a>]) -> Result<Scenario, Problem> {
        let mut root = self.root.clone();
        for setting in settings {
            setting.apply(&mut root)?;
        }
        let mut scenario = resolve::scenario(&shape_of(&root)?, &root)?;
        let vary = arm.and_then(|arm| self.shape.vary.as_ref()?.get(arm.index));
        if let Some(bugs) = vary.and_then(|vary| vary.bugs.as_deref()) {
            let switches = resolve::bug_switches(bugs, &scenario.cluster)?;
            scenario.cluster.bugs.extend(switches);
        }
        if let Some(expect) = vary.and_then(|vary| vary.expect.as_ref()) {
            scenario.expect = resolve::expect(expect);
        }
        Ok(scenario)
    }

    /// Resolves every arm, with every draw if they are few.
    fn check(&self) -> Result<(), Problem> {
        let arms = std::iter::once(None).chain(self.arms.iter().map(Some));
        let draws = self.draws_to_check();
        for arm in arms {
            for picks in &draws {
                self.resolve(arm, picks)?;
            }
        }
        Ok(())
    }

    fn draws_to_check(&self) -> Vec<Vec<usize>> {
        let counts: Vec<usize> = self.choices.iter().map(|choice| choice.candidates.len()).collect();
        let all = counts.iter().try_fold(1_usize, |product, count| product.checked_mul(*count));
        if let Some(all) = all.filter(|all| *all <= DRAWS_CHECKED) {
            let digits = |mut number: usize| {
                let digit = |count: &usize| {
                    let digit = number % count;
                    number /= count;
                    digit
                };
                counts.iter().map(digit).collect()
            };
            return (0..all).map(digits).collect();
        }
        let others = [vec![0; counts.len()], counts.iter().map(|count| count - 1).collect()];
        let mut draws = Vec::new();
        for (at, count) in counts.iter().enumerate() {
            for pick in 0..*count {
                for other in &others {
                    let mut picks = other.clone();
                    picks[at] = pick;
                    draws.push(picks);
                }
            }
        }
        draws
    }
}

fn shape_of(root: &DeTable<'_>) -> Result<FileShape, Problem> {
    let root = toml::Spanned::new(0..0, root.clone());
    FileShape::deserialize(toml::de::Deserializer::from(root)).map_err(|error| Problem::from_toml(&error))
}

fn arms<'a>(root: &DeTable<'a>, shapes: &[VaryShape]) -> Result<Vec<Arm<'a>>, Problem> {
    let tables = root.get("vary").and_then(|value| value.get_ref().as_array());
    let tables = tables.into_iter().flat_map(|list| list.iter());
    let mut arms: Vec<Arm<'a>> = Vec::new();
    for (index, (shape, value)) in shapes.iter().zip(tables).enumerate() {
        let name = shape.name.as_ref().ok_or_else(|| {
            Problem::new(value.span(), "an arm needs the key \"name\"", "such as name = \"pre-vote-off\"")
        })?;
        if name.get().trim().is_empty() {
            return Err(Problem::new(name.span(), "an arm's name cannot be empty", ""));
        }
        if arms.iter().any(|arm| arm.name == *name.get()) {
            return Err(Problem::new(name.span(), format!("two arms are named {:?}", name.get()), ""));
        }
        let set = value.get_ref().as_table().and_then(|table| table.get("set")?.get_ref().as_table());
        let settings = set.map(arm::settings).unwrap_or_default();
        let bug_spans = shape.bugs.iter().flatten().map(At::span).collect();
        arms.push(Arm { name: name.get().clone(), span: name.span(), settings, bug_spans, index });
    }
    Ok(arms)
}

/// An error that a change brought about is shown at the change, not at the line of the file that was right without it.
fn blame(problem: Problem, arm: Option<&Arm<'_>>, settings: &[&Setting<'_>], choices: &[Choice<'_>]) -> Problem {
    let own = settings.iter().any(|setting| setting.holds(&problem.span))
        || arm.is_some_and(|arm| arm.bug_spans.contains(&problem.span));
    let who = match arm {
        Some(arm) => format!("in arm \"{}\": ", arm.name),
        None if !choices.is_empty() => "in a draw of the swarm: ".to_owned(),
        None => String::new(),
    };
    let mut blamed = Problem { message: format!("{who}{}", problem.message), ..problem };
    let last = settings.last().map(|setting| setting.key_span.clone());
    if let Some(place) = arm.filter(|arm| arm.settings.len() != 1).map(|arm| arm.span.clone()).or(last)
        && !own
    {
        blamed.elsewhere = Some(blamed.span.start);
        blamed.span = place;
    }
    blamed
}
