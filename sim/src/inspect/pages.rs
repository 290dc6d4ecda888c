//! The page map: what each page of a database is used for, and by which bucket.

use super::db::bucket_name;
use super::finding::Findings;
use super::{Filter, Rows};
use seedbed::backend::BackendError;
use seedbed::backend::bolt::{NO_FREELIST, PageKind, View};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What the pages are.
#[derive(Clone, Debug, Serialize)]
pub struct PageMap {
    /// A letter for each page, in order.
    pub letters: String,
    /// What the letters stand for.
    pub legend: Vec<Letter>,
    /// Neighbouring pages of one use and bucket.
    pub runs: Rows<Run>,
}

/// A letter of the map.
#[derive(Clone, Debug, Serialize)]
pub struct Letter {
    /// The letter.
    pub letter: char,
    /// What it stands for.
    pub meaning: String,
    /// How many pages have it.
    pub pages: u64,
}

/// Neighbouring pages of one use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The first page.
    pub first: u64,
    /// How many, overflow included.
    pub pages: u64,
    /// `meta`, `leaf`, `branch`, `freelist` or `free`.
    pub kind: &'static str,
    /// The bucket; absent where there is none, empty for the tree of buckets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// Elements on them.
    pub elements: u64,
    /// How many of them are overflow.
    pub overflow: u64,
}

/// Pages that no letter of a bucket takes.
const FIXED: [(char, &str); 5] = [
    ('0', "meta page 0"),
    ('1', "meta page 1"),
    ('#', "freelist"),
    ('~', "overflow of the page before it"),
    ('.', "free"),
];

/// Draws the map. What a damaged tree hides is told as free, and the damage is a finding.
pub(super) fn map(view: &View, filter: Filter, findings: &mut Findings) -> Result<PageMap, BackendError> {
    let mut pages = pages(view, findings)?;
    pages.sort_by_key(|page| page.first);
    let buckets: BTreeSet<&str> = pages.iter().filter_map(|page| page.bucket.as_deref()).collect();
    let letters = letters(&buckets);
    let high_water = view.meta().high_water;
    let (mut drawn, mut runs) = (String::new(), Vec::<Run>::new());
    let mut next = 0;
    for page in pages {
        if page.first > next {
            free(next, page.first - next, &mut drawn, &mut runs);
        }
        next = page.first + page.pages;
        drawn.push(letter(&page, &letters));
        drawn.extend((1..page.pages).map(|_| '~'));
        match runs.last_mut() {
            Some(last) if last.kind == page.kind && last.bucket == page.bucket && page.kind != "meta" => {
                last.pages += page.pages;
                last.elements += page.elements;
                last.overflow += page.overflow;
            }
            _ => runs.push(page),
        }
    }
    if next < high_water {
        free(next, high_water - next, &mut drawn, &mut runs);
    }
    let legend = legend(&drawn, &letters);
    let mut rows = Rows::new(filter);
    runs.into_iter().filter(|run| run.first + run.pages > filter.from).for_each(|run| rows.add(|| run));
    Ok(PageMap { letters: drawn, legend, runs: rows })
}

/// Each page that is used, in no order.
fn pages(view: &View, findings: &mut Findings) -> Result<Vec<Run>, BackendError> {
    let plain = |first, pages, kind| Run { first, pages, kind, bucket: None, elements: 0, overflow: pages - 1 };
    let mut pages = vec![plain(0, 1, "meta"), plain(1, 1, "meta")];
    if view.meta().freelist != NO_FREELIST {
        let header = view.header(view.meta().freelist)?;
        let elements = view.freelist()?.map_or(0, |ids| ids.len() as u64);
        pages.push(Run { elements, ..plain(view.meta().freelist, header.pages(), "freelist") });
    }
    let walked = view.walk(&mut |reach| {
        if reach.pages > 0 {
            let kind = if reach.kind == PageKind::Leaf { "leaf" } else { "branch" };
            let bucket = Some(bucket_name(reach.bucket));
            pages.push(Run { bucket, elements: reach.count as u64, ..plain(reach.id, reach.pages, kind) });
        }
    });
    match walked {
        Ok(()) => Ok(pages),
        Err(BackendError::Disk(error)) => Err(error.into()),
        Err(error) => {
            findings.add_backend(&error);
            Ok(pages)
        }
    }
}

fn free(first: u64, pages: u64, drawn: &mut String, runs: &mut Vec<Run>) {
    drawn.extend((0..pages).map(|_| '.'));
    runs.push(Run { first, pages, kind: "free", bucket: None, elements: 0, overflow: 0 });
}

/// A letter for each bucket: the first of its name that is still to be had. `r` is the tree of buckets.
fn letters(buckets: &BTreeSet<&str>) -> BTreeMap<String, char> {
    let mut letters = BTreeMap::from([(String::new(), 'r')]);
    // The records are what a map is looked at for.
    let ordered = buckets.iter().filter(|name| **name == "key").chain(buckets.iter().filter(|name| **name != "key"));
    for bucket in ordered.filter(|name| !name.is_empty()) {
        let taken: BTreeSet<char> = letters.values().copied().collect();
        let own = bucket.chars().map(|c| c.to_ascii_lowercase()).filter(char::is_ascii_lowercase);
        let letter = own.chain('a'..='z').find(|c| !taken.contains(c)).unwrap_or('z');
        letters.insert((*bucket).to_owned(), letter);
    }
    letters
}

/// Leaves have small letters, branches capital ones.
fn letter(page: &Run, letters: &BTreeMap<String, char>) -> char {
    let of_bucket = page.bucket.as_ref().and_then(|bucket| letters.get(bucket)).copied().unwrap_or('?');
    match page.kind {
        "meta" if page.first == 0 => '0',
        "meta" => '1',
        "freelist" => '#',
        "branch" => of_bucket.to_ascii_uppercase(),
        _ => of_bucket,
    }
}

fn legend(drawn: &str, letters: &BTreeMap<String, char>) -> Vec<Letter> {
    let mut counts: BTreeMap<char, u64> = BTreeMap::new();
    drawn.chars().for_each(|letter| *counts.entry(letter).or_default() += 1);
    let mut meanings: Vec<(char, String)> = Vec::new();
    for (bucket, letter) in letters {
        let name = if bucket.is_empty() { "the tree of buckets".to_owned() } else { bucket.clone() };
        meanings.push((letter.to_ascii_uppercase(), format!("branch of {name}")));
        meanings.push((*letter, format!("leaf of {name}")));
    }
    meanings.extend(FIXED.iter().map(|(letter, meaning)| (*letter, (*meaning).to_owned())));
    let told = meanings.into_iter().filter_map(|(letter, meaning)| {
        let pages = counts.remove(&letter)?;
        Some(Letter { letter, meaning, pages })
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_has_a_letter_of_its_own() {
        let buckets = BTreeSet::from(["", "alarm", "auth", "key", "lease", "members", "meta"]);
        let letters = letters(&buckets);
        let distinct: BTreeSet<char> = letters.values().copied().collect();
        assert_eq!((letters["key"], letters[""], letters["alarm"], letters["auth"]), ('k', 'r', 'a', 'u'));
        assert_eq!(distinct.len(), buckets.len());
    }
}
