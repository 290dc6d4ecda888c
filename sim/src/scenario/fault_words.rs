//! The words of faults: fates of writes and messages, kinds of messages, errors and files, families.

use super::vocabulary;

vocabulary! {
    /// What becomes of unsynced writes in a crash.
    #[derive(Default)]
    pub enum Unsynced("fate of unsynced writes") {
        /// They are gone.
        Lost = "lost",
        /// They are all there, as after the death of a process whose machine lives on.
        Kept = "kept",
        /// Some of them are there, in any order, the last perhaps torn: a power cut.
        #[default]
        Random = "random",
    }
}

vocabulary! {
    /// What becomes of messages under way when a link is cut.
    #[derive(Default)]
    pub enum InFlight("fate of messages in flight") {
        /// They die with the link.
        #[default]
        Die = "die",
        /// They still arrive.
        Arrive = "arrive",
    }
}

vocabulary! {
    /// Kinds of messages between members.
    pub enum MessageKind("message kind") {
        /// A request for a vote.
        Vote = "vote",
        /// Its answer.
        VoteResp = "vote-resp",
        /// A rehearsed request for a vote.
        PreVote = "pre-vote",
        /// Its answer.
        PreVoteResp = "pre-vote-resp",
        /// Entries.
        Append = "append",
        /// Their acknowledgement or refusal.
        AppendResp = "append-resp",
        /// A heartbeat.
        Heartbeat = "heartbeat",
        /// Its answer.
        HeartbeatResp = "heartbeat-resp",
        /// A snapshot.
        Snapshot = "snapshot",
        /// A read index asked for or given.
        ReadIndex = "read-index",
        /// The leader's order to campaign at once.
        TimeoutNow = "timeout-now",
    }
}

vocabulary! {
    /// How a disk operation fails.
    pub enum DiskErrorKind("disk error") {
        /// The next fsync fails with EIO.
        Eio = "eio",
        /// The next write fails with ENOSPC.
        Enospc = "enospc",
        /// The next fsync fails, and the pages that it should have written are gone.
        FsyncFails = "fsync-fails",
        /// A page of the file (default: of the database) cannot be read until everything is healed.
        Unreadable = "unreadable",
    }
}

vocabulary! {
    /// Which kind of file a disk fault strikes.
    pub enum FileKind("file") {
        /// A segment of the write-ahead log.
        Wal = "wal",
        /// A snapshot file.
        Snap = "snap",
        /// The database.
        Db = "db",
        /// A database that came from a leader as a snapshot.
        SnapDb = "snap-db",
    }
}

vocabulary! {
    /// Families of random faults.
    pub enum Family("fault family") {
        /// Splits of the cluster.
        Partition = "partition",
        /// Crashes with restarts.
        Crash = "crash",
        /// Pauses.
        Pause = "pause",
        /// Slow CPUs.
        SlowCpu = "slow-cpu",
        /// Slow disks.
        SlowDisk = "slow-disk",
        /// Stalled fsyncs.
        FsyncStall = "fsync-stall",
        /// Lost messages.
        Loss = "loss",
        /// Late messages.
        Delay = "delay",
        /// Wrong rates and jumps of clocks.
        Clock = "clock",
        /// Links that are cut in one direction.
        OneWay = "one-way",
        /// Messages that arrive twice.
        Duplicate = "duplicate",
        /// Messages that overtake others.
        Reorder = "reorder",
    }
}
