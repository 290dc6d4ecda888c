//! The file as it is written: one struct a table, every key optional, every value with its place.
//!
//! The JSON schema is generated from these structs, so their comments are what an editor shows. Keys that depend on
//! each other (a fault's kind decides which others it takes) are checked in `plan.rs`.

use super::{
    DiskErrorKind, Endpoints, Engine, Family, Fence, FileKind, Freelist, Guard, InFlight, MessageKind, Observation,
    PlotKind, Profile, Revision, Target, Tokens, Tolerance, Unsynced, User, WorkloadKind,
    action::FaultKind,
    at::{At, Whole},
    expect::ExpectShape,
    fault::{Event, OperationKind},
    names::{BugText, Member},
    units::{Count, Ends, SignedTime, Size, Time},
    watching::WatchShape,
};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

type Key<T> = Option<At<T>>;
type Millionths = Whole<0, 1_000_000>;
type Percent = Whole<0, 100>;
type Number = Whole<1, 1_000_000_000>;
type Weight = Whole<0, 1_000_000>;

/// A Seedbed scenario: what happens to a cluster, what its clients do, and what must be seen.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(title = "Seedbed scenario")]
pub(super) struct FileShape {
    /// The scenario's name; the file's name by habit.
    #[schemars(required)]
    pub(super) name: Key<String>,
    /// What happens and why, for a person.
    pub(super) about: Key<String>,
    /// The chapter of the book that it belongs to, such as "04".
    pub(super) chapter: Key<String>,
    /// How long the chaos phase lasts (default 20 s). Healing comes after it.
    pub(super) duration: Key<Time>,
    /// within (default): every check must hold. exceeded: the faults are more than the protocol tolerates, and only
    /// `expect` judges. safety-only: random faults may take the majority away.
    pub(super) tolerance: Key<Tolerance>,
    pub(super) cluster: Option<ClusterShape>,
    /// The clients (default: one workload with all its defaults).
    pub(super) workload: Option<Vec<WorkloadShape>>,
    pub(super) fault: Option<Vec<FaultShape>>,
    pub(super) operation: Option<Vec<OperationShape>>,
    pub(super) network: Option<NetworkShape>,
    pub(super) disk: Option<DiskShape>,
    pub(super) clock: Option<ClockShape>,
    pub(super) cost: Option<CostShape>,
    pub(super) check: Option<CheckShape>,
    pub(super) expect: Option<ExpectShape>,
    pub(super) report: Option<ReportShape>,
    /// Arms: the same scenario with something changed, run side by side.
    pub(super) vary: Option<Vec<VaryShape>>,
    /// What each seed draws for itself: a dotted key of this file, and the values to choose from.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    #[expect(dead_code, reason = "read from the table itself, in arm.rs, where the values keep their places")]
    pub(super) swarm: Option<BTreeMap<String, IgnoredAny>>,
}

/// The members and their settings.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct ClusterShape {
    /// How many members (default 3).
    pub(super) members: Key<Whole<1, 9>>,
    /// The last so many of them are spare machines, which begin as no members and start when they are added (default 0).
    pub(super) spares: Key<Whole<0, 8>>,
    /// The etcd version whose defaults they run (default etcd-3.5).
    pub(super) profile: Key<Profile>,
    /// Heartbeat interval = one Raft tick (default 100 ms).
    pub(super) heartbeat: Key<Time>,
    /// Election timeout (default 1 s), at least two heartbeats.
    pub(super) election: Key<Time>,
    /// PreVote (default: off in etcd-3.4, on in etcd-3.5).
    pub(super) pre_vote: Key<bool>,
    /// CheckQuorum (default true).
    pub(super) check_quorum: Key<bool>,
    /// Applied entries between two snapshots (default 100000).
    pub(super) snapshot_count: Key<Number>,
    /// Entries that stay in the log behind a snapshot (default 5000).
    pub(super) snapshot_catchup: Key<Whole<0, 1_000_000_000>>,
    /// Size at which a WAL segment is cut (default 256 KiB).
    pub(super) wal_segment_bytes: Key<Size>,
    /// What the store keeps its pairs in (default bolt).
    pub(super) engine: Key<Engine>,
    /// How the bolt engine finds free pages (default hashmap).
    pub(super) freelist: Key<Freelist>,
    /// Whether each commit writes the freelist down, instead of making it anew at start (default false).
    pub(super) sync_freelist: Key<bool>,
    /// Gap between two commits of the backend (default 100 ms).
    pub(super) batch_interval: Key<Time>,
    /// Writes after which the backend commits without waiting (default 10000).
    pub(super) batch_limit: Key<Number>,
    /// Records that one slice of a compaction looks at (default 1000).
    pub(super) compaction_batch: Key<Number>,
    /// Pause between two slices of a compaction (default 10 ms).
    pub(super) compaction_pause: Key<Time>,
    /// Records that one slice of an index restore reads (default 10000).
    pub(super) restore_chunk: Key<Number>,
    /// Pages that the bolt engine keeps in memory (default 8 MiB).
    pub(super) backend_cache: Key<Size>,
    /// Largest request that is accepted (default 1.5 MiB).
    pub(super) max_request_bytes: Key<Size>,
    /// How large a database may become before writes are refused (default 2 GiB).
    pub(super) quota: Key<Size>,
    /// How often a leader compares the members' keys, and raises an alarm if they differ (default: never).
    pub(super) corrupt_check: Key<Time>,
    /// Whether a member that starts again compares its keys with the others' before it serves clients (default false).
    pub(super) initial_corrupt_check: Key<bool>,
    /// The leader compacts by itself what is older than this (default: never).
    pub(super) auto_compaction_period: Key<Time>,
    /// The leader compacts by itself, every five minutes, all but so many revisions (default: never).
    pub(super) auto_compaction_revisions: Key<Number>,
    /// Append messages that may be under way to one follower (default 512).
    pub(super) max_inflight: Key<Whole<1, 1_000_000>>,
    /// How often the leader has what is left of long leases written down (default: never).
    pub(super) lease_checkpoint: Key<Time>,
    /// How often watches that want it hear of their progress (default 10 min).
    pub(super) watch_progress_interval: Key<Time>,
    /// Whether users and roles are set up at the start, and auth turned on (default false): `root`, and `u1` to `u3`,
    /// who may read and write the keys of the workloads.
    pub(super) auth: Key<bool>,
    /// What tokens the members give out (default simple).
    pub(super) tokens: Key<Tokens>,
    /// Bugs that are switched on: "name", or "name@n2" in one member.
    pub(super) bugs: Option<Vec<At<BugText>>>,
}

/// A group of clients that do the same thing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct WorkloadShape {
    /// What they do (default kv).
    pub(super) kind: Key<WorkloadKind>,
    /// How many clients (default 5).
    pub(super) clients: Key<Whole<1, 10_000>>,
    /// Requests per second, of all its clients together (default 100).
    pub(super) rate: Key<Whole<1, 1_000_000>>,
    /// How many different keys (default 16).
    pub(super) keys: Key<Whole<1, 1_000_000_000>>,
    /// Size of a value, or the least and the most (default 8 to 64 bytes).
    pub(super) value_bytes: Key<Ends<Size>>,
    pub(super) mix: Key<MixShape>,
    /// When a client gives a request up (default 5 s).
    pub(super) timeout: Key<Time>,
    /// How long the leases that they ask for live (workload leases; default 5 s).
    pub(super) ttl: Key<Time>,
    /// Whether they keep their leases alive for a while (workload leases; default true).
    pub(super) keep_alive: Key<bool>,
    /// Whether each lease has a second holder, who keeps it alive and does not know when it is given back (workload
    /// leases; default false).
    pub(super) shared: Key<bool>,
    /// What their transactions compare (workload transfer; default mod-revisions).
    pub(super) guard: Key<Guard>,
    /// What keeps writes of former holders away (workload locks; default owner).
    pub(super) fence: Key<Fence>,
    /// How long they stand still now and then (workloads locks, elections; default 0).
    pub(super) stall: Key<Ends<Time>>,
    /// How often each of them compacts, or tries to (workload kubernetes; default 5 min).
    pub(super) compact_every: Key<Time>,
    /// Which members they talk to (default all).
    pub(super) endpoints: Key<Endpoints>,
    /// As whom they ask, where the cluster has auth (default root).
    pub(super) user: Key<User>,
    /// When they begin (default 0).
    pub(super) start: Key<Time>,
    /// When they stop (default: at the end).
    pub(super) stop: Key<Time>,
    /// How they watch (watch-all, list-watch, v2-ring, kubernetes).
    pub(super) watch: Option<WatchShape>,
}

/// Weights of the requests; those that are not named are left out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table of weights, such as { put = 1, get = 1 }")]
pub(super) struct MixShape {
    /// Write a key.
    pub(super) put: Option<Weight>,
    /// Linearizable read of a key.
    pub(super) get: Option<Weight>,
    /// Serializable read of a key.
    pub(super) serializable: Option<Weight>,
    /// Delete a key.
    pub(super) delete: Option<Weight>,
    /// Write a key if it has not changed since it was read.
    pub(super) cas: Option<Weight>,
    /// Linearizable read of all keys.
    pub(super) list: Option<Weight>,
    /// Transaction: read a key as it was up to 100 revisions ago, and write another; it fails if that is compacted.
    pub(super) past: Option<Weight>,
}

/// Something that goes wrong: one of `at`, `when` or `every` says when; `kind` (or `random`) says what.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct FaultShape {
    /// Its name, for other faults' conditions and for the story.
    pub(super) name: Key<String>,
    /// What goes wrong.
    pub(super) kind: Key<FaultKind>,
    /// Instead of `kind`: random faults from these families (with `every` and `for`).
    pub(super) random: Key<Vec<Family>>,

    /// When: at a time of the run.
    pub(super) at: Key<Ends<Time>>,
    /// When: once this happens.
    pub(super) when: Key<Event>,
    /// With `when`: at this member.
    pub(super) member: Key<Member>,
    /// With `when = "entry-…"`: the log index to be reached.
    pub(super) index: Key<Number>,
    /// With `when = "fault-…"`: the name of the other fault.
    pub(super) fault: Key<String>,
    /// With `when`: the how-manieth time counts (default 1).
    pub(super) nth: Key<Number>,
    /// With `when`: how long after it (default 0).
    pub(super) after: Key<Ends<Time>>,
    /// When: again and again, with this gap.
    pub(super) every: Key<Ends<Time>>,
    /// With `every`: not before this time.
    pub(super) start: Key<Time>,
    /// With `every`: not after this time.
    pub(super) stop: Key<Time>,

    /// Whom it strikes.
    pub(super) target: Key<Target>,
    /// Whose messages (one-way, loss, delay, bandwidth, drop).
    pub(super) from: Key<Target>,
    /// Messages to whom (one-way, loss, delay, bandwidth, drop).
    pub(super) to: Key<Target>,
    /// How long it lasts (default: until everything is healed). Of a crash: until the restart. Of an fsync-stall: how
    /// long the fsync takes.
    pub(super) r#for: Key<Ends<Time>>,
    /// What becomes of unsynced writes (crash, crash-at-disk-op; default random).
    pub(super) unsynced: Key<Unsynced>,
    /// Bugs after the restart (crash), instead of those before: a version change.
    pub(super) bugs_after: Option<Vec<At<BugText>>>,
    /// Empty the data directory while it is down (crash).
    pub(super) wipe: Key<bool>,
    /// Which disk operation from then on (crash-at-disk-op).
    pub(super) op: Key<Ends<Count>>,
    /// How many times as long work takes (slow-cpu, slow-disk).
    pub(super) factor: Key<Whole<1, 1_000_000>>,
    /// How much it may hold (memory-limit).
    pub(super) bytes: Key<Size>,
    /// The sides of a partition, as lists of members; those not named form one more.
    pub(super) sides: Key<Vec<Vec<At<Member>>>>,
    /// What becomes of messages under way (partition, isolate; default die).
    pub(super) in_flight: Key<InFlight>,
    /// Cut clients off as well (isolate; default false).
    pub(super) clients: Key<bool>,
    /// How many messages of 100 (loss, duplicate, reorder).
    pub(super) percent: Key<Percent>,
    /// By how much (delay, reorder, clock-jump; only the last may be negative).
    pub(super) by: Key<Ends<SignedTime>>,
    /// Bytes per second on each link (bandwidth).
    pub(super) bytes_per_s: Key<Size>,
    /// Which kinds of messages (drop).
    pub(super) messages: Key<Vec<MessageKind>>,
    /// How it fails (disk-error).
    pub(super) error: Key<DiskErrorKind>,
    /// Which kind of file (bit-rot; latent-sector: default wal; disk-error, misdirected-write: default any).
    pub(super) file: Key<FileKind>,
    /// How many bits flip (bit-rot; default 1).
    pub(super) bits: Key<Whole<1, 1_000_000>>,
    /// How much faster, in millionths; slower if negative (clock-rate).
    pub(super) ppm: Key<Whole<-500_000, 500_000>>,
    /// How hard, in percent (random; default 50).
    pub(super) intensity: Key<Percent>,
}

/// Something that an operator does: one of `at`, `when` or `every` says when.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct OperationShape {
    /// What.
    pub(super) kind: Key<OperationKind>,
    /// When: at a time of the run.
    pub(super) at: Key<Ends<Time>>,
    /// When: once this happens.
    pub(super) when: Key<Event>,
    /// With `when`: at this member.
    pub(super) member: Key<Member>,
    /// With `when = "entry-…"`: the log index to be reached.
    pub(super) index: Key<Number>,
    /// With `when = "fault-…"`: the name of a fault.
    pub(super) fault: Key<String>,
    /// With `when`: the how-manieth time counts (default 1).
    pub(super) nth: Key<Number>,
    /// With `when`: how long after it (default 0).
    pub(super) after: Key<Ends<Time>>,
    /// When: again and again, with this gap.
    pub(super) every: Key<Ends<Time>>,
    /// With `every`: not before this time.
    pub(super) start: Key<Time>,
    /// With `every`: not after this time.
    pub(super) stop: Key<Time>,
    /// It joins without a vote (member-add; default false).
    pub(super) learner: Key<bool>,
    /// The new leader (move-leader; default follower).
    pub(super) to: Key<Target>,
    /// Who (snapshot, defrag, read-transaction, member-…; compact, alarm-disarm: who is asked, default leader).
    pub(super) target: Key<Target>,
    /// Up to which revision (compact): "head", "head-100" or a number.
    pub(super) revision: Key<Revision>,
    /// For how long (read-transaction).
    pub(super) r#for: Key<Ends<Time>>,
}

/// The network when nothing is wrong with it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct NetworkShape {
    /// One way between two members (default 0.2 to 1 ms).
    pub(super) latency: Key<Ends<Time>>,
    /// One way between a client and a member (default 0.2 to 1 ms).
    pub(super) client_latency: Key<Ends<Time>>,
    /// Share of messages between members that are lost, in millionths (default 0).
    pub(super) loss_ppm: Key<Millionths>,
    /// Share that arrive twice, in millionths (default 0).
    pub(super) duplicate_ppm: Key<Millionths>,
    /// Share that are held back, in millionths (default 0).
    pub(super) reorder_ppm: Key<Millionths>,
    /// For how long those are held back (default 1 to 10 ms).
    pub(super) reorder_by: Key<Ends<Time>>,
    /// Share whose latency is drawn from `slow` instead, in millionths (default 1000).
    pub(super) slow_ppm: Key<Millionths>,
    /// Latency in the tail (default 1 to 10 ms).
    pub(super) slow: Key<Ends<Time>>,
    /// Bytes per second of one link (default: unlimited).
    pub(super) bandwidth: Key<Size>,
}

/// Every member's disk when nothing is wrong with it.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct DiskShape {
    /// A write into the page cache (default 5 to 30 µs).
    pub(super) write: Key<Ends<Time>>,
    /// An fsync (default 0.3 to 1.5 ms).
    pub(super) fsync: Key<Ends<Time>>,
    /// Share of fsyncs drawn from `slow` instead, in millionths (default 1000).
    pub(super) slow_ppm: Key<Millionths>,
    /// An fsync in the tail (default 2 to 10 ms).
    pub(super) slow: Key<Ends<Time>>,
    /// Size of the disk (default: never full).
    pub(super) size_bytes: Key<Size>,
}

/// How far the members' clocks are from true time.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct ClockShape {
    /// How far a monotonic clock is off its rate, in millionths; each member draws it, and a sign (default 0 to 50).
    pub(super) drift_ppm: Key<Ends<Count>>,
    /// How far a wall clock is off at the start; each member draws it, and a sign (default 0 to 20 ms).
    pub(super) wall_skew: Key<Ends<Time>>,
}

/// What work costs in CPU time.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct CostShape {
    /// Whether work takes simulated time at all (default true).
    pub(super) enabled: Key<bool>,
    /// Any input to a member (default 2 µs).
    pub(super) step: Key<Time>,
    /// A message sent or received (default 3 µs).
    pub(super) message: Key<Time>,
    /// A proposal taken in (default 5 µs).
    pub(super) propose: Key<Time>,
    /// An entry applied (default 8 µs).
    pub(super) apply: Key<Time>,
    /// A key read (default 4 µs).
    pub(super) read: Key<Time>,
    /// A record that a compaction, or a restore of the index, looks at (default 0.5 µs).
    pub(super) per_record: Key<Time>,
    /// Each KiB copied or encoded on the way (default 0.5 µs).
    pub(super) per_kib: Key<Time>,
    /// A password hashed or checked, beside the member's other work (default 60 ms).
    pub(super) bcrypt: Key<Time>,
}

/// Which checks judge the run (default: all), and what they may spend.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct CheckShape {
    /// Operations are linearizable.
    pub(super) linearizable: Key<bool>,
    /// Serializable reads saw some state that the store was in.
    pub(super) serializable: Key<bool>,
    /// Members at the same applied index hold the same data.
    pub(super) members_equal: Key<bool>,
    /// After a crash, the WAL replayed into an empty store gives the member's data.
    pub(super) wal_replay: Key<bool>,
    /// After a restart or a snapshot, a member's store is what the committed entries make of an empty one.
    pub(super) wal_replay_equals_backend: Key<bool>,
    /// Members that compacted to the same revision kept the same records.
    pub(super) compaction_hash: Key<bool>,
    /// At the end every page of every member's database is reachable or free, exactly once.
    pub(super) backend_check: Key<bool>,
    /// No member stops by itself unless a fault of a disk makes it.
    pub(super) member_stopped: Key<bool>,
    /// Every member lets entries and reads through, and refuses them, as the committed log says.
    pub(super) auth: Key<bool>,
    /// Raft's invariants hold after every step.
    pub(super) raft: Key<bool>,
    /// No lease ends before its time is over, and each in the end.
    pub(super) lease: Key<bool>,
    /// After healing there is a leader, and a write through every member.
    pub(super) liveness: Key<bool>,
    /// Watches hear what happened: all of it, once, in order.
    pub(super) watch: Key<bool>,
    /// Who the members are, and who of them votes, follows from the log at every member alike.
    pub(super) membership: Key<bool>,
    /// Steps that a search may take before it gives up undecided (default 20000000).
    pub(super) budget_steps: Key<Whole<1, 1_000_000_000_000>>,
    /// Memory that a search may take before it gives up undecided, in MiB (default 512).
    pub(super) budget_mib: Key<Whole<1, 1_048_576>>,
}

/// What is shown of a run beside its story.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct ReportShape {
    /// The figures that the table of arms shows, by the names that `expect` uses (default: all but the database's).
    pub(super) columns: Key<Vec<Observation>>,
    /// What is drawn: an SVG and a CSV file each, in the folder of `--out`.
    pub(super) plots: Key<Vec<PlotKind>>,
    /// Whose database is drawn (default n1).
    pub(super) member: Key<Member>,
}

/// An arm: the scenario with something changed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct VaryShape {
    /// The arm's name.
    #[schemars(required)]
    pub(super) name: Key<String>,
    /// Dotted keys of this file and their values in this arm: { "cluster.pre_vote" = false, "fault.0.for" = "2s" }.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    #[expect(dead_code, reason = "read from the table itself, in arm.rs, where the values keep their places")]
    pub(super) set: Option<BTreeMap<String, IgnoredAny>>,
    /// Bugs that are switched on in this arm besides the file's.
    pub(super) bugs: Option<Vec<At<BugText>>>,
    /// What this arm must show, instead of the file's `expect`.
    pub(super) expect: Option<ExpectShape>,
}
