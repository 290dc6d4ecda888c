//! What a store has done since it was opened: for metrics, never for a decision.

use super::Store;

/// Numbers since the store was opened, but for `keys`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys that live.
    pub keys: u64,
    /// Puts, those of transactions included.
    pub puts: u64,
    /// Bytes of keys and values that were put.
    pub put_bytes: u64,
    /// Deletes, those of transactions and of revoked leases included; one may have deleted many keys.
    pub deletes: u64,
    /// Ranges within transactions.
    pub ranges: u64,
    /// Transactions of more than one operation, as etcd counts them.
    pub txns: u64,
    /// Records that compactions removed.
    pub compacted: u64,
}

impl Counts {
    /// Takes over what one transaction did.
    pub(super) fn add(&mut self, txn: Counts) {
        self.puts += txn.puts;
        self.put_bytes += txn.put_bytes;
        self.deletes += txn.deletes;
        self.ranges += txn.ranges;
        self.txns += u64::from(txn.puts + txn.deletes + txn.ranges > 1);
    }
}

impl Store {
    /// What it has done, and how many keys live in it.
    pub fn counts(&self) -> Counts {
        Counts { keys: self.index.live(), ..self.counts }
    }
}
