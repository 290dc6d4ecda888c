use serde::Serialize;
#[derive(Clone, Debug, Serialize)]
pub struct DbReport { pub file: String, pub consistent_index: Option<u64> }
