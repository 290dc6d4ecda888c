//! Jobs: CPU work that takes too long for a step and cannot be cut into slices. Whoever owns the member runs them
//! beside it, one after the other or on as many cores as it likes, and hands the outputs back.

use super::Costs;
use crate::auth;
use crate::time::Nanos;
use bytes::Bytes;

/// A job's number on its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// Something to be computed; answered by one [`Input::JobDone`](super::Input::JobDone), unless the member stops or
/// crashes first.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// What.
    pub work: Work,
}

/// What is to be computed. Depends on nothing else.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Work {
    /// The bcrypt hash of a password.
    HashPassword {
        /// The password.
        password: String,
        /// Makes equal passwords' hashes differ.
        salt: [u8; 16],
        /// 2^cost rounds.
        cost: u32,
    },
    /// Whether a bcrypt hash is of a password.
    VerifyPassword {
        /// The hash.
        hash: Bytes,
        /// The password.
        password: String,
    },
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum JobOutput {
    /// Of [`Work::HashPassword`]: the hash.
    Hash(Bytes),
    /// Of [`Work::VerifyPassword`]: whether it is.
    Verified(bool),
}

impl Work {
    /// CPU time that it takes, by the cost table.
    pub fn cost(&self, costs: &Costs) -> Nanos {
        match self {
            Work::HashPassword { .. } | Work::VerifyPassword { .. } => costs.bcrypt,
        }
    }

    /// Computes it.
    pub fn run(&self) -> JobOutput {
        match self {
            Work::HashPassword { password, salt, cost } => JobOutput::Hash(auth::hash_password(password, *salt, *cost)),
            Work::VerifyPassword { hash, password } => JobOutput::Verified(auth::verify_password(hash, password)),
        }
    }
}

impl std::fmt::Debug for Job {
    /// Without what it works on: a password belongs into no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("id", &self.id).finish_non_exhaustive()
    }
}
