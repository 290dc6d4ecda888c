//! Metas written by hand: a file whose freelist was not synced, and a file with a freelist as one likes it.
//!
//! ```text
//! byte of a meta page   16     20       24         28     32    40        48        56    64    72
//!                       magic  version  page size  flags  root  sequence  freelist  pgid  txid  FNV-1a over 16..72
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const PAGE_BYTES: u64 = 4096;
const FREELIST: usize = 48;
const HIGH_WATER: usize = 56;
const CHECKSUM: usize = 72;
const META_BYTES: usize = 80;

/// Does `work` while the file's metas say that there is no freelist.
pub fn without_freelist<T>(file: &Path, work: impl FnOnce() -> T) -> T {
    let file = File::options().read(true).write(true).open(file).expect("the file is there");
    let metas = [0, 1].map(|page| read_meta(&file, page));
    for (page, meta) in (0..).zip(metas) {
        write_meta(&file, page, meta, &[(FREELIST, u64::MAX)]);
    }
    let result = work();
    for (page, meta) in (0..).zip(metas) {
        write_meta(&file, page, meta, &[]);
    }
    result
}

/// Gives the file these free pages, all of them below `high_water`, and makes it (a sparse file) so many pages long. The
/// list itself comes to lie behind them.
pub fn with_freelist(file: &Path, ids: &[u64], high_water: u64) {
    let file = File::options().read(true).write(true).open(file).expect("the file is there");
    let numbers = ids.len() as u64 + 1;
    let pages = (16 + numbers * 8).div_ceil(PAGE_BYTES);
    let mut list = Vec::with_capacity((pages * PAGE_BYTES) as usize);
    list.extend_from_slice(&high_water.to_le_bytes());
    list.extend_from_slice(&0x10u16.to_le_bytes());
    list.extend_from_slice(&0xFFFFu16.to_le_bytes());
    list.extend_from_slice(&(pages as u32 - 1).to_le_bytes());
    list.extend_from_slice(&(ids.len() as u64).to_le_bytes());
    ids.iter().for_each(|id| list.extend_from_slice(&id.to_le_bytes()));
    file.set_len((high_water + pages) * PAGE_BYTES).expect("a sparse file");
    file.write_all_at(&list, high_water * PAGE_BYTES).expect("the disk is sound");
    for page in [0, 1] {
        let meta = read_meta(&file, page);
        write_meta(&file, page, meta, &[(FREELIST, high_water), (HIGH_WATER, high_water + pages)]);
    }
}

fn read_meta(file: &File, page: u64) -> [u8; META_BYTES] {
    let mut meta = [0; META_BYTES];
    file.read_exact_at(&mut meta, page * PAGE_BYTES).expect("the disk is sound");
    meta
}

fn write_meta(file: &File, page: u64, mut meta: [u8; META_BYTES], fields: &[(usize, u64)]) {
    for (at, number) in fields {
        meta[*at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let checksum = meta[16..CHECKSUM].iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    meta[CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
    file.write_all_at(&meta, page * PAGE_BYTES).expect("the disk is sound");
}
