//! What was written since the last commit: etcd's read buffer. Deletes stand in it as well as puts (etcd #17158 read past
//! them).
//!
//! The [`Totals`] over all pairs need each changed key's old value. Looking it up with every write would cost as much as
//! the write. So a change is *counted* when somebody asks for the totals, or, if nobody does, when the commit comes to
//! the leaf where the old value stands.

use super::totals::Totals;
use super::write::Edit;
use crate::backend::{BackendError, Bucket};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;

/// The changes by bucket and key.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    written: [BTreeMap<Bytes, Written>; Bucket::ALL.len()],
    uncounted: RefCell<Uncounted>,
    /// Writes, each one counted that changed a key again.
    pub(super) writes: u64,
    /// Bytes of all that was written.
    pub(super) bytes: u64,
}

/// A key's newest value; `None`: it is deleted.
#[derive(Debug)]
struct Written {
    value: Option<Bytes>,
    counted: Cell<bool>,
}

/// The keys whose change is not counted, the newest last. They lie end to end: each write adds one, and sharing its key
/// would cost an allocation.
#[derive(Debug, Default)]
struct Uncounted {
    keys: Vec<u8>,
    /// The bucket of each, and where it begins.
    starts: Vec<(Bucket, usize)>,
}

impl Uncounted {
    fn push(&mut self, bucket: Bucket, key: &[u8]) {
        self.starts.push((bucket, self.keys.len()));
        self.keys.extend_from_slice(key);
    }

    fn last(&self) -> Option<(Bucket, &[u8])> {
        self.starts.last().map(|(bucket, start)| (*bucket, &self.keys[*start..]))
    }

    fn pop(&mut self) {
        if let Some((_, start)) = self.starts.pop() {
            self.keys.truncate(start);
        }
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.starts.clear();
    }
}

impl Overlay {
    /// Takes a write, and keeps the totals right over what they have counted.
    pub(super) fn write(&mut self, bucket: Bucket, key: Bytes, value: Option<Bytes>, totals: &Cell<Option<Totals>>) {
        self.writes += 1;
        self.bytes += (key.len() + value.as_ref().map_or(0, Bytes::len)) as u64;
        let written = &mut self.written[bucket as usize];
        let Some(before) = written.get_mut(&key) else {
            self.uncounted.get_mut().push(bucket, &key);
            written.insert(key, Written { value, counted: Cell::new(false) });
            return;
        };
        if before.counted.get()
            && let Some(mut counted) = totals.get()
        {
            counted.change(bucket, &key, before.value.as_deref(), value.as_deref());
            totals.set(Some(counted));
        }
        before.value = value;
    }

    /// What was written to a key: a value, or that it is deleted.
    pub(super) fn get(&self, bucket: Bucket, key: &[u8]) -> Option<&Option<Bytes>> {
        self.written[bucket as usize].get(key).map(|written| &written.value)
    }

    /// The changed keys in a range, ascending.
    pub(super) fn range(
        &self,
        bucket: Bucket,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> impl Iterator<Item = (&Bytes, &Option<Bytes>)> {
        self.written[bucket as usize].range::<[u8], _>(bounds).map(|(key, written)| (key, &written.value))
    }

    /// Counts what is not counted. `old` finds the value that a key has below the overlay.
    pub(super) fn count(
        &self,
        totals: &mut Totals,
        mut old: impl FnMut(Bucket, &[u8]) -> Result<Option<Bytes>, BackendError>,
    ) -> Result<(), BackendError> {
        let mut uncounted = self.uncounted.borrow_mut();
        while let Some((bucket, key)) = uncounted.last() {
            let old = old(bucket, key)?;
            let written = &self.written[bucket as usize][key];
            totals.change(bucket, key, old.as_deref(), written.value.as_deref());
            written.counted.set(true);
            uncounted.pop();
        }
        Ok(())
    }

    /// Somebody has counted everything, or nothing.
    pub(super) fn set_counted(&self, counted: bool) {
        let mut uncounted = self.uncounted.borrow_mut();
        uncounted.clear();
        for bucket in Bucket::ALL {
            for (key, written) in &self.written[bucket as usize] {
                written.counted.set(counted);
                if !counted {
                    uncounted.push(bucket, key);
                }
            }
        }
    }

    /// All changes, by bucket and ascending by key. The overlay is empty afterwards.
    pub(super) fn take(&mut self) -> Vec<(Bucket, Vec<Edit>)> {
        let written = mem::take(self).written;
        let changed = Bucket::ALL.into_iter().zip(written).filter(|(_, written)| !written.is_empty());
        let edit = |(key, Written { value, counted })| Edit { key, value, counted: counted.get() };
        changed.map(|(bucket, written)| (bucket, written.into_iter().map(edit).collect())).collect()
    }
}
