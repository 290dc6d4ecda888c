//! Reading: ranges at a revision.

use super::{BackendError, Bucket, KeyValue, MvccError, Revision, Store, record};
use crate::pb::etcdserverpb::{RangeRequest, RangeResponse, SortOrder, SortTarget};
use bytes::Bytes;

/// The interval that a request's `key` and `range_end` mean: one key if `range_end` is empty, everything from `key` on
/// if it is a zero byte, else `[key, range_end)`.
pub(super) enum Interval<'a> {
    /// One key.
    Key(&'a [u8]),
    /// `from <= key < to`; `None`: no end.
    Span(&'a [u8], Option<&'a [u8]>),
}

impl<'a> Interval<'a> {
    pub(super) fn of(key: &'a [u8], range_end: &'a [u8]) -> Interval<'a> {
        match range_end {
            b"" => Interval::Key(key),
            b"\0" => Interval::Span(key, None),
            to => Interval::Span(key, Some(to)),
        }
    }
}

impl Store {
    /// Serves a range. The response has no header: only the member knows its ids and term.
    ///
    /// `count` is the number of all live keys of the interval, whatever `limit` and the filters drop; `more` says that
    /// fewer were returned because of `limit` (etcd's own reading of both).
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, MvccError> {
        self.range_at(request, self.revision)
    }

    /// Serves a range where `newest` is the current revision: inside a transaction that is the one being made.
    pub(super) fn range_at(&self, request: &RangeRequest, newest: i64) -> Result<RangeResponse, MvccError> {
        let mut job = RangeJob::begin(self, request.clone(), newest)?;
        Ok(job.step(self, usize::MAX)?.expect("invariant: no store holds that many keys"))
    }

    /// Visits the pairs of a bucket in ascending order until `visit` says `false`.
    pub fn scan(&self, bucket: Bucket, visit: &mut dyn FnMut(&[u8], &Bytes) -> bool) -> Result<(), BackendError> {
        self.engine.range(bucket, &[], None, visit)
    }

    /// Whether a range's revision is still there. Asks only about one that is named: the current one always is.
    pub(super) fn check_not_compacted(&self, request: &RangeRequest) -> Result<(), MvccError> {
        let compacted = request.revision > 0 && request.revision < self.compact_revision();
        if compacted { Err(MvccError::Compacted) } else { Ok(()) }
    }

    /// The revisions from main revision `since` on at which keys of the interval changed, ascending, tombstones too. Of
    /// a key's changes in one transaction only the last is named.
    pub fn changes_since(&self, key: &[u8], range_end: &[u8], since: i64) -> Result<Vec<Revision>, MvccError> {
        if since < self.compact_revision() {
            return Err(MvccError::Compacted);
        }
        Ok(match Interval::of(key, range_end) {
            Interval::Key(key) => self.index.range_since(key, Some(&[key, &[0]].concat()), since),
            Interval::Span(from, to) => self.index.range_since(from, to, since),
        })
    }

    /// The record of a live change.
    pub(super) fn load(&self, at: Revision) -> Result<KeyValue, BackendError> {
        let key = at.to_bytes();
        record::known_value(&key, self.engine.get(Bucket::Key, &key)?)
    }
}

/// A range that is served in steps.
///
/// It shows one revision, the one at which it began, whatever is written between the steps. What it has yet to read must
/// not be removed meanwhile: whoever compacts waits for the ranges that read before the compacted revision (as bbolt
/// keeps the pages that a reader may still look at).
#[derive(Debug)]
pub struct RangeJob {
    request: RangeRequest,
    /// The store's revision when it began.
    newest: i64,
    /// The revision that it shows.
    at: i64,
    /// The first key that the next step looks at; `None`: the first one of all.
    next: Option<Vec<u8>>,
    response: RangeResponse,
}

impl RangeJob {
    /// Begins to serve a range.
    pub fn new(store: &Store, request: RangeRequest) -> Result<RangeJob, MvccError> {
        RangeJob::begin(store, request, store.revision)
    }

    fn begin(store: &Store, request: RangeRequest, newest: i64) -> Result<RangeJob, MvccError> {
        if request.revision > newest {
            return Err(MvccError::FutureRevision);
        }
        store.check_not_compacted(&request)?;
        let at = if request.revision > 0 { request.revision } else { newest };
        Ok(RangeJob { request, newest, at, next: None, response: RangeResponse::default() })
    }

    /// What is asked.
    pub fn request(&self) -> &RangeRequest {
        &self.request
    }

    /// The store's revision when it began, which the response's header names.
    pub fn newest(&self) -> i64 {
        self.newest
    }

    /// The revision that it shows.
    pub fn revision(&self) -> i64 {
        self.at
    }

    /// Looks at up to `max` more keys. The response, without its header, once there are none left.
    pub fn step(&mut self, store: &Store, max: usize) -> Result<Option<RangeResponse>, BackendError> {
        let RangeJob { request, at, next, response, .. } = self;
        let limit = usize::try_from(request.limit).ok().filter(|&limit| limit > 0).unwrap_or(usize::MAX);
        // Sorting or filtering needs all of them before the limit may cut. (A target without an order sorts, too, but in
        // etcd only what was fetched: as many as the limit, and one more that says whether there are more.)
        let whole = request.sort_order != SortOrder::None as i32 || has_filter(request);
        let fetch = if whole { usize::MAX } else { limit.saturating_add(1) };
        let mut visit = |at: Revision| -> Result<(), BackendError> {
            response.count += 1;
            if !request.count_only && response.kvs.len() < fetch {
                response.kvs.push(store.load(at)?);
            }
            Ok(())
        };
        match Interval::of(&request.key, &request.range_end) {
            Interval::Key(key) => store.index.get(key, *at).into_iter().try_for_each(|change| visit(change.at))?,
            Interval::Span(from, to) => {
                let from = next.take().unwrap_or_else(|| from.to_vec());
                let mut keys = store.index.range(&from, to, *at);
                for (_, change) in keys.by_ref().take(max.max(1)) {
                    visit(change.at)?;
                }
                *next = keys.next().map(|(key, _)| key.to_vec());
            }
        }
        Ok(if next.is_some() { None } else { Some(self.finish(limit)) })
    }

    fn finish(&mut self, limit: usize) -> RangeResponse {
        let RangeJob { request, response, .. } = self;
        let mut response = std::mem::take(response);
        response.kvs.retain(|kv| passes(request, kv));
        sort(request, &mut response.kvs);
        response.more = response.kvs.len() > limit;
        response.kvs.truncate(limit);
        if request.keys_only {
            response.kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        response
    }
}

fn has_filter(r: &RangeRequest) -> bool {
    (r.min_mod_revision | r.max_mod_revision | r.min_create_revision | r.max_create_revision) != 0
}

fn passes(r: &RangeRequest, kv: &KeyValue) -> bool {
    let within = |value: i64, min: i64, max: i64| (min == 0 || value >= min) && (max == 0 || value <= max);
    within(kv.mod_revision, r.min_mod_revision, r.max_mod_revision)
        && within(kv.create_revision, r.min_create_revision, r.max_create_revision)
}

fn sort(request: &RangeRequest, kvs: &mut [KeyValue]) {
    let order = SortOrder::try_from(request.sort_order).unwrap_or(SortOrder::None);
    // An unknown target sorts by key, as etcd's zero value does.
    let target = SortTarget::try_from(request.sort_target).unwrap_or(SortTarget::Key);
    if order == SortOrder::None && target == SortTarget::Key {
        return;
    }
    kvs.sort_by(|a, b| {
        let ascending = match target {
            SortTarget::Key => a.key.cmp(&b.key),
            SortTarget::Version => a.version.cmp(&b.version),
            SortTarget::Create => a.create_revision.cmp(&b.create_revision),
            SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
            SortTarget::Value => a.value.cmp(&b.value),
        };
        if order == SortOrder::Descend { ascending.reverse() } else { ascending }
    });
}
