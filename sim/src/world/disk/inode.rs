//! A file: what the member sees, what is on the platter, and the changes between the two.

use super::SECTOR;
use super::content::Content;
use crate::scenario::Unsynced;
use crate::world::random::Stream;
use bytes::Bytes;
use seedbed::disk::Gather;
use std::collections::VecDeque;

/// A change that no sync has covered yet.
#[derive(Clone, Debug)]
pub(super) enum Pending {
    Write { offset: u64, data: Gather },
    Truncate { len: u64 },
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    pub(super) live: Content,
    pub(super) durable: Content,
    /// Unsynced changes, in order.
    pending: VecDeque<Pending>,
    /// Changes ever made, and how many of them no longer wait.
    changed: u64,
    flushed: u64,
    /// Changes were dropped: the live image has bytes that no sync will bring to the platter.
    parted: bool,
}

impl Inode {
    /// Changes the live image.
    pub(super) fn change(&mut self, change: Pending) {
        apply(&mut self.live, &change);
        self.pending.push_back(change);
        self.changed += 1;
    }

    /// How many changes were ever made: what a sync that begins now covers.
    pub(super) fn changed(&self) -> u64 {
        self.changed
    }

    /// Whether a crash may find something else than what the member sees.
    pub(super) fn is_settled(&self) -> bool {
        self.pending.is_empty() && !self.parted
    }

    /// Makes the first `covered` of the changes ever made durable.
    pub(super) fn flush(&mut self, covered: u64) {
        // A file that lost its name meanwhile has nothing left to cover.
        let count = (covered.saturating_sub(self.flushed) as usize).min(self.pending.len());
        // With nothing left behind them the images are equal afterwards, and whole blocks need no second copy.
        let shares = count == self.pending.len() && !self.parted;
        for change in self.pending.drain(..count) {
            match &change {
                Pending::Write { offset, data } if shares => {
                    each(*offset, data, |offset, piece| self.durable.write_sharing(offset, piece, &self.live));
                }
                change => apply(&mut self.durable, change),
            }
        }
        self.flushed += count as u64;
    }

    /// The unsynced changes are forgotten, though the member goes on seeing them.
    pub(super) fn drop_pending(&mut self) {
        self.parted |= !self.pending.is_empty();
        self.flushed += self.pending.drain(..).len() as u64;
    }

    /// The power goes off: unsynced changes meet their fate. Of each write, each sector is kept by itself, with a
    /// probability of `keep_ppm` in a million.
    pub(super) fn crash(&mut self, unsynced: Unsynced, keep_ppm: u32, fate: &mut Stream) {
        match unsynced {
            Unsynced::Lost => self.pending.clear(),
            Unsynced::Kept => self.flush(self.changed),
            Unsynced::Random => {
                for change in std::mem::take(&mut self.pending) {
                    self.maybe_keep(&change, keep_ppm, fate);
                }
            }
        }
        self.flushed = self.changed;
        self.parted = false;
        self.live = self.durable.clone();
    }

    fn maybe_keep(&mut self, change: &Pending, keep_ppm: u32, fate: &mut Stream) {
        let Pending::Write { offset, data } = change else {
            if fate.chance(keep_ppm) {
                apply(&mut self.durable, change);
            }
            return;
        };
        let (offset, data) = (*offset, data.joined());
        let end = offset + data.len() as u64;
        let mut from = offset;
        while from < end {
            let to = ((from / SECTOR + 1) * SECTOR).min(end);
            if fate.chance(keep_ppm) {
                self.durable.write(from, &data.slice((from - offset) as usize..(to - offset) as usize));
            }
            from = to;
        }
    }
}

fn apply(content: &mut Content, change: &Pending) {
    match change {
        Pending::Write { offset, data } => each(*offset, data, |offset, piece| content.write(offset, piece)),
        Pending::Truncate { len } => content.truncate(*len),
    }
}

/// Does something to each piece of a write, with the byte where it begins.
fn each(mut offset: u64, data: &Gather, mut act: impl FnMut(u64, &Bytes)) {
    for piece in data.pieces() {
        act(offset, piece);
        offset += piece.len() as u64;
    }
}
