//! `[network]`, `[disk]`, `[clock]`, `[cost]`, `[check]`: the world when nothing is wrong with it, and its judges.
//!
//! A share "in ppm" is a probability in millionths.

use super::{
    Range64,
    units::{MICROSECOND, MILLISECOND},
};

/// `[network]`: every link, each direction by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// One way between two members, in nanoseconds.
    pub latency: Range64,
    /// One way between a client and a member, in nanoseconds.
    pub client_latency: Range64,
    /// Share of messages between members that are lost, in ppm.
    pub loss_ppm: u32,
    /// Share that arrive twice, in ppm.
    pub duplicate_ppm: u32,
    /// Share that are held back so that later ones overtake them, in ppm.
    pub reorder_ppm: u32,
    /// For how long those are held back, in nanoseconds.
    pub reorder_by: Range64,
    /// Share of messages whose latency is drawn from `slow` instead: the tail, in ppm.
    pub slow_ppm: u32,
    /// Latency in the tail, in nanoseconds.
    pub slow: Range64,
    /// Bytes per second of one link; `None`: unlimited.
    pub bandwidth: Option<u64>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Range64::new(200 * MICROSECOND, MILLISECOND),
            client_latency: Range64::new(200 * MICROSECOND, MILLISECOND),
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            reorder_by: Range64::new(MILLISECOND, 10 * MILLISECOND),
            slow_ppm: 1_000,
            slow: Range64::new(MILLISECOND, 10 * MILLISECOND),
            bandwidth: None,
        }
    }
}

/// `[disk]`: every member's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// A write into the page cache, in nanoseconds.
    pub write: Range64,
    /// An fsync, in nanoseconds.
    pub fsync: Range64,
    /// Share of fsyncs whose time is drawn from `slow` instead: the tail, in ppm.
    pub slow_ppm: u32,
    /// An fsync in the tail, in nanoseconds.
    pub slow: Range64,
    /// Size of the disk in bytes; `None`: never full.
    pub size_bytes: Option<u64>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            write: Range64::new(5 * MICROSECOND, 30 * MICROSECOND),
            fsync: Range64::new(300 * MICROSECOND, 1_500 * MICROSECOND),
            slow_ppm: 1_000,
            slow: Range64::new(2 * MILLISECOND, 10 * MILLISECOND),
            size_bytes: None,
        }
    }
}

/// `[clock]`: how far the members' clocks are from true time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// How far a member's monotonic clock is off its rate, in ppm; each draws from it, and a sign.
    pub drift_ppm: Range64,
    /// How far a member's wall clock is off at the start, in nanoseconds; each draws from it, and a sign.
    pub wall_skew: Range64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { drift_ppm: Range64::new(0, 50), wall_skew: Range64::new(0, 20 * MILLISECOND) }
    }
}

/// `[cost]`: what work costs in CPU time, in nanoseconds each. A slow CPU multiplies all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Whether work takes simulated time at all.
    pub enabled: bool,
    /// Any input to a member: waking its loop.
    pub step: u64,
    /// A message encoded and sent, or received and decoded.
    pub message: u64,
    /// A proposal taken in.
    pub propose: u64,
    /// An entry applied.
    pub apply: u64,
    /// A read served, for each key read.
    pub read: u64,
    /// A record that a compaction, or a restore of the index, looks at.
    pub per_record: u64,
    /// Each KiB that is copied or encoded on the way of any of these.
    pub per_kib: u64,
    /// A password hashed or checked, beside the member's other work.
    pub bcrypt: u64,
}

impl Default for Cost {
    fn default() -> Self {
        Self {
            enabled: true,
            step: 2_000,
            message: 3_000,
            propose: 5_000,
            apply: 8_000,
            read: 4_000,
            per_record: 500,
            per_kib: 500,
            bcrypt: 60_000_000,
        }
    }
}

/// `[check]`: which checks judge the run, and what they may spend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Operations are linearizable.
    pub linearizable: bool,
    /// Serializable reads saw some state that the store was in, and none older than the member had already shown them.
    pub serializable: bool,
    /// Members at the same applied index hold the same data.
    pub members_equal: bool,
    /// After a crash, the WAL replayed into an empty store gives the member's data.
    pub wal_replay: bool,
    /// After a restart or a snapshot, a member's store is what the committed entries make of an empty one.
    pub wal_replay_equals_backend: bool,
    /// Members that compacted to the same revision kept the same records.
    pub compaction_hash: bool,
    /// At the end every page of every member's database is reachable or free, exactly once.
    pub backend_check: bool,
    /// No member stops by itself unless a fault of a disk makes it.
    pub member_stopped: bool,
    /// Every member lets entries and reads through, and refuses them, as the committed log says.
    pub auth: bool,
    /// Raft's invariants hold after every step.
    pub raft: bool,
    /// No lease ends before its time is over, by the clock of the leader that counts, and each in the end.
    pub lease: bool,
    /// After healing there is a leader, and a write through every member.
    pub liveness: bool,
    /// Watches hear what happened: all of it, once, in order.
    pub watch: bool,
    /// Who the members are, and who of them votes, follows from the log at every member alike.
    pub membership: bool,
    /// Steps that a search may take before it gives up undecided.
    pub budget_steps: u64,
    /// Memory that a search may take before it gives up undecided, in MiB.
    pub budget_mib: u64,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            linearizable: true,
            serializable: true,
            members_equal: true,
            wal_replay: true,
            wal_replay_equals_backend: true,
            compaction_hash: true,
            backend_check: true,
            member_stopped: true,
            auth: true,
            raft: true,
            lease: true,
            liveness: true,
            watch: true,
            membership: true,
            budget_steps: 20_000_000,
            budget_mib: 512,
        }
    }
}
