//! What a call to a peer begins with: headers that say who means whom.
//!
//! ```text
//!   seedbed-protocol    1
//!   x-etcd-cluster-id   cdf818194e3a8c32       hex, as etcd's own header of that name
//!   x-server-from       8e9e05c52164694d       the caller
//!   x-raft-to           91bc3c398fb3c146       whom it means
//!   x-peerurls          http://10.0.0.1:2380   where the caller can be reached; several with commas between them
//! ```
//!
//! A refusal is a status of gRPC, and its code tells what the caller has to do.

use crate::raft::NodeId;
use std::fmt;
use tonic::codegen::http::HeaderMap;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

/// The version of the protocol. Whoever has another is refused.
const PROTOCOL: &str = "1";

/// Who calls whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) cluster_id: u64,
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) urls: Vec<String>,
}

/// Why a call is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("header {name}: {expected} is expected; is the caller a member of Seedbed?")]
    Header { name: &'static str, expected: &'static str },
    #[error("protocol version {found}: this member speaks version {PROTOCOL}; run the same release on all members")]
    Protocol { found: String },
    #[error(
        "cluster ID mismatch: the caller is of cluster {found:x}, this member of {expected:x}; check --initial-cluster-token and --initial-cluster, or the data directory"
    )]
    Cluster { expected: u64, found: u64 },
    #[error("the caller means member {found:x}, this is member {expected:x}; check the peer URLs")]
    Member { expected: NodeId, found: NodeId },
    #[error("member {0:x} was removed from the cluster")]
    Removed(NodeId),
    #[error("member {0:x} is unknown here and does not say where it can be reached")]
    Unknown(NodeId),
}

impl Refusal {
    pub(super) fn status(&self) -> Status {
        let code = match self {
            Refusal::Header { .. } => Code::InvalidArgument,
            Refusal::Protocol { .. } => Code::Unimplemented,
            Refusal::Cluster { .. } => Code::FailedPrecondition,
            Refusal::Member { .. } | Refusal::Unknown(_) => Code::NotFound,
            Refusal::Removed(_) => REMOVED,
        };
        Status::new(code, self.to_string())
    }
}

/// The code that tells a caller that it was removed (etcd's transport: 410 Gone).
pub(super) const REMOVED: Code = Code::PermissionDenied;

impl Hello {
    /// Puts it into a call's headers.
    pub(super) fn write(&self, headers: &mut MetadataMap) {
        let mut put = |name: &'static str, value: String| {
            // Addresses that no header can carry cannot be dialled either: they are left out.
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        };
        put("seedbed-protocol", PROTOCOL.to_owned());
        put("x-etcd-cluster-id", format!("{:x}", self.cluster_id));
        put("x-server-from", format!("{:x}", self.from));
        put("x-raft-to", format!("{:x}", self.to));
        put("x-peerurls", self.urls.join(","));
    }

    /// Reads it from a call's headers.
    pub(super) fn read(headers: &HeaderMap) -> Result<Hello, Refusal> {
        let text = |name: &'static str, expected| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.ok_or(Refusal::Header { name, expected })
        };
        let id = |name| {
            let expected = "an id in hexadecimal";
            u64::from_str_radix(text(name, expected)?, 16).map_err(|_| Refusal::Header { name, expected })
        };
        let found = text("seedbed-protocol", "a version")?;
        if found != PROTOCOL {
            return Err(Refusal::Protocol { found: found.to_owned() });
        }
        let urls = text("x-peerurls", "addresses").unwrap_or_default();
        let urls = urls.split(',').filter(|url| !url.is_empty()).map(str::to_owned).collect();
        Ok(Hello { cluster_id: id("x-etcd-cluster-id")?, from: id("x-server-from")?, to: id("x-raft-to")?, urls })
    }

    /// Whether a member of this cluster with this id may take the call.
    pub(super) fn check(&self, cluster_id: u64, id: NodeId) -> Result<(), Refusal> {
        if self.cluster_id != cluster_id {
            return Err(Refusal::Cluster { expected: cluster_id, found: self.cluster_id });
        }
        if self.to != id {
            return Err(Refusal::Member { expected: id, found: self.to });
        }
        if self.urls.is_empty() {
            return Err(Refusal::Unknown(self.from));
        }
        Ok(())
    }
}

impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {:x} ({})", self.from, self.urls.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        let urls = vec!["http://localhost:2380".to_owned(), "http://localhost:2381".to_owned()];
        Hello { cluster_id: 0xcdf8, from: 0x8e9e, to: 0x91bc, urls }
    }

    fn headers(hello: &Hello) -> HeaderMap {
        let mut headers = MetadataMap::new();
        hello.write(&mut headers);
        headers.into_headers()
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        assert_eq!(Hello::read(&headers(&hello())), Ok(hello()));
        assert_eq!(hello().check(0xcdf8, 0x91bc), Ok(()));
    }

    #[test]
    fn who_means_somebody_else_hears_so() {
        for (cluster, id, code, text) in [
            (
                1,
                0x91bc,
                Code::FailedPrecondition,
                "cluster ID mismatch: the caller is of cluster cdf8, this member of 1",
            ),
            (0xcdf8, 2, Code::NotFound, "means member 91bc, this is member 2"),
        ] {
            let status = hello().check(cluster, id).expect_err("it is another").status();
            assert!(status.code() == code && status.message().contains(text), "{status}");
        }
        let nowhere = Hello { urls: Vec::new(), ..hello() };
        let read = Hello::read(&headers(&nowhere)).expect("it is whole");
        assert_eq!(read.check(0xcdf8, 0x91bc), Err(Refusal::Unknown(0x8e9e)));
    }

    #[test]
    fn another_protocol_is_refused_before_anything_else() {
        let mut other = headers(&hello());
        other.insert("seedbed-protocol", "2".parse().expect("a value"));
        other.insert("x-raft-to", "nobody".parse().expect("a value"));
        assert_eq!(Hello::read(&other), Err(Refusal::Protocol { found: "2".to_owned() }));
        other.insert("seedbed-protocol", PROTOCOL.parse().expect("a value"));
        assert!(matches!(Hello::read(&other), Err(Refusal::Header { name: "x-raft-to", .. })));
        assert!(matches!(Hello::read(&HeaderMap::new()), Err(Refusal::Header { name: "seedbed-protocol", .. })));
    }
}
