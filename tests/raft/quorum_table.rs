//! etcd's own quorum tables, where they are at hand: `quorum.jsonl` in the folder that `SEEDBED_PEERS` names.

use seedbed::raft::NodeId;
use seedbed::raft::quorum::{INFINITE, VoteResult, joint_committed, joint_vote};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn peers() -> PathBuf {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/peers").into();
    std::env::var_os("SEEDBED_PEERS").unwrap_or_else(beside).into()
}

fn ids(case: &Value, key: &str) -> Vec<NodeId> {
    let list = case[key].as_array().into_iter().flatten();
    list.map(|id| id.as_u64().unwrap_or_else(|| panic!("{key}: an id is expected in {case}"))).collect()
}

/// The inputs, one for each voter in order of appearance, by id. `_` says nothing.
fn inputs(case: &Value) -> BTreeMap<NodeId, String> {
    let mut order = Vec::new();
    for id in [ids(case, "cfg"), ids(case, "cfgj")].concat() {
        if !order.contains(&id) {
            order.push(id);
        }
    }
    let given = case["inputs"].as_array().into_iter().flatten();
    let given: Vec<&str> = given.map(|text| text.as_str().expect("inputs are texts")).collect();
    assert_eq!(order.len(), given.len(), "one input a voter: {case}");
    order.into_iter().zip(given).filter(|(_, text)| *text != "_").map(|(id, text)| (id, text.to_owned())).collect()
}

fn sorted(mut ids: Vec<NodeId>) -> Vec<NodeId> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn judge(case: &Value) -> String {
    let (incoming, outgoing) = (sorted(ids(case, "cfg")), sorted(ids(case, "cfgj")));
    let inputs = inputs(case);
    match case["cmd"].as_str() {
        Some("committed") => {
            let acked = |id| inputs.get(&id).map(|text| text.parse().expect("an index"));
            match joint_committed(&incoming, &outgoing, acked) {
                INFINITE => "∞".to_owned(),
                index => index.to_string(),
            }
        }
        Some("vote") => {
            let vote = |id| inputs.get(&id).map(|text| text == "y");
            match joint_vote(&incoming, &outgoing, vote) {
                VoteResult::Pending => "VotePending",
                VoteResult::Lost => "VoteLost",
                VoteResult::Won => "VoteWon",
            }
            .to_owned()
        }
        other => panic!("a command that this reader does not know: {other:?}"),
    }
}

#[test]
fn commit_and_vote_equal_etcds_tables() {
    let path = peers().join("raft/quorum.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return;
    };
    let mut cases = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let case: Value = serde_json::from_str(line).unwrap();
        // The raw text of an empty majority stands in front of its result.
        let expect = case["expect"].as_str().expect("what is expected").trim();
        let expect = expect.strip_prefix("<empty majority quorum>").unwrap_or(expect).trim();
        assert_eq!(judge(&case), expect, "{case}");
        cases += 1;
    }
    assert!(cases > 0, "{} holds no case", path.display());
}
