//! `seedbed inspect`: what it tells of files of our own, of a real etcd's, and of files that are none.

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/command.rs"]
mod run;

use etcd::{long_life, tools};
use folder::Folder;
use run::{command, json, ran, seedbed};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const CRASH: &str = "scenarios/leader-switch/leader-crash.toml";

/// The members' data directories of a run, in `n1` to `n3`.
fn kept(folder: &Folder) -> String {
    let data = folder.path("data");
    let ran = seedbed(&["run", CRASH, "--seed", "3", "--keep-data", &data]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    data
}

/// The first file below a folder whose name ends so.
fn find(folder: &str, end: &str) -> Option<PathBuf> {
    let mut folders = vec![PathBuf::from(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found.into_iter().next()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Everything below a folder, to see that nothing changed.
fn contents(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut folders = vec![PathBuf::from(folder)];
    let mut all = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path).expect("readable");
                all.push((path, bytes));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn a_kept_data_directory_is_told_and_fits_together() {
    let folder = Folder::new();
    let data = kept(&folder);
    for member in ["n1", "n2", "n3"] {
        let dir = format!("{data}/{member}");
        let before = contents(&dir);
        let (code, seen) = json(&["inspect", &dir, "--json"]);
        assert_eq!((code, &seen["kind"], &seen["findings"]), (0, &Value::from("data-dir"), &Value::Array(vec![])));
        assert_eq!(seen["fit"]["starts"], true, "{seen}");
        let log = &seen["log"];
        assert!(log["hard_state"]["commit"].as_u64() <= log["last_index"].as_u64(), "{log}");
        assert!(log["by_request"]["put"].as_u64() > Some(0), "{log}");
        assert_eq!(log["by_request"]["unknown"], Value::Null, "every entry is understood");
        assert_eq!(contents(&dir), before, "nothing is written");
    }
    let shown = seedbed(&["inspect", &format!("{data}/n1")]);
    assert!(shown.out.contains("a member would start"), "{}", shown.out);
    assert!(!shown.out.contains('\u{1b}'), "no colours in a pipe");
    let again = seedbed(&["run", CRASH, "--keep-data", &data]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("is not empty"), "{}", again.err);
}

#[test]
fn records_are_listed_from_an_index_on_and_a_log_can_begin_in_the_middle() {
    let folder = Folder::new();
    let data = kept(&folder);
    let dir = format!("{data}/n1/member/wal");
    let (code, seen) = json(&["inspect", &dir, "--wal", "--from", "5", "--limit", "3", "--json"]);
    let rows = seen["records"]["rows"].as_array().expect("rows");
    assert_eq!((code, rows.len()), (0, 3));
    assert_eq!((&rows[0]["type"], &rows[0]["index"]), (&Value::from("entry"), &Value::from(5)));
    assert!(rows[0]["offset"].as_u64() < rows[1]["offset"].as_u64());
    let all = json(&["inspect", &dir, "--wal", "--limit", "0", "--json"]).1;
    assert_eq!(all["records"]["total"], all["records"]["rows"].as_array().expect("rows").len());
    let last = all["records"]["rows"].as_array().expect("rows").last().expect("one")["file"].clone();
    let (code, seen) = json(&["inspect", last.as_str().expect("a path"), "--json"]);
    assert_eq!((code, &seen["kind"]), (0, &Value::from("wal")));
    assert!(seen["log"]["records"].as_u64() > Some(2));
}

#[test]
fn a_torn_tail_is_told_and_damage_is_a_finding() {
    let folder = Folder::new();
    let data = kept(&folder);
    let wal = find(&format!("{data}/n1"), ".wal").expect("a segment");
    let bytes = fs::read(&wal).expect("readable");
    let (_, seen) = json(&["inspect", &text(&wal), "--wal", "--limit", "0", "--json"]);
    let rows = seen["records"]["rows"].as_array().expect("rows");
    let at = |row: &Value| row["offset"].as_u64().expect("a place") as usize;
    let (middle, last) = (at(&rows[rows.len() / 2]), at(rows.last().expect("one")));

    let cut = folder.path("0000000000000000-0000000000000000.wal");
    fs::write(&cut, &bytes[..last + 12]).expect("writable");
    let (code, seen) = json(&["inspect", &cut, "--json"]);
    assert_eq!((code, &seen["log"]["torn"]["offset"]), (0, &Value::from(last)), "a torn tail is no damage");
    assert!(seedbed(&["inspect", &cut]).out.contains("never acknowledged"));

    let mut flipped = bytes;
    flipped[middle + 20] ^= 4;
    fs::write(&cut, &flipped).expect("writable");
    let (code, seen) = json(&["inspect", &cut, "--json"]);
    assert_eq!((code, &seen["findings"][0]["offset"]), (10, &Value::from(middle)), "{seen}");
    let shown = seedbed(&["inspect", &cut]);
    assert!(shown.out.contains(&format!("byte {middle}: record ")), "{}", shown.out);
}

#[test]
fn what_is_none_of_etcds_is_refused_in_words() {
    let folder = Folder::new();
    let cases: &[(&str, &[u8], &str)] = &[
        ("garbage", &[7; 5000], "none of etcd's files: expected a bbolt database"),
        ("db", b"", "the file is empty; expected a bbolt database"),
        ("text.toml", b"name = 1\n", "none of etcd's files"),
    ];
    for (name, bytes, words) in cases {
        let path = folder.path(name);
        fs::write(&path, bytes).expect("writable");
        for flag in ["--json", "--wal", "--keys", "--pages", "--check"] {
            let ran = seedbed(&["inspect", &path, flag]);
            assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{name} {flag}");
            assert!(ran.err.starts_with("error: ") && ran.err.contains(words), "{name}: {}", ran.err);
        }
    }
    let none = seedbed(&["inspect", &folder.path("none")]);
    assert!(none.code == 2 && none.err.contains("cannot be read: No such file"), "{}", none.err);
    let empty = folder.path("empty");
    fs::create_dir(&empty).expect("a folder");
    let empty = seedbed(&["inspect", &empty]);
    assert!(empty.code == 2 && empty.err.contains("none of etcd's folders"), "{}", empty.err);
    let unborn = folder.path("0000000000000000-0000000000000000.wal");
    fs::write(&unborn, [0; 4096]).expect("writable");
    let unborn = seedbed(&["inspect", &unborn]);
    assert!(unborn.out.contains("nothing was written"), "{}", unborn.out);
    let keys = seedbed(&["inspect", &text(&find(&kept(&folder), ".wal").expect("a segment")), "--keys"]);
    assert!(keys.code == 2 && keys.err.contains("--keys needs a database"), "{}", keys.err);
    let dir = format!("{}/n2", folder.path("data"));
    fs::write(format!("{dir}/member/snap/db"), []).expect("writable");
    let check = seedbed(&["inspect", &dir, "--check"]);
    assert!(check.code == 2 && check.err.contains("/member/snap/db: the file is empty"), "{}", check.err);
    assert!(check.err.contains("found in it: a segment of a write-ahead log"), "{}", check.err);
}

#[test]
fn no_cut_and_no_flipped_byte_makes_it_panic() {
    let folder = Folder::new();
    let Some(dir) = long_life(folder.root()).map(|dir| text(&dir)) else { return };
    let damaged = folder.path("damaged");
    let files =
        ["member/snap/db", "member/wal/0000000000000001-00000000000078ab.wal"].map(|file| format!("{dir}/{file}"));
    let snap = find(&dir, ".snap").expect("a snapshot");
    for file in files.iter().map(PathBuf::from).chain([snap]) {
        let bytes = fs::read(&file).expect("readable");
        let name = file.file_name().expect("a name");
        fs::create_dir_all(&damaged).expect("a folder");
        let path = Path::new(&damaged).join(name);
        for n in 1..=24_usize {
            let mut bytes = bytes.clone();
            // Places spread over the file, most of them near its beginning, where structure is.
            let at = (bytes.len() >> (n % 12)).min(bytes.len() - 1).saturating_sub(n * 7);
            if n % 2 == 0 {
                bytes.truncate(at)
            } else {
                bytes[at] ^= 0x81
            }
            fs::write(&path, &bytes).expect("writable");
            for flag in ["--json", "--check", "--pages"] {
                let ran = ran(command(&["inspect", &text(&path), flag]).output().expect("it runs"));
                assert!([0, 2, 10].contains(&ran.code), "{name:?} {n} {flag}: {} {}", ran.code, ran.err);
            }
        }
    }
}

#[test]
fn a_real_etcds_directory_is_told() {
    let folder = Folder::new();
    let Some(dir) = long_life(folder.root()).map(|dir| text(&dir)) else { return };
    let before = contents(&dir);
    let (code, seen) = json(&["inspect", &dir, "--json"]);
    assert_eq!((code, &seen["findings"]), (0, &Value::Array(vec![])), "{seen}");
    let db = &seen["db"];
    assert!(db["revision"].as_u64() > Some(1000) && db["consistent_index"].as_u64() > Some(1000), "{db}");
    let buckets: Vec<&str> =
        db["buckets"].as_array().expect("buckets").iter().filter_map(|bucket| bucket["name"].as_str()).collect();
    let wanted = ["alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed"];
    assert_eq!((&buckets[..9], buckets.last()), (&wanted[..], Some(&"meta")));
    assert_eq!(seen["fit"]["starts"], true, "{}", seen["fit"]);
    assert_eq!(seen["log"]["by_request"]["unknown"], Value::Null, "every request is known: {}", seen["log"]);
    assert_eq!(seen["snapshots"][0]["image"], "v2-json");
    assert_eq!(seen["snapshots"][0]["members"][0]["id"], seen["log"]["member"]);

    for flags in [&["--pages"][..], &["--page", "0"], &["--check"], &["--hash"], &["--keys"], &["--bucket", "meta"]] {
        for columns in ["40", "80", "120"] {
            let mut command = command(&[&["inspect", &dir][..], flags].concat());
            let ran = ran(command.env("COLUMNS", columns).output().expect("it runs"));
            assert_eq!(ran.code, 0, "{flags:?}: {}", ran.err);
            if columns == "80" && flags != ["--keys"] {
                let widest = ran.out.lines().skip(1).map(|line| line.chars().count()).max();
                assert!(widest <= Some(80), "{flags:?}: {widest:?}\n{}", ran.out);
            }
        }
    }
    assert_eq!(contents(&dir), before, "nothing is written");
}

#[test]
fn hashes_and_figures_are_what_a_real_etcd_says() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let dir = folder.path("real");
    let mut etcd = tools.etcd("default", &dir).with(&["--snapshot-count", "40"]);
    etcd.start();
    for n in 0..60 {
        etcd.put(&format!("k{}", n % 7), &format!("v{n}"));
    }
    etcd.ctl(&["del", "k3"]);
    etcd.ctl(&["user", "add", "alice:secret"]);
    etcd.ctl(&["compact", "--physical", "30"]);
    let wanted = |revision| {
        let (hash, compact_revision) = etcd.hash_kv(revision);
        [Value::from(hash), Value::from(compact_revision)]
    };
    let hashes = [31, 41, 62].map(wanted);
    let saved = folder.path("saved.db");
    etcd.ctl(&["snapshot", "save", &saved]);
    let status = tools.snapshot_status(&saved);

    let held = seedbed(&["inspect", &dir]);
    assert!(held.out.contains("(etcd) holds a lock"), "{}", held.out);
    drop(etcd);
    for path in [&dir, &saved] {
        let (code, seen) = json(&["inspect", path, "--json", "--hash", "31", "41", "62"]);
        assert_eq!(code, 0, "{seen}");
        let rows = seen["hashes"]["revisions"].as_array().expect("rows");
        let told = rows.iter().map(|row| [row["hash"].clone(), row["compact_revision"].clone()]);
        assert_eq!(told.collect::<Vec<_>>(), hashes);
    }
    let (code, seen) = json(&["inspect", &saved, "--json"]);
    assert_eq!((code, &seen["kind"]), (0, &Value::from("saved-db")));
    assert_eq!(seen["db"]["sha256"]["stored"], seen["db"]["sha256"]["computed"]);
    assert_eq!(seen["db"]["revision"], status.revision);
    let whole = json(&["inspect", &saved, "--json", "--hash"]).1;
    assert_eq!(whole["hashes"]["snapshot_status"], status.hash);

    let (code, seen) = json(&["inspect", &dir, "--json"]);
    assert_eq!((code, &seen["findings"], &seen["fit"]["starts"]), (0, &Value::Array(vec![]), &Value::from(true)));
    let shown = seedbed(&["inspect", &dir, "--wal", "--limit", "0"]);
    assert!(shown.out.contains("user \"alice\"") && !shown.out.contains("secret"), "passwords are not told");
    let removed = find(&dir, "db").expect("the database");
    let mut bytes = fs::read(&removed).expect("readable");
    let end = bytes.len() / 2;
    bytes.truncate(end);
    fs::write(&removed, bytes).expect("writable");
    let (code, seen) = json(&["inspect", &dir, "--json"]);
    assert_eq!((code, &seen["fit"]["starts"]), (10, &Value::from(false)), "half a database: {seen}");
}

/// A run of one member that keeps its pairs in a database.
const ONE: &str = "
name = \"one\"
about = \"One member writes.\"
chapter = \"10\"
duration = \"5s\"
[cluster]
members = 1
engine = \"bolt\"
[[workload]]
kind = \"kv\"
clients = 2
";

#[test]
fn a_real_etcd_opens_what_a_run_kept_and_hashes_alike() {
    let folder = Folder::new();
    let (scenario, data) = (folder.file("one.toml", ONE), folder.path("data"));
    let ran = seedbed(&["run", &scenario, "--keep-data", &data, "--out", &folder.path("out")]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let dir = format!("{data}/n1");
    let (code, seen) = json(&["inspect", &dir, "--json"]);
    assert_eq!((code, &seen["fit"]["starts"]), (0, &Value::from(true)), "{seen}");
    let revision = seen["db"]["revision"].to_string();
    let told = json(&["inspect", &dir, "--json", "--hash", &revision]).1["hashes"]["revisions"][0]["hash"].clone();
    for flag in ["--check", "--pages", "--freelist", "--keys", "--page=3"] {
        assert_eq!(seedbed(&["inspect", &dir, flag]).code, 0, "{flag}");
    }
    let none = seedbed(&["inspect", &dir, "--page", "99999"]);
    assert!(none.code == 2 && none.err.contains("no page 99999; there are pages 0 to "), "{}", none.err);
    let (code, seen) = json(&["inspect", &dir, "--json", "--hash", "99999999", &revision]);
    let rows = &seen["hashes"]["revisions"];
    let refused = "etcdserver: mvcc: required revision is a future revision";
    assert_eq!((code, &rows[0]["refused"], &rows[0]["hash"]), (0, &Value::from(refused), &Value::Null), "{seen}");
    assert_eq!(rows[1]["hash"], told, "one refusal is no reason to withhold the others");
    let Some(tools) = tools() else { return };
    let mut etcd = tools.etcd("n1", &dir);
    etcd.start();
    assert_eq!(told, etcd.hash_kv(revision.parse().expect("a number")).0);
}
