//! What happened, from the committed entries: the model executes each, and says what changed.

use super::Truth;
use crate::check::model::{Request, State};
use seedbed::pb::etcdserverpb::InternalRaftRequest;
use seedbed::raft::{Entry, EntryKind};

impl Truth {
    /// What these entries, the first of index 1, make of an empty store.
    pub fn of_entries(entries: &[Entry]) -> Truth {
        let (mut state, mut events) = (State::default(), Vec::new());
        for entry in entries.iter().filter(|entry| entry.kind == EntryKind::Normal) {
            let request = InternalRaftRequest::of_entry(&entry.data).ok().and_then(request);
            events.extend(request.into_iter().flat_map(|request| state.execute(&request).1));
        }
        let compacted = state.compacted().unwrap_or(0);
        Truth { events, compacted, prev_missing_to: compacted }
    }
}

/// An entry's request, if it is one that concerns keys.
fn request(entry: InternalRaftRequest) -> Option<Request> {
    let kv = entry.put.map(Request::Put);
    let kv = kv.or(entry.delete_range.map(Request::DeleteRange)).or(entry.txn.map(Request::Txn));
    let compact = entry.compaction.map(|compaction| Request::Compact(compaction.revision));
    let grant = entry.lease_grant.map(|grant| Request::LeaseGrant { id: grant.id, ttl: grant.ttl });
    kv.or(compact).or(grant).or(entry.lease_revoke.map(|revoke| Request::LeaseRevoke(revoke.id)))
}
