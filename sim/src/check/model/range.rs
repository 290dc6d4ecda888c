//! What a range returns of the keys that live.

use super::Keys;
use seedbed::pb::etcdserverpb::{RangeRequest, RangeResponse, SortOrder, SortTarget};
use seedbed::pb::mvccpb::KeyValue;
use std::cmp::Ordering;

/// The keys that a request's `key` and `range_end` mean.
pub(crate) struct Interval<'a> {
    key: &'a [u8],
    range_end: &'a [u8],
}

impl<'a> Interval<'a> {
    pub(crate) fn of(key: &'a [u8], range_end: &'a [u8]) -> Interval<'a> {
        Interval { key, range_end }
    }

    /// No end means one key, an end of one zero byte means no end.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        match self.range_end {
            b"" => key == self.key,
            b"\0" => key >= self.key,
            end => key >= self.key && key < end,
        }
    }
}

/// The answer to a range over what lives.
pub(super) fn range(keys: &Keys, request: &RangeRequest) -> RangeResponse {
    let interval = Interval::of(&request.key, &request.range_end);
    let mut kvs: Vec<KeyValue> = keys.values().filter(|kv| interval.contains(&kv.key)).cloned().collect();
    let count = kvs.len() as i64;
    if request.count_only {
        return RangeResponse { count, ..RangeResponse::default() };
    }
    let limit = if request.limit > 0 { request.limit as usize } else { usize::MAX };
    // The store itself stops at the limit, one behind it, unless it has to see all keys; what it did not fetch is not
    // sorted.
    if request.sort_order == SortOrder::None as i32 && !has_filter(request) {
        kvs.truncate(limit.saturating_add(1));
    }
    kvs.retain(|kv| passes(request, kv));
    sort(request, &mut kvs);
    let more = kvs.len() > limit;
    kvs.truncate(limit);
    if request.keys_only {
        kvs.iter_mut().for_each(|kv| kv.value.clear());
    }
    RangeResponse { header: None, kvs, more, count }
}

fn has_filter(request: &RangeRequest) -> bool {
    let RangeRequest { min_mod_revision, max_mod_revision, min_create_revision, max_create_revision, .. } = *request;
    [min_mod_revision, max_mod_revision, min_create_revision, max_create_revision] != [0; 4]
}

fn passes(request: &RangeRequest, kv: &KeyValue) -> bool {
    let at_least = |bound: i64, revision: i64| bound == 0 || revision >= bound;
    let at_most = |bound: i64, revision: i64| bound == 0 || revision <= bound;
    at_least(request.min_mod_revision, kv.mod_revision)
        && at_most(request.max_mod_revision, kv.mod_revision)
        && at_least(request.min_create_revision, kv.create_revision)
        && at_most(request.max_create_revision, kv.create_revision)
}

/// What is equal stays in the order of its keys. (etcd does not promise that, and with twelve keys or more does not
/// keep it; nobody else's history is judged by it.)
fn sort(request: &RangeRequest, kvs: &mut [KeyValue]) {
    let by: fn(&KeyValue, &KeyValue) -> Ordering = match SortTarget::try_from(request.sort_target) {
        Ok(SortTarget::Version) => |a, b| a.version.cmp(&b.version),
        Ok(SortTarget::Create) => |a, b| a.create_revision.cmp(&b.create_revision),
        Ok(SortTarget::Mod) => |a, b| a.mod_revision.cmp(&b.mod_revision),
        Ok(SortTarget::Value) => |a, b| a.value.cmp(&b.value),
        Ok(SortTarget::Key) | Err(_) => |a, b| a.key.cmp(&b.key),
    };
    if request.sort_order == SortOrder::Descend as i32 {
        kvs.sort_by(|a, b| by(b, a));
    } else {
        kvs.sort_by(by);
    }
}
