//! What an exploration came to.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Findings told in full, of each operation; more are counted.
const TOLD: usize = 5;

/// What becomes of everything unsynced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is gone.
    Lost,
    /// It is all there.
    Kept,
    /// Each sector is kept or lost by itself, and names up to some point.
    Random(u64),
}

/// Where an image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The round, from 0.
    pub round: u64,
    /// The cut in it, from 0.
    pub cut: u64,
    /// What became of unsynced work.
    pub fate: Fate,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/", self.round, self.cut)?;
        match self.fate {
            Fate::Lost => f.write_str("lost"),
            Fate::Kept => f.write_str("kept"),
            Fate::Random(n) => write!(f, "{n}"),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let read = || {
            let mut parts = text.split('/');
            let (round, cut) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let fate = match parts.next()? {
                "lost" => Fate::Lost,
                "kept" => Fate::Kept,
                number => Fate::Random(number.parse().ok()?),
            };
            parts.next().is_none().then_some(Address { round, cut, fate })
        };
        read().ok_or_else(|| "expected ROUND/CUT/FATE as a finding has it, such as 3/117/5 or 0/12/lost".to_owned())
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An image that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where it comes from.
    pub address: Address,
    /// What is wrong.
    pub text: String,
    /// What the member was about to do, and what it had done before, newest last.
    pub operations: Vec<String>,
}

/// What a disk that lies did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Beyond {
    /// Images on which something promised was gone.
    pub images: u64,
    /// Those of them on which the member did not even start.
    pub refused: u64,
    /// Most acknowledged writes (of a follower: entries) gone with one of them.
    pub most_lost: usize,
    /// Of so many.
    pub of: usize,
}

/// What an exploration of one operation came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explored {
    /// Moments at which the power went off.
    pub cuts: u64,
    /// Images judged.
    pub images: u64,
    /// Images whose member was cut a second time, while it started.
    pub cut_twice: u64,
    /// Most issued, unanswered writes that were gone with an image: the worst that is allowed.
    pub unanswered_gone: usize,
    /// Images that are not what they must be.
    pub wrong: u64,
    /// The first of them.
    pub findings: Vec<Finding>,
    /// What it cost that syncs lied.
    pub beyond: Beyond,
    /// Another fate than `lost` was asked for, of a moment when nothing was unsynced: the image is that of `lost`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_as_lost: bool,
}

impl Explored {
    /// Takes note of a wrong image.
    pub(super) fn wrong(&mut self, finding: impl FnOnce() -> Finding) {
        self.wrong += 1;
        if self.findings.len() < TOLD {
            self.findings.push(finding());
        }
    }

    /// Adds another part.
    pub fn add(&mut self, other: Explored) {
        let Explored { cuts, images, cut_twice, unanswered_gone, wrong, findings, beyond, is_as_lost } = other;
        self.cuts += cuts;
        self.images += images;
        self.cut_twice += cut_twice;
        self.unanswered_gone = self.unanswered_gone.max(unanswered_gone);
        self.wrong += wrong;
        self.findings.extend(findings);
        self.findings.sort_by_key(|finding| finding.address);
        self.findings.dedup();
        self.findings.truncate(TOLD);
        self.is_as_lost |= is_as_lost;
        let Beyond { images, refused, most_lost, of } = beyond;
        self.beyond.images += images;
        self.beyond.refused += refused;
        let worst = (self.beyond.most_lost, self.beyond.of).max((most_lost, of));
        (self.beyond.most_lost, self.beyond.of) = worst;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_can_be_read_back() {
        for fate in [Fate::Lost, Fate::Kept, Fate::Random(7)] {
            let address = Address { round: 3, cut: 117, fate };
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        for text in ["", "1/2", "1/2/x", "1/2/3/4", "-1/2/3"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
