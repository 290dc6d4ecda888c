//! The bolt engine's file.
mod file;
mod format;
mod freelist;
mod page;
mod scan;
mod tree;
mod view;

pub use file::Metas;
pub use format::{Fault, HEADER_BYTES, Header, Meta, NO_FREELIST, PageKind};
pub use page::{Branch, Leaf};
pub use view::{BucketInfo, Content, PageUse, Reach, View};
