//! The buckets: etcd's own ten, and what is written into them.

use bytes::Bytes;

/// etcd's buckets, in the order of their names. All exist from the first commit, most of them empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bucket {
    /// Raised alarms.
    Alarm,
    /// Whether auth is on, and its revision.
    Auth,
    /// Roles with their permissions.
    AuthRoles,
    /// Users with their hashes and roles.
    AuthUsers,
    /// The cluster's version.
    Cluster,
    /// Revision → `mvccpb.KeyValue`.
    Key,
    /// Leases.
    Lease,
    /// Members by their id.
    Members,
    /// Ids that will never be members again.
    MembersRemoved,
    /// The consistent index, its term, and the marks of compaction.
    Meta,
}

impl Bucket {
    /// All buckets, ascending by name.
    pub const ALL: [Bucket; 10] = [
        Bucket::Alarm,
        Bucket::Auth,
        Bucket::AuthRoles,
        Bucket::AuthUsers,
        Bucket::Cluster,
        Bucket::Key,
        Bucket::Lease,
        Bucket::Members,
        Bucket::MembersRemoved,
        Bucket::Meta,
    ];

    /// The bucket's name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Bucket::Alarm => "alarm",
            Bucket::Auth => "auth",
            Bucket::AuthRoles => "authRoles",
            Bucket::AuthUsers => "authUsers",
            Bucket::Cluster => "cluster",
            Bucket::Key => "key",
            Bucket::Lease => "lease",
            Bucket::Members => "members",
            Bucket::MembersRemoved => "members_removed",
            Bucket::Meta => "meta",
        }
    }
}

/// A pair to write into the transaction of the entry that changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its bucket.
    pub bucket: Bucket,
    /// Its key.
    pub key: Bytes,
    /// Its value; `None`: the key goes.
    pub value: Option<Bytes>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_stand_in_the_order_of_their_names() {
        assert!(Bucket::ALL.is_sorted_by_key(|bucket| bucket.name()));
        assert!((0..).zip(Bucket::ALL).all(|(n, bucket)| bucket as usize == n));
    }
}
