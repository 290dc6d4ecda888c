//! A cluster of Rafts in one queue: each member's Ready is saved to a pretended disk and applied, messages are
//! delivered first in, first out, and what must never happen is written down as a violation.

use bytes::Bytes;
#[cfg(feature = "bugs")]
use seedbed::bug::Bug;
use seedbed::bug::BugSet;
use seedbed::raft::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) const ELECTION_TICKS: u32 = 10;

pub(crate) fn config(id: NodeId) -> Config {
    Config {
        id,
        election_ticks: ELECTION_TICKS,
        heartbeat_ticks: 1,
        pre_vote: false,
        check_quorum: false,
        max_size_per_msg: 512 << 10,
        max_inflight: 512,
        max_uncommitted_bytes: 0,
        seed: id,
        bugs: BugSet::NONE,
    }
}

#[cfg(feature = "bugs")]
pub(crate) fn bugs(bug: Bug) -> BugSet {
    BugSet::NONE.with(bug)
}

pub(crate) fn voters(ids: &[NodeId]) -> ConfState {
    ConfState { voters: ids.to_vec(), ..ConfState::default() }
}

pub(crate) fn with_learners(ids: &[NodeId], learners: &[NodeId]) -> ConfState {
    ConfState { learners: learners.to_vec(), ..voters(ids) }
}

pub(crate) fn entry(index: u64, term: u64) -> Entry {
    Entry { kind: EntryKind::Normal, term, index, data: Bytes::new() }
}

/// A log from the terms of its entries 1, 2, ….
pub(crate) fn entries(terms: &[u64]) -> Vec<Entry> {
    terms.iter().zip(1..).map(|(&term, index)| entry(index, term)).collect()
}

/// A lone Raft whose disk holds a log of these terms.
pub(crate) fn raft_with(config: Config, conf: ConfState, term: u64, terms: &[u64]) -> Raft {
    let hard_state = HardState { term, vote: 0, commit: 0 };
    let snapshot = SnapshotMeta { conf, ..SnapshotMeta::default() };
    Raft::new(config, Recovered { hard_state, snapshot, entries: entries(terms), applied: 0 }).unwrap()
}

pub(crate) fn raft(config: Config, ids: &[NodeId]) -> Raft {
    raft_with(config, voters(ids), 0, &[])
}

/// Takes all Readys of a lone Raft, as an owner with an instant disk, and returns what it sent.
pub(crate) fn flush(raft: &mut Raft) -> Vec<Message> {
    let mut sent = Vec::new();
    while raft.has_ready() {
        let ready = raft.ready();
        sent.extend(ready.messages);
        sent.extend(ready.messages_after_save);
        raft.advance();
        if let Some(last) = ready.committed.last() {
            raft.applied_to(last.index);
        }
    }
    sent
}

/// What `raft` sends in answer to a message.
pub(crate) fn answer(raft: &mut Raft, from: NodeId, term: u64, body: Body) -> Vec<Message> {
    flush(raft);
    raft.step(Message { from, to: raft.id(), term, body });
    flush(raft)
}

/// Makes a lone Raft the leader of its next term, with the votes of `from`.
pub(crate) fn lead(raft: &mut Raft, from: &[NodeId]) {
    raft.campaign();
    flush(raft);
    let term = raft.term();
    for &id in from {
        raft.step(Message { from: id, to: raft.id(), term, body: Body::VoteResp { pre: false, reject: false } });
    }
    assert_eq!(raft.role(), Role::Leader);
}

pub(crate) fn append(prev_index: u64, prev_term: u64, entries: Vec<Entry>, commit: u64) -> Body {
    Body::Append { prev_index, prev_term, entries, commit }
}

pub(crate) fn accepted(index: u64) -> Body {
    Body::AppendResp { index, reject: None }
}

pub(crate) fn vote(last_index: u64, last_term: u64) -> Body {
    Body::Vote { pre: false, transfer: false, last_index, last_term }
}

pub(crate) fn pre_vote(last_index: u64, last_term: u64) -> Body {
    Body::Vote { pre: true, transfer: false, last_index, last_term }
}

pub(crate) fn events(raft: &mut Raft) -> Vec<RaftEvent> {
    let mut events = Vec::new();
    raft.take_events(&mut events);
    events
}

/// What survives a crash.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    pub(crate) hard_state: HardState,
    pub(crate) snapshot: SnapshotMeta,
    pub(crate) entries: Vec<Entry>,
}

impl Disk {
    fn save(&mut self, ready: &Ready) {
        if let Some(snapshot) = &ready.snapshot {
            self.snapshot = snapshot.meta.clone();
            self.entries.clear();
        }
        if let Some(first) = ready.entries.first() {
            self.entries.retain(|e| e.index < first.index);
            self.entries.extend(ready.entries.iter().cloned());
        }
        if let Some(hard_state) = ready.hard_state {
            self.hard_state = hard_state;
        }
    }
}

pub(crate) struct Node {
    pub(crate) raft: Raft,
    pub(crate) disk: Disk,
    /// Applied since the last start, from the snapshot on.
    pub(crate) applied: Vec<Entry>,
    pub(crate) reads: Vec<ReadState>,
    pub(crate) events: Vec<RaftEvent>,
    saving: Option<Ready>,
}

impl Node {
    /// The data of the applied entries that carry any.
    pub(crate) fn data(&self) -> Vec<&str> {
        let normal = self.applied.iter().filter(|e| e.kind == EntryKind::Normal && !e.data.is_empty());
        normal.map(|e| std::str::from_utf8(&e.data).unwrap()).collect()
    }
}

/// Whether the network loses a message.
type Rule = Box<dyn Fn(&Message) -> bool>;

pub(crate) struct Cluster {
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    pub(crate) queue: VecDeque<Message>,
    /// Pairs of sender and receiver that cannot talk.
    pub(crate) cut: BTreeSet<(NodeId, NodeId)>,
    pub(crate) drop_if: Option<Rule>,
    pub(crate) violations: Vec<String>,
    leaders: BTreeMap<u64, NodeId>,
    history: BTreeMap<u64, Entry>,
}

impl Cluster {
    pub(crate) fn new(n: u64) -> Cluster {
        Cluster::with(n, |config| config)
    }

    /// `n` voters with ids 1..=n and the given settings.
    pub(crate) fn with(n: u64, set: impl Fn(Config) -> Config) -> Cluster {
        let ids: Vec<NodeId> = (1..=n).collect();
        let mut cluster = Cluster::empty();
        for &id in &ids {
            cluster.add(set(config(id)), voters(&ids));
        }
        cluster
    }

    /// With PreVote and CheckQuorum, as etcd 3.5 runs.
    pub(crate) fn modern(n: u64) -> Cluster {
        Cluster::with(n, |config| Config { pre_vote: true, check_quorum: true, ..config })
    }

    pub(crate) fn empty() -> Cluster {
        Cluster {
            nodes: BTreeMap::new(),
            queue: VecDeque::new(),
            cut: BTreeSet::new(),
            drop_if: None,
            violations: Vec::new(),
            leaders: BTreeMap::new(),
            history: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, config: Config, conf: ConfState) {
        let snapshot = SnapshotMeta { conf, ..SnapshotMeta::default() };
        self.start(config, Disk { snapshot, ..Disk::default() });
    }

    /// Adds a member whose disk holds a log of these terms.
    pub(crate) fn add_with_log(&mut self, config: Config, conf: ConfState, term: u64, terms: &[u64]) {
        let snapshot = SnapshotMeta { conf, ..SnapshotMeta::default() };
        let hard_state = HardState { term, vote: 0, commit: 0 };
        self.start(config, Disk { snapshot, hard_state, entries: entries(terms) });
    }

    pub(crate) fn start(&mut self, config: Config, disk: Disk) {
        let recovered = Recovered {
            hard_state: disk.hard_state,
            snapshot: disk.snapshot.clone(),
            entries: disk.entries.clone(),
            applied: disk.snapshot.index,
        };
        let mut raft = Raft::new(config, recovered).unwrap();
        raft.set_snapshot(disk.snapshot.clone());
        let node = Node { raft, disk, applied: vec![], reads: vec![], events: vec![], saving: None };
        self.nodes.insert(config.id, node);
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[&id]
    }

    pub(crate) fn raft(&mut self, id: NodeId) -> &mut Raft {
        &mut self.nodes.get_mut(&id).unwrap().raft
    }

    pub(crate) fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// Crashes a member: what its disk was not told is lost.
    pub(crate) fn crash_and_restart(&mut self, id: NodeId) {
        let node = self.nodes.remove(&id).unwrap();
        let config = Config { seed: node.raft.config().seed + 100, ..*node.raft.config() };
        self.start(config, node.disk);
    }

    // ── The Ready loop, in two halves ────────────────────────────────────────────────────────────────────────────

    /// Takes a Ready: sends what may go at once, applies, and begins to save.
    pub(crate) fn begin(&mut self, id: NodeId) -> bool {
        let node = self.nodes.get_mut(&id).unwrap();
        node.raft.take_events(&mut node.events);
        if !node.raft.has_ready() {
            return false;
        }
        let mut ready = node.raft.ready();
        self.queue.extend(ready.messages.drain(..));
        if ready.snapshot.is_some() {
            node.applied.clear();
        }
        node.reads.append(&mut ready.reads);
        node.saving = Some(ready);
        let committed = self.nodes[&id].saving.as_ref().unwrap().committed.clone();
        for entry in committed {
            self.apply(id, entry);
        }
        let node = self.nodes.get_mut(&id).unwrap();
        node.raft.take_events(&mut node.events);
        let (role, term) = (node.raft.role(), node.raft.term());
        if role == Role::Leader && self.leaders.get(&term) != Some(&id) {
            self.check_new_leader(id, term);
        }
        true
    }

    fn check_new_leader(&mut self, id: NodeId, term: u64) {
        if let Some(other) = self.leaders.insert(term, id) {
            self.violations.push(format!("election safety: {other} and {id} lead term {term}"));
        }
        let log = self.nodes[&id].raft.log();
        for (&index, entry) in self.history.range(log.first_index()..) {
            if log.term_of(index) != Some(entry.term) {
                self.violations.push(format!("leader completeness: {id} leads term {term} without {entry:?}"));
            }
        }
    }

    /// The save is done.
    pub(crate) fn finish(&mut self, id: NodeId) -> bool {
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(ready) = node.saving.take() else { return false };
        node.disk.save(&ready);
        self.queue.extend(ready.messages_after_save);
        node.raft.advance();
        if let Some(snapshot) = ready.snapshot {
            node.raft.applied_to(snapshot.meta.index);
        }
        true
    }

    fn apply(&mut self, id: NodeId, entry: Entry) {
        let known = self.history.entry(entry.index).or_insert_with(|| entry.clone());
        if *known != entry {
            self.violations.push(format!("state machine safety: {id} applies {entry:?}, another applied {known:?}"));
        }
        let node = self.nodes.get_mut(&id).unwrap();
        if entry.kind != EntryKind::Normal {
            let conf = decode_conf(&entry.data).unwrap_or_else(|| leave_joint(node.raft.conf()));
            node.raft.apply_conf_change(conf);
        }
        node.raft.applied_to(entry.index);
        node.applied.push(entry);
    }

    /// Turns one member's crank until it has nothing to do.
    pub(crate) fn pump(&mut self, id: NodeId) {
        while self.begin(id) {
            self.finish(id);
        }
    }

    pub(crate) fn deliver(&mut self, m: Message) {
        let lost = self.cut.contains(&(m.from, m.to)) || self.drop_if.as_ref().is_some_and(|rule| rule(&m));
        if !lost && let Some(node) = self.nodes.get_mut(&m.to) {
            node.raft.step(m);
        }
    }

    /// Delivers everything until nothing moves.
    pub(crate) fn settle(&mut self) {
        loop {
            for id in self.ids() {
                self.pump(id);
            }
            let Some(m) = self.queue.pop_front() else { return };
            self.deliver(m);
        }
    }

    // ── What a test tells ────────────────────────────────────────────────────────────────────────────────────────

    pub(crate) fn elect(&mut self, id: NodeId) {
        self.raft(id).campaign();
        self.settle();
    }

    pub(crate) fn propose(&mut self, id: NodeId, data: &str) {
        self.raft(id).propose(EntryKind::Normal, Bytes::copy_from_slice(data.as_bytes())).unwrap();
        self.settle();
    }

    pub(crate) fn propose_conf(&mut self, id: NodeId, conf: &ConfState) {
        self.raft(id).propose(EntryKind::ConfChangeV2, encode_conf(conf)).unwrap();
        self.settle();
    }

    pub(crate) fn read(&mut self, id: NodeId, ctx: u64) {
        self.raft(id).read_index(ctx);
        self.settle();
    }

    pub(crate) fn tick(&mut self, id: NodeId, n: u32) {
        for _ in 0..n {
            self.raft(id).tick();
            self.settle();
        }
    }

    pub(crate) fn tick_all(&mut self, n: u32) {
        for _ in 0..n {
            for id in self.ids() {
                self.raft(id).tick();
            }
            self.settle();
        }
    }

    pub(crate) fn isolate(&mut self, id: NodeId) {
        for other in self.ids() {
            self.cut.extend([(id, other), (other, id)]);
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.drop_if = None;
    }

    pub(crate) fn role(&self, id: NodeId) -> Role {
        self.nodes[&id].raft.role()
    }

    pub(crate) fn roles(&self) -> Vec<Role> {
        self.nodes.values().map(|n| n.raft.role()).collect()
    }

    pub(crate) fn terms(&self) -> Vec<u64> {
        self.nodes.values().map(|n| n.raft.term()).collect()
    }

    pub(crate) fn commits(&self) -> Vec<u64> {
        self.nodes.values().map(|n| n.raft.commit()).collect()
    }

    /// The leader of the highest term.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let leaders = self.nodes.values().filter(|n| n.raft.role() == Role::Leader);
        leaders.max_by_key(|n| n.raft.term()).map(|n| n.raft.id())
    }

    pub(crate) fn log_terms(&self, id: NodeId) -> Vec<u64> {
        let log = self.nodes[&id].raft.log();
        (log.first_index()..=log.last_index()).map(|i| log.term_of(i).unwrap()).collect()
    }

    /// Compacts a member's log up to its applied index, as after a snapshot.
    pub(crate) fn compact(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        let (index, conf) = (node.raft.applied(), node.raft.conf().clone());
        // A snapshot that is being received supersedes what is applied.
        let Some(term) = node.raft.log().term_of(index).filter(|_| index > node.disk.snapshot.index) else { return };
        let meta = SnapshotMeta { index, term, conf };
        node.raft.set_snapshot(meta.clone());
        node.raft.compact(index);
        node.disk.entries.retain(|e| e.index > index);
        node.disk.snapshot = meta;
        node.disk.hard_state.commit = node.disk.hard_state.commit.max(index);
    }

    pub(crate) fn assert_safe(&self) {
        assert!(self.violations.is_empty(), "{:#?}", self.violations);
    }
}

/// A configuration as an entry's data, for these tests only: four lists of ids and a flag.
pub(crate) fn encode_conf(conf: &ConfState) -> Bytes {
    let list = |ids: &[NodeId]| ids.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
    let lists = [&conf.voters, &conf.learners, &conf.voters_outgoing, &conf.learners_next].map(|ids| list(ids));
    Bytes::from(format!("{};{}", lists.join(";"), conf.auto_leave))
}

fn decode_conf(data: &[u8]) -> Option<ConfState> {
    let text = std::str::from_utf8(data).ok().filter(|t| !t.is_empty())?;
    let parts: Vec<&str> = text.split(';').collect();
    let list = |at: usize| parts[at].split_whitespace().map(|id| id.parse().unwrap()).collect();
    Some(ConfState {
        voters: list(0),
        learners: list(1),
        voters_outgoing: list(2),
        learners_next: list(3),
        auto_leave: parts[4] == "true",
    })
}

fn leave_joint(conf: &ConfState) -> ConfState {
    let learners = [&conf.learners[..], &conf.learners_next].concat();
    ConfState { voters: conf.voters.clone(), learners, ..ConfState::default() }
}
