//! Figures, times and names as a person reads them.

use crate::scenario::Range64;
use crate::world::record::NodeIndex;
use seedbed::time::Nanos;

/// A moment: seconds with three decimals.
pub fn moment(at: Nanos) -> String {
    // Rounded as `moment_s` rounds, so that one moment reads alike everywhere.
    let millis = at.saturating_add(500_000) / 1_000_000;
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// A moment that is already in seconds.
pub fn moment_s(at: f64) -> String {
    format!("{at:.3}")
}

/// A length of time in the unit that suits it: `6.5 s`, `100 ms`, `20 µs`.
pub fn length(nanos: Nanos) -> String {
    let (unit, name) = match nanos {
        0 => return "0 s".to_owned(),
        1_000_000_000.. => (1_000_000_000, "s"),
        1_000_000.. => (1_000_000, "ms"),
        1_000.. => (1_000, "µs"),
        _ => (1, "ns"),
    };
    // Drawn lengths have nine digits, of which the first few tell something.
    let whole = nanos / unit;
    let decimals = match whole {
        100.. => 0,
        10.. => 1,
        _ => 2,
    };
    let text = format!("{:.decimals$}", nanos as f64 / unit as f64);
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let whole = grouped(whole.parse().unwrap_or_default());
    match rest.trim_end_matches('0') {
        "" => format!("{whole} {name}"),
        rest => format!("{whole}.{rest} {name}"),
    }
}

/// A range of times: `1 ms`, or `1 ms to 20 ms`.
pub fn lengths(range: Range64) -> String {
    if range.lo == range.hi { length(range.lo) } else { format!("{} to {}", length(range.lo), length(range.hi)) }
}

/// A count, grouped by thousands: `12,345`.
pub fn count(n: u64) -> String {
    grouped(u128::from(n))
}

fn grouped(n: u128) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 member`, `5 members`.
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// A figure with at most three decimals, without zeros at the end: `19`, `1.24`.
pub fn figure(value: f64) -> String {
    // No figure is minus nothing.
    let text = format!("{:.3}", if value.abs() < 0.0005 { 0.0 } else { value });
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |text| ("-", text));
    let (whole, rest) = text.split_once('.').map_or((text, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    // Larger figures than this are grouped nowhere else either.
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
    format!("{sign}{whole}{rest}")
}

/// Bytes in the unit that suits them.
pub fn bytes(n: u64) -> String {
    match n {
        1_073_741_824.. => format!("{} GiB", figure(n as f64 / 1_073_741_824.0)),
        1_048_576.. => format!("{} MiB", figure(n as f64 / 1_048_576.0)),
        1_024.. => format!("{} KiB", figure(n as f64 / 1_024.0)),
        _ => counted(n, "byte", "bytes"),
    }
}

/// A member's name from its index: `n1` for 0.
pub fn member(index: NodeIndex) -> String {
    if index == NodeIndex::MAX { "a stranger".to_owned() } else { format!("n{}", index + 1) }
}

/// The names of members given by number (from 1), apart by blanks: `n1 n3`.
pub fn members(numbers: &[u8]) -> String {
    let names: Vec<String> = numbers.iter().map(|number| format!("n{number}")).collect();
    names.join(" ")
}

/// Names in a sentence: `n1`, `n1 and n2`, `n1, n2 and n3`.
pub fn listed(names: &[String]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// The first sentence of a text that may have line breaks.
pub fn first_sentence(text: &str) -> String {
    let text: Vec<&str> = text.split_whitespace().collect();
    let text = text.join(" ");
    match text.find(". ") {
        Some(end) => text[..=end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_unit_that_suits_them() {
        let cases = [
            (0, "0 s"),
            (800, "800 ns"),
            (20_000, "20 µs"),
            (100_000_000, "100 ms"),
            (1_500_000, "1.5 ms"),
            (3_000_000_000, "3 s"),
            (6_540_000_000, "6.54 s"),
            (523_729_000, "524 ms"),
            (2_096_123_456, "2.1 s"),
            (12_345_678, "12.3 ms"),
            (3_600_000_000_000, "3,600 s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(length(nanos), text);
        }
    }

    #[test]
    fn figures_are_short_and_grouped() {
        assert_eq!(figure(19.0), "19");
        assert_eq!(figure(1.2400001), "1.24");
        assert_eq!(figure(-12_345.5), "-12,345.5");
        assert_eq!((figure(-0.0), figure(-0.0001)), ("0".to_owned(), "0".to_owned()));
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(moment(5_390_999_999), "5.391");
    }

    #[test]
    fn a_sentence_ends_with_its_stop() {
        assert_eq!(first_sentence("The leader dies.\nThe others notice."), "The leader dies.");
        assert_eq!(first_sentence("etcd 3.5 runs"), "etcd 3.5 runs");
        assert_eq!(first_sentence(""), "");
    }
}
