//! Leases and locks: right histories, and wrong ones that must be rejected.

use bytes::Bytes;
use seedbed_sim::check::lease::{self, Lease, LeaseEnd};
use seedbed_sim::check::lock::{self, Guarded, Held};

const TTL: u64 = 10;
const SLACK: u64 = 2;
const NOW: u64 = 100;

/// A lease of 10, granted at 5 and renewed at 8, that ended so.
fn ended(at: u64, revoked_by_client: bool, deleted: &[&'static str]) -> Lease {
    let keys = |keys: &[&'static str]| keys.iter().map(|key| Bytes::from_static(key.as_bytes())).collect::<Vec<_>>();
    let end = LeaseEnd { at, revoked_by_client, revision: 7, deleted: keys(deleted) };
    Lease { id: 3, ttl: TTL, counted_from: vec![5, 8], end: Some(end), keys: keys(&["a", "b"]) }
}

fn error(lease: &Lease) -> String {
    lease::check(lease, NOW, SLACK).expect_err("it is wrong")
}

#[test]
fn a_lease_ends_in_time_with_its_keys() {
    for right in [ended(18, false, &["a", "b"]), ended(20, false, &["x", "b", "a"]), ended(6, true, &["a", "b"])] {
        assert_eq!(lease::check(&right, NOW, SLACK), Ok(()));
    }
    let alive = Lease { end: None, counted_from: vec![5, 90], ..ended(0, false, &[]) };
    assert_eq!(lease::check(&alive, NOW, SLACK), Ok(()));
}

#[test]
fn a_lease_does_not_end_early() {
    assert!(error(&ended(17, false, &["a", "b"])).contains("before its time was over at 18 ns"));
    let renewed_by_election = Lease { counted_from: vec![5, 8, 19], ..ended(20, false, &["a", "b"]) };
    assert!(error(&renewed_by_election).contains("over at 29 ns"));
}

#[test]
fn a_lease_ends_in_the_end() {
    assert!(error(&ended(21, false, &["a", "b"])).contains("ended only at 21 ns"));
    assert!(error(&Lease { end: None, ..ended(0, false, &[]) }).contains("still there at 100 ns"));
    assert!(error(&Lease { end: None, counted_from: vec![87], ..ended(0, false, &[]) }).contains("over at 97 ns"));
}

#[test]
fn a_lease_takes_its_keys_with_it() {
    assert!(error(&ended(18, false, &["a"])).contains("revision 7, but b"));
    assert!(error(&ended(6, true, &[])).contains("revision 7, but a"));
}

fn held(client: u32, token: i64, from: i64, key_gone: Option<i64>) -> Held {
    Held { client, token, from, key_gone }
}

#[test]
fn a_lock_has_one_holder_at_a_time() {
    let right = [held(2, 9, 40, None), held(1, 5, 10, Some(40)), held(1, 12, 60, Some(70))];
    assert_eq!(lock::check_holders(&right[..2]), Ok(()));
    assert_eq!(lock::check_holders(&[]), Ok(()));
    let error = lock::check_holders(&right).unwrap_err();
    assert!(error.starts_with("client 1 was given the lock by token 12 while the key of client 2, token 9"), "{error}");
    let early = [held(1, 5, 10, Some(41)), held(2, 9, 40, None)];
    assert!(lock::check_holders(&early).unwrap_err().contains("client 2 was given the lock by token 9"));
    let expired = [held(1, 5, 10, Some(40)), held(2, 9, 40, Some(30))];
    assert!(
        lock::check_holders(&expired).unwrap_err().contains("client 2 was given the lock by token 9 at revision 40")
    );
    let told_twice = [held(1, 5, 10, Some(20)), held(1, 5, 12, Some(20))];
    assert_eq!(lock::check_holders(&told_twice), Ok(()));
    let backwards = [held(1, 9, 10, Some(20)), held(2, 5, 30, Some(40))];
    assert!(lock::check_holders(&backwards).unwrap_err().contains("client 1 was given the lock by token 9"));
    let twice = [held(1, 5, 10, Some(20)), held(2, 5, 30, None)];
    assert!(lock::check_holders(&twice).unwrap_err().contains("by one token, 5"));
}

#[test]
fn what_a_lock_guards_takes_no_write_of_a_former_holder() {
    let write = |client, token, at, accepted| Guarded { client, token, at, accepted };
    let right = [write(1, 5, 1, true), write(2, 9, 2, true), write(1, 5, 3, false), write(2, 9, 4, true)];
    assert_eq!(lock::check_fencing(&right), Ok(()));
    let late = [write(1, 5, 1, true), write(2, 9, 2, true), write(1, 5, 3, true)];
    let error = lock::check_fencing(&late).unwrap_err();
    assert_eq!(
        error,
        "a write of client 1 by token 5 was taken at revision 3, although client 2 had written by token 9"
    );
    let refused_first = [write(2, 9, 2, false), write(1, 5, 3, true)];
    assert_eq!(lock::check_fencing(&refused_first), Ok(()), "what was refused guards nothing");
}
