//! A plot's figures as a table, for whoever draws them otherwise.

use super::{Axis, Plot, Unit};
use std::fmt::Write as _;

/// One line a point: `arm,figure,x,y`, the last two in the units that their names say.
pub fn csv(plot: &Plot) -> String {
    let mut text = format!("arm,figure,{},{}\n", plot.x.name, plot.y.name);
    for line in &plot.lines {
        for (x, y) in &line.points {
            let (x, y) = (figure(*x, plot.x), figure(*y, plot.y));
            writeln!(text, "{},{},{x},{y}", field(&line.arm), field(line.figure)).expect("a string takes anything");
        }
    }
    text
}

/// Times with six decimals; the rest is whole.
fn figure(value: u64, axis: Axis) -> String {
    let worth = match axis.unit {
        Unit::Bytes | Unit::Count => return value.to_string(),
        Unit::Seconds => 1_000_000_000,
        Unit::Millis => 1_000_000,
    };
    format!("{}.{:06}", value / worth, (value % worth) * 1_000 / (worth / 1_000))
}

/// A text, quoted if a reader might take it for several.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::{Line, Shape};

    #[test]
    fn points_are_lines() {
        let axis = |name, unit| Axis { title: "", name, unit };
        let plot = Plot {
            name: "size",
            title: String::new(),
            x: axis("time_s", Unit::Seconds),
            y: axis("bytes", Unit::Bytes),
            shape: Shape::Steps,
            lines: vec![Line { arm: "a, b".into(), figure: "file", points: vec![(1_500_000_000, 4096)] }],
            marks: Vec::new(),
        };
        assert_eq!(csv(&plot), "arm,figure,time_s,bytes\n\"a, b\",file,1.500000,4096\n");
    }
}
