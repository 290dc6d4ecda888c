//! The disk as a member reads it.

use super::{SECTOR, SimDisk, content};
use seedbed::disk::{DiskError, DiskRead, FileName};

const BLOCK: u64 = content::BLOCK as u64;

impl SimDisk {
    fn inode_of(&self, file: &str) -> Result<u32, DiskError> {
        self.names.get(file).ok_or_else(|| DiskError::NotFound { file: file.into() })
    }
}

impl DiskRead for SimDisk {
    fn list(&self, dir: &str) -> Vec<FileName> {
        let below = |name: &&FileName| name.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
        self.names.live().keys().filter(below).cloned().collect()
    }

    fn len(&self, file: &str) -> Result<u64, DiskError> {
        Ok(self.inodes[self.inode_of(file)? as usize].live.len())
    }

    fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let inode = self.inode_of(file)?;
        let n = self.inodes[inode as usize].live.read(offset, buf);
        if let Some((hidden, block)) = self.faults.unreadable
            && hidden == inode
            && (offset / BLOCK..(offset + n as u64).div_ceil(BLOCK)).contains(&block)
        {
            return Err(DiskError::Io { file: file.into(), offset: block * BLOCK });
        }
        if self.latent.is_empty() {
            return Ok(n);
        }
        let touched = (inode, offset / SECTOR)..(inode, (offset + n as u64).div_ceil(SECTOR));
        match self.latent.range(touched).next() {
            Some(&(_, sector)) => Err(DiskError::Io { file: file.into(), offset: sector * SECTOR }),
            None => Ok(n),
        }
    }
}
