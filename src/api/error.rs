//! etcd's errors, in its words and with its status codes: clients match on both.

use super::AuthError;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Error {
    /// A put or range without a key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// A put that keeps the value or the lease of a key that does not exist.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// A put that keeps the value and gives one.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A put that keeps the lease and gives one.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// A transaction with more than the member's limit of compares or operations (128 unless configured).
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A transaction that could write a key twice.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// The request's encoding is longer than the member's limit (1.5 MiB unless configured).
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    /// The member has committed 5000 entries more than it has applied.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    /// The revision asked for does not exist yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The revision asked for was compacted.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// No such lease.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// The lease's id is taken.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// More than 9,000,000,000 s.
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// The leader is handing over and takes no proposals.
    #[error("raft proposal dropped")]
    ProposalDropped,
    /// The leader changed while a read waited for its confirmation.
    #[error("etcdserver: leader changed")]
    LeaderChanged,
    /// The request took longer than 5 s + 2 election timeouts. A write may still take effect.
    #[error("etcdserver: request timed out")]
    Timeout,
    /// The same, and the leader was lost meanwhile. A write may still take effect.
    #[error("etcdserver: request timed out, possibly due to previous leader failure")]
    TimeoutLeaderFail,
    /// This member leads nothing and knows no leader.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// Only the leader can hand leadership over.
    #[error("etcdserver: not leader")]
    NotLeader,
    /// The wished leader is no voter of the cluster.
    #[error("etcdserver: bad leader transferee")]
    BadLeaderTransferee,
    /// The member has stopped.
    #[error("etcdserver: server stopped")]
    Stopped,
    /// The database has reached its quota, or the alarm that says so is raised. The request may have taken effect: the
    /// one that is the first not to fit is applied all the same.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// The alarm is raised that members' data differs.
    #[error("etcdserver: corrupt cluster")]
    Corrupt,
    /// Auth refuses it.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The new member's id is a member's.
    #[error("etcdserver: member ID already exist")]
    MemberExists,
    /// Another member has the address.
    #[error("etcdserver: Peer URLs already exists")]
    PeerUrlExists,
    /// Afterwards too few members would have started to decide anything.
    #[error("etcdserver: re-configuration failed due to not enough started members")]
    NotEnoughStarted,
    /// No peer URLs, or something else than URLs.
    #[error("etcdserver: given member URLs are invalid")]
    BadMemberUrls,
    /// No member has the id, or it was removed.
    #[error("etcdserver: member not found")]
    MemberNotFound,
    /// The member votes already.
    #[error("etcdserver: can only promote a learner member")]
    NotLearner,
    /// The learner has less than nine tenths of the leader's log.
    #[error("etcdserver: can only promote a learner member which is in sync with leader")]
    LearnerNotReady,
    /// There is a learner already.
    #[error("etcdserver: too many learner members in cluster")]
    TooManyLearners,
    /// Members that are needed were not heard lately.
    #[error("etcdserver: unhealthy cluster")]
    Unhealthy,
    /// A learner serves nothing but serializable reads.
    #[error("etcdserver: rpc not supported for learner")]
    UnsupportedForLearner,
}

/// gRPC's status codes, as far as [`Error`] uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 2
    Unknown,
    /// 3
    InvalidArgument,
    /// 5
    NotFound,
    /// 7
    PermissionDenied,
    /// 8
    ResourceExhausted,
    /// 9
    FailedPrecondition,
    /// 11
    OutOfRange,
    /// 14
    Unavailable,
    /// 15
    DataLoss,
    /// 16
    Unauthenticated,
}

impl Error {
    /// The gRPC status code that etcd sends with this text.
    pub fn code(&self) -> Code {
        match self {
            Error::EmptyKey
            | Error::KeyNotFound
            | Error::ValueProvided
            | Error::LeaseProvided
            | Error::TooManyOps
            | Error::DuplicateKey
            | Error::RequestTooLarge
            | Error::BadMemberUrls => Code::InvalidArgument,
            Error::TooManyRequests | Error::NoSpace => Code::ResourceExhausted,
            Error::Corrupt => Code::DataLoss,
            Error::Auth(error) => error.code(),
            Error::FutureRevision | Error::Compacted | Error::LeaseTtlTooLarge => Code::OutOfRange,
            Error::LeaseNotFound | Error::MemberNotFound => Code::NotFound,
            Error::ProposalDropped => Code::Unknown,
            Error::NotLeader
            | Error::BadLeaderTransferee
            | Error::LeaseExists
            | Error::MemberExists
            | Error::PeerUrlExists
            | Error::NotEnoughStarted
            | Error::NotLearner
            | Error::LearnerNotReady
            | Error::TooManyLearners => Code::FailedPrecondition,
            Error::LeaderChanged
            | Error::Timeout
            | Error::TimeoutLeaderFail
            | Error::NoLeader
            | Error::Stopped
            | Error::Unhealthy
            | Error::UnsupportedForLearner => Code::Unavailable,
        }
    }

    /// Whether a write that ended so certainly has not taken effect and never will.
    pub fn certainly_not_executed(&self) -> bool {
        !matches!(self, Error::Timeout | Error::TimeoutLeaderFail | Error::Stopped | Error::NoSpace)
    }
}
