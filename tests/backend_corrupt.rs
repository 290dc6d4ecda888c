//! Damaged files: an error that names the page, or what was written; never a panic, never a walk without end.
//!
//! bbolt's data pages carry no checksum. So a flipped bit of a value (or of a key, while the order holds) is another
//! value, and nothing in the file says so. What says so is the hash over all pairs, when members compare theirs.

#[path = "support/bolt.rs"]
mod rig;

use rig::{Pairs, Random, Rig, configs, pairs, view, view_pairs};
use seedbed::backend::{BackendError, BoltConfig, Bucket, Engine as _};

const PAGE: usize = 512;

/// A small file with everything in it: branches, an overflow, inline buckets, free pages, and its pairs.
fn file(config: BoltConfig) -> (Vec<u8>, Pairs, Option<u64>) {
    let mut rig = Rig::new(config);
    for n in 0..40 {
        rig.set(Bucket::Key, format!("key{n:03}").as_bytes(), Some(&[b'v'; 30]));
        rig.set(Bucket::Lease, &[n + 1], Some(b"lease"));
        if n % 10 == 0 {
            rig.commit();
        }
    }
    rig.set(Bucket::Key, b"large", Some(&[b'x'; 1200]));
    rig.set(Bucket::Meta, b"consistent_index", Some(&[0, 0, 0, 0, 0, 0, 0, 9]));
    rig.commit();
    rig.set(Bucket::Meta, b"consistent_index", Some(&[0, 0, 0, 0, 0, 0, 0, 10]));
    rig.commit();
    rig.check();
    (rig.bytes(), rig.pairs(), rig.bolt.hash())
}

/// What a file gives to who opens it and reads everything.
enum Outcome {
    /// An error, or findings.
    Refused,
    /// These pairs, with this hash.
    Read(Pairs, Option<u64>),
}

fn outcome(bytes: Vec<u8>, config: BoltConfig) -> Outcome {
    // Inspection must hold whatever the engine says. It bears with more: it looks at what it is shown.
    let findings = look(bytes.clone());
    let read = Rig::open(bytes, config).and_then(|rig| {
        let pairs = pairs(&rig.bolt)?;
        let _ = rig.bolt.stats();
        rig.bolt.check();
        Ok((pairs, rig.bolt.hash()))
    });
    match read {
        Err(error) => {
            names_a_page(&error);
            Outcome::Refused
        }
        Ok(_) if findings > 0 => Outcome::Refused,
        Ok((pairs, hash)) => Outcome::Read(pairs, hash),
    }
}

fn names_a_page(error: &BackendError) {
    let text = error.to_string();
    assert!(matches!(error, BackendError::Page { .. } | BackendError::Meta { .. }), "{text}");
    assert!(text.contains("page ") && text.contains("expected "), "{text}");
}

/// Looks at a file in every way that an inspection has; how many findings its check made.
fn look(bytes: Vec<u8>) -> usize {
    let view = match view(bytes) {
        Ok(view) => view,
        Err(error) => {
            names_a_page(&error);
            return 1;
        }
    };
    let errors = [
        view.freelist().err(),
        view.walk(&mut |_| {}).err(),
        view.page_map().err(),
        view_pairs(&view).err(),
        (0..view.meta().high_water).find_map(|page| view.content(page).err()),
    ];
    errors.iter().flatten().for_each(names_a_page);
    let findings = view.check();
    for finding in &findings {
        assert!(finding.to_string().contains("page"), "{finding}");
    }
    findings.len()
}

/// Flips bits one by one; how many were refused, changed what is read, changed nothing that is read.
fn flip_all(config: BoltConfig) -> [usize; 3] {
    let (good, all, hash) = file(config);
    let used = view(good.clone()).unwrap().meta().high_water as usize * PAGE;
    let mut counts = [0; 3];
    let mut random = Random(41);
    for at in 0..used {
        // Heads and elements: every bit. Elsewhere one bit of each byte, which is one of eight ways to be another byte.
        let bits = if at % PAGE < 80 {
            0..8
        } else {
            let bit = random.below(8);
            bit..bit + 1
        };
        for bit in bits {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            match outcome(bytes, config) {
                Outcome::Refused => counts[0] += 1,
                Outcome::Read(pairs, other) if pairs != all => {
                    assert_ne!(other, hash, "byte {at}, bit {bit}: the hash must tell");
                    counts[1] += 1;
                }
                Outcome::Read(_, other) => {
                    assert_eq!(other, hash);
                    counts[2] += 1;
                }
            }
        }
    }
    counts
}

#[test]
fn each_flipped_bit_is_an_error_or_another_hash_or_nothing() {
    for config in [configs(PAGE)[2], configs(PAGE)[3]] {
        let [refused, changed, same] = flip_all(config);
        println!("{refused} refused, {changed} seen by the hash alone, {same} without effect");
        assert!(refused > 1000, "structure is refused: {refused}");
        assert!(changed > 1000, "values are seen by the hash: {changed}");
        assert!(same > 100, "free pages and the older meta do not count: {same}");
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused_or_whole() {
    for config in configs(PAGE) {
        let (good, all, hash) = file(config);
        let used = view(good.clone()).unwrap().meta().high_water as usize * PAGE;
        for len in 0..=good.len() {
            match outcome(good[..len].to_vec(), config) {
                Outcome::Refused => assert!(len < used, "{len} of {used} bytes in use"),
                Outcome::Read(pairs, other) => {
                    // A cut in the middle of page 1 loses the newer meta or the older one.
                    assert!(len >= used, "{len} of {used} bytes in use");
                    assert!(pairs == all && other == hash);
                }
            }
        }
    }
}

#[test]
fn pages_that_were_written_elsewhere_are_refused_or_seen_by_the_hash() {
    let config = configs(PAGE)[3];
    let (good, all, hash) = file(config);
    let pages = view(good.clone()).unwrap().meta().high_water as usize;
    let mut refused = 0;
    for (from, to) in (0..pages).flat_map(|from| (0..pages).map(move |to| (from, to))) {
        let mut bytes = good.clone();
        bytes.copy_within(from * PAGE..(from + 1) * PAGE, to * PAGE);
        match outcome(bytes, config) {
            Outcome::Refused => refused += 1,
            Outcome::Read(pairs, other) => assert_eq!(pairs == all, other == hash, "page {from} over page {to}"),
        }
    }
    assert!(refused > pages * pages / 3, "{refused} of {} copies", pages * pages);
}

#[test]
fn random_damage_and_noise_end_in_an_answer() {
    let config = configs(PAGE)[2];
    let (good, ..) = file(config);
    let mut random = Random(17);
    for round in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random.below(30) {
            let at = random.below(bytes.len().min(24 * PAGE) as u64) as usize;
            // Small numbers make plausible heads.
            bytes[at] = random.below(if round % 2 == 0 { 256 } else { 24 }) as u8;
        }
        if round % 3 == 0 {
            // With metas that hold, so that more is read than them.
            bytes[..2 * PAGE].copy_from_slice(&good[..2 * PAGE]);
        }
        outcome(bytes, config);
    }
    for len in [0, 1, 15, 16, 79, 80, 511, 512, 592, 1024, 5000] {
        outcome((0..len).map(|_| random.below(256) as u8).collect(), config);
        outcome(vec![0; len], config);
        outcome(vec![0xff; len], config);
    }
}
