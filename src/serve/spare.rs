//! The log's next segment, made ahead.
//!
//! A segment is 64 MB of zeros before its first record: a sync behind a write into a hole waits twice. Written when it is
//! needed, these zeros go to the disk with the first sync of the new segment, and every client waits for a third of a
//! second. So a thread writes a spare file beside the log, a little at a time, each piece synced before the next; a new
//! segment takes it over by a rename. It has the name that etcd's own pipeline gives such a file, `0.tmp`, which both
//! pass over when they read a log.
//!
//! Where there is no spare yet, or no room for one, the segment is written as it would be without.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Bytes written and synced at a time.
const PIECE: u64 = 1 << 20;
/// A pause between two pieces: whoever waits for another sync goes first.
const PAUSE: Duration = Duration::from_millis(10);

/// See the module.
pub(super) struct Spare {
    path: PathBuf,
    bytes: u64,
    ready: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Spare {
    /// Begins to make a spare file of so many bytes in a folder.
    pub(super) fn start(folder: &Path, bytes: u64) -> Spare {
        let path = folder.join("0.tmp");
        let mut spare = Spare { path, bytes, ready: Arc::default(), over: Arc::default(), thread: None };
        spare.begin();
        spare
    }

    /// Lets the spare be this file, whose length is to be `bytes`, and begins the next one. `None`: there is none.
    pub(super) fn become_file(&mut self, path: &Path, bytes: u64) -> Option<io::Result<File>> {
        if bytes != self.bytes || !self.ready.swap(false, Ordering::Acquire) {
            return None;
        }
        let renamed = fs::rename(&self.path, path);
        self.begin();
        Some(renamed.and_then(|()| File::options().read(true).write(true).open(path)))
    }

    fn begin(&mut self) {
        // The thread before has made what was taken.
        self.join();
        let (path, bytes, ready, over) = (self.path.clone(), self.bytes, self.ready.clone(), self.over.clone());
        let run = move || match write(&path, bytes, &over) {
            Ok(whole) => ready.store(whole, Ordering::Release),
            // A full disk says so where it matters.
            Err(_) => drop(fs::remove_file(&path)),
        };
        self.thread = thread::Builder::new().name("seedbed-spare".to_owned()).spawn(run).ok();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // It has said why on stderr.
            let _ = thread.join();
        }
    }
}

/// Writes zeros; `false` if it was told to stop.
fn write(path: &Path, bytes: u64, over: &AtomicBool) -> io::Result<bool> {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let zeros = vec![0; PIECE as usize];
    let mut end = 0;
    while end < bytes {
        if over.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let n = PIECE.min(bytes - end);
        file.write_all_at(&zeros[..n as usize], end)?;
        file.sync_data()?;
        end += n;
        thread::sleep(PAUSE);
    }
    Ok(true)
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.join();
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_segment_takes_it_over_and_there_is_another() {
        let folder = std::env::temp_dir().join(format!("seedbed-spare-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of its own");
        let mut spare = Spare::start(&folder, 3 * PIECE / 2);
        for name in ["1.wal", "2.wal"] {
            let path = folder.join(name);
            assert!(spare.become_file(&path, PIECE).is_none(), "another length");
            let begun = Instant::now();
            let file = loop {
                match spare.become_file(&path, 3 * PIECE / 2) {
                    Some(file) => break file.expect("a rename in one folder"),
                    None => assert!(begun.elapsed() < Duration::from_secs(20), "it is never ready"),
                }
                thread::sleep(PAUSE);
            };
            assert_eq!(file.metadata().expect("it is open").len(), 3 * PIECE / 2);
        }
        drop(spare);
        let left: Vec<_> =
            fs::read_dir(&folder).expect("it is there").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left.len(), 2, "the spare has gone: {left:?}");
        fs::remove_dir_all(folder).expect("it was made above");
    }
}
