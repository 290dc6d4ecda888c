//! Where a member is reached.

use std::fmt;
use std::str::FromStr;

/// `http://host:port`, or `host:port` alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    authority: String,
}

impl Endpoint {
    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.authority
    }

    /// What a request says of whom it means.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Endpoint, String> {
        let expected = |what: &str| format!("{text}: {what}, for example localhost:2379 or http://10.0.0.1:2379");
        if text.starts_with("https://") {
            return Err(expected("an address without TLS is expected"));
        }
        let authority = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or_else(|| expected("a host and a port are expected"))?;
        let host_is_one = !host.is_empty() && http::uri::Authority::from_str(authority).is_ok();
        if port.parse::<u16>().is_err() || !host_is_one || authority.contains(['/', '@']) {
            return Err(expected("a host and a port are expected"));
        }
        Ok(Endpoint { authority: authority.to_owned() })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_host_and_a_port() {
        for right in ["localhost:2379", "http://localhost:2379", "http://localhost:2379/"] {
            assert_eq!(right.parse::<Endpoint>().expect(right).to_string(), "localhost:2379");
        }
        assert_eq!("[::1]:2379".parse::<Endpoint>().expect("IPv6").address(), "[::1]:2379");
        for wrong in ["localhost", "https://localhost:2379", ":2379", "localhost:99999", "a b:1", "http://a:1/x"] {
            let error = wrong.parse::<Endpoint>().expect_err(wrong);
            assert!(error.starts_with(wrong) && error.contains("for example"), "{error}");
        }
    }
}
