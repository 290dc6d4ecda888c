//! A perfect disk in memory, for tests and examples.
//!
//! Every operation succeeds at once and is durable at once, unless it names a file that is not there. Faults, latency
//! and power cuts are the testbed's disk; damage can be done here by hand through [`MemDisk::file_mut`].

use crate::disk::{Action, DiskDone, DiskError, DiskOp, DiskRead, FileName};
use std::collections::BTreeMap;

/// Files by path. `Clone` it to keep an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemDisk {
    files: BTreeMap<FileName, Vec<u8>>,
}

impl MemDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Does the operation and says how it ended.
    pub fn apply(&mut self, op: &DiskOp) -> DiskDone {
        DiskDone { id: op.id, result: self.act(op) }
    }

    /// Does the operations in order and empties the list.
    ///
    /// # Panics
    /// If one fails: on a perfect disk that is the caller's bug.
    pub fn apply_all(&mut self, ops: &mut Vec<DiskOp>) {
        for op in ops.drain(..) {
            if let Err(error) = self.act(&op) {
                panic!("{op:?}: {error}");
            }
        }
    }

    fn act(&mut self, op: &DiskOp) -> Result<(), DiskError> {
        match &op.action {
            Action::Create => {
                self.files.insert(op.file.clone(), Vec::new());
            }
            Action::Write { offset, data } => {
                let file = self.file_mut(&op.file)?;
                let start = in_memory(*offset);
                let end = start + data.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[start..end].copy_from_slice(&data.joined());
            }
            Action::Truncate { len } => self.file_mut(&op.file)?.resize(in_memory(*len), 0),
            Action::Rename { to } => {
                let bytes = self.files.remove(&op.file).ok_or_else(|| not_found(&op.file))?;
                self.files.insert(to.clone(), bytes);
            }
            Action::Remove => {
                self.files.remove(&op.file).ok_or_else(|| not_found(&op.file))?;
            }
            Action::Sync => {
                self.file_mut(&op.file)?;
            }
            Action::SyncDir => {}
        }
        Ok(())
    }

    /// Puts a file there, replacing what was.
    pub fn insert(&mut self, file: &str, bytes: Vec<u8>) {
        self.files.insert(file.into(), bytes);
    }

    /// A file's bytes.
    pub fn file(&self, file: &str) -> Result<&[u8], DiskError> {
        self.files.get(file).map(Vec::as_slice).ok_or_else(|| not_found(file))
    }

    /// A file's bytes, to damage them.
    pub fn file_mut(&mut self, file: &str) -> Result<&mut Vec<u8>, DiskError> {
        self.files.get_mut(file).ok_or_else(|| not_found(file))
    }
}

impl DiskRead for MemDisk {
    fn list(&self, dir: &str) -> Vec<FileName> {
        let below = |file: &&FileName| file.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
        self.files.keys().filter(below).cloned().collect()
    }

    fn len(&self, file: &str) -> Result<u64, DiskError> {
        Ok(self.file(file)?.len() as u64)
    }

    fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let bytes = self.file(file)?;
        let rest = &bytes[in_memory(offset).min(bytes.len())..];
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

fn not_found(file: &str) -> DiskError {
    DiskError::NotFound { file: file.into() }
}

fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).expect("invariant: a file fits in memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OpSink;
    use bytes::Bytes;

    #[test]
    fn does_what_the_seam_says() {
        let (mut disk, mut ops, mut id) = (MemDisk::new(), Vec::new(), 7);
        let (a, b, dir): (FileName, FileName, FileName) = ("d/a".into(), "d/b".into(), "d".into());
        let mut sink = OpSink::new(&mut ops, &mut id);
        sink.create(&a);
        sink.write(&a, 2, Bytes::from_static(b"xyz"));
        sink.truncate(&a, 4);
        sink.sync(&a);
        sink.rename(&a, &b);
        assert_eq!(sink.sync_dir(&dir).0, 12);
        disk.apply_all(&mut ops);
        assert_eq!(disk.list("d"), [b]);
        assert_eq!(disk.read_all("d/b").unwrap(), b"\0\0xy");
        assert_eq!(disk.read("d/b", 3, &mut [0; 9]), Ok(1));

        OpSink::new(&mut ops, &mut id).remove(&a);
        assert_eq!(disk.apply(&ops[0]).result, Err(DiskError::NotFound { file: a }));
    }
}
