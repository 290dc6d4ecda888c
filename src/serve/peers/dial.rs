//! Connections that this process dials: HTTP/2, by TLS where the address says so, one call after the other or many at once.

use crate::serve::tls::{self, Connector};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::codegen::http::{self, Uri};

/// How long the other side may take to pick up.
const PICKS_UP_WITHIN: Duration = Duration::from_secs(2);
/// A connection on which nothing is heard is asked for a sign of life this often ...
const ASK_EVERY: Duration = Duration::from_secs(2);
/// ... and given up when none comes within this.
const GIVE_UP_AFTER: Duration = Duration::from_secs(4);
/// Bytes that the other side may send ahead of what was read.
const WINDOW: u32 = 1 << 20;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address is none that can be dialled.
    #[error("{url}: an address like http://localhost:2380 is expected")]
    Url {
        /// The address.
        url: String,
    },
    /// It is by TLS, and this process has no certificate to show there.
    #[error(
        "{url}: for https:// a certificate and an authority are expected: --peer-cert-file, --peer-key-file and --peer-trusted-ca-file"
    )]
    NoCertificate {
        /// The address.
        url: String,
    },
    /// Nobody answers there, or it is not who it should be.
    #[error("{url}: {source}")]
    Connect {
        /// The address.
        url: String,
        /// What the system said.
        source: io::Error,
    },
    /// It does not pick up.
    #[error("{url}: no answer within {PICKS_UP_WITHIN:?}")]
    Silent {
        /// The address.
        url: String,
    },
    /// Whoever answers does not speak HTTP/2.
    #[error("{url}: {source}")]
    Speech {
        /// The address.
        url: String,
        /// What was wrong.
        source: hyper::Error,
    },
}

/// A connection. It ends when the last of its copies and calls has.
#[derive(Clone, Debug)]
pub struct Connection {
    send: SendRequest<Body>,
    origin: Uri,
}

impl Connection {
    /// Dials `http://host:port`, or `https://host:port` by TLS.
    pub async fn dial(url: &str, tls: Option<&Connector>) -> Result<Connection, DialError> {
        let named = || url.to_owned();
        let (scheme, address) = url.split_once("://").ok_or_else(|| DialError::Url { url: named() })?;
        let address = address.trim_end_matches('/');
        let tls = match (scheme, tls) {
            ("http", _) => None,
            ("https", Some(tls)) => Some(tls),
            ("https", None) => return Err(DialError::NoCertificate { url: named() }),
            _ => return Err(DialError::Url { url: named() }),
        };
        let origin = format!("{scheme}://{address}").parse().map_err(|_| DialError::Url { url: named() })?;
        let connect = async {
            let failed = |source| DialError::Connect { url: named(), source };
            let stream = TcpStream::connect(address).await.map_err(failed)?;
            // A heartbeat is not kept back for a larger packet.
            let _ = stream.set_nodelay(true);
            let send = match tls {
                None => speak(stream).await,
                Some(tls) => speak(tls.connect(tls::host(address), stream).await.map_err(failed)?).await,
            };
            send.map_err(|source| DialError::Speech { url: named(), source })
        };
        let within = tokio::time::timeout(PICKS_UP_WITHIN, connect).await;
        let send = within.map_err(|_| DialError::Silent { url: named() })??;
        Ok(Connection { send, origin })
    }

    /// The address that it was dialled at.
    pub(in crate::serve) fn origin(&self) -> Uri {
        self.origin.clone()
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> hyper::Result<SendRequest<Body>> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    builder.keep_alive_interval(ASK_EVERY).keep_alive_timeout(GIVE_UP_AFTER).keep_alive_while_idle(true);
    let (send, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // Its end is seen by the calls on it.
    tokio::spawn(connection);
    Ok(send)
}

impl tower::Service<http::Request<Body>> for Connection {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.send.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.send.send_request(request))
    }
}
