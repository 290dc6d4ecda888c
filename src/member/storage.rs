//! The database of a member: where it lies, and how it is opened.

use super::{Config, Member};
use crate::backend::{BackendError, Engine, EngineConfig, Memory};
use crate::disk::{DiskRead, FileName};
use crate::mvcc::Store;
use bytes::Bytes;
use std::rc::Rc;

/// Opens the database that lies there.
pub(super) fn open_database(config: &Config, _disk: &Rc<dyn DiskRead>) -> Result<Box<dyn Engine>, BackendError> {
    match config.engine {
        EngineConfig::Memory => Ok(Box::new(Memory::new())),
        EngineConfig::Bolt(_) => todo!(),
    }
}

/// The database's path.
pub(super) fn db_file() -> FileName {
    "member/snap/db".into()
}

/// The path of a database that was received with the snapshot at `index`.
pub(super) fn received_db(index: u64) -> FileName {
    format!("member/snap/{index:016x}.snap.db").into()
}

impl Member {
    /// Puts a restored store in the place of the old one.
    pub(super) fn replace_store(&mut self, store: Store) {
        self.store = store;
    }

    /// What a snapshot file holds of a store at `index`.
    pub(super) fn snapshot_data(&mut self, _index: u64) -> Result<Bytes, BackendError> {
        let engine = self.store.engine_mut();
        let mut image = engine.begin_image();
        let whole = engine.image_chunk(&mut image, usize::MAX)?;
        engine.end_image(image);
        Ok(whole.unwrap_or_default())
    }
}
