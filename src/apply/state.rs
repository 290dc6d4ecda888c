//! All that entries change, and how it begins again from an engine.

use crate::alarm::Alarms;
use crate::auth::AuthStore;
use crate::backend::{BackendError, Engine};
use crate::lease::{self, Lessor};
use crate::mvcc::{RestoreError, Restoring, Store, StoreConfig};

/// A member's replicated state.
///
/// Invariant: the lessor's attachments are those of the store's live keys.
#[derive(Debug)]
pub struct State {
    /// Keys with their history, and the engine in which all records lie.
    pub store: Store,
    /// Which leases there are, and what hangs on them.
    pub lessor: Lessor,
    /// What is wrong.
    pub alarms: Alarms,
    /// Who may do what.
    pub auth: AuthStore,
}

impl State {
    /// Nothing, in an empty engine.
    pub fn new(engine: Box<dyn Engine>, store: StoreConfig, lease: lease::Config) -> State {
        let auth = AuthStore::new(store.bugs);
        State { store: Store::new(engine, store), lessor: Lessor::new(lease), alarms: Alarms::default(), auth }
    }

    /// What an engine's records make, in one go.
    pub fn restore(engine: Box<dyn Engine>, store: StoreConfig, lease: lease::Config) -> Result<State, RestoreError> {
        let mut restoring = RestoringState::new(engine, store, lease)?;
        while !restoring.step()? {}
        Ok(restoring.finish())
    }
}

/// A state in the making: a chunk of records at a time.
#[derive(Debug)]
pub struct RestoringState {
    restoring: Restoring,
    lessor: Lessor,
    alarms: Alarms,
    auth: AuthStore,
}

impl RestoringState {
    /// Begins. Leases, alarms, users and roles are read, and no key yet.
    pub fn new(
        engine: Box<dyn Engine>,
        store: StoreConfig,
        lease: lease::Config,
    ) -> Result<RestoringState, BackendError> {
        let (lessor, alarms) = (Lessor::load(&*engine, lease)?, Alarms::load(&*engine)?);
        let auth = AuthStore::load(&*engine, store.bugs)?;
        Ok(RestoringState { restoring: Restoring::new(engine, store), lessor, alarms, auth })
    }

    /// Reads the next chunk. `true` when none is left.
    pub fn step(&mut self) -> Result<bool, RestoreError> {
        let RestoringState { restoring, lessor, .. } = self;
        restoring.step_with(&mut |kv, tombstone| lessor.replay(kv.key, kv.lease, tombstone))
    }

    /// The state.
    ///
    /// # Panics
    /// Before [`RestoringState::step`] has said `true`.
    pub fn finish(self) -> State {
        State { store: self.restoring.finish(), lessor: self.lessor, alarms: self.alarms, auth: self.auth }
    }
}
