//! Linearizability of etcd's own histories: the witness first, the search only if it fails.
//!
//! The commit order that the world knows is right in every history of a correct store, and verifying it costs a pass.
//! If it fails, that may still be the order's fault: two unanswered deletes, of which one did the work, leave the choice
//! open. So the search has the last word; and what it refutes is explained by the witness, which knows where its
//! order broke. A budget that runs out is an answer of its own, never a pass.

use super::history::History;
use super::violation::Violation;
use super::wgl::{Budget, Found, Spent};
use super::{order, store_search, witness};

/// What is known about a history's linearizability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An order explains what the clients saw.
    Linearizable {
        /// Who found it.
        by: Prover,
    },
    /// No order does.
    NotLinearizable(Violation),
    /// Nobody knows: the search's budget was spent.
    Undecided {
        /// What ran out, and what was suspicious, for a person.
        why: String,
    },
}

/// What proved a history linearizable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prover {
    /// The commit order that the world knows.
    Witness,
    /// The search for any order.
    Search,
}

/// Judges the linearizable operations of a history (serializable reads: [`serializable`](super::serializable)).
pub fn check(history: &History, budget: Budget) -> Verdict {
    if let Some(violation) = order::contradiction(history) {
        return Verdict::NotLinearizable(violation);
    }
    let Err(violation) = witness::check(history) else {
        return Verdict::Linearizable { by: Prover::Witness };
    };
    match store_search::search(history, budget) {
        Found::Linearizable => Verdict::Linearizable { by: Prover::Search },
        Found::NotLinearizable { .. } => Verdict::NotLinearizable(violation),
        Found::Undecided { spent } => {
            let spent = match spent {
                Spent::Steps => "steps",
                Spent::Memory => "memory",
            };
            Verdict::Undecided { why: format!("the search ran out of {spent}; the commit order fails: {violation}") }
        }
    }
}
