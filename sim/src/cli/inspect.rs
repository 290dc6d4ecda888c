//! `seedbed inspect`: what is in etcd's files.
//!
//! The command line's part: arguments in, one [`inspect::Inspection`] out, as text or as JSON. Files are only ever read
//! ([`RealDisk`]).

use super::real_disk::{RealDisk, holder};
use super::terminal;
use super::{BadInput, finish};
use crate::inspect::{self, Asked, Filter, show};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Tell what is in etcd's files: databases, logs, snapshots, or a whole data directory. Never writes
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  seedbed inspect default.etcd                      everything at a glance, and whether it fits together
  seedbed inspect default.etcd --wal --from 100     the log's records from entry 100 on
  seedbed inspect default.etcd --keys /registry     changes of these keys, by revision
  seedbed inspect default.etcd --bucket members
  seedbed inspect snapshot.db --pages               a map of the pages
  seedbed inspect snapshot.db --page 4              one of them
  seedbed inspect default.etcd --hash 100 200       as `etcdctl endpoint hashkv --rev`
  seedbed inspect default.etcd/member/wal --json | jq .log.hard_state

Exit codes:
   0  nothing is wrong with it
   2  it cannot be read, or is none of etcd's
  10  something is wrong with it: see the findings")]
pub(super) struct InspectArgs {
    /// A data directory, its member folder, a database (also one that `etcdctl snapshot save` wrote), a WAL segment, a
    /// Raft snapshot, or a folder of these
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// Changes of keys by revision, of those keys that begin with PREFIX
    #[arg(long, value_name = "PREFIX", num_args = 0..=1, default_missing_value = "")]
    keys: Option<String>,

    /// The pairs of a bucket, decoded where their meaning is known
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,

    /// The free pages
    #[arg(long)]
    freelist: bool,

    /// What each page is used for, as a map and as a list
    #[arg(long)]
    pages: bool,

    /// One page, byte by byte
    #[arg(long, value_name = "N")]
    page: Option<u64>,

    /// HashKV at revisions (without any: at the newest), and Hash, to compare members by
    #[arg(long, value_name = "REV", num_args = 0..)]
    hash: Option<Vec<i64>>,

    /// Check that every page is reached or free, exactly once
    #[arg(long)]
    check: bool,

    /// The log's records: where each stands, and what it holds
    #[arg(long)]
    wal: bool,

    /// Begin a list at this revision or index
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    from: u64,

    /// Rows of a list; 0 for all
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u64,

    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Something is wrong with what was inspected.
const FINDINGS: u8 = 10;

pub(super) fn run(args: &InspectArgs) -> u8 {
    finish(inspect(args))
}

fn inspect(args: &InspectArgs) -> Result<u8, BadInput> {
    let path = args.path.to_str().ok_or("the path is not UTF-8; expected a name that can be told")?;
    let path = if path == "/" { path } else { path.trim_end_matches('/') };
    readable(&args.path)?;
    let asked = Asked {
        wal: args.wal,
        keys: args.keys.clone(),
        bucket: args.bucket.clone(),
        freelist: args.freelist,
        pages: args.pages,
        page: args.page,
        hash: args.hash.clone(),
        check: args.check,
        filter: Filter { from: args.from, limit: args.limit },
    };
    let disk = Rc::new(RealDisk::default());
    let mut seen = inspect::inspect(disk, path, args.path.is_dir(), &asked)?;
    seen.held_by = seen.db_file.as_deref().and_then(holder);
    if args.json {
        terminal::print_json(&seen);
    } else {
        terminal::print(&show::text(&seen, terminal::width()));
    }
    Ok(if seen.findings.is_empty() { 0 } else { FINDINGS })
}

/// Says, in the system's own words, what keeps a path from being read.
fn readable(path: &Path) -> Result<(), BadInput> {
    let bad = |path: &Path, error| BadInput(format!("{}: cannot be read: {error}", path.display()));
    let open = |path: &Path| {
        let mut byte = [0];
        File::open(path).and_then(|mut file| file.read(&mut byte)).map_err(|error| bad(path, error))
    };
    if !path.is_dir() {
        open(path)?;
        return Ok(());
    }
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| bad(&folder, error))? {
            let path = entry.map_err(|error| bad(&folder, error))?.path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.is_file() {
                open(&path)?;
            }
        }
    }
    Ok(())
}
