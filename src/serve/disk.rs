//! The disk seam over real files.
//!
//! What changes bytes (create, write, truncate) is done at once on the member's thread: it goes into the system's memory,
//! where the next read sees it. What waits for the medium or a folder (sync, rename, remove, syncing a folder) goes to a
//! *lane*, a thread that does one after the other and reports it: one lane for the log, one for everything else, so that
//! the database's sync of a batch never stands in the way of the sync that an answer waits for.
//!
//! Two lanes keep the seam's order where it matters: all that concerns one file is on one lane. A file that is to be
//! created again under a name that a lane has yet to rename or remove waits for the lane, which is rare.
//!
//! A new segment of the log takes over a [`Spare`] file that has its length already.
//!
//! A renamed file is read and written under its new name at once: it is the same open file.

use super::metrics::Metrics;
use super::named;
use super::spare::Spare;
use crate::disk::{Action, DiskDone, DiskError, DiskOp, DiskRead, FileName, OpId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Files below a data directory.
pub(super) struct RealDisk {
    root: PathBuf,
    open: RefCell<BTreeMap<FileName, Arc<File>>>,
    lanes: [Lane; 2],
    /// Renames and removals that are under way, with the names that they take away.
    leaving: BTreeMap<OpId, FileName>,
    spare: Spare,
    metrics: Arc<Metrics>,
    /// Holds the lock on the data directory.
    _lock: File,
}

/// A thread that waits for the medium.
struct Lane {
    work: Option<mpsc::Sender<Waits>>,
    thread: Option<JoinHandle<()>>,
}

/// What a lane does.
enum Waits {
    /// One operation; the file is open for those that need it.
    Op(DiskOp, Option<Arc<File>>),
    /// Tells that everything before it is done.
    Barrier(mpsc::Sender<()>),
}

impl RealDisk {
    /// The files below a folder, which is made if it is not there, and locked. Segments of the log begin with so many
    /// bytes. `done` hears of what the lanes did.
    pub(super) fn open(
        root: &Path,
        segment_bytes: u64,
        metrics: Arc<Metrics>,
        done: impl Fn(DiskDone) + Clone + Send + 'static,
    ) -> Result<RealDisk, String> {
        for folder in ["member/wal", "member/snap"] {
            let path = root.join(folder);
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|error| named(&path, &error))?;
        }
        let path = root.join("seedbed.lock");
        let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(|error| named(&path, &error))?;
        lock.try_lock().map_err(|_| {
            format!(
                "{}: another process serves from this directory; stop it, or name another by --data-dir",
                root.display()
            )
        })?;
        let lane = |name: &str| Lane::start(name, root.to_owned(), metrics.clone(), done.clone());
        let lanes = [lane("seedbed-log"), lane("seedbed-data")];
        let spare = Spare::start(&root.join("member/wal"), segment_bytes);
        let (open, leaving) = (RefCell::default(), BTreeMap::new());
        Ok(RealDisk { root: root.to_owned(), open, lanes, leaving, spare, metrics, _lock: lock })
    }

    /// Starts an operation. What it reports at once comes back; the rest is heard from the lanes.
    pub(super) fn start(&mut self, op: DiskOp) -> Option<DiskDone> {
        let result = match self.start_now(&op) {
            Ok(Progress::Silent) => return None,
            Ok(Progress::Waits(file)) => {
                self.lane(&op.file).send(Waits::Op(op, file));
                return None;
            }
            Ok(Progress::Done) => Ok(()),
            Err(error) => Err(disk_error(&op.file, offset(&op.action), &error)),
        };
        Some(DiskDone { id: op.id, result })
    }

    /// A lane's operation was reported.
    pub(super) fn reported(&mut self, id: OpId) {
        self.leaving.remove(&id);
    }

    fn start_now(&mut self, op: &DiskOp) -> io::Result<Progress> {
        match &op.action {
            Action::Create => {
                if self.leaving.values().any(|name| *name == op.file) {
                    self.lane(&op.file).wait();
                }
                let path = self.root.join(&*op.file);
                let mut options = File::options();
                let file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
                self.open.borrow_mut().insert(op.file.clone(), Arc::new(file));
                Ok(Progress::Done)
            }
            Action::Write { offset, data } => {
                // Joined: to copy the pieces costs less than a system call for each.
                self.file(&op.file)?.write_all_at(&data.joined(), *offset)?;
                if op.file.ends_with(".wal") {
                    self.metrics.wal_bytes.add(data.len() as u64);
                }
                Ok(Progress::Silent)
            }
            Action::Truncate { len } => {
                let file = self.file(&op.file)?;
                let segment = op.file.ends_with(".wal") && file.metadata()?.len() == 0;
                match segment.then(|| self.spare.become_file(&self.root.join(&*op.file), *len)).flatten() {
                    Some(spare) => drop(self.open.borrow_mut().insert(op.file.clone(), Arc::new(spare?))),
                    None if op.file.ends_with(".wal") => resize(&file, *len)?,
                    // A database's pages are written before the sync that counts on them.
                    None => file.set_len(*len)?,
                }
                Ok(Progress::Done)
            }
            Action::Sync => Ok(Progress::Waits(Some(self.file(&op.file)?))),
            Action::SyncDir => Ok(Progress::Waits(None)),
            Action::Rename { to } => {
                let file = self.file(&op.file)?;
                self.leaving.insert(op.id, op.file.clone());
                let mut open = self.open.borrow_mut();
                open.remove(&op.file);
                open.insert(to.clone(), file);
                Ok(Progress::Waits(None))
            }
            Action::Remove => {
                self.leaving.insert(op.id, op.file.clone());
                self.open.borrow_mut().remove(&op.file);
                Ok(Progress::Waits(None))
            }
        }
    }

    fn lane(&self, file: &str) -> &Lane {
        &self.lanes[usize::from(!file.starts_with("member/wal"))]
    }

    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        if let Some(file) = self.open.borrow().get(name) {
            return Ok(file.clone());
        }
        let file = Arc::new(File::options().read(true).write(true).open(self.root.join(name))?);
        self.open.borrow_mut().insert(name.into(), file.clone());
        Ok(file)
    }
}

/// How far an operation is once it has started.
enum Progress {
    Done,
    /// Nothing will be said of it.
    Silent,
    Waits(Option<Arc<File>>),
}

impl DiskRead for RealDisk {
    fn list(&self, dir: &str) -> Vec<FileName> {
        let (mut names, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
        while let Some(dir) = dirs.pop() {
            let Ok(entries) = fs::read_dir(self.root.join(&dir)) else { continue };
            for entry in entries.flatten() {
                let name = format!("{dir}/{}", entry.file_name().to_string_lossy());
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => dirs.push(name),
                    _ => names.push(name.into()),
                }
            }
        }
        names.sort();
        names
    }

    fn len(&self, file: &str) -> Result<u64, DiskError> {
        let metadata = self.file(file).and_then(|file| file.metadata());
        metadata.map(|metadata| metadata.len()).map_err(|error| disk_error(file, 0, &error))
    }

    fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let read = |filled: &mut usize| -> io::Result<()> {
            let open = self.file(file)?;
            while *filled < buf.len() {
                match open.read_at(&mut buf[*filled..], offset + *filled as u64) {
                    Ok(0) => break,
                    Ok(n) => *filled += n,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        let mut read = read;
        let mut filled = 0;
        read(&mut filled).map_err(|error| disk_error(file, offset + filled as u64, &error))?;
        Ok(filled)
    }

    fn will_read(&self, file: &str) {
        let Ok(mut open) = File::open(self.root.join(file)) else { return };
        // Whoever reads goes on without it if there is no thread.
        let _ = thread::Builder::new().name("seedbed-ahead".to_owned()).spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while open.read(&mut buffer).is_ok_and(|read| read > 0) {}
        });
    }
}

impl Lane {
    fn start(name: &str, root: PathBuf, metrics: Arc<Metrics>, done: impl Fn(DiskDone) + Send + 'static) -> Lane {
        let (work, waiting) = mpsc::channel();
        let run = move || {
            for waits in waiting {
                match waits {
                    Waits::Op(op, file) => {
                        let begun = Instant::now();
                        let result = carry_out(&root, &op, file.as_deref());
                        if op.action == Action::Sync {
                            synced(&metrics, &op.file, begun.elapsed());
                        }
                        let result = result.map_err(|error| disk_error(&op.file, 0, &error));
                        done(DiskDone { id: op.id, result });
                    }
                    // Who asked has gone: then it does not matter.
                    Waits::Barrier(reached) => drop(reached.send(())),
                }
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run).expect("the system gives out a thread");
        Lane { work: Some(work), thread: Some(thread) }
    }

    fn send(&self, waits: Waits) {
        let work = self.work.as_ref().expect("invariant: a lane is closed by its drop alone");
        work.send(waits).expect("invariant: a lane lives as long as its disk");
    }

    fn wait(&self) {
        let (reached, wait) = mpsc::channel();
        self.send(Waits::Barrier(reached));
        wait.recv().expect("invariant: a lane lives as long as its disk");
    }
}

impl Drop for Lane {
    /// What was handed to it is done first.
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            // It has said why on stderr.
            let _ = thread.join();
        }
    }
}

/// A sync should not take longer (etcd's expected duration).
const SLOW_SYNC: Duration = Duration::from_secs(1);

fn synced(metrics: &Metrics, file: &str, took: Duration) {
    if took > SLOW_SYNC {
        tracing::warn!(file, ?took, expected = ?SLOW_SYNC, "slow fdatasync");
    }
    if file.ends_with(".wal") {
        metrics.wal_fsync.observe(took);
    } else if file.contains(".snap.db") {
        metrics.snap_db_fsync.observe(took);
    } else if file.contains(".snap") {
        metrics.snap_fsync.observe(took);
    }
}

fn carry_out(root: &Path, op: &DiskOp, file: Option<&File>) -> io::Result<()> {
    let path = root.join(&*op.file);
    match &op.action {
        Action::Sync => file.expect("invariant: what is synced is open").sync_data(),
        Action::SyncDir => File::open(path)?.sync_all(),
        Action::Rename { to } => fs::rename(path, root.join(&**to)),
        Action::Remove => fs::remove_file(path),
        Action::Create | Action::Write { .. } | Action::Truncate { .. } => {
            unreachable!("invariant: what changes bytes is done by the member's thread")
        }
    }
}

/// A longer log gets real blocks, written as zeros: a sync behind a write into a hole would have to wait for the block's
/// place in the file system's journal as well.
fn resize(file: &File, len: u64) -> io::Result<()> {
    static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
    let mut end = file.metadata()?.len();
    if len <= end {
        return file.set_len(len);
    }
    while end < len {
        let n = ZEROS.len().min((len - end) as usize);
        file.write_all_at(&ZEROS[..n], end)?;
        end += n as u64;
    }
    Ok(())
}

fn offset(action: &Action) -> u64 {
    if let Action::Write { offset, .. } = action { *offset } else { 0 }
}

fn disk_error(file: &str, offset: u64, error: &io::Error) -> DiskError {
    let file: FileName = file.into();
    match error.kind() {
        ErrorKind::NotFound => DiskError::NotFound { file },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DiskError::NoSpace { file },
        _ => DiskError::Io { file, offset },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("seedbed-disk-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(0))
    }

    fn op(id: u64, file: &str, action: Action) -> DiskOp {
        DiskOp { id: OpId(id), file: file.into(), action }
    }

    #[test]
    fn a_file_is_read_under_its_new_name_at_once_and_made_again_under_the_old_one() {
        let root = folder("names");
        let (told, heard) = mpsc::channel();
        let mut disk =
            RealDisk::open(&root, 4096, metrics(), move |done| drop(told.send(done))).expect("a folder of its own");
        let (old, new) = ("member/snap/db.tmp", "member/snap/db");
        assert!(disk.start(op(1, old, Action::Create)).is_some_and(|done| done.result.is_ok()));
        let data = Bytes::from_static(b"one").into();
        assert_eq!(disk.start(op(2, old, Action::Write { offset: 2, data })), None);
        assert_eq!(disk.start(op(3, old, Action::Sync)), None);
        assert_eq!(disk.start(op(4, old, Action::Rename { to: new.into() })), None);
        assert_eq!(disk.read_all(new), Ok(b"\0\0one".to_vec()));
        assert!(disk.start(op(5, old, Action::Create)).is_some_and(|done| done.result.is_ok()));
        assert_eq!((disk.read_all(old), disk.read_all(new)), (Ok(Vec::new()), Ok(b"\0\0one".to_vec())));
        let ids: Vec<u64> = heard.iter().take(2).map(|done| done.id.0).collect();
        assert_eq!(ids, [3, 4], "the lane tells of each, in order");
        assert_eq!(disk.list("member/snap"), [new.into(), FileName::from(old)]);
        fs::remove_dir_all(root).expect("it was made above");
    }

    #[test]
    fn two_do_not_serve_from_one_directory() {
        let root = folder("lock");
        let first = RealDisk::open(&root, 4096, metrics(), drop).expect("nobody else has it");
        let error = RealDisk::open(&root, 4096, metrics(), drop).err().expect("the first has it");
        assert!(error.contains("another process serves from this directory"), "{error}");
        drop(first);
        assert!(RealDisk::open(&root, 4096, metrics(), drop).is_ok());
        fs::remove_dir_all(root).expect("it was made above");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let root = folder("none");
        let mut disk = RealDisk::open(&root, 4096, metrics(), drop).expect("a folder of its own");
        let none = "member/wal/none.wal";
        let error = DiskError::NotFound { file: none.into() };
        assert_eq!(disk.len(none), Err(error.clone()));
        assert_eq!(disk.start(op(1, none, Action::Sync)), Some(DiskDone { id: OpId(1), result: Err(error) }));
        fs::remove_dir_all(root).expect("it was made above");
    }
}
