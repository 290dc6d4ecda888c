//! A fault in words, with its targets and lengths as they came out.

use super::words::{bytes, count, length, lengths, listed};
use crate::scenario::{Action, DiskErrorKind, FileKind, OperationAction, Unsynced};
use crate::world::Resolved;

/// What a fault did. `members` is how many the cluster has.
pub(super) fn fault(action: &Action, resolved: &Resolved, members: u8) -> String {
    let (who, whose) = (names(resolved.members.first(), members), owners(resolved.members.first(), members));
    let for_how_long = resolved.lasting_ns.map(|lasting| format!(" for {}", length(lasting))).unwrap_or_default();
    let path = || path(resolved, members);
    match action {
        Action::Crash { unsynced, bugs_after, wipe, .. } => {
            let mut text = format!("{who} dies; {}", fate(*unsynced));
            if *wipe {
                text += ", and then its whole data directory";
            }
            if let Some(bugs) = bugs_after {
                let bugs: Vec<String> = bugs.iter().map(|bug| bug.info().name.to_owned()).collect();
                text += &match bugs.as_slice() {
                    [] => "; it comes back without any bug".to_owned(),
                    bugs => format!("; it comes back with the bug {}", listed(bugs)),
                };
            }
            text + &back(resolved)
        }
        Action::CrashAtDiskOp { op, .. } => {
            let which = match (op.lo, op.hi) {
                (_, 0..=1) => "its next disk operation".to_owned(),
                (lo, hi) if lo == hi => format!("disk operation {} from now", count(lo)),
                (lo, hi) => format!("one of the disk operations {} to {} from now", count(lo), count(hi)),
            };
            format!("{who} will lose power at {which}{}", back(resolved))
        }
        Action::Pause { .. } => format!("{who} stands still{for_how_long}"),
        Action::SlowCpu { factor, .. } => {
            format!("{whose} CPU is {} times slower{for_how_long}", count(u64::from(*factor)))
        }
        Action::MemoryLimit { bytes: limit, .. } => {
            format!("{who} is killed when it holds more than {}{for_how_long}", bytes(*limit))
        }
        Action::Partition { .. } => {
            let sides: Vec<String> = resolved.members.iter().map(|side| super::words::members(side)).collect();
            format!("the network splits: {}{for_how_long}", sides.join(" | "))
        }
        Action::Isolate { clients, .. } => {
            let clients = if *clients { ", and from clients," } else { "" };
            format!("{who} is cut off from the other members{clients}{for_how_long}")
        }
        Action::OneWay { .. } => format!("nothing gets {} any more{for_how_long}; the way back works", path()),
        Action::Deaf { .. } => format!("{who} hears no other member{for_how_long}, and is heard"),
        Action::Mute { .. } => format!("no other member hears {who}{for_how_long}; it hears them"),
        Action::Loss { percent, .. } => format!("{percent} % of messages {} are lost{for_how_long}", path()),
        Action::Delay { by, .. } => format!("messages {} take {} longer{for_how_long}", path(), lengths(*by)),
        Action::Duplicate { percent, .. } => format!("{percent} % of messages arrive twice{for_how_long}"),
        Action::Reorder { percent, by, .. } => {
            format!("{percent} % of messages are held back by {}{for_how_long}", lengths(*by))
        }
        Action::Bandwidth { bytes_per_s, .. } => {
            format!("links {} carry {} a second{for_how_long}", path(), bytes(*bytes_per_s))
        }
        Action::DropKind { messages, .. } => {
            let kinds: Vec<String> = messages.iter().map(|kind| kind.name().to_owned()).collect();
            format!("{} messages {} are dropped{for_how_long}", listed(&kinds), path())
        }
        Action::Heal => "every fault that still lasts ends".to_owned(),
        Action::FsyncStall { .. } => {
            let took = resolved.lasting_ns.map_or_else(|| "long".to_owned(), length);
            format!("{whose} disk: the next fsync takes {took}")
        }
        Action::SlowDisk { factor, .. } => {
            format!("{whose} disk is {} times slower{for_how_long}", count(u64::from(*factor)))
        }
        Action::DiskError { error, file, .. } => {
            let of = file.map_or_else(String::new, |file| format!(" of {}", file_word(file)));
            match error {
                DiskErrorKind::Eio => format!("{whose} disk: the next fsync{of} fails (EIO)"),
                DiskErrorKind::Enospc => {
                    let to = file.map_or_else(String::new, |file| format!(" to {}", file_word(file)));
                    format!("{whose} disk: the next write{to} finds no room (ENOSPC)")
                }
                DiskErrorKind::Unreadable => {
                    let file = file.unwrap_or(FileKind::Db);
                    format!("{whose} disk: a page of {} cannot be read for the time being", file_word(file))
                }
                DiskErrorKind::FsyncFails => format!("{whose} disk: the next fsync{of} fails, and its pages are gone"),
            }
        }
        Action::LyingFsync { .. } => format!("{whose} disk: fsync says done and does nothing{for_how_long}"),
        Action::BitRot { file, bits, .. } => {
            let flip = if *bits == 1 { "one bit".to_owned() } else { format!("{bits} bits") };
            format!("{whose} disk: {flip} of {} {}", file_word(*file), if *bits == 1 { "flips" } else { "flip" })
        }
        Action::LatentSector { file, .. } => {
            format!("{whose} disk: a sector of {} cannot be read again", file_word(*file))
        }
        Action::MisdirectedWrite { file, .. } => {
            let to = file.map_or_else(String::new, |file| format!(" to {}", file_word(file)));
            format!("{whose} disk: the next write{to} lands at another place of the file")
        }
        Action::DiskFull { .. } => format!("{whose} disk is full{for_how_long}"),
        Action::ClockRate { ppm, .. } => {
            let which = if *ppm < 0 { "slow" } else { "fast" };
            format!("{whose} clock runs {} ppm {which}{for_how_long}", count(u64::from(ppm.unsigned_abs())))
        }
        Action::ClockJump { by, .. } => {
            let which = if *by < 0 { "back" } else { "ahead" };
            format!("{whose} wall clock jumps {} {which}", length(by.unsigned_abs()))
        }
        Action::Nemesis { .. } => "random faults begin".to_owned(),
    }
}

/// What an operator did.
pub(super) fn operation(action: &OperationAction) -> String {
    match action {
        OperationAction::MoveLeader { to } => format!("asks the leader to hand over to {to}"),
        OperationAction::Snapshot { target } => format!("has {target} take a snapshot"),
        OperationAction::Compact { target, revision } => format!("asks {target} to compact up to revision {revision}"),
        OperationAction::AlarmDisarm { target } => format!("has {target} take back every alarm"),
        OperationAction::Defrag { target } => format!("has {target} defragment"),
        OperationAction::ReadTransaction { target, lasting } => {
            format!("reads from {target} for {} without letting go", lengths(*lasting))
        }
    }
}

fn fate(unsynced: Unsynced) -> &'static str {
    match unsynced {
        Unsynced::Lost => "unsynced writes are lost",
        Unsynced::Kept => "its machine lives on and keeps its writes",
        Unsynced::Random => "of its unsynced writes some survive",
    }
}

fn back(resolved: &Resolved) -> String {
    match resolved.lasting_ns {
        Some(lasting) => format!("; back after {}", length(lasting)),
        None => "; gone until everything is healed".to_owned(),
    }
}

/// `from n1 to n2 and n3`, or `between all members`.
fn path(resolved: &Resolved, members: u8) -> String {
    let is_all = |side: Option<&Vec<u8>>| side.is_some_and(|side| side.len() == usize::from(members));
    let (from, to) = (resolved.members.first(), resolved.members.get(1));
    if is_all(from) && is_all(to) {
        return "between all members".to_owned();
    }
    if from == to {
        return format!("between {}", names(from, members));
    }
    format!("from {} to {}", names(from, members), names(to, members))
}

fn names(side: Option<&Vec<u8>>, members: u8) -> String {
    match side {
        Some(side) if members > 1 && side.len() == usize::from(members) => "every member".to_owned(),
        Some(side) => listed(&side.iter().map(|number| format!("n{number}")).collect::<Vec<_>>()),
        None => "nobody".to_owned(),
    }
}

/// `n2's`, `n1's and n3's`, `every member's`.
fn owners(side: Option<&Vec<u8>>, members: u8) -> String {
    match side {
        Some(side) if side.len() < usize::from(members) => {
            listed(&side.iter().map(|number| format!("n{number}'s")).collect::<Vec<_>>())
        }
        side => names(side, members) + "'s",
    }
}

/// A stall or pause begins and ends by itself; so the words of [`fault`] already say when it is over. Of other kinds the
/// end is worth a line of its own only in a full story.
pub(super) fn ended(action: &Action, resolved: Option<&Resolved>, members: u8) -> String {
    let who = resolved.map(|resolved| names(resolved.members.first(), members)).unwrap_or_default();
    format!("{} {} is over", action.kind(), if who.is_empty() { String::new() } else { format!("({who})") })
}

/// A file of this kind.
fn file_word(file: FileKind) -> &'static str {
    match file {
        FileKind::Wal => "a WAL segment",
        FileKind::Snap => "a snapshot",
        FileKind::Db => "its database",
        FileKind::SnapDb => "a received database",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{InFlight, Range64, Target};

    fn resolved(members: Vec<Vec<u8>>, lasting_ns: Option<u64>) -> Resolved {
        Resolved { number: 0, kind: String::new(), known_after: 0, at_ns: 0, lasting_ns, members }
    }

    #[test]
    fn faults_read_as_sentences() {
        let target = Target::Leader;
        let lasting = Range64::exactly(3_000_000_000);
        let stall = Action::FsyncStall { target, lasting };
        let text = fault(&stall, &resolved(vec![vec![2]], Some(3_000_000_000)), 3);
        assert_eq!(text, "n2's disk: the next fsync takes 3 s");
        let loss = Action::Loss { from: Target::Followers, to: Target::Followers, percent: 50, lasting: None };
        let text = fault(&loss, &resolved(vec![vec![1, 3], vec![1, 3]], Some(6_500_000_000)), 3);
        assert_eq!(text, "50 % of messages between n1 and n3 are lost for 6.5 s");
        let split = Action::Partition { sides: vec![], lasting: None, in_flight: InFlight::Die };
        let text = fault(&split, &resolved(vec![vec![1, 2], vec![3]], None), 3);
        assert_eq!(text, "the network splits: n1 n2 | n3");
        let rot = |bits| Action::BitRot { target, file: FileKind::Db, bits };
        let text = fault(&rot(1), &resolved(vec![vec![1]], None), 3);
        assert_eq!(text, "n1's disk: one bit of its database flips");
        let text = fault(&rot(2), &resolved(vec![vec![1]], None), 3);
        assert_eq!(text, "n1's disk: 2 bits of its database flip");
        let pause = Action::Pause { target, lasting: None };
        assert_eq!(fault(&pause, &resolved(vec![vec![1, 2, 3]], None), 3), "every member stands still");
    }
}
