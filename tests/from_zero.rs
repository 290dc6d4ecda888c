//! From 0 to 1: a replicated key-value store, made of this project's parts (chapter 18).
//!
//! The parts are an engine (`backend`), a log (`wal`) and Raft (`raft`). What is between them is this file: a [`Node`] that
//! turns the crank, and a [`Cluster`] that carries messages. It is no etcd: it has no revisions, no leases, no watches,
//! no snapshots. It is what is left when all of that is taken away, and it loses nothing that it acknowledged.
//!
//! ```text
//!   put ─▶ raft ─▶ Ready ─┬─ entries ──▶ wal ──▶ disk        first the log …
//!                         ├─ messages ─▶ the others          … then the promises
//!                         └─ committed ▶ engine              … and what a majority holds is applied
//! ```

use bytes::Bytes;
use seedbed::backend::bolt::Bolt;
use seedbed::backend::{BoltConfig, Bucket, Engine, Memory};
use seedbed::bug::BugSet;
use seedbed::disk::{Action, DiskOp, OpSink, Shared};
use seedbed::disk_mem::MemDisk;
use seedbed::pb::walpb;
use seedbed::raft::{
    ConfState, Config, Entry, EntryKind, Message, NodeId, ProposeError, Raft, Recovered, SnapshotMeta,
};
use seedbed::wal::{self, Wal, WalConfig};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The members.
const VOTERS: [NodeId; 3] = [1, 2, 3];

/// Where a node keeps its database.
const DB: &str = "member/snap/db";

/// The key, in the bucket for such marks, that says which entry was applied last.
const APPLIED: &[u8] = b"applied";

/// Which engine a node keeps its pairs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A map, gone with the process.
    Memory,
    /// bbolt's file.
    Bolt,
}

// ── Step 1: an engine ──────────────────────────────────────────────────────────────────────────────────────────────

/// Opens the engine that the disk has, or makes a new one.
fn engine(kind: Kind, disk: &Shared<MemDisk>, next_op: &mut u64) -> Box<dyn Engine> {
    let config = BoltConfig::default();
    match kind {
        Kind::Memory => Box::new(Memory::new()),
        Kind::Bolt if Bolt::exists(disk, DB) => {
            Box::new(Bolt::open(disk.reader(), DB.into(), config).expect("our own file"))
        }
        Kind::Bolt => {
            let mut ops = Vec::new();
            let mut bolt = Bolt::create(disk.reader(), DB.into(), config, &mut OpSink::new(&mut ops, next_op));
            carry_out(&mut bolt, disk, ops, next_op);
            Box::new(bolt)
        }
    }
}

/// Does what an engine asked of its disk, and what it asks for once that is done. (A disk that takes time would report
/// later, and the node would do other things meanwhile: that is what `src/member` is about.)
fn carry_out(engine: &mut dyn Engine, disk: &Shared<MemDisk>, ops: Vec<DiskOp>, next_op: &mut u64) {
    let mut out = VecDeque::from(ops);
    while let Some(op) = out.pop_front() {
        disk.get().apply(&op).result.expect("a perfect disk");
        if !matches!(op.action, Action::Write { .. }) {
            let mut more = Vec::new();
            engine.op_done(op.id, &mut OpSink::new(&mut more, next_op)).expect("a perfect disk");
            out.extend(more);
        }
    }
}

// ── Step 2: a command, as bytes in the log ─────────────────────────────────────────────────────────────────────────

/// `key=value`; a key without a value is deleted.
fn command(key: &str, value: Option<&str>) -> Bytes {
    value.map_or_else(|| key.to_owned(), |value| format!("{key}={value}")).into()
}

// ── Step 3: a node ─────────────────────────────────────────────────────────────────────────────────────────────────

/// A member: Raft, its log, its pairs.
struct Node {
    raft: Raft,
    wal: Wal,
    engine: Box<dyn Engine>,
    disk: Shared<MemDisk>,
    next_op: u64,
    /// Reads that Raft has confirmed, by the number they were asked under: each waits for an index.
    confirmed: BTreeMap<u64, u64>,
}

impl Node {
    /// A node on this disk: a new one, or the one that crashed there.
    fn start(id: NodeId, kind: Kind, disk: Shared<MemDisk>) -> Node {
        let config = Config {
            id,
            election_ticks: 10,
            heartbeat_ticks: 1,
            pre_vote: true,
            check_quorum: true,
            max_size_per_msg: 1 << 20,
            max_inflight: 16,
            max_uncommitted_bytes: 0,
            seed: id,
            bugs: BugSet::NONE,
        };
        let conf = ConfState { voters: VOTERS.to_vec(), ..ConfState::default() };
        let log = WalConfig { dir: "member/wal".into(), segment_bytes: 1 << 16 };
        let (mut ops, mut next_op) = (Vec::new(), 0);
        let engine = engine(kind, &disk, &mut next_op);
        let mut sink = OpSink::new(&mut ops, &mut next_op);
        let (raft, wal) = if wal::exists(&disk, &log).expect("our own log") {
            let start = walpb::Snapshot { index: 0, term: 0 };
            let read = wal::recover(&disk, log, start, &mut sink).expect("our own log");
            let (hard_state, entries) = (read.state, read.entries);
            let snapshot = SnapshotMeta { conf, ..SnapshotMeta::default() };
            let applied = applied(&*engine);
            let recovered = Recovered { hard_state, snapshot, entries, applied };
            (Raft::new(config, recovered).expect("what was promised is there"), read.wal)
        } else {
            let (wal, _) = Wal::create(log, b"from zero", &mut sink);
            (Raft::bootstrap(config, conf, Vec::new()), wal)
        };
        disk.get().apply_all(&mut ops);
        Node { raft, wal, engine, disk, next_op, confirmed: BTreeMap::new() }
    }

    /// Does all that Raft wants done, in the order that keeps it safe. Returns what is to be sent.
    fn crank(&mut self) -> Vec<Message> {
        let mut sent = Vec::new();
        while self.raft.has_ready() {
            let ready = self.raft.ready();
            // An offer promises nothing and may leave at once.
            sent.extend(ready.messages);
            let mut ops = Vec::new();
            let mut sink = OpSink::new(&mut ops, &mut self.next_op);
            self.wal.save(&ready.entries, ready.hard_state.as_ref(), ready.must_sync, &mut sink);
            self.disk.get().apply_all(&mut ops);
            // "I have it" and "you have my vote" are promises: the disk knows them now.
            sent.extend(ready.messages_after_save);
            ready.committed.iter().for_each(|entry| self.apply(entry));
            self.confirmed.extend(ready.reads.iter().map(|read| (read.ctx, read.index)));
            self.raft.advance();
        }
        sent
    }

    /// The change and the mark that it was made: in one transaction, or a crash between them makes it twice.
    fn apply(&mut self, entry: &Entry) {
        self.engine.begin();
        let text = String::from_utf8(entry.data.to_vec()).expect("our own commands");
        let done = match text.split_once('=') {
            Some((key, value)) => self.engine.put(Bucket::Key, key.to_owned().into(), value.to_owned().into()),
            // A leader's first entry says nothing.
            None if text.is_empty() => Ok(()),
            None => self.engine.delete(Bucket::Key, text.as_bytes()),
        };
        let mark = Bytes::copy_from_slice(&entry.index.to_be_bytes());
        done.and_then(|()| self.engine.put(Bucket::Meta, APPLIED.into(), mark)).expect("a sound engine");
        self.engine.commit();
        self.raft.applied_to(entry.index);
    }

    /// Makes durable what was applied. Nobody waits for this: until then the log remembers it.
    fn save_engine(&mut self) {
        let mut ops = Vec::new();
        self.engine.commit_batch(&mut OpSink::new(&mut ops, &mut self.next_op)).expect("a sound engine");
        carry_out(&mut *self.engine, &self.disk, ops, &mut self.next_op);
    }

    /// What this node has, which may be the past.
    fn local(&self, key: &str) -> Option<String> {
        let value = self.engine.get(Bucket::Key, key.as_bytes()).expect("a sound engine");
        value.map(|value| String::from_utf8(value.to_vec()).expect("our own values"))
    }
}

fn applied(engine: &dyn Engine) -> u64 {
    let mark = engine.get(Bucket::Meta, APPLIED).expect("a sound engine");
    mark.map_or(0, |mark| u64::from_be_bytes(mark[..].try_into().expect("eight bytes")))
}

// ── Step 4: a cluster ──────────────────────────────────────────────────────────────────────────────────────────────

/// The nodes that run, the disks of all, and who is cut off.
struct Cluster {
    nodes: BTreeMap<NodeId, Node>,
    disks: BTreeMap<NodeId, (Kind, Shared<MemDisk>)>,
    cut_off: BTreeSet<NodeId>,
    next_read: u64,
}

impl Cluster {
    fn new(kinds: [Kind; 3]) -> Cluster {
        let disks = VOTERS.into_iter().zip(kinds).map(|(id, kind)| (id, (kind, Shared::new(MemDisk::new()))));
        let (disks, nodes) = (disks.collect::<BTreeMap<_, _>>(), BTreeMap::new());
        let mut cluster = Cluster { nodes, disks, cut_off: BTreeSet::new(), next_read: 1 };
        VOTERS.into_iter().for_each(|id| cluster.start(id));
        cluster
    }

    fn start(&mut self, id: NodeId) {
        let (kind, disk) = self.disks[&id].clone();
        self.nodes.insert(id, Node::start(id, kind, disk));
    }

    /// Everything in memory is gone; the disk stays.
    fn crash(&mut self, id: NodeId) {
        self.nodes.remove(&id);
    }

    /// Carries messages until there are none.
    fn settle(&mut self) {
        loop {
            let sent: Vec<Message> = self.nodes.values_mut().flat_map(Node::crank).collect();
            if sent.is_empty() {
                return;
            }
            for message in sent {
                let arrives = [message.from, message.to].iter().all(|id| !self.cut_off.contains(id));
                if let Some(node) = self.nodes.get_mut(&message.to).filter(|_| arrives) {
                    node.raft.step(message);
                }
            }
        }
    }

    /// Time passes: so many heartbeats.
    fn pass(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.nodes.values_mut().for_each(|node| node.raft.tick());
            self.settle();
        }
    }

    /// The leader of the highest term, once there is one.
    fn leader(&mut self) -> NodeId {
        self.pass(40);
        let leads = |node: &&Node| node.raft.leader() == node.raft.id();
        let leader = self.nodes.values().filter(leads).max_by_key(|node| node.raft.term());
        leader.expect("forty ticks are enough").raft.id()
    }

    /// Proposes at a node; `true` once the entry is applied there, which is the acknowledgement.
    fn write(&mut self, at: NodeId, key: &str, value: Option<&str>) -> Result<bool, ProposeError> {
        let node = self.nodes.get_mut(&at).expect("it runs");
        node.raft.propose(EntryKind::Normal, command(key, value))?;
        self.settle();
        // A follower hears of the commit with the next heartbeat.
        self.pass(1);
        Ok(self.nodes[&at].local(key).as_deref() == value)
    }

    /// A linearizable read; `None` if nobody can say what is true.
    fn read(&mut self, at: NodeId, key: &str) -> Option<Option<String>> {
        let ctx = self.next_read;
        self.next_read += 1;
        self.nodes.get_mut(&at).expect("it runs").raft.read_index(ctx);
        self.pass(1);
        let node = &self.nodes[&at];
        let index = *node.confirmed.get(&ctx)?;
        (applied(&*node.engine) >= index).then(|| node.local(key))
    }
}

// ── What it can do ─────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn three_nodes_agree_whoever_is_asked() {
    let mut cluster = Cluster::new([Kind::Memory; 3]);
    cluster.leader();
    for (n, at) in VOTERS.into_iter().enumerate() {
        assert_eq!(cluster.write(at, "k", Some(&n.to_string())), Ok(true));
        VOTERS.into_iter().for_each(|node| assert_eq!(cluster.read(node, "k"), Some(Some(n.to_string()))));
    }
    assert_eq!(cluster.write(1, "k", None), Ok(true));
    assert_eq!(cluster.read(3, "k"), Some(None));
}

#[test]
fn a_minority_acknowledges_nothing_and_knows_that_it_knows_nothing() {
    let mut cluster = Cluster::new([Kind::Memory; 3]);
    let old = cluster.leader();
    assert_eq!(cluster.write(old, "k", Some("before")), Ok(true));
    cluster.cut_off.insert(old);
    assert_eq!(cluster.write(old, "k", Some("in vain")), Ok(false), "it is in one log of three");
    let new = cluster.leader();
    assert_ne!(new, old);
    assert_eq!(cluster.write(new, "k", Some("after")), Ok(true));
    assert_eq!(cluster.nodes[&old].local("k").as_deref(), Some("before"), "a local read shows the past");
    assert_eq!(cluster.read(old, "k"), None, "a linearizable one finds no majority");
    cluster.cut_off.clear();
    cluster.pass(3);
    assert_eq!(cluster.read(old, "k"), Some(Some("after".to_owned())), "what was in vain is overwritten");
}

#[test]
fn a_crash_of_all_loses_nothing_that_was_acknowledged() {
    for kind in [Kind::Memory, Kind::Bolt] {
        let mut cluster = Cluster::new([kind; 3]);
        let leader = cluster.leader();
        assert_eq!(cluster.write(leader, "durable in the engine", Some("1")), Ok(true));
        cluster.nodes.values_mut().for_each(Node::save_engine);
        assert_eq!(cluster.write(leader, "only in the log", Some("2")), Ok(true));
        VOTERS.into_iter().for_each(|id| cluster.crash(id));
        VOTERS.into_iter().for_each(|id| cluster.start(id));
        // The map is empty; the file holds what its last batch held. The log has the rest.
        let found = cluster.nodes[&leader].local("durable in the engine");
        assert_eq!(found.is_some(), kind == Kind::Bolt);
        assert_eq!(cluster.nodes[&leader].local("only in the log"), None);
        let leader = cluster.leader();
        for (key, value) in [("durable in the engine", "1"), ("only in the log", "2")] {
            assert_eq!(cluster.read(leader, key), Some(Some(value.to_owned())), "{kind:?}");
        }
    }
}

#[test]
fn engines_may_differ_from_node_to_node() {
    let mut cluster = Cluster::new([Kind::Memory, Kind::Bolt, Kind::Bolt]);
    cluster.leader();
    for n in 0..200 {
        let key = format!("key {}", n * 7 % 50);
        let value = (n % 3 > 0).then(|| n.to_string());
        assert_eq!(cluster.write(VOTERS[n % 3], &key, value.as_deref()), Ok(true));
    }
    cluster.nodes.values_mut().for_each(Node::save_engine);
    let hashes: BTreeSet<_> = cluster.nodes.values().map(|node| node.engine.hash()).collect();
    assert_eq!(hashes.len(), 1, "the same pairs, whatever they lie in");
}

#[test]
fn a_node_that_was_away_is_brought_up_to_date() {
    let mut cluster = Cluster::new([Kind::Bolt; 3]);
    let leader = cluster.leader();
    let away = VOTERS.into_iter().find(|id| *id != leader).expect("there are three");
    cluster.crash(away);
    for n in 0..100 {
        assert_eq!(cluster.write(leader, "k", Some(&n.to_string())), Ok(true));
    }
    cluster.start(away);
    cluster.pass(3);
    assert_eq!(cluster.nodes[&away].local("k").as_deref(), Some("99"));
}
