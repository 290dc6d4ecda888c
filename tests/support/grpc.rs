//! A gRPC client made of frames: it can do what no proper client would.

#![allow(dead_code, reason = "each test binary uses its part")]

use bytes::{Buf as _, Bytes};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use prost::Message;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer, or its status: code and text.
pub(crate) type Answer<T> = Result<T, (i32, String)>;

/// One connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    send: SendRequest<Bytes>,
    address: String,
}

impl Client {
    /// To `host:port`, with so many bytes of room for what the server sends on each stream.
    pub(crate) async fn connect_with(address: &str, window: u32) -> Client {
        let socket = TcpStream::connect(address).await.expect("it listens");
        socket.set_nodelay(true).expect("a socket can be set");
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(1 << 30);
        let (send, connection) = builder.handshake(socket).await.expect("it speaks HTTP/2");
        // Ends with the last clone, or with the server; tests see that by what they ask.
        tokio::spawn(async move { drop(connection.await) });
        Client { send, address: address.to_owned() }
    }

    pub(crate) async fn connect(url: &str) -> Client {
        let address = url.strip_prefix("http://").unwrap_or(url);
        Client::connect_with(address, 4 << 20).await
    }

    /// Begins a call.
    pub(crate) async fn begin(&self, path: &str) -> (SendStream<Bytes>, ResponseFuture) {
        let request = http::Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .expect("a request");
        let mut send = self.send.clone().ready().await.expect("the connection is open");
        let (answer, body) = send.send_request(request, false).expect("the connection is open");
        (body, answer)
    }

    /// A call with one request, and a stream of answers.
    pub(crate) async fn stream(&self, path: &str, request: &impl Message) -> Answers {
        let (mut body, answer) = self.begin(path).await;
        body.send_data(framed(request), true).expect("the stream is open");
        Answers { begun: Some(answer), body: None, bytes: Vec::new() }
    }

    /// A call with one answer.
    pub(crate) async fn call<O: Message + Default>(&self, path: &str, request: &impl Message) -> Answer<O> {
        let mut answers = self.stream(path, request).await;
        answers.next().await.map(|answer| answer.expect("one answer"))
    }
}

/// A message with the five bytes before it.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut bytes = vec![0];
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes.into()
}

/// What comes back. The call is broken off when it is dropped.
pub(crate) struct Answers {
    begun: Option<ResponseFuture>,
    body: Option<RecvStream>,
    bytes: Vec<u8>,
}

impl Answers {
    pub(crate) fn of(answer: ResponseFuture) -> Answers {
        Answers { begun: Some(answer), body: None, bytes: Vec::new() }
    }

    /// The next answer; `None` at a good end.
    pub(crate) async fn next<O: Message + Default>(&mut self) -> Answer<Option<O>> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("an answer within 20 s")
    }

    async fn read<O: Message + Default>(&mut self) -> Answer<Option<O>> {
        if let Some(answer) = self.begun.take() {
            let broken = |error: h2::Error| (-1, error.to_string());
            let (head, body) = answer.await.map_err(broken)?.into_parts();
            status(&head.headers)?;
            self.body = Some(body);
        }
        let body = self.body.as_mut().expect("it has begun");
        loop {
            if let [_, a, b, c, d, rest @ ..] = &self.bytes[..]
                && rest.len() >= u32::from_be_bytes([*a, *b, *c, *d]) as usize
            {
                let end = 5 + u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                let message = O::decode(&self.bytes[5..end]).expect("a message of this kind");
                self.bytes.drain(..end);
                return Ok(Some(message));
            }
            match body.data().await {
                Some(Ok(mut data)) => {
                    let n = data.remaining();
                    self.bytes.extend(data.copy_to_bytes(n));
                    body.flow_control().release_capacity(n).expect("it was received");
                }
                Some(Err(error)) => return Err((-1, error.to_string())),
                None => {
                    let trailers = body.trailers().await.map_err(|error| (-1, error.to_string()))?;
                    status(&trailers.unwrap_or_default())?;
                    return Ok(None);
                }
            }
        }
    }
}

fn status(headers: &http::HeaderMap) -> Answer<()> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned());
    match text("grpc-status").map(|code| code.parse().expect("a code")) {
        None | Some(0) => Ok(()),
        Some(code) => Err((code, unescaped(&text("grpc-message").unwrap_or_default()))),
    }
}

/// A text in which `%22` stands for `"`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let byte = u8::from_str_radix(&part[..2], 16).expect("two digits");
        text + &char::from(byte).to_string() + &part[2..]
    })
}
