//! The paper that a story is written on: it knows its width, wraps with hanging indents, and lines columns up.
//!
//! Text is written with colours always; whoever prints it takes them out where they do not belong (`anstream`).

use anstyle::{AnsiColor, Style};
use std::fmt::Display;
use textwrap::WordSplitter;
use textwrap::core::display_width;

/// Loud: names, verdicts.
pub const BOLD: Style = Style::new().bold();
/// In the background: times, notes.
pub const DIM: Style = Style::new().dimmed();
/// All is well.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Something is wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Something to look at.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Leaders.
pub const LEAD: Style = AnsiColor::Cyan.on_default();

/// Narrower than this nothing can be read, so nothing gets narrower.
pub const MIN_WIDTH: usize = 40;
/// Where lines that are not for a terminal end.
pub const PIPED_WIDTH: usize = 100;

/// Columns that a label and the blanks before it take.
const LABEL: usize = 11;

/// See the module.
#[derive(Debug)]
pub struct Paper {
    width: usize,
    text: String,
}

impl Paper {
    /// Empty paper.
    pub fn new(width: usize) -> Paper {
        Paper { width: width.max(MIN_WIDTH), text: String::new() }
    }

    /// What was written.
    pub fn into_text(self) -> String {
        self.text
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.text.push('\n');
    }

    /// A line that is never broken, since someone will copy it.
    pub fn unbroken(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Text whose first line begins with `first` and whose others begin with `rest`.
    pub fn paragraph(&mut self, first: &str, rest: &str, text: &str) {
        // On narrow paper an indent must leave room for words.
        let widest = display_width(first).max(display_width(rest));
        let width = self.width.max(widest + 20);
        let options = textwrap::Options::new(width).initial_indent(first).subsequent_indent(rest).break_words(false);
        // Names have hyphens, and a name in two pieces is none.
        let options = options.word_splitter(WordSplitter::NoHyphenation);
        for line in textwrap::wrap(text, options) {
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }

    /// `  label    text`, wrapped below the text.
    pub fn labelled(&mut self, label: &str, style: Style, text: &str) {
        self.paragraph(&self.label(label, style), &" ".repeat(LABEL), text);
    }

    /// The same, never broken.
    pub fn labelled_unbroken(&mut self, label: &str, text: &str) {
        let line = self.label(label, DIM) + text;
        self.unbroken(&line);
    }

    fn label(&self, label: &str, style: Style) -> String {
        format!("  {}{}", paint(style, label), " ".repeat((LABEL - 2).saturating_sub(display_width(label)).max(1)))
    }

    /// Items after a label: in two columns if they fit, else below each other.
    pub fn items(&mut self, label: &str, items: &[String]) {
        let room = self.width - LABEL;
        let gap = 3;
        let left = items.iter().step_by(2).map(|item| display_width(item)).max().unwrap_or(0);
        let right = items.iter().skip(1).step_by(2).map(|item| display_width(item)).max().unwrap_or(0);
        let mut label = label;
        if items.len() > 1 && left + gap + right <= room {
            for pair in items.chunks(2) {
                let blanks = " ".repeat(left + gap - display_width(&pair[0]));
                let line = match pair {
                    [one, other] => format!("{one}{blanks}{other}"),
                    _ => pair[0].clone(),
                };
                let line = self.label(label, DIM) + &line;
                self.unbroken(&line);
                label = "";
            }
            return;
        }
        for item in items {
            let first = self.label(label, DIM);
            self.paragraph(&first, &" ".repeat(LABEL + 2), item);
            label = "";
        }
    }

    /// Rows of cells, each column as wide as its widest cell, the last wrapped. `right` says which are aligned right.
    pub fn table(&mut self, indent: usize, rows: &[Vec<String>], right: &[bool]) {
        self.rows(indent, rows, right, true);
    }

    /// The same, with a last column that is never broken.
    pub fn table_unbroken(&mut self, indent: usize, rows: &[Vec<String>], right: &[bool]) {
        self.rows(indent, rows, right, false);
    }

    fn rows(&mut self, indent: usize, rows: &[Vec<String>], right: &[bool], wraps: bool) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| display_width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let mut line = " ".repeat(indent);
            let last = row.len() - 1;
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column] - display_width(cell));
                let is_right = right.get(column).copied().unwrap_or(false);
                if column < last {
                    let (before, after) = if is_right { (pad.as_str(), "") } else { ("", pad.as_str()) };
                    line.push_str(&format!("{before}{cell}{after}  "));
                } else if is_right {
                    line.push_str(&pad);
                    line.push_str(cell);
                    self.unbroken(line.trim_end());
                } else {
                    let hang = " ".repeat(display_width(&line));
                    if cell.is_empty() || !wraps {
                        line.push_str(cell);
                        self.unbroken(line.trim_end());
                    } else {
                        self.paragraph(&line, &hang, cell);
                    }
                }
            }
        }
    }
}

/// Text in a style.
pub fn paint(style: Style, text: impl Display) -> String {
    let text = text.to_string();
    if text.is_empty() { text } else { format!("{style}{text}{style:#}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_wrap_below_words() {
        let mut paper = Paper::new(40);
        paper.labelled("clients", DIM, "2,000 requests · 1,981 ok · 12 unknown (timed out)");
        let text = anstream::adapter::strip_str(&paper.into_text()).to_string();
        assert_eq!(text, "  clients  2,000 requests · 1,981 ok ·\n           12 unknown (timed out)\n");
    }

    #[test]
    fn no_width_and_no_indent_panics() {
        for width in [0, 1, 39, 40, 41, 200] {
            let mut paper = Paper::new(width);
            paper.paragraph(&" ".repeat(60), &" ".repeat(60), "a few words after a wide indent");
            paper.items("checks", &["✓ one".to_owned(), "✓ two".to_owned(), "✓ three".to_owned()]);
            paper.items("checks", &[]);
            paper.table(4, &[vec!["a".to_owned(), "long text that is wrapped in the last column".to_owned()]], &[]);
            paper.labelled("a label that is too long", BOLD, "text");
        }
    }
}
