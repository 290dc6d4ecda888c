//! What the engine does in cases that have a name.

use crate::rig::{DB, Pairs, Rig};
use bytes::Bytes;
use proptest::prelude::*;
use seedbed::backend::bolt::{Bolt, Metas, View};
use seedbed::backend::{BackendError, BoltConfig, Bucket, Engine, Finished};
use seedbed::bug::{Bug, BugSet};
use seedbed::disk::{Action, DiskRead};

fn key(n: u64) -> Bytes {
    format!("key-{n:08}").into()
}

fn put(n: u64, bytes: usize) -> (Bucket, Bytes, Option<Bytes>) {
    (Bucket::Key, key(n), Some(Bytes::from(vec![n as u8; bytes])))
}

fn filled(config: BoltConfig, keys: u64, bytes: usize) -> Rig {
    let mut rig = Rig::new(config);
    rig.write((0..keys).map(|n| put(n, bytes)));
    rig.commit();
    rig
}

fn synced() -> BoltConfig {
    BoltConfig { sync_freelist: true, ..BoltConfig::default() }
}

#[test]
fn a_new_file_has_all_buckets_and_both_metas() {
    let rig = Rig::new(BoltConfig::default());
    let view = View::open(rig.disk.reader(), DB.into()).expect("a new file");
    let names: Vec<_> = view.buckets().expect("a new file").iter().map(|bucket| bucket.name().to_vec()).collect();
    assert_eq!(names, Bucket::ALL.map(|bucket| bucket.name().as_bytes().to_vec()));
    assert!(view.buckets().expect("a new file").iter().all(|bucket| bucket.is_inline()));
    assert!(view.metas().metas.iter().all(Result::is_ok));
    assert_eq!(rig.disk.get().list("member"), [DB.into()], "nothing is left beside it");
}

#[test]
fn nothing_has_the_real_name_before_it_is_durable() {
    let mut rig = Rig::creating(BoltConfig::default());
    rig.write([put(1, 10)]);
    rig.begin_commit();
    assert_eq!(rig.bolt.get(Bucket::Key, &key(1)).expect("in memory").map(|value| value.len()), Some(10));
    while !matches!(rig.out[0].action, Action::Sync) {
        rig.step();
        assert!(!Bolt::exists(&*rig.disk.reader(), DB));
    }
    assert_eq!(rig.settle(), [Finished::Commit]);
    rig.restart();
    assert_eq!(rig.pairs().len(), 1);
}

#[test]
fn data_is_synced_before_the_meta_is_written() {
    let mut rig = filled(BoltConfig::default(), 10, 10);
    rig.write([put(3, 300)]);
    rig.begin_commit();
    let meta_writes =
        |rig: &Rig| rig.out.iter().filter(|op| matches!(op.action, Action::Write { offset: 0 | 4096, .. })).count();
    while !rig.out.is_empty() {
        let last_of_data = rig.out.len() == 1 && meta_writes(&rig) == 0;
        rig.step();
        assert!(last_of_data == (meta_writes(&rig) == 1 && rig.out.len() == 2), "{:?}", rig.out);
        if last_of_data {
            return assert_eq!(rig.settle(), [Finished::Commit]);
        }
    }
    panic!("no meta was written");
}

#[test]
fn values_longer_than_a_page_overflow() {
    let mut rig = Rig::new(synced());
    rig.write((0..20).map(|n| put(n, 1 + 3000 * n as usize)));
    rig.commit();
    rig.write((0..20).filter(|n| n % 3 == 0).map(|n| (Bucket::Key, key(n), None)));
    rig.commit();
    rig.restart();
    rig.check_file();
    let lengths: Vec<usize> = rig.pairs().values().map(Bytes::len).collect();
    assert_eq!(lengths, (0..20).filter(|n| n % 3 != 0).map(|n| 1 + 3000 * n).collect::<Vec<usize>>());
}

#[test]
fn deletes_shrink_the_tree_and_free_its_pages() {
    let mut rig = filled(BoltConfig::default(), 20_000, 100);
    let before = rig.bolt.stats();
    rig.write((0..20_000).filter(|n| n % 10 != 0).map(|n| (Bucket::Key, key(n), None)));
    rig.commit();
    let after = rig.bolt.stats();
    assert!(after.in_use < before.in_use / 3, "{after:?}");
    rig.write((0..20_000).map(|n| (Bucket::Key, key(n), None)));
    rig.commit();
    let empty = rig.bolt.stats();
    assert_eq!(empty.size - empty.free_pages * 4096, empty.in_use);
    assert!(empty.in_use <= 5 * 4096, "{empty:?}");
    assert_eq!(rig.pairs(), Pairs::new());
    rig.check_file();
}

#[test]
fn overwriting_reuses_pages_and_the_file_rests() {
    for config in [BoltConfig::default(), synced()] {
        let mut rig = filled(config, 1000, 200);
        let overwrite = |rig: &mut Rig, round: u64| {
            rig.write((0..1000).filter(|n| n % 7 == round % 7).map(|n| put(n, 200)));
            rig.commit();
        };
        (0..20).for_each(|round| overwrite(&mut rig, round));
        let rested = rig.bolt.stats().size;
        (20..100).for_each(|round| overwrite(&mut rig, round));
        assert_eq!(rig.bolt.stats().size, rested);
        let len = rig.disk.reader().len(DB).expect("the file");
        assert!(len * 10 <= rested * 13, "{len} bytes of file for {rested}");
    }
}

#[test]
fn an_image_pins_its_pages_and_no_others() {
    let mut rig = filled(BoltConfig::default(), 1000, 200);
    let expected = rig.pairs();
    let mut image = rig.bolt.begin_image();
    for round in 0..30 {
        rig.write((0..1000).filter(|n| n % 7 == round % 7).map(|n| put(n, 201)));
        rig.commit();
    }
    assert_eq!(rig.bolt.stats().readers, 1);
    assert!(rig.bolt.stats().size < 4 * image.size, "pages born and dead since the image began are used again");
    let other = Rig::open(rig.read(&mut image, 1), rig.config).expect("an image is a file");
    assert_eq!(other.pairs(), expected);
    rig.bolt.end_image(image);
    assert_eq!(rig.bolt.stats().pending_pages, 0);
}

#[test]
fn one_bad_meta_is_survived_and_two_are_told() {
    let rig = filled(BoltConfig::default(), 10, 10);
    let file = rig.bytes();
    for page in 0..2 {
        let mut damaged = file.clone();
        damaged[page * 4096 + 30] ^= 1;
        let metas = Metas::read(&*Rig::open(damaged.clone(), rig.config).expect("the other").disk.reader(), DB);
        assert!(metas.expect("readable").metas[page].is_err());
        damaged[(1 - page) * 4096 + 20] ^= 1;
        let Err(BackendError::Meta { reasons, .. }) = Rig::open(damaged, rig.config).map(drop) else {
            panic!("no meta is left");
        };
        assert!(reasons.contains("page 0: expected") && reasons.contains("page 1: expected"), "{reasons}");
    }
}

#[test]
fn a_file_cut_short_is_refused_with_the_page_that_is_missing() {
    let rig = filled(BoltConfig::default(), 1000, 100);
    let size = rig.bolt.stats().size as usize;
    let mut file = rig.bytes();
    file.truncate(size - 1);
    let error = Rig::open(file, rig.config).map(drop).expect_err("too short").to_string();
    assert!(error.contains(&format!("page {}: expected a file of {} pages", size / 4096 - 1, size / 4096)), "{error}");
}

#[test]
fn a_synced_freelist_spares_the_scan() {
    let mut rig = filled(synced(), 5000, 100);
    rig.write((0..5000).filter(|n| n % 2 == 0).map(|n| (Bucket::Key, key(n), None)));
    rig.commit();
    let (stats, hash) = (rig.bolt.stats(), rig.bolt.hash());
    rig.restart();
    assert_eq!(rig.bolt.stats().pairs, 0, "nobody has looked at the pairs yet");
    assert_eq!(rig.bolt.stats().free_pages, stats.free_pages + stats.pending_pages);
    assert_eq!(rig.bolt.hash(), hash);
    assert_eq!(rig.bolt.stats().pairs, stats.pairs);
    rig.config.sync_freelist = false;
    rig.restart();
    rig.write([put(1, 1)]);
    rig.commit();
    rig.check_file();
}

#[test]
fn a_defragmentation_waits_for_images_of_the_old_file() {
    let mut rig = filled(BoltConfig::default(), 2000, 100);
    let expected = rig.pairs();
    let mut image = rig.bolt.begin_image();
    rig.begin_defrag();
    while !rig.defrag_slice(10_000) {}
    assert_eq!(rig.settle(), []);
    let other = Rig::open(rig.read(&mut image, 100_000), rig.config).expect("an image is a file");
    assert_eq!(other.pairs(), expected);
    rig.bolt.end_image(image);
    assert!(rig.defrag_slice(1));
    // Between the rename's issue and its completion the engine reads the new file under either name.
    assert_eq!(rig.pairs(), expected);
    let mut image = rig.bolt.begin_image();
    assert_eq!(rig.settle(), [Finished::Defrag]);
    let other = Rig::open(rig.read(&mut image, 100_000), rig.config).expect("an image is a file");
    assert_eq!((other.pairs(), rig.pairs()), (expected.clone(), expected));
    rig.bolt.end_image(image);
}

#[test]
fn an_abandoned_defragmentation_leaves_nothing() {
    let mut rig = filled(BoltConfig::default(), 2000, 100);
    rig.begin_defrag();
    assert!(!rig.defrag_slice(10_000));
    rig.abandon_defrag();
    assert_eq!(rig.settle(), []);
    assert_eq!(rig.disk.get().list("member"), [DB.into()]);
    rig.write([put(7, 7)]);
    rig.commit();
}

/// A defragmentation is cut before its rename, a key is deleted, and another one is made.
fn defrag_after_a_cut_one(bugs: BugSet) -> Rig {
    let mut rig = filled(BoltConfig { bugs, ..BoltConfig::default() }, 100, 100);
    rig.begin_defrag();
    while !rig.defrag_slice(1 << 20) {}
    while !matches!(rig.out[0].action, Action::Rename { .. }) {
        rig.step();
    }
    rig.restart();
    rig.write([(Bucket::Key, key(50), None), put(51, 3)]);
    rig.commit();
    rig.begin_defrag();
    while !rig.defrag_slice(1 << 20) {}
    assert_eq!(rig.settle(), [Finished::Defrag]);
    rig
}

#[test]
fn a_leftover_of_a_cut_defragmentation_is_thrown_away() {
    let rig = defrag_after_a_cut_one(BugSet::NONE);
    assert_eq!(rig.pairs().len(), 99);
    let rig = defrag_after_a_cut_one(BugSet::NONE.with(Bug::DefragReusesTmp));
    assert_eq!(rig.pairs().len(), 100, "the deleted key is back");
    assert_eq!(rig.bolt.get(Bucket::Key, &key(51)).expect("a sound file").map(|value| value.len()), Some(3));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damage_gives_errors_and_never_a_panic_or_a_loop(
        sync_freelist: bool, hits in prop::collection::vec((0..400_000usize, any::<u8>()), 1..8), near: bool,
    ) {
        let config = BoltConfig { sync_freelist, page_size: 512, ..BoltConfig::default() };
        let mut rig = filled(config, 300, 40);
        rig.write((0..300).filter(|n| n % 3 == 0).map(|n| (Bucket::Key, key(n), None)));
        rig.commit();
        let mut file = rig.bytes();
        for (at, byte) in hits {
            // The heads and elements of pages are what a reader trusts most.
            let at = if near { at / 48 * 512 + at % 48 } else { at };
            let at = at % file.len();
            file[at] = byte;
        }
        let Ok(mut rig) = Rig::open(file, config) else { return Ok(()) };
        let mut seen = 0;
        let _ = rig.bolt.range(Bucket::Key, b"", None, &mut |_, _| { seen += 1; true });
        prop_assert!(seen < 100_000);
        rig.bolt.begin();
        for n in 0..300 {
            let _ = rig.bolt.put(Bucket::Key, key(n), Bytes::from_static(b"x"));
        }
        rig.bolt.commit();
        if rig.try_commit().is_ok() && rig.try_defrag().is_ok() {
            let _ = rig.bolt.range(Bucket::Key, b"", None, &mut |_, _| true);
        }
    }
}
