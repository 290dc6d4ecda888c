//! Pages: `/metrics`, `/health`, by HTTP/1.0. The server closes the connection behind the page, so all is in one piece.

use super::{ClientError, Endpoint};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A page and how the server thinks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// HTTP's status.
    pub status: u16,
    /// `Date:`, which tells the server's clock in whole seconds.
    pub date: Option<String>,
    /// The text.
    pub body: String,
}

/// Reads a page.
///
/// # Errors
/// [`ClientError::Unreachable`], [`ClientError::Broken`] where no HTTP is spoken, [`ClientError::TimedOut`].
pub async fn get(endpoint: &Endpoint, path: &str, patience: Duration) -> Result<Page, ClientError> {
    let timed_out = |_| ClientError::TimedOut { endpoint: endpoint.to_string(), seconds: patience.as_secs() };
    tokio::time::timeout(patience, ask(endpoint, path)).await.map_err(timed_out)?
}

async fn ask(endpoint: &Endpoint, path: &str) -> Result<Page, ClientError> {
    let to = || endpoint.to_string();
    let connected = TcpStream::connect(endpoint.address()).await;
    let mut connection =
        connected.map_err(|error| ClientError::Unreachable { endpoint: to(), what: error.to_string() })?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", endpoint.authority());
    let mut answer = Vec::new();
    let heard = async {
        connection.write_all(request.as_bytes()).await?;
        connection.read_to_end(&mut answer).await
    };
    let broken = |what: String| ClientError::Broken { endpoint: to(), what };
    heard.await.map_err(|error| broken(error.to_string()))?;
    page(&String::from_utf8_lossy(&answer)).ok_or_else(|| broken("no page of HTTP came".to_owned()))
}

fn page(text: &str) -> Option<Page> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let date = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then(|| value.trim().to_owned())
    });
    Some(Page { status, date, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_status_a_date_and_a_body() {
        let text = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nDate: Sun, 22 Nov 2026 14:42:13 GMT\r\n\r\na 1\n";
        let date = Some("Sun, 22 Nov 2026 14:42:13 GMT".to_owned());
        assert_eq!(page(text), Some(Page { status: 200, date, body: "a 1\n".to_owned() }));
        assert_eq!(page("SSH-2.0-x\r\n\r\n"), None);
    }
}
