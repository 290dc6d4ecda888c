//! What entries make, against the sequential model: random requests of every kind, slices of compactions between them, and
//! restarts at any moment. Every answer is the model's, and a restart changes no answer at any revision.

#[path = "support/requests.rs"]
mod requests;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use requests::{answer, compare_pasts, everything, request, resolved};
use seedbed::apply;
use seedbed::backend::Memory;
use seedbed::bug::{Bug, BugSet};
use seedbed::lease;
use seedbed::mvcc::StoreConfig;
use seedbed::pb::etcdserverpb::compare::TargetUnion;
use seedbed::pb::etcdserverpb::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, TxnRequest};
use seedbed_sim::check::model::{Request, State};

/// One thing that happens to a store.
#[derive(Clone, Debug)]
enum Step {
    Request(Request),
    /// Slices of compaction.
    Slices(usize),
    /// A restart; everything was durable.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![8 => request().prop_map(Step::Request), 1 => (1..4usize).prop_map(Step::Slices), 1 => Just(Step::Restart)]
}

/// What the engine holds makes this state.
fn restarted(state: &mut apply::State, config: StoreConfig) -> apply::State {
    let engine = state.store.engine_mut();
    let mut image = engine.begin_image();
    let mut bytes = Vec::new();
    while let Some(chunk) = engine.image_chunk(&mut image, 4096).expect("memory does not fail") {
        bytes.extend(chunk);
    }
    engine.end_image(image);
    let engine = Memory::from_image(&bytes).expect("an engine's image restores");
    apply::State::restore(Box::new(engine), config, lease::Config::default()).expect("a state's own records restore")
}

fn compare_runs(steps: Vec<Step>, bugs: BugSet) {
    // Small chunks and batches, so that little data crosses their borders.
    let config = StoreConfig { restore_chunk: 2, compaction_batch: 2, bugs };
    let mut state = apply::State::new(Box::new(Memory::new()), config, lease::Config::default());
    let mut model = State::remembering();
    for step in steps {
        match step {
            Step::Request(request) => {
                let request = resolved(request, model.revision());
                let (expected, _) = model.execute(&request);
                assert_eq!(answer(&mut state, &request), expected, "{request:?}");
            }
            Step::Slices(slices) => {
                for _ in 0..slices {
                    state.store.compact_slice().expect("memory does not fail");
                }
            }
            Step::Restart => {
                state = restarted(&mut state, config);
                compare_pasts(&state.store, &mut model);
            }
        }
    }
    compare_pasts(&state.store, &mut model);
    state = restarted(&mut state, config);
    compare_pasts(&state.store, &mut model);
}

fn set(key: &str, value: &str) -> Step {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
    Step::Request(Request::Put(PutRequest { key, value, ..PutRequest::default() }))
}

#[test]
fn a_target_without_an_order_sorts_what_the_limit_let_through_and_one_more() {
    let mut steps = vec![set("a", "3"), set("b", "2"), set("c", "1")];
    for sort_target in 0..=4 {
        let sorted = |limit| Step::Request(Request::Range(RangeRequest { limit, sort_target, ..everything(0) }));
        steps.extend((0..4).map(sorted));
    }
    compare_runs(steps, BugSet::NONE);
}

#[test]
fn a_comparison_over_an_interval_in_which_nothing_lives_compares_with_zeros() {
    for (target, union) in [
        (0, TargetUnion::Version(0)),
        (0, TargetUnion::Version(1)),
        (3, TargetUnion::Value(Bytes::new())),
        (4, TargetUnion::Lease(1)),
    ] {
        for range_end in ["", "z", "\0"] {
            let target_union = Some(union.clone());
            let compare =
                vec![Compare { result: 0, target, key: "x".into(), target_union, range_end: range_end.into() }];
            let txn = TxnRequest { compare, ..TxnRequest::default() };
            compare_runs(vec![set("a", "1"), Step::Request(Request::Txn(txn))], BugSet::NONE);
        }
    }
}

/// The newest records, all of them tombstones or buried by one, are removed; the mark that says so is not set yet.
fn tombstones_gone() -> Vec<Step> {
    let delete = DeleteRangeRequest { key: "a".into(), ..DeleteRangeRequest::default() };
    // Of the newest revision 3: see `resolve`.
    let compact = Step::Request(Request::Compact(700));
    vec![set("a", "1"), Step::Request(Request::DeleteRange(delete)), compact, Step::Slices(1), Step::Restart]
}

#[test]
fn a_revision_that_turns_back_is_found() {
    compare_runs(tombstones_gone(), BugSet::NONE);
    let broken = || compare_runs(tombstones_gone(), BugSet::NONE.with(Bug::CompactLosesLatestRev));
    assert!(std::panic::catch_unwind(broken).is_err());
}

#[test]
fn random_runs_find_a_restore_that_loses_keys() {
    let config =
        ProptestConfig { cases: 3000, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::default());
    let found = TestRunner::new_with_rng(config, random).run(&prop::collection::vec(step(), 1..40), |steps| {
        compare_runs(steps, BugSet::NONE.with(Bug::ChunkRestoreClobbers));
        Ok(())
    });
    assert!(found.is_err(), "etcd #8127 does not show");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_answers_as_the_model_does(steps in prop::collection::vec(step(), 1..40)) {
        compare_runs(steps, BugSet::NONE);
    }
}
