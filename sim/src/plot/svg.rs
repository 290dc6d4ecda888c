//! A plot as SVG: one file, without scripts, fonts or anything else from elsewhere.
//!
//! ```text
//!   title
//!   ── arm   ╌╌ the second figure            legend
//!   y │      ┊compact
//!     │    ┌─┊──────── arm                   lines, labelled where they end; marks across
//!     └──────────────── x
//! ```
//!
//! Coordinates are whole tenths of a pixel, so that the text does not depend on how a machine prints fractions. Colours
//! differ in brightness as well as in hue, and follow the reader's preference for light or dark.

use super::axis::Ticks;
use super::{Line, Plot, Shape};
use std::fmt::Write as _;

/// All in tenths of a pixel.
const WIDTH: u64 = 8_000;
const HEIGHT: u64 = 4_400;
const LEFT: u64 = 800;
const RIGHT: u64 = 1_500;
const TOP: u64 = 760;
const BOTTOM: u64 = 500;
/// Between two labels at the ends of lines.
const LABEL: u64 = 150;
/// More marks than this hide the lines.
const MARKS: usize = 24;

/// Colours of the arms: on a light ground, on a dark one.
const COLOURS: [(&str, &str); 8] = [
    ("#0060a8", "#58b0f0"),
    ("#b84700", "#ff9a52"),
    ("#00784e", "#3fd09c"),
    ("#a03078", "#f08fcb"),
    ("#6a5a00", "#d9c54a"),
    ("#5b3fb0", "#b09cff"),
    ("#9c1c1c", "#ff8080"),
    ("#3d4a55", "#b9c4cd"),
];

/// Draws a plot.
pub fn svg(plot: &Plot) -> String {
    let most = |get: fn(&(u64, u64)) -> u64| plot.lines.iter().flat_map(|line| line.points.iter().map(get)).max();
    let drawing = Drawing {
        plot,
        arms: names(plot.lines.iter().map(|line| line.arm.as_str())),
        figures: names(plot.lines.iter().map(|line| line.figure)),
        x: Ticks::up_to(most(|point| point.0).unwrap_or(0), plot.x.unit),
        y: Ticks::up_to(most(|point| point.1).unwrap_or(0), plot.y.unit),
        text: String::new(),
    };
    drawing.draw()
}

/// Each name once, in the order of its first appearance.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

struct Drawing<'a> {
    plot: &'a Plot,
    arms: Vec<&'a str>,
    figures: Vec<&'a str>,
    x: Ticks,
    y: Ticks,
    text: String,
}

impl Drawing<'_> {
    fn draw(mut self) -> String {
        self.head();
        self.grid();
        self.marks();
        for line in &self.plot.lines {
            match self.plot.shape {
                Shape::Steps => self.steps(line),
                Shape::Dots => self.dots(line),
            }
        }
        self.labels();
        self.legend();
        self.text.push_str("</svg>\n");
        self.text
    }

    fn push(&mut self, line: std::fmt::Arguments<'_>) {
        self.text.write_fmt(line).expect("a string takes anything");
        self.text.push('\n');
    }

    fn head(&mut self) {
        let (width, height) = (px(WIDTH), px(HEIGHT));
        self.push(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\">"
        ));
        let title = escaped(&self.plot.title);
        self.push(format_args!("<title>{title}</title>"));
        let style = |dark: bool| {
            let (ground, ink, faint) =
                if dark { ("#14171a", "#e6e8ea", "#3a4046") } else { ("#fff", "#1c2024", "#d5d9dd") };
            let mut style = format!(".g{{fill:{ground}}}text{{fill:{ink}}}.f{{stroke:{faint}}}.m{{stroke:{ink}}}");
            for (number, (light, bright)) in COLOURS.iter().enumerate() {
                let colour = if dark { bright } else { light };
                write!(style, ".c{number}{{stroke:{colour}}}.d{number}{{fill:{colour}}}").expect("a string");
            }
            style
        };
        self.push(format_args!(
            "<style>text{{font:12px system-ui,sans-serif}}.t{{font-size:14px;font-weight:600}}.e{{text-anchor:end}}\
             .n{{text-anchor:middle}}.l{{fill:none;stroke-width:1.8;stroke-linejoin:round}}.a{{stroke-dasharray:5 3}}\
             .m{{stroke-dasharray:2 3;opacity:.6}}{}@media(prefers-color-scheme:dark){{{}}}</style>",
            style(false),
            style(true)
        ));
        self.push(format_args!("<rect class=\"g\" width=\"{width}\" height=\"{height}\"/>"));
        self.push(format_args!("<text class=\"t\" x=\"{}\" y=\"22\">{title}</text>", px(LEFT)));
    }

    fn grid(&mut self) {
        let (left, right, bottom) = (px(LEFT), px(WIDTH - RIGHT), px(HEIGHT - BOTTOM));
        for n in 0..=self.y.count {
            let y = px(self.at_y(self.y.step * n));
            self.push(format_args!("<path class=\"f\" d=\"M{left} {y}H{right}\"/>"));
            let label = self.y.label(n);
            let x = px(LEFT - 80);
            self.push(format_args!("<text class=\"e\" x=\"{x}\" y=\"{y}\" dy=\"4\">{label}</text>"));
        }
        for n in 0..=self.x.count {
            let x = px(self.at_x(self.x.step * n));
            self.push(format_args!("<path class=\"f\" d=\"M{x} {bottom}v5\"/>"));
            let (label, y) = (self.x.label(n), px(HEIGHT - BOTTOM + 200));
            self.push(format_args!("<text class=\"n\" x=\"{x}\" y=\"{y}\">{label}</text>"));
        }
        let (x, y) = (px((LEFT + WIDTH - RIGHT) / 2), px(HEIGHT - 110));
        let title = escaped(self.plot.x.title);
        self.push(format_args!("<text class=\"n\" x=\"{x}\" y=\"{y}\">{title}</text>"));
        let (y, title) = (px(TOP - 110), escaped(self.plot.y.title));
        self.push(format_args!("<text class=\"e\" x=\"{}\" y=\"{y}\">{title}</text>", px(LEFT - 80)));
    }

    fn marks(&mut self) {
        let marks = &self.plot.marks;
        let mut written_up_to = 0;
        for mark in marks.iter().take(MARKS) {
            let at = self.at_x(mark.at.min(self.x.end()));
            let (x, top, bottom) = (px(at), px(TOP), px(HEIGHT - BOTTOM));
            self.push(format_args!("<path class=\"m\" d=\"M{x} {top}V{bottom}\"/>"));
            // Marks that follow each other closely share the first one's label.
            if at >= written_up_to {
                let label = escaped(&mark.label);
                self.push(format_args!("<text x=\"{}\" y=\"{}\">{label}</text>", px(at + 30), px(TOP + 110)));
                written_up_to = at + 60 + 65 * mark.label.len() as u64;
            }
        }
    }

    fn steps(&mut self, line: &Line) {
        let Some((first, rest)) = line.points.split_first() else { return };
        let mut path = format!("M{} {}", px(self.at_x(first.0)), px(self.at_y(first.1)));
        let mut height = first.1;
        for point in rest {
            write!(path, "H{}", px(self.at_x(point.0))).expect("a string takes anything");
            if point.1 != height {
                write!(path, "V{}", px(self.at_y(point.1))).expect("a string takes anything");
                height = point.1;
            }
        }
        let (colour, dashed) = (self.colour(&line.arm), if self.is_second(line) { " a" } else { "" });
        self.push(format_args!("<path class=\"l c{colour}{dashed}\" d=\"{path}\"/>"));
    }

    fn dots(&mut self, line: &Line) {
        let colour = self.colour(&line.arm);
        for point in &line.points {
            let (x, y) = (px(self.at_x(point.0)), px(self.at_y(point.1)));
            if self.is_second(line) {
                self.push(format_args!("<circle class=\"l c{colour}\" cx=\"{x}\" cy=\"{y}\" r=\"3.5\"/>"));
            } else {
                self.push(format_args!("<circle class=\"d{colour}\" cx=\"{x}\" cy=\"{y}\" r=\"2.5\"/>"));
            }
        }
    }

    /// Names the arms where their lines of the first figure end, apart enough to be read.
    fn labels(&mut self) {
        if self.plot.shape == Shape::Dots {
            return;
        }
        let first = self.plot.lines.iter().filter(|line| !self.is_second(line) && !line.arm.is_empty());
        let ends = first.filter_map(|line| Some((self.at_y(line.points.last()?.1), line.arm.as_str())));
        let mut ends: Vec<(u64, &str)> = ends.collect();
        ends.sort_unstable();
        // From the lowest line upwards, each at least one label above the one before.
        let mut limit = HEIGHT - BOTTOM;
        for (y, arm) in ends.into_iter().rev() {
            let y = y.min(limit);
            limit = y.saturating_sub(LABEL);
            let (colour, x, y, arm) = (self.colour(arm), px(WIDTH - RIGHT + 80), px(y), escaped(arm));
            self.push(format_args!("<text class=\"d{colour}\" x=\"{x}\" y=\"{y}\" dy=\"4\">{arm}</text>"));
        }
    }

    fn legend(&mut self) {
        let mut x = LEFT;
        let y = 440;
        let mut entry = |drawing: &mut Self, sample: String, name: &str| {
            if !name.is_empty() {
                drawing.push(format_args!(
                    "{sample}<text x=\"{}\" y=\"{}\">{}</text>",
                    px(x + 280),
                    px(y + 40),
                    escaped(name)
                ));
                x += 400 + 70 * name.chars().count() as u64;
            }
            px(x)
        };
        let mut at = px(LEFT);
        for arm in self.arms.clone() {
            let colour = self.colour(arm);
            at = entry(self, format!("<path class=\"l c{colour}\" d=\"M{at} {}h22\"/>", px(y)), arm);
        }
        if self.figures.len() < 2 {
            return;
        }
        for figure in self.figures.clone() {
            let second = self.figures.first() != Some(&figure);
            let sample = match (self.plot.shape, second) {
                (Shape::Steps, false) => {
                    format!("<path class=\"l m\" style=\"stroke-dasharray:none\" d=\"M{at} {}h22\"/>", px(y))
                }
                (Shape::Steps, true) => {
                    format!("<path class=\"l m\" style=\"stroke-dasharray:5 3\" d=\"M{at} {}h22\"/>", px(y))
                }
                (Shape::Dots, false) => format!("<text x=\"{at}\" y=\"{}\" dx=\"10\">●</text>", px(y + 40)),
                (Shape::Dots, true) => format!("<text x=\"{at}\" y=\"{}\" dx=\"10\">○</text>", px(y + 40)),
            };
            at = entry(self, sample, figure);
        }
    }

    fn colour(&self, arm: &str) -> usize {
        self.arms.iter().position(|name| *name == arm).unwrap_or(0) % COLOURS.len()
    }

    fn is_second(&self, line: &Line) -> bool {
        self.figures.first() != Some(&line.figure)
    }

    fn at_x(&self, value: u64) -> u64 {
        LEFT + scaled(value, self.x.end(), WIDTH - LEFT - RIGHT)
    }

    fn at_y(&self, value: u64) -> u64 {
        HEIGHT - BOTTOM - scaled(value, self.y.end(), HEIGHT - TOP - BOTTOM)
    }
}

fn scaled(value: u64, of: u64, length: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(length) / u128::from(of.max(1))).unwrap_or(length)
}

/// Tenths of a pixel as SVG writes them.
fn px(tenths: u64) -> String {
    if tenths.is_multiple_of(10) { (tenths / 10).to_string() } else { format!("{}.{}", tenths / 10, tenths % 10) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::{Axis, Mark, Unit};

    fn plot(arms: &[&str], shape: Shape) -> Plot {
        let line = |figure, height: u64| {
            move |(n, arm): (usize, &&str)| Line {
                arm: (*arm).to_owned(),
                figure,
                points: vec![(0, 0), (5_000_000_000, height * (n as u64 + 1)), (9_000_000_000, height)],
            }
        };
        let files = arms.iter().enumerate().map(line("file", 1 << 20));
        let in_use = arms.iter().enumerate().map(line("in use", 1 << 19));
        Plot {
            name: "size",
            title: "sizes <& more>".into(),
            x: Axis { title: "time", name: "time_s", unit: Unit::Seconds },
            y: Axis { title: "bytes", name: "bytes", unit: Unit::Bytes },
            shape,
            lines: files.chain(in_use).collect(),
            marks: vec![Mark { at: 4_000_000_000, label: "compact".into() }],
        }
    }

    /// The names of a document's elements, if each that begins also ends.
    fn elements(svg: &str) -> Vec<&str> {
        let (mut open, mut all) = (Vec::new(), Vec::new());
        for tag in svg.split('<').skip(1) {
            let (tag, text) = tag.split_once('>').expect("a tag ends");
            assert!(!text.contains('>') || open.last() == Some(&"style"), "{text}");
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            let name = tag.split([' ', '/']).find(|word| !word.is_empty()).expect("a tag has a name");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name));
            } else {
                all.push(name);
                if !tag.ends_with('/') {
                    open.push(name);
                }
            }
        }
        assert_eq!(open, Vec::<&str>::new());
        all
    }

    #[test]
    fn the_document_is_well_formed_and_names_every_arm_and_mark() {
        let arms = ["none", "compact & defrag", "three", "four", "five", "six", "seven", "eight"];
        for shape in [Shape::Steps, Shape::Dots] {
            let svg = svg(&plot(&arms, shape));
            let elements = elements(&svg);
            let drawn = if shape == Shape::Steps { "path" } else { "circle" };
            assert!(elements.iter().filter(|name| **name == drawn).count() >= 2 * arms.len());
            for arm in arms {
                let name = escaped(arm);
                let labels = svg.matches(&format!(">{name}</text>")).count();
                assert_eq!(labels, if shape == Shape::Steps { 2 } else { 1 }, "{arm}: legend, and the line's end");
            }
            assert!(svg.contains(">compact</text>") && svg.contains("sizes &lt;&amp; more&gt;"));
            assert!(!svg.contains("script") && !svg.contains("url(") && !svg.contains("href"));
        }
    }

    #[test]
    fn labels_of_lines_that_end_together_stand_apart() {
        let mut same = plot(&["a", "b", "c"], Shape::Steps);
        same.marks.clear();
        let svg = svg(&same);
        let labels = svg.lines().filter(|line| line.contains("dy=\"4\"") && line.contains("class=\"d"));
        let y = |line: &str| line.split(" y=\"").nth(1).and_then(|rest| rest.split('"').next()?.parse::<f64>().ok());
        let mut heights: Vec<f64> = labels.filter_map(y).collect();
        heights.sort_by(f64::total_cmp);
        assert_eq!(heights.len(), 3);
        assert!(heights.windows(2).all(|pair| pair[1] - pair[0] > 14.9), "{heights:?}");
    }

    #[test]
    fn a_plot_of_nothing_is_a_plot() {
        elements(&svg(&plot(&[], Shape::Steps)));
    }
}
