//! Raft's behaviours, one claim a test, on a small cluster that passes messages deterministically ([`harness`]).

mod bugs;
mod chaos;
mod confchange_table;
mod election;
mod flow;
mod harness;
mod membership;
mod quorum_table;
mod reads;
mod recovery;
mod replication;
mod snapshot;
mod transfer;
