//! etcd's own tables of configuration changes, where they are at hand: `confchange.jsonl` in the folder that
//! `SEEDBED_PEERS` names.

use crate::harness::*;
use seedbed::raft::*;
use serde_json::Value;
use std::path::PathBuf;

fn peers() -> PathBuf {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/peers").into();
    std::env::var_os("SEEDBED_PEERS").unwrap_or_else(beside).into()
}

/// `v1`: member 1 votes; `l1`: it learns; `r1`: it is removed; `u1`: it is updated.
fn change(text: &str) -> ConfChange {
    let id = text[1..].parse().unwrap_or_else(|_| panic!("a change such as v1 is expected, found {text}"));
    match &text[..1] {
        "v" => ConfChange::AddVoter(id),
        "l" => ConfChange::AddLearner(id),
        "r" => ConfChange::Remove(id),
        "u" => ConfChange::Update(id),
        other => panic!("a change that this reader does not know: {other}"),
    }
}

fn set(ids: &[NodeId]) -> String {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    format!("({})", ids.join(" "))
}

/// A configuration, and what is known of each member, as the tables write them.
fn written(raft: &Raft) -> Vec<String> {
    let conf = raft.conf();
    let mut line = format!("voters={}", set(&conf.voters));
    if conf.is_joint() {
        line += &format!("&&{}", set(&conf.voters_outgoing));
    }
    if !conf.learners.is_empty() {
        line += &format!(" learners={}", set(&conf.learners));
    }
    if !conf.learners_next.is_empty() {
        line += &format!(" learners_next={}", set(&conf.learners_next));
    }
    if conf.auto_leave {
        line += " autoleave";
    }
    let progress = raft.progress().map(|(id, p)| {
        let state = match p.state {
            ProgressState::Probe => "StateProbe",
            ProgressState::Replicate => "StateReplicate",
            ProgressState::Snapshot { .. } => "StateSnapshot",
        };
        let learner = if p.learner { " learner" } else { "" };
        format!("{id}: {state} match={} next={}{learner}", p.match_index, p.next)
    });
    std::iter::once(line).chain(progress).collect()
}

fn step(raft: &mut Raft, case: &Value) -> Vec<String> {
    let last = case["last_index"].as_u64().expect("the log's last index");
    while raft.last_index() < last {
        let prev = raft.last_index();
        let body = Body::Append {
            prev_index: prev,
            prev_term: u64::from(prev > 0),
            entries: vec![entry(prev + 1, 1)],
            commit: 0,
        };
        raft.step(Message { from: 99, to: 100, term: 1, body });
    }
    let list = case["changes"].as_array().into_iter().flatten();
    let changes: Vec<_> = list.map(|text| change(text.as_str().expect("changes are texts"))).collect();
    let next = match case["cmd"].as_str() {
        Some("simple") => raft.conf().simple(&changes),
        Some("enter-joint") => raft.conf().enter_joint(case["autoleave"] == true, &changes),
        Some("leave-joint") => raft.conf().leave_joint(),
        other => panic!("a command that this reader does not know: {other:?}"),
    };
    match next {
        Err(error) => vec![error.to_string()],
        Ok(conf) => {
            raft.apply_conf_change(conf);
            written(raft)
        }
    }
}

#[test]
fn configurations_and_progress_equal_etcds_tables() {
    let path = peers().join("raft/confchange.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return;
    };
    let mut running: Option<(Value, Raft)> = None;
    let mut cases = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let case: Value = serde_json::from_str(line).unwrap();
        // Each file begins with nobody.
        let raft = match &mut running {
            Some((file, raft)) if *file == case["file"] && case["step"] != 0 => raft,
            _ => &mut running.insert((case["file"].clone(), raft(config(100), &[]))).1,
        };
        let expect: Vec<_> = case["expect"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert_eq!(step(raft, &case), expect, "{case}");
        cases += 1;
    }
    assert!(cases > 0, "{} holds no case", path.display());
}
