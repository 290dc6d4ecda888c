//! What a check can find, in bbolt's words where bbolt has them.

use super::super::format::Header;
use super::super::tree::DEPTH_MAX;
use super::FINDINGS_MAX;
use crate::backend::BackendError;
use bytes::Bytes;
use std::fmt;

/// Something that is wrong with a file. `stack` is the way from the root of a bucket's tree to the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The file ends before the high-water mark.
    TooShort {
        /// Pages that the meta page speaks of.
        high_water: u64,
        /// Whole pages in the file.
        file_pages: u64,
    },
    /// The freelist has the page twice.
    AlreadyFreed {
        /// The page.
        page: u64,
    },
    /// The page does not lie between the metas and the high-water mark.
    OutOfBounds {
        /// The page.
        page: u64,
        /// The high-water mark.
        high_water: u64,
        /// Empty for a free page.
        stack: Vec<u64>,
    },
    /// Something else refers to the page as well.
    MultipleReferences {
        /// The page.
        page: u64,
        /// Where the second reference was met.
        stack: Vec<u64>,
    },
    /// The page is in use and in the freelist.
    ReachableFreed {
        /// The page.
        page: u64,
    },
    /// The page is neither in use nor in the freelist.
    UnreachableUnfreed {
        /// The page.
        page: u64,
    },
    /// A page of this kind does not belong there.
    InvalidType {
        /// The page.
        page: u64,
        /// Its flags.
        flags: u16,
        /// The way to it.
        stack: Vec<u64>,
    },
    /// The page carries the number of another.
    Misplaced {
        /// Where it lies.
        page: u64,
        /// What it says.
        found: u64,
    },
    /// The page's content contradicts itself.
    Inconsistent {
        /// The page.
        page: u64,
        /// Which element; `None`: the page as a whole.
        element: Option<usize>,
        /// What should be there.
        expected: &'static str,
        /// The way to it.
        stack: Vec<u64>,
    },
    /// The tree goes on below the level at which no tree is believed.
    TooDeep {
        /// The first page that was not followed.
        page: u64,
    },
    /// A key does not stand where the order of keys wants it.
    KeyOrder {
        /// The page.
        page: u64,
        /// Whether it is a branch page, or a leaf.
        branch: bool,
        /// The key's place in the page.
        index: usize,
        /// The key.
        key: Bytes,
        /// What it should be.
        rule: KeyRule,
        /// The key that it is compared with.
        other: Bytes,
        /// The way to it.
        stack: Vec<u64>,
    },
    /// The page could not be read.
    Unreadable {
        /// The page.
        page: u64,
        /// Why.
        error: BackendError,
    },
    /// There were more findings.
    More,
}

/// How a key relates to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// The first key of a page is not less than the key that led to the page. It is.
    NotBelowAncestor,
    /// A key is greater than the one before. It is less.
    AboveButLess,
    /// A key is greater than the one before. It is equal.
    AboveButEqual,
    /// A key is less than the one that leads to the next page. It is not.
    BelowNext,
}

/// A page's kind in bbolt's words.
fn kind(flags: u16) -> String {
    let header = Header { id: 0, flags, count: 0, overflow: 0 };
    header.kind().map_or_else(|| format!("unknown<{flags:02x}>"), |kind| kind.name().into())
}

/// A key in hexadecimal; a long one is cut.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(64).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        if self.0.len() > 64 { write!(f, "… ({} bytes)", self.0.len()) } else { Ok(()) }
    }
}

/// The way to a page as bbolt prints it: `[3 17 4]`.
struct Stack<'a>(&'a [u64]);

impl fmt::Display for Stack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (n, page) in self.0.iter().enumerate() {
            write!(f, "{}{page}", if n == 0 { "" } else { " " })?;
        }
        f.write_str("]")
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { high_water, file_pages } => {
                write!(f, "page {file_pages}: the file ends here: expected {high_water} pages, found {file_pages}")
            }
            Self::AlreadyFreed { page } => write!(f, "page {page}: already freed"),
            Self::OutOfBounds { page, high_water, stack } => {
                write!(f, "page {page}: out of bounds: {high_water} (stack: {})", Stack(stack))
            }
            Self::MultipleReferences { page, stack } => {
                write!(f, "page {page}: multiple references (stack: {})", Stack(stack))
            }
            Self::ReachableFreed { page } => write!(f, "page {page}: reachable freed"),
            Self::UnreachableUnfreed { page } => write!(f, "page {page}: unreachable unfreed"),
            Self::InvalidType { page, flags, stack } => {
                write!(f, "page {page}: invalid type: {} (stack: {})", kind(*flags), Stack(stack))
            }
            Self::Misplaced { page, found } => {
                write!(f, "page {page}: expected to be: {page}, but self identifies as {found}")
            }
            Self::Inconsistent { page, element: Some(element), expected, stack } => {
                write!(f, "page {page}: element {element}: expected {expected} (stack: {})", Stack(stack))
            }
            Self::Inconsistent { page, element: None, expected, stack } => {
                write!(f, "page {page}: expected {expected} (stack: {})", Stack(stack))
            }
            Self::TooDeep { page } => write!(f, "page {page}: the tree is more than {DEPTH_MAX} levels deep"),
            Self::KeyOrder { page, branch, index, key, rule, other, stack } => {
                let (kind, other) = (if *branch { "branch" } else { "leaf" }, Hex(other));
                let rule = match rule {
                    KeyRule::NotBelowAncestor => format!(">= the key in the ancestor ({other})"),
                    KeyRule::AboveButLess => format!("> (found <) than previous element (hex){other}"),
                    KeyRule::AboveButEqual => format!("> (found =) than previous element (hex){other}"),
                    KeyRule::BelowNext => format!("< than key of the next element in ancestor (hex){other}"),
                };
                let the = if *index == 0 && rule.starts_with(">= ") { "the first " } else { "" };
                write!(f, "{the}key[{index}]=(hex){} on {kind} page({page}) needs to be {rule}", Hex(key))?;
                write!(f, ". Stack: {}", Stack(stack))
            }
            Self::Unreadable { page, error } => write!(f, "page {page}: {error}"),
            Self::More => write!(f, "more than {FINDINGS_MAX} findings: the rest is not listed"),
        }
    }
}
