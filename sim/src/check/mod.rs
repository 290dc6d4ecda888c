//! The history checkers: does what the clients saw follow from a store that does one thing after another?
//!
//! **What.** A run of the world leaves a [`History`]: who asked what when, and what was answered. Two
//! properties are judged, one a file:
//! - [`linearizable`]: every operation seems to happen at one instant between its call and its return (Herlihy and Wing,
//!   1990; lesson 8). Reads, writes, compare-and-swaps and lists.
//! - [`serializable`]: reads that may be old are at least true, and no member takes back what it showed.
//!
//! **How.** Deciding linearizability is NP-complete in general: public checkers were seen to take 40 GB for one history. But
//! etcd numbers its states, and the world watches them being applied. So the [`witness`] verifies the one order that the
//! numbers give, in O(n log n), a million operations in a fifth of a second; only if that order fails does the search
//! ([`wgl`], led over etcd's own store by [`store_search`]) look for another, under a budget of steps and bytes. The answer
//! has three values; "undecided" never passes for "yes".
//!
//! Below both lie the sequential specification of etcd (`store`) and the commit order (`order`). What is wrong with a
//! history is said by a [`Violation`]: a rule, the operations that show it, a sentence.
//!
//! **Against what.** A checker that cannot fail is worth nothing. Each rule has a wrong history that it must reject; random
//! histories are judged by the witness, by the search and by trying every permutation, which must agree; and the
//! search judges histories that [others recorded](foreign), with verdicts that others found.
//!
//! **Everything else that a client can see.** What a run's clients ask is four kinds of requests; etcd serves more.
//! - [`model`]: the whole of etcd's key space as one sequential machine, with transactions, leases and compactions. It
//!   judges the store itself (`tests/model_store.rs`), histories of others, and small histories of any kind.
//! - [`mod@watch`]: what a watcher is promised, given what truly happened.
//! - [`lease`] and [`lock`]: not too early, not never; one holder, and no write of a former one.
//! - [`auth`]: who was let do what, at any member, is what the committed log says.
//!
//! What truly happened is the committed log, which the world writes down: [`log`] leads the model along it, [`by_log`] judges
//! requests of any kind ([`asked`]) by it, [`mod@watch`] what clients heard on their watches, [`lessor`] the lives of
//! leases while the world runs, [`membership`] who the members are, [`lock`] who held what, and [`informer`] copies of the
//! store.
//!
//! **Left out.** Explanations that are minimal (the operations named show the failure, though fewer others might already
//! force it).
//!
//! Reading order: `history`, `store`, `order`, `witness`, `linearizable`, `wgl`, `store_search`, `serializable`, `foreign`; then
//! `model`, `log`, `asked`, `by_log`, `watch`, `lease`, `lessor`, `lock`,
//! `informer`.

pub mod asked;
pub mod auth;
pub mod backend;
pub mod by_log;
pub mod compaction;
pub mod foreign;
pub mod history;
pub mod informer;
pub mod lease;
pub mod lessor;
pub mod linearizable;
pub mod lock;
pub mod log;
pub mod membership;
pub mod model;
pub mod raft;
pub mod replay;
pub mod serializable;
pub mod state;
pub mod store_search;
pub mod transfer;
pub mod violation;
pub mod watch;
pub mod wgl;
pub mod witness;

mod keys;
mod order;
mod store;

pub use history::{History, Input, Kv, Operation, Outcome, Output};
pub use linearizable::{Prover, Verdict};
pub use violation::{Rule, Violation};
pub use wgl::Budget;

/// A check that failed while the run went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The check's name, as it stands among a run's failed checks.
    pub check: &'static str,
    /// What is wrong, for a person.
    pub text: String,
}

impl Failure {
    pub(crate) fn new(check: &'static str, text: String) -> Failure {
        Failure { check, text }
    }
}
