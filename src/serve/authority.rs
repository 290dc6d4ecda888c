//! Clients that name their server by its URL.
//!
//! A request in HTTP/2 says which server it means in `:authority`, which is `host:port`. Where etcd's own Go client is
//! given an endpoint with a scheme it says `http://host:port` in some of its calls (`etcdctl endpoint status`, `defrag`,
//! `endpoint hashkv`). Go's server does not mind; ours resets the stream, as the standard has it (RFC 9113, 8.3.1). So the
//! scheme is taken away before anyone sees it.
//!
//! ```text
//!   bytes ─▶ preface ─▶ frames up to the first HEADERS ─┬─ a proper name: everything passes from here on
//!              │                                        └─ a URL: each block of headers is decoded and encoded again
//!              └─ HTTP/1: everything passes
//! ```
//!
//! A client says the same in all requests of a connection, so the first tells. Blocks of headers have a memory of former
//! ones (HPACK, RFC 7541); a connection whose blocks are changed has two of them here, the client's and the server's.
//! What this cannot read passes unchanged: the server behind has the words for it.

use bytes::{Buf as _, BytesMut};
use loona_hpack::{Decoder, Encoder};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection begins with in HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// The longest frame that everybody takes.
const MAX_FRAME: usize = 16_384;
/// No block of headers of a real client is as long.
const MAX_BLOCK: usize = 64 << 10;

/// A connection without URLs in place of names.
pub(super) struct Tolerant<S> {
    connection: S,
    filter: Filter,
}

impl<S> Tolerant<S> {
    pub(super) fn new(connection: S) -> Tolerant<S> {
        Tolerant { connection, filter: Filter::default() }
    }
}

/// What is between the bytes that come and those that are handed on.
#[derive(Default)]
struct Filter {
    stage: Stage,
    /// Came, and is not decided on.
    raw: BytesMut,
    /// Can be handed on.
    ready: BytesMut,
    /// Bytes of a frame that passes.
    passing: usize,
    /// Frames of a block of headers that is not complete, as they came.
    held: BytesMut,
    /// The block itself, and what the first of its frames said.
    block: Vec<u8>,
    flags: u8,
    /// The client's memory of its blocks, and the server's; once it is known that blocks are to be changed.
    hpack: Option<(Decoder<'static>, Encoder<'static>)>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Preface,
    Frames,
    /// Everything passes.
    Open,
}

impl Filter {
    fn take(&mut self, bytes: &[u8]) {
        self.raw.extend_from_slice(bytes);
        while self.advance() {}
    }

    /// Decides on what came; `false`: more has to come.
    fn advance(&mut self) -> bool {
        match self.stage {
            Stage::Open => {
                self.pass(self.raw.len());
                false
            }
            Stage::Preface if self.raw.len() >= PREFACE.len() || !PREFACE.starts_with(&self.raw) => {
                let begins = self.raw.starts_with(PREFACE);
                self.stage = if begins { Stage::Frames } else { Stage::Open };
                if begins {
                    self.pass(PREFACE.len());
                }
                true
            }
            Stage::Preface => false,
            Stage::Frames if self.passing > 0 => {
                let n = self.passing.min(self.raw.len());
                self.passing -= n;
                self.pass(n);
                n > 0
            }
            Stage::Frames => self.frame(),
        }
    }

    fn pass(&mut self, n: usize) {
        self.ready.unsplit(self.raw.split_to(n));
    }

    fn frame(&mut self) -> bool {
        let &[a, b, c, kind, flags, s0, s1, s2, s3, ..] = &self.raw[..] else { return false };
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        if kind != HEADERS && kind != CONTINUATION {
            self.passing = FRAME_HEAD + len;
            return true;
        }
        if len > MAX_FRAME || self.block.len() + len > MAX_BLOCK {
            self.give_up();
            return true;
        }
        if self.raw.len() < FRAME_HEAD + len {
            return false;
        }
        let frame = self.raw.split_to(FRAME_HEAD + len);
        let payload = if kind == HEADERS { fragment(&frame[FRAME_HEAD..], flags) } else { Some(&frame[FRAME_HEAD..]) };
        self.block.extend_from_slice(payload.unwrap_or_default());
        let readable = payload.is_some();
        self.held.unsplit(frame);
        if kind == HEADERS {
            self.flags = flags;
        }
        if !readable {
            self.give_up();
        } else if flags & END_HEADERS != 0 {
            self.block_is_complete([s0, s1, s2, s3]);
        }
        true
    }

    fn block_is_complete(&mut self, stream: [u8; 4]) {
        let undecided = self.hpack.is_none();
        let (mut decoder, mut encoder) = self.hpack.take().unwrap_or_else(|| (Decoder::new(), Encoder::new()));
        let Ok(mut fields) = decoder.decode(&self.block) else { return self.give_up() };
        let authority = fields.iter_mut().find(|(name, _)| name == b":authority");
        let url = authority.and_then(|(_, value)| Some((value.windows(3).position(|three| three == b"://")?, value)));
        match url {
            Some((scheme, value)) => drop(value.drain(..scheme + 3)),
            None if undecided => return self.give_up(),
            // Trailers name nobody.
            None => {}
        }
        let block = encoder.encode(fields.iter().map(|(name, value)| (&name[..], &value[..])));
        self.hpack = Some((decoder, encoder));
        self.held.clear();
        self.block.clear();
        self.emit(&block, stream);
    }

    /// A block as frames.
    fn emit(&mut self, block: &[u8], stream: [u8; 4]) {
        let count = block.chunks(MAX_FRAME).len();
        for (n, part) in block.chunks(MAX_FRAME).enumerate() {
            let (kind, begins) = if n == 0 { (HEADERS, self.flags & END_STREAM) } else { (CONTINUATION, 0) };
            let ends = if n + 1 == count { END_HEADERS } else { 0 };
            self.ready.extend_from_slice(&(part.len() as u32).to_be_bytes()[1..]);
            self.ready.extend_from_slice(&[kind, begins | ends]);
            self.ready.extend_from_slice(&stream);
            self.ready.extend_from_slice(part);
        }
    }

    /// From here on everything passes, beginning with what was held back.
    fn give_up(&mut self) {
        self.stage = Stage::Open;
        self.ready.unsplit(self.held.split());
    }
}

/// A HEADERS frame's piece of its block: without padding and without a priority.
fn fragment(payload: &[u8], flags: u8) -> Option<&[u8]> {
    let (padding, mut rest) = match flags & PADDED {
        0 => (0, payload),
        _ => payload.split_first().map(|(n, rest)| (usize::from(*n), rest))?,
    };
    if flags & PRIORITY != 0 {
        rest = rest.get(5..)?;
    }
    rest.get(..rest.len().checked_sub(padding)?)
}

impl<S: AsyncRead + Unpin> AsyncRead for Tolerant<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Tolerant { connection, filter } = &mut *self;
        while filter.ready.is_empty() {
            if filter.stage == Stage::Open && filter.raw.is_empty() {
                return Pin::new(connection).poll_read(cx, into);
            }
            let mut bytes = [0; 8192];
            let mut bytes = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *connection).poll_read(cx, &mut bytes))?;
            if bytes.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            filter.take(bytes.filled());
        }
        let n = into.remaining().min(filter.ready.len());
        into.put_slice(&filter.ready[..n]);
        filter.ready.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tolerant<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let len = (payload.len() as u32).to_be_bytes();
        [&len[1..], &[kind, flags], &[0, 0, 0, 1], payload].concat()
    }

    /// What a client sends: two requests to one server, with a body each.
    fn connection(authority: &str, encoder: &mut Encoder<'_>) -> Vec<u8> {
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(4, 0, &[]));
        for path in ["/a", "/b"] {
            let fields = [(":method", "POST"), (":path", path), (":authority", authority), ("te", "trailers")];
            let block = encoder.encode(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
            let (first, rest) = block.split_at(block.len() / 2);
            let padded = [&[3], &[0; 5][..], first, &[0; 3]].concat();
            bytes.extend(frame(HEADERS, PADDED | PRIORITY, &padded));
            bytes.extend(frame(CONTINUATION, END_HEADERS, rest));
            bytes.extend(frame(0, END_STREAM, b"a body"));
        }
        bytes
    }

    /// What is handed on, when it comes in pieces of `n` bytes.
    fn passed(bytes: &[u8], n: usize) -> Vec<u8> {
        let mut filter = Filter::default();
        bytes.chunks(n).for_each(|bytes| filter.take(bytes));
        assert!(filter.raw.is_empty() && filter.held.is_empty(), "nothing is kept back");
        filter.ready.to_vec()
    }

    #[test]
    fn a_url_becomes_a_name_and_nothing_else_changes() {
        for n in [1, 7, 1 << 20] {
            let passed = passed(&connection("http://127.0.0.1:2379", &mut Encoder::new()), n);
            let mut rest = passed.strip_prefix(PREFACE).expect("it begins as it began");
            let mut decoder = Decoder::new();
            let (mut kinds, mut paths) = (Vec::new(), Vec::new());
            while !rest.is_empty() {
                let len = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
                let (kind, payload) = (rest[3], &rest[FRAME_HEAD..FRAME_HEAD + len]);
                kinds.push(kind);
                if kind == HEADERS {
                    let fields = decoder.decode(payload).expect("what was encoded");
                    assert_eq!(fields[2], (b":authority".to_vec(), b"127.0.0.1:2379".to_vec()));
                    paths.push(fields[1].1.clone());
                }
                rest = &rest[FRAME_HEAD + len..];
            }
            assert_eq!((kinds, paths), (vec![4, HEADERS, 0, HEADERS, 0], vec![b"/a".to_vec(), b"/b".to_vec()]));
        }
    }

    #[test]
    fn what_needs_no_change_is_not_touched() {
        let proper = connection("localhost:2379", &mut Encoder::new());
        let http1 = b"GET /health HTTP/1.1\r\nHost: http://x\r\n\r\n".to_vec();
        let nonsense = [PREFACE, &frame(HEADERS, END_HEADERS, &[0xff; 40])].concat();
        let shorter_than_its_padding = [PREFACE, &frame(HEADERS, PADDED | END_HEADERS, &[9, 1])].concat();
        for bytes in [proper, http1, nonsense, shorter_than_its_padding] {
            for n in [1, 5, 1 << 20] {
                assert_eq!(passed(&bytes, n), bytes);
            }
        }
    }
}
