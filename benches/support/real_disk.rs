//! A disk of real files below one folder, for benches: operations are done at once, in order, one after the other.
//!
//! A sync is `fdatasync`, as the seam says, and a synced folder is really synced: what a bench measures is what a
//! machine pays. Files are kept open. The folder goes when the disk is dropped.
//!
//! A file that will be read whole is read ahead on a second thread, which leaves it in the system's memory.
//!
//! Left out: faults, anything in parallel, a file with holes (a gap before a write reads as zeros, as the seam asks).

use seedbed::disk::{Action, DiskDone, DiskError, DiskOp, DiskRead, FileName, OpId, OpSink};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Files below a folder.
pub struct RealDisk {
    root: PathBuf,
    open: RefCell<BTreeMap<FileName, Rc<File>>>,
    syncs: bool,
    ahead: RefCell<Option<Ahead>>,
    /// Time spent on operations; reads are not counted.
    pub busy: Cell<Duration>,
}

impl RealDisk {
    /// An empty disk in a new folder below the build's target folder: on the machine's disk, not in its memory.
    pub fn new(name: &str) -> Rc<RealDisk> {
        RealDisk::with(name, true)
    }

    /// A disk on which a sync does nothing, where a file is only made to be read.
    pub fn without_syncs(name: &str) -> Rc<RealDisk> {
        RealDisk::with(name, false)
    }

    fn with(name: &str, syncs: bool) -> Rc<RealDisk> {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&root).expect("the target folder can be written");
        Rc::new(RealDisk { root, open: RefCell::default(), syncs, ahead: RefCell::default(), busy: Cell::default() })
    }

    /// Where a file lies.
    pub fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// Does the operations and whatever follows from their completions, until none is left.
    pub fn run(&self, ids: &mut u64, mut ops: Vec<DiskOp>, done: &mut dyn Done) {
        while !ops.is_empty() {
            for op in std::mem::take(&mut ops) {
                let DiskDone { id, result } = self.apply(&op);
                result.unwrap_or_else(|error| panic!("{op:?}: {error}"));
                if !matches!(op.action, Action::Write { .. }) {
                    done.op_done(id, &mut OpSink::new(&mut ops, ids));
                }
            }
        }
    }

    /// Waits until nothing is read ahead any more.
    pub fn settle(&self) {
        if let Some(ahead) = self.ahead.take() {
            ahead.thread.join().expect("reading ahead cannot fail: it stops at an error");
        }
    }

    /// Does one operation.
    pub fn apply(&self, op: &DiskOp) -> DiskDone {
        let start = Instant::now();
        let result = self.act(op).map_err(|error| disk_error(&op.file, &error));
        self.busy.set(self.busy.get() + start.elapsed());
        DiskDone { id: op.id, result }
    }

    fn act(&self, op: &DiskOp) -> io::Result<()> {
        let path = self.path(&op.file);
        match &op.action {
            Action::Create => {
                fs::create_dir_all(path.parent().expect("a file lies in a folder"))?;
                let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
                self.open.borrow_mut().insert(op.file.clone(), Rc::new(file));
            }
            Action::Write { offset, data } => {
                self.file(&op.file)?.write_all_at(&data.joined(), *offset)?;
            }
            Action::Truncate { len } => resize(&*self.file(&op.file)?, *len)?,
            Action::Sync if self.syncs => self.file(&op.file)?.sync_data()?,
            Action::SyncDir if self.syncs => File::open(path)?.sync_all()?,
            Action::Sync | Action::SyncDir => {}
            Action::Rename { to } => {
                fs::rename(path, self.path(to))?;
                let file = self.open.borrow_mut().remove(&op.file);
                self.open.borrow_mut().remove(to);
                file.map(|file| self.open.borrow_mut().insert(to.clone(), file));
            }
            Action::Remove => {
                self.open.borrow_mut().remove(&op.file);
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn file(&self, name: &str) -> io::Result<Rc<File>> {
        if let Some(file) = self.open.borrow().get(name) {
            return Ok(file.clone());
        }
        let file = Rc::new(File::options().read(true).write(true).open(self.path(name))?);
        self.open.borrow_mut().insert(name.into(), file.clone());
        Ok(file)
    }
}

/// A file on its way into the system's memory. A reader that is faster waits for it: two that miss the same pages are
/// slower than one.
struct Ahead {
    file: FileName,
    /// Bytes from the file's beginning that are there, and the same as the reader last saw it.
    reached: Arc<(Mutex<u64>, Condvar)>,
    seen: Cell<u64>,
    thread: JoinHandle<()>,
}

impl Ahead {
    fn start(file: FileName, mut open: File) -> Ahead {
        let reached = Arc::new((Mutex::new(0), Condvar::new()));
        let progress = reached.clone();
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            loop {
                let read = open.read(&mut buffer).unwrap_or(0);
                let (reached, changed) = &*progress;
                let mut reached = reached.lock().expect("nobody panics with the lock in hand");
                *reached = if read == 0 { u64::MAX } else { *reached + read as u64 };
                changed.notify_one();
                if read == 0 {
                    return;
                }
            }
        });
        Ahead { file, reached, seen: Cell::new(0), thread }
    }

    fn wait_for(&self, end: u64) {
        if self.seen.get() < end {
            let (reached, changed) = &*self.reached;
            let reached = reached.lock().expect("nobody panics with the lock in hand");
            let reached = changed.wait_while(reached, |reached| *reached < end);
            self.seen.set(*reached.expect("nobody panics with the lock in hand"));
        }
    }
}

/// Who hears of completed operations.
pub trait Done {
    /// An operation that reports is done; what follows from it goes to `ops`.
    fn op_done(&mut self, id: OpId, ops: &mut OpSink<'_>);
}

impl DiskRead for RealDisk {
    fn list(&self, dir: &str) -> Vec<FileName> {
        let mut names = Vec::new();
        let mut dirs = vec![dir.to_owned()];
        while let Some(dir) = dirs.pop() {
            let Ok(entries) = fs::read_dir(self.path(&dir)) else { continue };
            for entry in entries.filter_map(Result::ok) {
                let name = format!("{dir}/{}", entry.file_name().to_string_lossy());
                if entry.path().is_dir() { dirs.push(name) } else { names.push(name.into()) }
            }
        }
        names.sort();
        names
    }

    fn len(&self, file: &str) -> Result<u64, DiskError> {
        let metadata = self.file(file).and_then(|file| file.metadata());
        metadata.map(|metadata| metadata.len()).map_err(|error| disk_error(file, &error))
    }

    fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let mut read = || {
            let open = self.file(file)?;
            if let Some(ahead) = self.ahead.borrow().as_ref().filter(|ahead| &*ahead.file == file) {
                ahead.wait_for(offset + buf.len() as u64);
            }
            let mut filled = 0;
            while filled < buf.len() {
                match open.read_at(&mut buf[filled..], offset + filled as u64) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(filled)
        };
        read().map_err(|error| disk_error(file, &error))
    }

    fn will_read(&self, file: &str) {
        self.settle();
        let ahead = File::open(self.path(file)).map(|open| Ahead::start(file.into(), open));
        self.ahead.replace(ahead.ok());
    }
}

impl Drop for RealDisk {
    fn drop(&mut self) {
        // A bench that cannot tidy up has still measured: the folder lies in the target folder.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// A longer file gets real blocks, written as zeros. A sync behind a write into a hole has to make the block's place
/// durable too: with the file system's journal that is a second wait.
fn resize(file: &File, len: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
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

fn disk_error(file: &str, error: &io::Error) -> DiskError {
    let file: FileName = file.into();
    match error.kind() {
        ErrorKind::NotFound => DiskError::NotFound { file },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DiskError::NoSpace { file },
        _ => DiskError::Io { file, offset: 0 },
    }
}
