//! What may go wrong between a tool and a member.

use super::Endpoint;

/// See the module. The text says what to do next where that is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error(
        "no server at {endpoint}: {what}; start one there (`seedbed serve`, `etcd`), or name where it serves clients \
         by --endpoints"
    )]
    Unreachable {
        /// Where.
        endpoint: String,
        /// What the system said.
        what: String,
    },
    /// The connection broke, or what answers is no etcd.
    #[error("the connection to {endpoint} broke: {what}")]
    Broken {
        /// Where.
        endpoint: String,
        /// What was wrong.
        what: String,
    },
    /// The server's answer is an error.
    #[error("{message} ({})", code_name(*.code))]
    Status {
        /// gRPC's number of it.
        code: u32,
        /// The server's own words.
        message: String,
    },
    /// No answer came in time.
    #[error("no answer from {endpoint} in {seconds} s")]
    TimedOut {
        /// Where.
        endpoint: String,
        /// How long was waited.
        seconds: u64,
    },
}

impl ClientError {
    pub(super) fn broken(endpoint: &Endpoint, error: &h2::Error) -> ClientError {
        ClientError::Broken { endpoint: endpoint.to_string(), what: error.to_string() }
    }
}

/// gRPC's name of a code.
fn code_name(code: u32) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(code as usize).copied().unwrap_or("a code of its own")
}

/// A message of gRPC: bytes that a header cannot have stand as `%` and two digits.
pub(super) fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        let digit = |n: usize| after.get(n).and_then(|digit| char::from(*digit).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_unescaped() {
        assert_eq!(unescaped("a%20b%3A %C3%A9"), "a b: é");
        assert_eq!(unescaped("100% of %zz %2"), "100% of %zz %2");
    }
}
