//! `--keep-data`: the members' simulated disks as real files, to be inspected, or opened by a real etcd.

use super::{BadInput, terminal};
use crate::capsule::slug;
use crate::story::words::member;
use crate::world::KeptFile;
use crate::world::record::NodeIndex;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Where data directories go.
#[derive(Debug)]
pub(super) struct DataDirs {
    root: PathBuf,
}

impl DataDirs {
    /// Claims a folder that is new or empty: what stands there is never written over.
    pub(super) fn claim(root: &Path) -> Result<DataDirs, BadInput> {
        let shown = root.display();
        let made = fs::create_dir_all(root).and_then(|()| fs::read_dir(root));
        let mut entries = made.map_err(|error| format!("--keep-data {shown}: cannot be made: {error}"))?;
        if entries.next().is_some() {
            return Err(format!("--keep-data {shown}: is not empty; expected a new or an empty folder").into());
        }
        Ok(DataDirs { root: root.to_owned() })
    }

    /// Writes the files of a run. That it fails does not change the verdict.
    pub(super) fn write(&self, arm: Option<&str>, data: &[(NodeIndex, Vec<KeptFile>)]) {
        let root = arm.map_or(self.root.clone(), |arm| self.root.join(slug(arm)));
        for (node, files) in data {
            let dir = root.join(member(*node));
            for (file, bytes) in files {
                let path = dir.join(&**file);
                match bytes {
                    Err(error) => terminal::warn(&format!("{}: left out: {error}", path.display())),
                    Ok(bytes) => {
                        if let Err(error) = write(&path, bytes) {
                            terminal::warn(&format!("{}: cannot be written: {error}", path.display()));
                        }
                    }
                }
            }
        }
    }
}

/// A file in folders that only their owner may read, as etcd wants them.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    fs::write(path, bytes)
}
