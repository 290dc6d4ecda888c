//! One page as a drawing: what stands at which byte.

use crate::inspect::PageReport;
use crate::story::paper::{DIM, Paper, paint};
use crate::story::words::{count, counted};
use textwrap::core::display_width;

/// Columns that the byte offsets take.
const GUTTER: usize = 9;

/// Draws a page as a box, with a rule between its parts.
pub(super) fn page(paper: &mut Paper, page: &PageReport, width: usize) {
    let last = page.offset + page.bytes - 1;
    let place = format!("bytes {} to {} of the file", count(page.offset), count(last));
    paper.paragraph("  ", "  ", &format!("page {}, {} · {place}", page.page, page.used_for));
    paper.blank();
    let mut drawing = Drawing { paper, room: width.min(80) - GUTTER - 4 };
    drawing.rule('┌', '┐');
    drawing.head(page);
    if let Some(fault) = &page.fault {
        drawing.rule('├', '┤');
        drawing.line(None, &format!("cannot be read: {fault}"));
    }
    drawing.meta(page);
    drawing.elements(page);
    drawing.free_numbers(page);
    if page.fault.is_none() && page.free_at < page.bytes {
        drawing.rule('├', '┤');
        drawing.line(Some(page.free_at), &format!("unused: {}", counted(page.bytes - page.free_at, "byte", "bytes")));
    }
    drawing.rule('└', '┘');
    let left_out = page.elements.as_ref().map_or(0, |rows| rows.left_out());
    let left_out = left_out.max(page.free.as_ref().map_or(0, |rows| rows.left_out()));
    if left_out > 0 {
        let text = format!("{} are not drawn; --limit N draws more (0: all)", count(left_out));
        paper.paragraph("  ", "  ", &paint(DIM, text));
    }
}

struct Drawing<'a> {
    paper: &'a mut Paper,
    /// Columns inside the box.
    room: usize,
}

impl Drawing<'_> {
    fn rule(&mut self, left: char, right: char) {
        let line = "─".repeat(self.room + 2);
        self.paper.unbroken(&format!("{}{left}{line}{right}", " ".repeat(GUTTER)));
    }

    /// A line in the box, cut where the box ends.
    fn line(&mut self, at: Option<u64>, text: &str) {
        let mut shown = String::new();
        for c in text.chars() {
            if display_width(&shown) + 1 >= self.room && display_width(text) > self.room {
                shown.push('…');
                break;
            }
            shown.push(c);
        }
        let blanks = " ".repeat(self.room.saturating_sub(display_width(&shown)));
        let at = at.map_or(String::new(), |at| at.to_string());
        self.paper
            .unbroken(&format!("{} │ {shown}{blanks} │", paint(DIM, format!("{at:>width$}", width = GUTTER - 1))));
    }

    fn head(&mut self, page: &PageReport) {
        self.line(Some(0), &format!("id        {}", page.id));
        self.line(Some(8), &format!("flags     {:#x} ({})", page.flags, page.kind));
        self.line(Some(10), &format!("count     {}", page.count));
        self.line(Some(12), &format!("overflow  {}", page.overflow));
    }

    fn meta(&mut self, page: &PageReport) {
        let Some(meta) = &page.meta else { return };
        self.rule('├', '┤');
        let freelist = meta.freelist.map_or("none (ff ff ff ff ff ff ff ff)".to_owned(), |page| format!("page {page}"));
        let fields = [
            (16, "magic".to_owned(), "0xed0cdaed".to_owned()),
            (20, "version".to_owned(), "2".to_owned()),
            (24, "page size".to_owned(), meta.page_size.to_string()),
            (32, "root".to_owned(), format!("page {}", meta.root)),
            (48, "freelist".to_owned(), freelist),
            (56, "high-water".to_owned(), format!("{}: pages from here on were never used", meta.high_water)),
            (64, "txid".to_owned(), format!("{}: written to page {}", meta.txid, meta.txid % 2)),
            (72, "checksum".to_owned(), "holds (FNV-1a of bytes 16 to 71)".to_owned()),
        ];
        fields.iter().for_each(|(at, name, text)| self.line(Some(*at), &format!("{name:<11}{text}")));
    }

    fn elements(&mut self, page: &PageReport) {
        let Some(elements) = &page.elements else { return };
        if elements.total == 0 {
            return;
        }
        self.rule('├', '┤');
        for element in &elements.rows {
            let value = element.vsize.map_or(String::new(), |vsize| format!("  vsize {vsize}"));
            let child = element.child.map_or(String::new(), |child| format!("  pgid {child}"));
            let flags = if element.is_bucket { "  flags 1 (bucket)" } else { "" };
            let text = format!("element {}  pos {}  ksize {}", element.number, element.pos, element.ksize);
            self.line(Some(element.at as u64), &(text + &value + &child + flags));
        }
        self.rest(elements.left_out(), "elements");
        self.rule('├', '┤');
        for element in &elements.rows {
            let text =
                if element.is_bucket { format!("{} {}", element.key, element.text) } else { element.text.clone() };
            self.line(Some(element.key_at as u64), &text);
        }
        self.rest(elements.left_out(), "keys and values");
    }

    fn free_numbers(&mut self, page: &PageReport) {
        let Some(free) = &page.free else { return };
        if free.rows.is_empty() {
            return;
        }
        self.rule('├', '┤');
        // A list with more numbers than its head can count begins with their count.
        let first = 16 + if page.count == u16::MAX { 8 } else { 0 };
        let in_line = (self.room / 8).max(1);
        for (number, ids) in free.rows.chunks(in_line).enumerate() {
            let text: Vec<String> = ids.iter().map(|id| format!("{id:>7}")).collect();
            self.line(Some((first + number * in_line * 8) as u64), &text.join(" "));
        }
        self.rest(free.left_out(), "numbers");
    }

    fn rest(&mut self, n: u64, what: &str) {
        if n > 0 {
            self.line(None, &format!("… {} more {what}", count(n)));
        }
    }
}
