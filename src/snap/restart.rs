//! Whether log, snapshot file and database are one member's state.
//!
//! Each is made durable at its own moment: the log at every save, the database every 100 ms, the snapshot file every
//! 100,000 entries. After a crash they may therefore differ, but only so:
//!
//! ```text
//!   entries       1 ············· s ················ c ··········· n
//!   .snap         ═══════════════╡ s: its index
//!   database      ═══════════════╪══════════════════╡ c: its consistent index, anywhere from s to n
//!   log                          ╞════════════════════════════════╡ from after s to its last index n
//! ```
//!
//! - `c < s`: a snapshot came from a leader, and the crash came before its database took the own one's place. It lies
//!   there as `.snap.db` and does so now. If it is not there, the entries between are nowhere.
//! - `c > n`: entries that were applied are gone from the log. The member voted for them; to go on would give their
//!   indexes to other entries, which the database would then skip as applied.
//! - no log at all, but a snapshot file or an applied entry: the votes are gone.
//!
//! The last two must not start, since others count on what is lost: [`Misfit`] says which file, what was expected of
//! it, and what an operator can do. (That the log begins after `s` and is whole up to its commit index, `crate::wal` and
//! `crate::raft` see to.)

use super::db;
use crate::disk::{DiskRead, FileName};

/// What a restart found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The log's last index (that of a snapshot beyond its entries counts); `None` if there is no log.
    pub log_last: Option<u64>,
    /// Index of the newest good snapshot file that the log knows.
    pub snapshot: Option<u64>,
    /// Consistent index of the database; `None` if there is no database file.
    pub database: Option<u64>,
}

/// Which state the log's entries are applied to. (Those up to its consistent index are passed over.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// An empty one: the log reaches back to the first entry, or there is nothing at all.
    Empty,
    /// The member's own database.
    Database,
    /// The database received from a leader: it must first take the place of the own one, durably.
    Received {
        /// Its file.
        file: FileName,
        /// Its snapshot's index.
        index: u64,
    },
}

/// Files that do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The log is gone.
    #[error(
        "{log}: expected the log of a member that has come to entry {index} (see {witness}), found no segment; its votes \
         are lost with it: bring the log back, or remove this member from the cluster, empty its directory and add it anew"
    )]
    NoLog {
        /// The log's directory.
        log: FileName,
        /// Another file of the member, which shows that it had a log.
        witness: FileName,
        /// How far the member had come.
        index: u64,
    },
    /// The database is older than the snapshot that the log begins with, or absent.
    #[error(
        "{database}: expected a database at entry {index} or later, where the log begins, found {}, and no {received} to \
         replace it; bring one of the two back, or remove this member from the cluster, empty its directory and add it anew",
        at(.found)
    )]
    Behind {
        /// The database's file.
        database: FileName,
        /// The received one's.
        received: FileName,
        /// The snapshot's index.
        index: u64,
        /// The database's consistent index; `None` if there is none.
        found: Option<u64>,
    },
    /// The database has applied entries that the log does not hold.
    #[error(
        "{database}: expected a database at entry {last} or earlier, where the log in {log} ends, found one at {found}: the \
         log has lost entries that this member promised to hold. Bring the log back, or remove this member from the \
         cluster, empty its directory and add it anew; if it was the only member, make a new cluster of the database \
         (etcdctl snapshot restore --skip-hash-check)"
    )]
    Ahead {
        /// The database's file.
        database: FileName,
        /// The log's directory.
        log: FileName,
        /// The log's last index.
        last: u64,
        /// The database's consistent index.
        found: u64,
    },
}

fn at(consistent_index: &Option<u64>) -> String {
    consistent_index.map_or_else(|| String::from("none"), |index| format!("one at {index}"))
}

/// Decides from which state a member goes on. `database` and `log` are the paths of the database and of the log's
/// directory.
pub fn fit(disk: &dyn DiskRead, database: &FileName, log: &FileName, found: Found) -> Result<Start, Misfit> {
    let Some(last) = found.log_last else {
        return match witness(disk, database, found) {
            Some((witness, index)) => Err(Misfit::NoLog { log: log.clone(), witness, index }),
            // Making the database came before making the log, and then the crash.
            None if found.database.is_some() => Ok(Start::Database),
            None => Ok(Start::Empty),
        };
    };
    let index = found.snapshot.unwrap_or(0);
    match found.database {
        Some(found) if found > last => Err(Misfit::Ahead { database: database.clone(), log: log.clone(), last, found }),
        Some(applied) if applied >= index => Ok(Start::Database),
        None if index == 0 => Ok(Start::Empty),
        found => match db::find(disk, index) {
            Some(file) => Ok(Start::Received { file, index }),
            None => {
                let (database, received) = (database.clone(), db::file_name(index));
                Err(Misfit::Behind { database, received, index, found })
            }
        },
    }
}

/// Something that a member without a log cannot have.
fn witness(disk: &dyn DiskRead, database: &FileName, found: Found) -> Option<(FileName, u64)> {
    match found.database {
        Some(index) if index > 0 => Some((database.clone(), index)),
        _ => super::file::list(disk).into_iter().find_map(|file| Some((file.clone(), super::file::index_of(&file)?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk_mem::MemDisk;

    fn fits(
        files: &[&str],
        log_last: Option<u64>,
        snapshot: Option<u64>,
        database: Option<u64>,
    ) -> Result<Start, Misfit> {
        let mut disk = MemDisk::new();
        files.iter().for_each(|file| disk.insert(&format!("member/snap/{file}"), vec![1]));
        fit(&disk, &"member/snap/db".into(), &"member/wal".into(), Found { log_last, snapshot, database })
    }

    const SNAP: &str = "0000000000000001-0000000000000009.snap";
    const RECEIVED: &str = "0000000000000009.snap.db";

    #[test]
    fn what_crashes_leave_fits() {
        assert_eq!(fits(&[], None, None, None), Ok(Start::Empty));
        assert_eq!(fits(&[], None, None, Some(0)), Ok(Start::Database));
        assert_eq!(fits(&[], Some(5), None, None), Ok(Start::Empty));
        assert_eq!(fits(&[], Some(5), None, Some(5)), Ok(Start::Database));
        assert_eq!(fits(&[SNAP], Some(12), Some(9), Some(9)), Ok(Start::Database));
        let received = Start::Received { file: db::file_name(9), index: 9 };
        assert_eq!(fits(&[SNAP, RECEIVED], Some(9), Some(9), Some(3)), Ok(received.clone()));
        assert_eq!(fits(&[SNAP, RECEIVED], Some(9), Some(9), None), Ok(received));
        assert_eq!(fits(&[SNAP, RECEIVED], Some(9), Some(9), Some(9)), Ok(Start::Database), "it has taken its place");
    }

    #[test]
    fn what_none_leaves_is_refused_by_name() {
        let text = |result: Result<Start, Misfit>| result.unwrap_err().to_string();
        let behind = text(fits(&[SNAP, "0000000000000008.snap.db"], Some(12), Some(9), Some(3)));
        assert!(behind.starts_with("member/snap/db: expected a database at entry 9 or later"), "{behind}");
        assert!(behind.contains("found one at 3, and no member/snap/0000000000000009.snap.db"), "{behind}");
        assert!(text(fits(&[SNAP], Some(12), Some(9), None)).contains("found none, and no"));
        let ahead = text(fits(&[SNAP], Some(12), Some(9), Some(13)));
        assert!(ahead.contains("at entry 12 or earlier") && ahead.contains("found one at 13"), "{ahead}");
        let lost = text(fits(&[], None, None, Some(4)));
        assert!(lost.starts_with("member/wal: expected the log of a member that has come to entry 4"), "{lost}");
        assert!(text(fits(&[SNAP], None, None, Some(0))).contains("entry 9 (see member/snap/0000000000000001-"));
    }
}
