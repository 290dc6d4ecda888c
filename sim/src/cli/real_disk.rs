//! Real files, for reading only: what stands behind the disk seam when `seedbed inspect` looks at a directory.
//!
//! Names are paths as the user gave them, so that every message names a file that the user can find. Files are opened
//! for reading, never locked, and read at positions; nothing here can write. Whether some process holds a lock is
//! looked up in the kernel's own list (`/proc/locks`), since trying a lock would be taking it.

use seedbed::disk::{DiskError, DiskRead, FileName};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RealDisk {
    /// Opened once each.
    open: RefCell<BTreeMap<String, File>>,
}

impl RealDisk {
    fn with<T>(&self, file: &str, read: impl FnOnce(&File) -> Result<T, (io::Error, u64)>) -> Result<T, DiskError> {
        let error = |(error, offset): (io::Error, u64)| match error.kind() {
            io::ErrorKind::NotFound => DiskError::NotFound { file: file.into() },
            _ => DiskError::Io { file: file.into(), offset },
        };
        let mut open = self.open.borrow_mut();
        if !open.contains_key(file) {
            open.insert(file.to_owned(), File::open(file).map_err(|e| error((e, 0)))?);
        }
        read(&open[file]).map_err(error)
    }
}

impl DiskRead for RealDisk {
    fn list(&self, dir: &str) -> Vec<FileName> {
        let (mut files, mut folders) = (Vec::new(), vec![dir.to_owned()]);
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                // A name that is no text is none of etcd's.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = format!("{}/{name}", folder.trim_end_matches('/'));
                // A link to a folder is not followed, for it may lead back.
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(_) if Path::new(&path).is_file() => files.push(FileName::from(path)),
                    _ => {}
                }
            }
        }
        files.sort();
        files
    }

    fn len(&self, file: &str) -> Result<u64, DiskError> {
        self.with(file, |open| Ok(open.metadata().map_err(|error| (error, 0))?.len()))
    }

    fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.with(file, |open| {
            let mut filled = 0;
            while filled < buf.len() {
                let at = offset + filled as u64;
                match open.read_at(&mut buf[filled..], at) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err((error, at)),
                }
            }
            Ok(filled)
        })
    }
}

/// The process that holds a lock on the file, where the system tells (Linux): `process 4711 (etcd)`.
pub(super) fn holder(file: &str) -> Option<String> {
    let inode = fs::metadata(file).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF`; a line of a waiter has an arrow in second place.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK" | "OFDLCK", _, "WRITE", pid, place, ..] = fields[..] else { return None };
        if place.rsplit(':').next()?.parse() != Ok(inode) {
            return None;
        }
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // The list names a file by its number alone where file systems are stacked; another file system may have the
        // same number. A process that is gone, or that does not have the file open, is not meant.
        has_open(pid, file).then(|| format!("process {pid} ({})", name.trim()))
    })
}

fn has_open(pid: &str, file: &str) -> bool {
    let Ok(wanted) = fs::canonicalize(file) else { return false };
    match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(open) => open.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|path| path == wanted)),
        // Another user's process: its files cannot be listed, but it is there.
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lists_below_and_reads_at_positions() {
        let disk = RealDisk::default();
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli");
        let files = disk.list(dir);
        assert!(files.is_sorted() && files.iter().any(|file| file.ends_with("/sweep/files.rs")), "{files:?}");
        let this = format!("{dir}/real_disk.rs");
        let mut buf = [0; 5];
        assert_eq!(disk.read(&this, 4, &mut buf), Ok(5));
        assert_eq!(&buf, b"Real ");
        let len = disk.len(&this).unwrap();
        assert_eq!(disk.read(&this, len - 2, &mut buf), Ok(2), "fewer only at the end");
        assert_eq!(disk.read(&this, len + 9, &mut buf), Ok(0));
        let none = format!("{dir}/none");
        assert_eq!(disk.len(&none), Err(DiskError::NotFound { file: none.as_str().into() }));
    }
}
