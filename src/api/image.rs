//! Requests by which a client reads an image of a member's database. etcd's API has one stream for them; here each piece is
//! asked for, so that whoever reads says how fast.

use bytes::Bytes;

/// An image that is being read, numbered by its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(pub u64);

/// What is asked of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageRequest {
    /// Begin one, of everything that is applied. Its pages stay in the file until it is closed.
    Open,
    /// The next piece.
    Next(ImageId),
    /// Let go of it.
    Close(ImageId),
}

/// What of an image was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImagePart {
    /// Which.
    pub image: ImageId,
    /// Bytes of it that were not read yet.
    pub remaining: u64,
    /// The next bytes; none at its begin and behind its end.
    pub data: Bytes,
}
