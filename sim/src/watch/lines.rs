//! How a line of the stream looks: `tracing`'s events, formatted.

use crate::story::paper::{DIM, paint};
use crate::story::words::{member, moment};
use std::fmt::{self, Write};
use textwrap::core::display_width;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Columns that the time and the blanks around it take.
const TIME: usize = 12;

/// How the events of several members are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `1.312  n2  term 2  leads …`, one below the other.
    Lines {
        /// Where lines end.
        width: usize,
    },
    /// Each member has a column of its own.
    Columns {
        /// How many members.
        members: u8,
        /// Where lines end.
        width: usize,
    },
}

impl Layout {
    /// The width of a member's column: what is left, but at least enough for a few words.
    fn column(members: u8, width: usize) -> usize {
        let bars = usize::from(members) * 3;
        (width.saturating_sub(TIME + bars) / usize::from(members).max(1)).max(14)
    }

    /// What stands above the events.
    pub(super) fn heading(self) -> Option<String> {
        let Layout::Columns { members, width } = self else { return None };
        let column = Layout::column(members, width);
        let mut line = " ".repeat(TIME - 1);
        for index in 0..members {
            line += &format!(" {} {:column$}", paint(DIM, "│"), member(index));
        }
        Some(line.trim_end().to_owned())
    }
}

/// What one of our events carries.
#[derive(Default)]
struct Fields {
    at: u64,
    node: u64,
    term: u64,
    message: String,
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "at" => self.at = value,
            "node" => self.node = value,
            "term" => self.term = value,
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        }
    }
}

impl<S, N> FormatEvent<S, N> for Layout
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        out.write_str(&self.text(&fields))
    }
}

impl Layout {
    fn text(self, fields: &Fields) -> String {
        let time = paint(DIM, format!("{:>11}", moment(fields.at)));
        match self {
            Layout::Lines { width } => {
                let name = member(fields.node as u8);
                let first = format!("{time}  {name}  {}  ", paint(DIM, format!("term {:<3}", fields.term)));
                let rest = " ".repeat(display_width(&first));
                let width = width.max(rest.len() + 20);
                let options = textwrap::Options::new(width).initial_indent(&first).subsequent_indent(&rest);
                lines(textwrap::wrap(&fields.message, options).into_iter().map(|line| line.into_owned()))
            }
            Layout::Columns { members, width } => {
                let column = Layout::column(members, width);
                let message = format!("{}: {}", fields.term, fields.message);
                let mut time = time;
                lines(textwrap::wrap(&message, column).into_iter().map(|piece| {
                    let mut line = std::mem::replace(&mut time, " ".repeat(TIME - 1));
                    for index in 0..members {
                        let text = if u64::from(index) == fields.node { piece.as_ref() } else { "" };
                        let pad = " ".repeat(column.saturating_sub(display_width(text)));
                        line += &format!(" {} {text}{pad}", paint(DIM, "│"));
                    }
                    line
                }))
            }
        }
    }
}

fn lines(all: impl Iterator<Item = String>) -> String {
    all.fold(String::new(), |text, line| text + line.trim_end() + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(layout: Layout, node: u64) -> String {
        let message = "leads term 2, elected by n1 and n2".to_owned();
        let fields = Fields { at: 1_312_000_000, node, term: 2, message };
        anstream::adapter::strip_str(&layout.text(&fields)).to_string()
    }

    #[test]
    fn a_line_names_time_member_and_term() {
        let layout = Layout::Lines { width: 100 };
        assert_eq!(text(layout, 1), "      1.312  n2  term 2    leads term 2, elected by n1 and n2\n");
    }

    #[test]
    fn each_member_has_its_column() {
        let layout = Layout::Columns { members: 3, width: 100 };
        let (first, second) = (text(layout, 0), text(layout, 1));
        let at = |text: &str| text.find("leads").expect("it is there");
        assert!(at(&first) < at(&second));
        for width in 0..60 {
            assert!(text(Layout::Columns { members: 9, width }, 8).contains("leads"), "however narrow");
        }
    }
}
