//! The report as text.

use super::{Report, Severity};
use crate::story::paper::{BAD, BOLD, DIM, GOOD, Paper, WARN, paint};
use crate::story::words::{bytes, count, counted};

impl Report {
    /// A line a member, then the findings, then the sum.
    pub fn text(&self, width: usize) -> String {
        let mut paper = Paper::new(width);
        self.members(&mut paper);
        for finding in &self.findings {
            let (style, word) = match finding.severity {
                Severity::Critical => (BAD, "critical"),
                Severity::Warning => (WARN, "warning"),
                Severity::Note => (DIM, "note"),
            };
            paper.blank();
            paper.labelled(word, style, &paint(BOLD, &finding.what));
            for evidence in &finding.evidence {
                paper.labelled("", DIM, evidence);
            }
            for advice in &finding.advice {
                paper.paragraph(&format!("           {} ", paint(DIM, "→")), "             ", advice);
            }
            paper.labelled("", DIM, &paint(DIM, format!("{} · {}", finding.rule, finding.read)));
        }
        paper.blank();
        paper.paragraph("", "", &self.sum());
        paper.into_text()
    }

    fn members(&self, paper: &mut Paper) {
        let heads = ["", "version", "leads", "term", "revision", "applied", "database", "in use"];
        let mut rows = vec![heads.map(|head| paint(DIM, head)).to_vec()];
        for member in &self.seen.members {
            let name = paint(BOLD, self.seen.name(member));
            rows.push(match member.last() {
                None => vec![name, paint(BAD, "does not answer")],
                Some(status) => vec![
                    name,
                    status.version.clone(),
                    if status.leader == status.member_id { "leads" } else { "" }.to_owned(),
                    count(status.term),
                    count(status.revision as u64),
                    count(status.applied),
                    bytes(status.db_size as u64),
                    bytes(status.db_size_in_use as u64),
                ],
            });
        }
        paper.table_unbroken(0, &rows, &[false, false, false, true, true, true, true, true]);
    }

    fn sum(&self) -> String {
        let of = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count() as u64;
        let (critical, warnings, notes) = (of(Severity::Critical), of(Severity::Warning), of(Severity::Note));
        let looked = format!("looked twice, {:.0} s apart", self.seen.window_s);
        if critical + warnings == 0 {
            let notes = if notes > 0 { format!(" ({})", counted(notes, "note", "notes")) } else { String::new() };
            return format!("{}{notes}; {looked}", paint(GOOD, "nothing is wrong"));
        }
        let critical = paint(if critical > 0 { BAD } else { DIM }, format!("{critical} critical"));
        format!(
            "{critical}, {}, {}; {looked}",
            counted(warnings, "warning", "warnings"),
            counted(notes, "note", "notes")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::healthy;
    use super::*;

    #[test]
    fn a_report_names_members_findings_and_their_sum() {
        let plain = |report: &Report| anstream::adapter::strip_str(&report.text(100)).to_string();
        let text = plain(&Report::of(healthy()));
        assert!(text.ends_with("\nnothing is wrong; looked twice, 3 s apart\n"), "{text}");
        let mut seen = healthy();
        seen.members[2].status = [None, None];
        let text = plain(&Report::of(seen));
        assert!(text.contains("  critical 10.0.0.3:2379 does not answer\n"), "{text}");
        assert!(text.contains("           → look whether the process runs there"), "{text}");
        assert!(text.ends_with("\n1 critical, 0 warnings, 0 notes; looked twice, 3 s apart\n"), "{text}");
    }
}
