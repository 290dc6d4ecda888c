//! A lock (etcd's `v3lock`): a place in a line, taken to be given back.

use super::{Line, leave, owns};
use crate::api::Request;
use crate::bug::BugSet;
use crate::pb::etcdserverpb::Compare;
use bytes::Bytes;

/// One client's way to a lock. See [`Line`] for how to drive it.
#[derive(Clone, Debug)]
pub struct Lock(Line);

impl Lock {
    /// The lock `name`, for the session of this lease.
    pub fn new(name: &[u8], lease: i64, bugs: BugSet) -> Lock {
        Lock(Line::new(name, lease, Bytes::new(), bugs))
    }

    /// Its place in the line, to be driven to its head.
    pub fn line(&mut self) -> &mut Line {
        &mut self.0
    }

    /// The key that stands for the place; whoever has it may unlock.
    pub fn key(&self) -> &Bytes {
        self.0.key()
    }

    /// The fencing token; 0 before one has entered the line.
    pub fn token(&self) -> i64 {
        self.0.token()
    }

    /// What a transaction compares so that only the holder's takes effect.
    pub fn is_owner(&self) -> Compare {
        owns(self.0.key(), self.0.token())
    }

    /// Gives it back, or leaves the line.
    pub fn unlock(&self) -> Request {
        leave(self.0.key(), self.0.token())
    }
}
