//! A small client for the tools that speak to a running cluster: `bench` and `doctor`.
//!
//! gRPC is little more than HTTP/2: a call is a POST to `/package.Service/Method`, a message is five bytes (not
//! compressed, a length) and its protobuf encoding, and how it ended stands in the trailers.
//!
//! ```text
//!   POST /etcdserverpb.KV/Put  ──▶  00 00 00 01 0a | PutRequest        one DATA frame
//!                              ◀──  00 00 00 00 1c | PutResponse       one DATA frame
//!                              ◀──  grpc-status: 0                     trailers
//! ```
//!
//! So this speaks to `h2` itself. Nothing stands between a call and its frames, which matters to a load generator that
//! shares a machine with what it measures: what the generator burns is taken from the server, and hides differences
//! between servers. [`http1`] reads pages, such as `/metrics`.
//!
//! Left out: TLS, compression (no etcd client asks for it), tokens, a balancer that chooses between endpoints (a tool
//! wants to know whom it speaks to).

mod endpoint;
mod error;
pub mod http1;
pub mod method;

pub use endpoint::Endpoint;
pub use error::ClientError;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response, Uri};
use method::Method;
use prost::Message;
use std::marker::PhantomData;
use std::time::Duration;
use tokio::net::TcpStream;

/// Bytes before a message: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;
/// Bytes that a server may send ahead of us: of a stream, and of a connection. No answer should wait for a window.
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection to one endpoint. Its clones share it.
#[derive(Clone)]
pub struct Channel {
    requests: SendRequest<Bytes>,
    endpoint: Endpoint,
}

impl Channel {
    /// Connects. The connection lives as long as the channel or a call on it.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] if nobody answers there, [`ClientError::Broken`] if it is no HTTP/2 server.
    pub async fn connect(endpoint: &Endpoint) -> Result<Channel, ClientError> {
        let unreachable = |what: String| ClientError::Unreachable { endpoint: endpoint.to_string(), what };
        let connected = tokio::time::timeout(CONNECT, TcpStream::connect(endpoint.address())).await;
        let connected = connected.map_err(|_| unreachable(format!("no answer in {} s", CONNECT.as_secs())))?;
        let connection = connected.map_err(|error| unreachable(error.to_string()))?;
        connection.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
        let mut builder = client::Builder::new();
        builder.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        builder.enable_push(false);
        let shaken = builder.handshake(connection).await;
        let (requests, connection) = shaken.map_err(|error| ClientError::broken(endpoint, &error))?;
        tokio::spawn(async move {
            // Who waits for an answer hears of the connection's end.
            let _ = connection.await;
        });
        Ok(Channel { requests, endpoint: endpoint.clone() })
    }

    /// Whom it speaks to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A call with one answer.
    ///
    /// # Errors
    /// [`ClientError::Status`] is the server's word, [`ClientError::Broken`] that of the connection.
    pub async fn call<I: Message, O: Message + Default>(
        &mut self,
        method: &Method<I, O>,
        request: &I,
    ) -> Result<O, ClientError> {
        let (response, mut body) = self.begin(method.path).await?;
        body.send_data(framed(request), true).map_err(|error| ClientError::broken(&self.endpoint, &error))?;
        let mut answers = Answers::<O>::new(self.endpoint.clone(), response);
        let answer = answers.next().await?.ok_or_else(|| ClientError::Broken {
            endpoint: self.endpoint.to_string(),
            what: "a call ended well and without an answer".to_owned(),
        })?;
        match answers.next().await? {
            None => Ok(answer),
            Some(_) => Err(ClientError::Broken {
                endpoint: self.endpoint.to_string(),
                what: "two answers to one call".to_owned(),
            }),
        }
    }

    /// A call with many requests and answers.
    ///
    /// # Errors
    /// As [`Channel::call`].
    pub async fn stream<I: Message, O: Message + Default>(
        &mut self,
        method: &Method<I, O>,
    ) -> Result<(Requests<I>, Answers<O>), ClientError> {
        let (response, body) = self.begin(method.path).await?;
        let requests = Requests { endpoint: self.endpoint.clone(), body, says: PhantomData };
        Ok((requests, Answers::new(self.endpoint.clone(), response)))
    }

    async fn begin(&mut self, path: &'static str) -> Result<(ResponseFuture, SendStream<Bytes>), ClientError> {
        let broken = |error| ClientError::broken(&self.endpoint, &error);
        // Waits while the server takes no further stream.
        std::future::poll_fn(|cx| self.requests.poll_ready(cx)).await.map_err(broken)?;
        let uri = Uri::builder().scheme("http").authority(self.endpoint.authority()).path_and_query(path).build();
        let request = Request::post(uri.expect("invariant: an endpoint and a method are a URI"));
        let request = request.header("content-type", "application/grpc").header("te", "trailers").body(());
        let request = request.expect("invariant: the headers are right");
        self.requests.send_request(request, false).map_err(broken)
    }
}

/// A message with its head.
fn framed(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(FRAME_HEAD + len);
    bytes.put_u8(0);
    bytes.put_u32(len as u32);
    message.encode(&mut bytes).expect("invariant: there is room for it");
    bytes.freeze()
}

/// The client's side of a stream. Dropped, it is closed.
pub struct Requests<I> {
    endpoint: Endpoint,
    body: SendStream<Bytes>,
    says: PhantomData<fn(I)>,
}

impl<I: Message> Requests<I> {
    /// Says something. It is kept until the server takes it.
    ///
    /// # Errors
    /// [`ClientError::Broken`] when the stream has ended; its answers tell why.
    pub fn say(&mut self, request: &I) -> Result<(), ClientError> {
        self.body.send_data(framed(request), false).map_err(|error| ClientError::broken(&self.endpoint, &error))
    }
}

/// The server's side.
pub struct Answers<O> {
    endpoint: Endpoint,
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    /// What came and is no whole message yet.
    came: BytesMut,
    hears: PhantomData<fn() -> O>,
}

impl<O: Message + Default> Answers<O> {
    fn new(endpoint: Endpoint, response: ResponseFuture) -> Answers<O> {
        Answers { endpoint, response: Some(response), body: None, came: BytesMut::new(), hears: PhantomData }
    }

    /// The next answer; `None` when all were heard.
    ///
    /// # Errors
    /// As [`Channel::call`].
    pub async fn next(&mut self) -> Result<Option<O>, ClientError> {
        if let Some(response) = &mut self.response {
            let response = response.await.map_err(|error| ClientError::broken(&self.endpoint, &error))?;
            self.response = None;
            self.body = Some(self.begins(response)?);
        }
        let Some(body) = &mut self.body else { return Ok(None) };
        loop {
            if let Some(message) = whole(&mut self.came) {
                let message = O::decode(message).map_err(|error| ClientError::Broken {
                    endpoint: self.endpoint.to_string(),
                    what: format!("an answer that cannot be read: {error}"),
                })?;
                return Ok(Some(message));
            }
            let Some(data) = body.data().await else { break };
            let data = data.map_err(|error| ClientError::broken(&self.endpoint, &error))?;
            // The window grows by what was taken; a stream that has ended needs none.
            let _ = body.flow_control().release_capacity(data.len());
            self.came.put(data);
        }
        let trailers = body.trailers().await.map_err(|error| ClientError::broken(&self.endpoint, &error))?;
        self.body = None;
        ended(&trailers.unwrap_or_default())?;
        Ok(None)
    }

    /// What an answer begins with. Who refuses at once says so here.
    fn begins(&self, response: Response<RecvStream>) -> Result<RecvStream, ClientError> {
        let (head, body) = response.into_parts();
        if head.headers.contains_key("grpc-status") {
            ended(&head.headers)?;
        }
        if !head.status.is_success() {
            let what = format!("it is no etcd: it answers with HTTP status {}", head.status);
            return Err(ClientError::Broken { endpoint: self.endpoint.to_string(), what });
        }
        Ok(body)
    }
}

/// A whole message of what came.
fn whole(came: &mut BytesMut) -> Option<BytesMut> {
    let &[_, a, b, c, d, ..] = &came[..] else { return None };
    let len = u32::from_be_bytes([a, b, c, d]) as usize;
    if came.len() < FRAME_HEAD + len {
        return None;
    }
    came.advance(FRAME_HEAD);
    Some(came.split_to(len))
}

/// How a call ended.
fn ended(trailers: &HeaderMap) -> Result<(), ClientError> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text("grpc-status").parse() {
        Ok(0) => Ok(()),
        Ok(code) => Err(ClientError::Status { code, message: error::unescaped(text("grpc-message")) }),
        Err(_) => Err(ClientError::Status { code: 2, message: "the call ended without a status".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedbed::pb::etcdserverpb::PutRequest;

    #[test]
    fn messages_are_found_in_pieces() {
        let put = |key: &'static str| PutRequest { key: key.into(), ..PutRequest::default() };
        let sent = [framed(&put("a")), framed(&PutRequest::default()), framed(&put("b"))].concat();
        for n in [1, 3, 100] {
            let (mut came, mut heard) = (BytesMut::new(), Vec::new());
            for piece in sent.chunks(n) {
                came.extend_from_slice(piece);
                while let Some(message) = whole(&mut came) {
                    heard.push(PutRequest::decode(message).expect("what was sent"));
                }
            }
            assert_eq!(heard, [put("a"), PutRequest::default(), put("b")]);
        }
    }

    #[test]
    fn how_a_call_ended_is_in_its_trailers() {
        let trailers = |code: &'static str| {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", code.parse().expect("a value"));
            trailers.insert("grpc-message", "no%20leader".parse().expect("a value"));
            trailers
        };
        assert!(ended(&trailers("0")).is_ok());
        let error = ended(&trailers("14")).expect_err("it is not zero");
        assert!(matches!(error, ClientError::Status { code: 14, message } if message == "no leader"));
        assert!(ended(&HeaderMap::new()).is_err(), "nothing said is no success");
    }
}
