//! A call with one request and one answer, as bytes.
//!
//! All that is to be done for one on the wire is to take five bytes off a request and to put five before an answer. So
//! that is what is done: tonic's general machinery, which streams still go through ([`super::streams`]), gives each call
//! buffers of 8 KiB in both directions and a stream to read one message from.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use hyper::body::{Body, Frame};
use prost::Message;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tonic::Status;
use tonic::codegen::http::{HeaderMap, HeaderValue, Response, header};

/// Bytes before a message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// Reads a call's request. How long it may be was looked at before ([`super::limit`]).
pub(super) async fn request<I: Message + Default, B: Body>(body: B) -> Result<I, Status>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = pin!(body);
    let mut came = BytesMut::new();
    while !body.is_end_stream()
        && let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await
    {
        let frame = frame.map_err(|error| Status::from_error(error.into()))?;
        if let Ok(data) = frame.into_data() {
            came.put(data);
        }
        check(&came)?;
    }
    let message = came.get(HEAD..).ok_or_else(|| Status::internal("Missing request message."))?;
    if message.len() != length(&came).unwrap_or(0) {
        return Err(Status::internal("one whole message is expected"));
    }
    came.advance(HEAD);
    I::decode(came.freeze()).map_err(|error| Status::internal(error.to_string()))
}

/// What can be said of a message by its beginning.
fn check(came: &[u8]) -> Result<(), Status> {
    match length(came) {
        Some(_) if came[0] != 0 => Err(Status::unimplemented("compressed messages are not taken")),
        Some(len) if came.len() > HEAD + len => Err(Status::internal("one message and no more is expected")),
        _ => Ok(()),
    }
}

fn length(came: &[u8]) -> Option<usize> {
    let &[_, a, b, c, d, ..] = came else { return None };
    Some(u32::from_be_bytes([a, b, c, d]) as usize)
}

/// A call's answer.
pub(super) fn answer(message: &impl Message) -> Response<tonic::body::Body> {
    let len = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(HEAD + len);
    bytes.put_u8(0);
    bytes.put_u32(len as u32);
    message.encode(&mut bytes).expect("invariant: there is room for it");
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Answer { message: Some(bytes.freeze()), trailers: Some(trailers) };
    let mut response = Response::new(tonic::body::Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// One message, and that all went well.
struct Answer {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let message = self.message.take().map(Frame::data);
        let frame = message.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::etcdserverpb::PutRequest;
    use std::collections::VecDeque;

    /// A body in pieces.
    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn read(bytes: &[u8], n: usize) -> Result<PutRequest, Status> {
        let pieces = Pieces(bytes.chunks(n).map(Bytes::copy_from_slice).collect());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(request(pieces))
    }

    fn framed(put: &PutRequest) -> Vec<u8> {
        let message = put.encode_to_vec();
        [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat()
    }

    #[test]
    fn a_request_may_come_in_pieces() {
        let put = PutRequest { key: "a".into(), value: "b".repeat(300).into(), ..PutRequest::default() };
        for n in [1, 4, 1_000] {
            assert_eq!(read(&framed(&put), n).expect("it is whole"), put);
        }
        assert_eq!(read(&framed(&PutRequest::default()), 2).expect("it is whole"), PutRequest::default());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let whole = framed(&PutRequest { key: "a".into(), ..PutRequest::default() });
        let code = |bytes: &[u8]| read(bytes, 100).expect_err("it is none").code();
        assert_eq!(code(b""), tonic::Code::Internal);
        assert_eq!(code(&whole[..whole.len() - 1]), tonic::Code::Internal);
        assert_eq!(code(&[&whole[..], b"x"].concat()), tonic::Code::Internal);
        assert_eq!(code(&[0, 255, 255, 255, 255, 0]), tonic::Code::Internal);
        assert_eq!(code(&[&[1], &whole[1..]].concat()), tonic::Code::Unimplemented);
        assert_eq!(code(&[0, 0, 0, 0, 1, 0xff]), tonic::Code::Internal);
    }
}
