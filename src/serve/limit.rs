//! How long a message may be: more than that is refused at its head, before any of it is kept.
//!
//! gRPC puts five bytes before each message: whether it is compressed, and its length. They are looked at as they pass.
//! etcd takes 512 KiB more than the longest request that the member would take, so that most of what is too long is
//! refused by the member, in its own words; this is for the rest.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::{Code, Status};

/// What a message may be longer than a request, in bytes.
pub(super) const OVERHEAD: usize = 512 << 10;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body that ends with an error where a message is too long.
pub(super) struct Limited<B> {
    body: B,
    /// Bytes of the longest message.
    max: usize,
    head: [u8; 5],
    /// Bytes of the head that have passed.
    read: usize,
    /// Bytes of the message that have yet to pass.
    left: usize,
}

impl<B> Limited<B> {
    pub(super) fn new(body: B, max: usize) -> Limited<B> {
        Limited { body, max, head: [0; 5], read: 0, left: 0 }
    }

    fn pass(&mut self, mut bytes: &[u8]) -> Result<(), Status> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let n = self.left.min(bytes.len());
                self.left -= n;
                bytes = &bytes[n..];
                continue;
            }
            let n = (self.head.len() - self.read).min(bytes.len());
            self.head[self.read..self.read + n].copy_from_slice(&bytes[..n]);
            (self.read, bytes) = (self.read + n, &bytes[n..]);
            if self.read == self.head.len() {
                let [_, length @ ..] = self.head;
                (self.read, self.left) = (0, u32::from_be_bytes(length) as usize);
                if self.left > self.max {
                    let text = format!("grpc: received message larger than max ({} vs. {})", self.left, self.max);
                    return Err(Status::new(Code::ResourceExhausted, text));
                }
            }
        }
        Ok(())
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin> Body for Limited<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            None => return Poll::Ready(None),
        };
        let passed = frame.data_ref().map_or(Ok(()), |data| self.pass(data));
        Poll::Ready(Some(passed.map(|()| frame).map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with its head.
    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(length.to_be_bytes());
        bytes.extend(std::iter::repeat_n(7, length as usize));
        bytes
    }

    #[test]
    fn messages_pass_however_they_are_cut_and_a_long_one_does_not() {
        let bytes = [message(3), message(0), message(10), message(11)].concat();
        let fits = bytes.len() - 11 - 1;
        for piece in 1..=bytes.len() {
            let mut limited = Limited::new((), 10);
            let passed = bytes[..fits].chunks(piece).try_for_each(|piece| limited.pass(piece));
            assert!(passed.is_ok(), "in pieces of {piece}");
            let error = limited.pass(&bytes[fits..=fits]).expect_err("the last byte of its head says so");
            assert_eq!(error.code(), Code::ResourceExhausted);
            assert_eq!(error.message(), "grpc: received message larger than max (11 vs. 10)");
        }
    }
}
