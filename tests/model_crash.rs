//! A member over a database file, against the sequential model, with the power going off at any disk operation.
//!
//! Random requests of every kind, commits, snapshots, compactions and defragmentations between them. The power goes off
//! at an operation that is drawn, and the member starts again on what is there. Then it holds every request that was
//! answered, perhaps some of those that were under way, in their order, and nothing else: *at every revision that can be
//! read* it has what the model has, and HashKV is that of a store that never lost its power.
//!
//! What unsynced bytes may become beyond that is the crash explorer's subject (`seedbed crash`); here everything issued
//! before the cut survives.

#[path = "support/requests.rs"]
mod requests;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use requests::{answer, api_request, compare_pasts, request, resolved, told};
use seedbed::api::{RequestId, Response};
use seedbed::apply;
use seedbed::backend::{BoltConfig, EngineConfig, Memory};
use seedbed::bug::{Bug, BugSet};
use seedbed::disk::{Action, DiskDone, Shared};
use seedbed::disk_mem::MemDisk;
use seedbed::lease;
use seedbed::member::{Config, Effects, Input, Member, Peer, TraceEvent};
use seedbed::mvcc::{Store, StoreConfig};
use seedbed::pb::ids;
use seedbed::time::{MILLISECOND, Now};
use seedbed_sim::check::model::{Answer, Request, State};
use std::collections::VecDeque;

/// One thing that happens to a member.
#[derive(Clone, Debug)]
enum Step {
    Request(Request),
    /// So many disk operations are done.
    Done(usize),
    /// So many milliseconds pass.
    Wait(u64),
    Snapshot,
    Defragment,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => request().prop_map(Step::Request),
        8 => (1..8usize).prop_map(Step::Done),
        2 => (1..30u64).prop_map(Step::Wait),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Defragment),
    ]
}

/// Everything is small, so that little data crosses all borders.
fn config(bugs: BugSet) -> Config {
    let peer_urls = vec!["http://n1:2380".to_owned()];
    let peer = Peer { id: ids::member_id(&peer_urls, "crash", None), name: "n1".to_owned(), peer_urls };
    Config {
        engine: EngineConfig::Bolt(BoltConfig { page_size: 512, bugs, ..BoltConfig::default() }),
        batch_interval: 20 * MILLISECOND,
        batch_limit: 6,
        snapshot_count: 12,
        snapshot_catchup: 3,
        wal_segment_bytes: 4_000,
        compaction_batch: 2,
        compaction_pause: MILLISECOND,
        restore_chunk: 2,
        bugs,
        ..Config::new(peer.id, 7, vec![peer])
    }
}

/// A member and its disk, until the power goes off.
struct Life {
    member: Member,
    disk: Shared<MemDisk>,
    now: Now,
    /// Operations that the disk has done, and not told yet.
    out: VecDeque<DiskDone>,
    /// Operations until the power goes off.
    left: usize,
    is_off: bool,
    /// Requests that have a place in the log, with what the model answers to them.
    issued: Vec<(Request, RequestId, Answer)>,
    answered: usize,
    model: State,
}

impl Life {
    fn start(config: Config, disk: MemDisk, now: Now, left: usize) -> Life {
        let (disk, mut fx) = (Shared::new(disk), Effects::default());
        let member = Member::open(config, now, &disk.reader(), &mut fx).expect("a legal image");
        let (issued, model) = (Vec::new(), State::remembering());
        let mut life =
            Life { member, disk, now, out: VecDeque::new(), left, is_off: false, issued, answered: 0, model };
        life.take(fx);
        life
    }

    fn step(&mut self, input: Input) {
        if self.is_off {
            return;
        }
        let mut fx = Effects::default();
        self.member.step(self.now, input, &mut fx);
        assert_eq!(fx.stop, None);
        self.take(fx);
    }

    fn take(&mut self, fx: Effects) {
        for op in fx.disk {
            if self.left == 0 {
                self.is_off = true;
                return;
            }
            self.left -= 1;
            let done = self.disk.get().apply(&op);
            if !matches!(op.action, Action::Write { .. }) {
                self.out.push_back(done);
            }
        }
        for (id, reply) in fx.replies {
            let Some(at) = self.issued.iter().position(|(_, issued, _)| *issued == id) else { continue };
            assert_eq!(at, self.answered, "answers come in the order of the log");
            let (request, _, expected) = &self.issued[at];
            let found = match reply.map(opened) {
                Ok((revision, response)) => told(revision, Ok(response)),
                Err(error) => told(0, Err(error)),
            };
            assert_eq!(found, *expected, "{request:?}");
            self.answered += 1;
        }
    }

    fn done(&mut self, count: usize) {
        for _ in 0..count {
            let Some(done) = self.out.pop_front() else { return };
            self.step(Input::Disk(done));
        }
    }

    fn wait(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now.mono += MILLISECOND;
            self.step(Input::Deadline);
        }
    }

    /// Lets it lead; `false` if the power goes off before.
    fn lead(&mut self) -> bool {
        while !self.member.is_leader() && !self.is_off {
            self.done(usize::MAX);
            self.wait(10);
        }
        self.settle();
        !self.is_off
    }

    fn settle(&mut self) {
        while !self.out.is_empty() && !self.is_off {
            self.done(usize::MAX);
        }
    }

    fn ask(&mut self, request: Request) {
        let request = resolved(request, self.model.revision());
        let Some(asked) = api_request(&request) else { return };
        let id = RequestId(self.issued.len() as u64 + 1);
        if self.is_off {
            return;
        }
        let mut fx = Effects::default();
        self.member.step(self.now, Input::Request(id, Box::new(asked)), &mut fx);
        assert_eq!(fx.stop, None);
        // What is refused at the door is not written down.
        if fx.trace.iter().any(|event| matches!(event, TraceEvent::Proposed { .. })) {
            let (answer, _) = self.model.execute(&request);
            self.issued.push((request, id, answer));
        }
        self.take(fx);
    }
}

/// The revision in a response's header, and the response without it.
fn opened(response: Response) -> (i64, Response) {
    macro_rules! open {
        ($($kind:ident)*) => {
            match response {
                $(Response::$kind(mut response) => {
                    let header = response.header.take().expect("every answer has a header");
                    (header.revision, Response::$kind(response))
                })*
                other => panic!("not an answer to what was asked: {other:?}"),
            }
        };
    }
    open!(Put DeleteRange Txn Compact LeaseGrant LeaseRevoke)
}

/// What so many of the requests make: of a model, and of a state that never loses its power.
fn made_by(issued: &[(Request, RequestId, Answer)]) -> (State, apply::State) {
    let mut model = State::remembering();
    let mut state = apply::State::new(Box::new(Memory::new()), StoreConfig::default(), lease::Config::default());
    for (request, ..) in issued {
        model.execute(request);
        answer(&mut state, request);
    }
    (model, state)
}

/// Whether a store is what the first `count` requests make, at every revision that can be read.
fn is_made_by(store: &Store, issued: &[(Request, RequestId, Answer)]) -> bool {
    let (mut model, state) = made_by(issued);
    if store.revision() != model.revision() || store.compact_revision() != model.compacted().unwrap_or(0) {
        return false;
    }
    compare_pasts(store, &mut model);
    // Of requests that change no key the hashes tell compactions apart.
    (store.compact_revision().max(1)..=store.revision())
        .all(|revision| store.hash_kv(revision) == state.store.hash_kv(revision))
}

fn run(steps: Vec<Step>, cut_after: usize, bugs: BugSet) {
    let mut life = Life::start(config(bugs), MemDisk::new(), Now::default(), cut_after);
    if life.lead() {
        for step in steps {
            match step {
                Step::Request(request) => life.ask(request),
                Step::Done(count) => life.done(count),
                Step::Wait(ms) => life.wait(ms),
                Step::Snapshot => life.step(Input::TakeSnapshot),
                Step::Defragment => {
                    life.step(Input::Request(RequestId(u64::MAX), Box::new(seedbed::api::Request::Defragment)));
                }
            }
        }
    }
    let Life { disk, now, issued, answered, .. } = life;
    let mut again = Life::start(config(bugs), disk.get().clone(), now, usize::MAX);
    assert!(again.lead());
    again.wait(100);
    again.settle();
    let store = again.member.store();
    let found = (answered..=issued.len()).find(|&count| is_made_by(store, &issued[..count]));
    assert!(found.is_some(), "the restarted store is what none of {answered} to {} requests make", issued.len());
}

fn runs() -> impl Strategy<Value = (Vec<Step>, usize)> {
    (prop::collection::vec(step(), 1..60), prop_oneof![1 => 0..60usize, 3 => 0..400usize])
}

fn found_by_random_runs(bug: Bug) -> bool {
    let config =
        ProptestConfig { cases: 1500, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::default());
    let result = TestRunner::new_with_rng(config, random).run(&runs(), |(steps, cut_after)| {
        run(steps, cut_after, BugSet::NONE.with(bug));
        Ok(())
    });
    result.is_err()
}

#[test]
fn random_runs_find_a_restore_that_loses_keys() {
    assert!(found_by_random_runs(Bug::ChunkRestoreClobbers), "etcd #8127 does not show");
}

#[test]
fn random_runs_find_an_index_that_stays_behind() {
    assert!(found_by_random_runs(Bug::FailedApplyNoCi), "etcd #13937 does not show");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restarted_member_has_what_it_answered_at_every_revision((steps, cut_after) in runs()) {
        run(steps, cut_after, BugSet::NONE);
    }
}
