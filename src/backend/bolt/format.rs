//! bbolt's bytes: the head that every page begins with, and the meta page. All numbers are little-endian.
//!
//! ```text
//!   page n, at byte n * page_size                meta, after the head of pages 0 and 1
//!   ┌────────┬─────────┬─────────┬────────────┐  ┌───────────────┬─────────────┬──────────────┬───────────┐
//!   │ id u64 │flags u16│count u16│overflow u32│  │magic ED0CDAED │ version 2   │ page size u32│ flags 0   │
//!   ├────────┴─────────┴─────────┴────────────┤  ├───────────────┴─────────────┼──────────────┴───────────┤
//!   │ elements, keys, values …                │  │ root bucket: pgid, sequence │ freelist's pgid          │
//!   └─────────────────────────────────────────┘  ├─────────────────────────────┼──────────────────────────┤
//!                                                │ high-water mark             │ txid                     │
//!   overflow: how many more pages belong to it   ├─────────────────────────────┼──────────────────────────┘
//!                                                │ FNV-1a-64 of the 56 bytes   │
//!                                                └─────────────────────────────┘
//! ```
//!
//! Transaction `t` writes its meta to page `t % 2`, over that of `t - 2`: whatever happens to the write, the meta of
//! `t - 1` stays. Only the metas carry a checksum; what is wrong in another page is found by its shape, or not at all.
//!
//! Leaf and branch pages stand in `page`.

use std::fmt;

/// Bytes of a page's head.
pub const HEADER_BYTES: usize = 16;
/// Bytes of an element of a leaf or branch page, and of the head of a bucket's value.
pub(super) const ELEMENT_BYTES: usize = 16;
/// Bytes of a meta behind the page's head.
pub(super) const META_BYTES: usize = 64;
/// The freelist's page in a meta whose file does not keep one.
pub const NO_FREELIST: u64 = u64::MAX;
/// The flag of a leaf's element whose value is a bucket.
pub(super) const BUCKET_FLAG: u32 = 1;

/// The last transaction that is believed: no file counts so far, and the next ones must have room.
const TXID_MAX: u64 = u64::MAX / 2;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PageKind {
    /// Keys and the pages below them.
    Branch,
    /// Pairs, or buckets by name.
    Leaf,
    /// One of the first two pages.
    Meta,
    /// The numbers of the free pages.
    Freelist,
}

impl PageKind {
    /// The flag that marks it.
    pub fn flag(self) -> u16 {
        match self {
            PageKind::Branch => 1,
            PageKind::Leaf => 2,
            PageKind::Meta => 4,
            PageKind::Freelist => 0x10,
        }
    }

    /// bbolt's name for it.
    pub fn name(self) -> &'static str {
        match self {
            PageKind::Branch => "branch",
            PageKind::Leaf => "leaf",
            PageKind::Meta => "meta",
            PageKind::Freelist => "freelist",
        }
    }
}

/// The head of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The page's own number.
    pub id: u64,
    /// What it is for; see [`Header::kind`].
    pub flags: u16,
    /// Elements of a leaf or branch page, numbers of a freelist (0xFFFF: the first number is the count).
    pub count: u16,
    /// Pages that belong to it besides the first.
    pub overflow: u32,
}

impl Header {
    /// Reads the head of a page.
    pub fn decode(page: &[u8]) -> Result<Header, Fault> {
        if page.len() < HEADER_BYTES {
            return Err(fault("a page head of 16 bytes", format!("{} bytes", page.len())));
        }
        Ok(Header {
            id: u64_at(page, 0),
            flags: u16::from_le_bytes([page[8], page[9]]),
            count: u16::from_le_bytes([page[10], page[11]]),
            overflow: u32_at(page, 12),
        })
    }

    /// Writes it to the first 16 bytes of `page`.
    pub(super) fn encode(&self, page: &mut [u8]) {
        page[..8].copy_from_slice(&self.id.to_le_bytes());
        page[8..10].copy_from_slice(&self.flags.to_le_bytes());
        page[10..12].copy_from_slice(&self.count.to_le_bytes());
        page[12..16].copy_from_slice(&self.overflow.to_le_bytes());
    }

    /// What the page is for, if its flags say one thing that we know.
    pub fn kind(&self) -> Option<PageKind> {
        let kinds = [PageKind::Branch, PageKind::Leaf, PageKind::Meta, PageKind::Freelist];
        kinds.into_iter().find(|kind| kind.flag() == self.flags)
    }

    /// How many pages it takes, the first included.
    pub fn pages(&self) -> u64 {
        u64::from(self.overflow) + 1
    }
}

/// What a meta page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Meta {
    /// Bytes of a page.
    pub page_size: u32,
    /// The root page of the tree of buckets.
    pub root: u64,
    /// A counter of the root bucket, which nobody uses.
    pub sequence: u64,
    /// Where the freelist begins; [`NO_FREELIST`] if the file keeps none.
    pub freelist: u64,
    /// The high-water mark: pages from here on were never used.
    pub high_water: u64,
    /// The transaction that wrote it.
    pub txid: u64,
}

impl Meta {
    /// Reads a meta page from its head on.
    pub fn decode(page: &[u8]) -> Result<Meta, Fault> {
        let header = Header::decode(page)?;
        let Some(body) = page.get(HEADER_BYTES..HEADER_BYTES + META_BYTES) else {
            return Err(fault("a meta of 80 bytes", format!("{} bytes", page.len())));
        };
        if u32_at(body, 0) != MAGIC {
            return Err(fault(format!("the magic {MAGIC:#010x}"), format!("{:#010x}", u32_at(body, 0))));
        }
        if u32_at(body, 4) != VERSION {
            return Err(fault("version 2", format!("version {}", u32_at(body, 4))));
        }
        let (sum, found) = (fnv1a(&body[..META_BYTES - 8]), u64_at(body, META_BYTES - 8));
        if sum != found {
            return Err(fault(format!("the checksum {sum:#018x}"), format!("{found:#018x}")));
        }
        if header.kind() != Some(PageKind::Meta) {
            return Err(fault("a meta page's flags 0x4", format!("{:#x}", header.flags)));
        }
        let meta = Meta {
            page_size: u32_at(body, 8),
            root: u64_at(body, 16),
            sequence: u64_at(body, 24),
            freelist: u64_at(body, 32),
            high_water: u64_at(body, 40),
            txid: u64_at(body, 48),
        };
        meta.plausible()?;
        Ok(meta)
    }

    /// A checksum protects from accidents, not from a writer that was wrong; later code divides by the page size.
    fn plausible(&self) -> Result<(), Fault> {
        if !self.page_size.is_power_of_two() || !(512..=1 << 16).contains(&self.page_size) {
            return Err(fault("a page size between 512 and 65536, a power of two", self.page_size));
        }
        if self.root < 2 || self.root >= self.high_water {
            return Err(fault(format!("a root page from 2 to below {}", self.high_water), self.root));
        }
        if self.freelist != NO_FREELIST && (self.freelist < 2 || self.freelist >= self.high_water) {
            return Err(fault(format!("a freelist page from 2 to below {}", self.high_water), self.freelist));
        }
        if self.txid > TXID_MAX {
            return Err(fault(format!("a transaction up to {TXID_MAX}"), self.txid));
        }
        Ok(())
    }

    /// The meta page of its transaction: `txid % 2`.
    pub fn page_id(&self) -> u64 {
        self.txid % 2
    }

    /// The whole page that holds it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; self.page_size as usize];
        Header { id: self.page_id(), flags: PageKind::Meta.flag(), count: 0, overflow: 0 }.encode(&mut page);
        let body = &mut page[HEADER_BYTES..];
        body[..4].copy_from_slice(&MAGIC.to_le_bytes());
        body[4..8].copy_from_slice(&VERSION.to_le_bytes());
        body[8..12].copy_from_slice(&self.page_size.to_le_bytes());
        let numbers = [self.root, self.sequence, self.freelist, self.high_water, self.txid];
        for (place, number) in body[16..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let sum = fnv1a(&body[..META_BYTES - 8]);
        body[META_BYTES - 8..META_BYTES].copy_from_slice(&sum.to_le_bytes());
        page
    }
}

/// What is wrong with some bytes. Whoever knows the file and the page makes a
/// [`BackendError`](crate::backend::BackendError) of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    /// What should be there.
    pub expected: String,
    /// What is.
    pub found: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

pub(super) fn fault(expected: impl ToString, found: impl ToString) -> Fault {
    Fault { expected: expected.to_string(), found: found.to_string() }
}

/// The numbers that a freelist page holds: `page` is all of it, overflow included.
pub(super) fn decode_freelist(page: &[u8]) -> Result<Vec<u64>, Fault> {
    let header = Header::decode(page)?;
    if header.kind() != Some(PageKind::Freelist) {
        return Err(fault("a freelist page's flags 0x10", format!("{:#x}", header.flags)));
    }
    let mut numbers = page[HEADER_BYTES..].chunks_exact(8).map(|number| u64_at(number, 0));
    let count = match header.count {
        0xFFFF => numbers.next().ok_or_else(|| fault("a count of free pages", "the page's end"))?,
        count => u64::from(count),
    };
    let room = numbers.len() as u64;
    if count > room {
        return Err(fault(format!("at most {room} free pages, which is what fits"), count));
    }
    Ok(numbers.take(count as usize).collect())
}

/// Pages that a freelist of `count` numbers takes.
pub(super) fn freelist_pages(count: u64, page_size: usize) -> u64 {
    let numbers = if count < 0xFFFF { count } else { count + 1 };
    (HEADER_BYTES as u64 + numbers * 8).div_ceil(page_size as u64)
}

/// A freelist of `pages` pages from page `id` on.
pub(super) fn encode_freelist(id: u64, ids: &[u64], pages: u64, page_size: usize) -> Vec<u8> {
    let mut page = vec![0; pages as usize * page_size];
    let long = ids.len() >= 0xFFFF;
    let count = if long { 0xFFFF } else { ids.len() as u16 };
    Header { id, flags: PageKind::Freelist.flag(), count, overflow: (pages - 1) as u32 }.encode(&mut page);
    let first = long.then_some(ids.len() as u64);
    for (place, number) in page[HEADER_BYTES..].chunks_exact_mut(8).zip(first.iter().chain(ids)) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    page
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[inline]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("invariant: four bytes were taken"))
}

#[inline]
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("invariant: eight bytes were taken"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn meta() -> Meta {
        Meta { page_size: 4096, root: 3, sequence: 0, freelist: 2, high_water: 4, txid: 1 }
    }

    #[test]
    fn a_meta_is_bbolts_byte_for_byte() {
        let expected: &[&[u8]] = &[
            b"\x01\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0",
            b"\xed\xda\x0c\xed\x02\0\0\0\0\x10\0\0\0\0\0\0",
            b"\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\x02\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0",
            b"\x01\0\0\0\0\0\0\0",
        ];
        assert_eq!(meta().encode()[..72], expected.concat());
        assert_eq!(Meta::decode(&meta().encode()), Ok(meta()));
    }

    #[test]
    fn fnv_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_meta_refuses_every_flipped_bit_that_its_checksum_covers() {
        let page = meta().encode();
        for bit in HEADER_BYTES * 8..(HEADER_BYTES + META_BYTES) * 8 {
            let mut page = page.clone();
            page[bit / 8] ^= 1 << (bit % 8);
            assert!(Meta::decode(&page).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_meta_that_nobody_can_use_is_refused_though_its_checksum_holds() {
        for wrong in [
            Meta { page_size: 1000, ..meta() },
            Meta { root: 1, ..meta() },
            Meta { root: 4, ..meta() },
            Meta { freelist: 9, ..meta() },
            Meta { txid: u64::MAX, ..meta() },
        ] {
            let mut page = Meta { page_size: 4096, ..wrong }.encode();
            page[24..28].copy_from_slice(&wrong.page_size.to_le_bytes());
            let sum = fnv1a(&page[16..72]);
            page[72..80].copy_from_slice(&sum.to_le_bytes());
            assert!(Meta::decode(&page).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn a_freelist_is_read_as_it_was_written(ids: Vec<u64>, spare in 0..3u64) {
            let pages = freelist_pages(ids.len() as u64, 512) + spare;
            prop_assert_eq!(decode_freelist(&encode_freelist(7, &ids, pages, 512)), Ok(ids));
        }

        #[test]
        fn no_bytes_make_the_decoders_panic(bytes: Vec<u8>) {
            let _ = Header::decode(&bytes);
            let _ = Meta::decode(&bytes);
            let _ = decode_freelist(&bytes);
        }
    }

    #[test]
    fn a_long_freelist_keeps_its_count_in_its_first_number() {
        let ids: Vec<u64> = (0..70_000).collect();
        let page = encode_freelist(7, &ids, freelist_pages(70_000, 4096), 4096);
        assert_eq!((page[10], page[11], u64_at(&page, 16)), (0xFF, 0xFF, 70_000));
        assert_eq!(decode_freelist(&page), Ok(ids));
    }
}
