//! The database of a member: where it lies, which one a start finds, what stands beside it.
//!
//! A start looks for a store that reaches at least as far as the newest snapshot, because the log begins there; which
//! file that is, `crate::snap::restart` decides. The memory engine has no file; its store is the snapshot file's.

use super::start::StartError;
use super::{Config, Effects, Member, wal_dir};
use crate::apply::State;
use crate::backend::bolt::{Bolt, View};
use crate::backend::{BackendError, Engine, EngineConfig, Memory};
use crate::bug::Bug;
use crate::cluster::{Cluster, v2store};
use crate::disk::{DiskError, DiskRead, FileName, OpId, OpSink};
use crate::raft::Snapshot;
use crate::snap::restart::{self, Found, Start};
use crate::snap::{self, db::SnapDb};
use bytes::Bytes;
use std::rc::Rc;

/// Bytes of a received database that one write carries.
const CHUNK: usize = 32 << 10;

/// The database's path.
pub(super) fn db_file() -> FileName {
    "member/snap/db".into()
}

/// Where a defragmentation makes its copy.
pub(super) fn copy_file() -> FileName {
    format!("{}.tmp", db_file()).into()
}

/// The state of a member that begins, or begins again: `log_last` is its log's last index (`None`: there is no log),
/// `snapshot` the newest snapshot that its log knows.
pub(super) fn state_at_start(
    config: &Config,
    log_last: Option<u64>,
    snapshot: Option<&Snapshot>,
    disk: &Rc<dyn DiskRead>,
    ops: &mut OpSink<'_>,
) -> Result<State, StartError> {
    let EngineConfig::Bolt(bolt) = config.engine else {
        return match snapshot {
            None => Ok(State::new(Box::new(Memory::new()), config.store(), config.lease())),
            Some(snapshot) => from_image(config, snapshot),
        };
    };
    let state = if disk.len(&db_file()).is_ok() { Some(open_state(config, &db_file(), disk)?) } else { None };
    let database = state.as_ref().map(|state| state.store.consistent_index());
    let found = Found { log_last, snapshot: snapshot.map(|snapshot| snapshot.meta.index), database };
    let start = restart::fit(&**disk, &db_file(), &wal_dir(), found)?;
    let needed = if let Start::Received { index, .. } = start { Some(index) } else { None };
    snap::clean(&**disk, needed, ops);
    if !config.bugs.on(Bug::DefragReusesTmp) {
        // Without this, the next defragmentation finds it (etcd #11613).
        remove_copy(&**disk, ops);
    }
    match (start, state) {
        (Start::Database, Some(state)) => Ok(state),
        (Start::Received { file, .. }, _) => {
            let mut state = open_state(config, &file, disk)?;
            ops.rename(&file, &db_file());
            ops.sync_dir(&snap::DIR.into());
            state.store.engine_mut().renamed(db_file());
            Ok(state)
        }
        _ => {
            let engine = Bolt::create(disk.clone(), db_file(), bolt, ops);
            Ok(State::new(Box::new(engine), config.store(), config.lease()))
        }
    }
}

/// Removes the copy that a defragmentation did not finish.
fn remove_copy(disk: &dyn DiskRead, ops: &mut OpSink<'_>) {
    if disk.len(&copy_file()).is_ok() {
        ops.remove(&copy_file());
    }
}

pub(super) fn from_image(config: &Config, snapshot: &Snapshot) -> Result<State, StartError> {
    let broken = |error| StartError::Store { file: snap::file_name(&snapshot.meta), error };
    let engine = Memory::from_image(&snapshot.data).map_err(|error| broken(BackendError::from(error).into()))?;
    State::restore(Box::new(engine), config.store(), config.lease()).map_err(broken)
}

fn open_state(config: &Config, file: &FileName, disk: &Rc<dyn DiskRead>) -> Result<State, StartError> {
    let engine = open_database(config, file, disk)?;
    let broken = |error| StartError::Store { file: file.clone(), error };
    State::restore(engine, config.store(), config.lease()).map_err(broken)
}

/// Opens the database that lies there.
pub(super) fn open_database(
    config: &Config,
    file: &FileName,
    disk: &Rc<dyn DiskRead>,
) -> Result<Box<dyn Engine>, BackendError> {
    match config.engine {
        EngineConfig::Memory => Ok(Box::new(Memory::new())),
        EngineConfig::Bolt(bolt) => Ok(Box::new(Bolt::open(disk.clone(), file.clone(), bolt)?)),
    }
}

impl Member {
    /// What a snapshot file holds of the store: all of it, or, beside a database, what etcd 3.4 keeps outside it.
    pub(super) fn snapshot_data(&mut self, index: u64) -> Result<Bytes, BackendError> {
        if self.config.engine != EngineConfig::Memory {
            return Ok(v2store::encode(self.membership.at(index).1));
        }
        let engine = self.state.store.engine_mut();
        let mut image = engine.begin_image();
        let whole = engine.image_chunk(&mut image, usize::MAX)?;
        engine.end_image(image);
        Ok(whole.unwrap_or_default())
    }

    /// Writes a leader's snapshot under names of its own. Returns what to wait for before it is
    /// [published](Member::publish_received).
    pub(super) fn write_received(&mut self, snapshot: &Snapshot, fx: &mut Effects) -> Result<Vec<OpId>, BackendError> {
        let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
        let EngineConfig::Bolt(_) = self.config.engine else {
            return Ok(snap::write(&snapshot.meta, &snapshot.data, &mut ops));
        };
        let mut received = SnapDb::begin(snapshot.meta.index, &mut ops);
        for from in (0..snapshot.data.len()).step_by(CHUNK) {
            received.chunk(snapshot.data.slice(from..(from + CHUNK).min(snapshot.data.len())), &mut ops);
        }
        let synced = received.sync(&mut ops);
        self.installer.receive(received);
        let mut awaited = snap::write(&snapshot.meta, &cluster_of(&snapshot.data)?, &mut ops);
        awaited.push(synced);
        Ok(awaited)
    }

    /// Gives a received snapshot its names. Returns what to wait for before the WAL may tell of it.
    pub(super) fn publish_received(&mut self, snapshot: &Snapshot, fx: &mut Effects) -> Vec<OpId> {
        let mut ops = OpSink::new(&mut fx.disk, &mut self.next_op);
        let mut awaited = Vec::new();
        if let Some(received) = self.installer.received() {
            if self.config.bugs.on(Bug::SnapdbDeletedEarly) {
                // What is older than the newest goes, whether it was applied or not (etcd #18055).
                snap::db::purge(&*self.disk, received.index(), &mut ops);
            }
            awaited.push(received.publish(&mut ops));
        }
        awaited.extend(snap::publish(&snapshot.meta, &mut ops));
        awaited
    }
}

/// The cluster's records of a database image, as a snapshot file holds them.
///
/// All of the image is looked at: a damaged one is refused while it has no name. Once it had the database's, no start
/// would get past it.
fn cluster_of(image: &Bytes) -> Result<Bytes, BackendError> {
    let view = View::open(Rc::new(Received(image.clone())), db_file())?;
    view.freelist()?;
    view.walk(&mut |_| {})?;
    Ok(v2store::encode(&Cluster::load_view(&view)?))
}

/// A database that has arrived, as a disk with that file; its bytes are shared with the message that brought them.
struct Received(Bytes);

impl DiskRead for Received {
    fn list(&self, _dir: &str) -> Vec<FileName> {
        vec![db_file()]
    }

    fn len(&self, _file: &str) -> Result<u64, DiskError> {
        Ok(self.0.len() as u64)
    }

    fn read(&self, _file: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let from = usize::try_from(offset).map_or(self.0.len(), |offset| offset.min(self.0.len()));
        let n = buf.len().min(self.0.len() - from);
        buf[..n].copy_from_slice(&self.0[from..from + n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{BoltConfig, Bucket};
    use crate::disk::Shared;
    use crate::disk_mem::MemDisk;

    /// A database with a member and with enough keys for a tree, as a leader sends it.
    fn image(config: BoltConfig) -> Bytes {
        let (disk, mut ops, mut id) = (Shared::new(MemDisk::new()), Vec::new(), 0);
        let mut bolt = Bolt::create(disk.reader(), db_file(), config, &mut OpSink::new(&mut ops, &mut id));
        bolt.begin();
        let member = br#"{"id":10,"peerURLs":["http://10.0.0.1:2380"],"name":"n1"}"#;
        bolt.put(Bucket::Members, Bytes::from_static(b"a"), Bytes::from_static(member)).unwrap();
        for n in 0..100u64 {
            bolt.put(Bucket::Key, n.to_be_bytes().to_vec().into(), Bytes::from_static(&[7; 50])).unwrap();
        }
        bolt.commit();
        bolt.commit_batch(&mut OpSink::new(&mut ops, &mut id)).unwrap();
        while !ops.is_empty() {
            for op in std::mem::take(&mut ops) {
                let done = disk.get().apply(&op);
                bolt.op_done(done.id, &mut OpSink::new(&mut ops, &mut id)).unwrap();
            }
        }
        let mut image = bolt.begin_image();
        bolt.image_chunk(&mut image, usize::MAX).unwrap().unwrap()
    }

    #[test]
    fn a_received_image_tells_its_members_and_a_damaged_one_is_refused() {
        for sync_freelist in [false, true] {
            let image = image(BoltConfig { page_size: 512, sync_freelist, ..BoltConfig::default() });
            let cluster = v2store::decode(&cluster_of(&image).unwrap()).unwrap();
            assert_eq!(cluster.members[&10].peer_urls, ["http://10.0.0.1:2380"]);

            assert!(cluster_of(&image.slice(..image.len() - 1)).is_err(), "cut short");
            let view = View::open(Rc::new(Received(image.clone())), db_file()).unwrap();
            let mut pages = Vec::new();
            view.walk(&mut |page| pages.push(page.id)).unwrap();
            assert!(pages.len() > 10, "{pages:?}");
            for page in pages.into_iter().filter(|page| *page > 0) {
                let mut damaged = image.to_vec();
                damaged[page as usize * 512 + 8] ^= 1;
                assert!(cluster_of(&damaged.into()).is_err(), "page {page} says that it is of another kind");
            }
        }
    }
}
