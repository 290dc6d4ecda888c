//! The fingerprint of a build, by which a capsule knows whether it is replayed by the code that wrote it.
//!
//! It holds what decides a run: the sources of both packages, the lock file, and the compiler. It leaves out the
//! profile, since debug and release builds run alike, and everything that a machine adds (paths, times).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};
use xxhash_rust::xxh3::Xxh3;

fn main() {
    let sim = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = sim.join("..");
    let mut hash = Xxh3::new();
    for (name, folder) in [("src", root.join("src")), ("sim/src", sim.join("src"))] {
        println!("cargo:rerun-if-changed={}", folder.display());
        let mut files = Vec::new();
        collect(&folder, &mut files);
        // Names with forward slashes sort alike everywhere.
        let mut files: Vec<(String, PathBuf)> = files
            .into_iter()
            .map(|file| {
                let below = file.strip_prefix(&folder).expect("it was found there");
                let parts: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
                (format!("{name}/{}", parts.join("/")), file)
            })
            .collect();
        files.sort();
        for (name, file) in files {
            fold(&mut hash, name.as_bytes());
            fold(&mut hash, &fs::read(&file).unwrap_or_default());
        }
    }
    let lock = root.join("Cargo.lock");
    println!("cargo:rerun-if-changed={}", lock.display());
    fold(&mut hash, &fs::read(lock).unwrap_or_default());

    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    fold(&mut hash, &version);
    println!("cargo:rustc-env=SEEDBED_FINGERPRINT={:016x}", hash.digest());
}

/// Folds a piece in, with its length, so that no two lists of pieces look alike.
fn fold(hash: &mut Xxh3, piece: &[u8]) {
    hash.update(&(piece.len() as u64).to_le_bytes());
    hash.update(piece);
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
