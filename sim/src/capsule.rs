//! Capsules: a failed run in a file, for whoever wants to see it fail again (`*.seedbed`).
//!
//! A capsule is JSON and holds everything that a run is made of: the scenario's whole text, arm, seed, bug switches, and
//! the plan that the faults came to; and what the run came to: digest, checkpoints, verdict. It needs no other file.
//! A replay *follows* the plan, so that a build in which a condition is met at another moment still meets the same
//! faults at the same times; that is how a fix is tried on a report.
//!
//! The digest is compared with that of the replay. In the same build (the fingerprint holds sources, lock file and
//! compiler) it must be equal; checkpoints every few thousand events say where two runs part, and a trace that was kept
//! beside the capsule says at which event.
//!
//! Reading is strict: an unknown field, another version, or a file that ends too early is an error with line and
//! column, for a capsule that is half understood would replay another run than the one that was reported.

use crate::judge::Judged;
use crate::report::Verdict;
use crate::scenario::{BugSwitch, ScenarioFile};
use crate::world::digest::hex;
use crate::world::{Checkpoint, Resolved};
use serde::de::{self, Deserializer, Unexpected};
use serde::{Deserialize, Serialize, Serializer};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The fingerprint of this build: its sources, its lock file and its compiler (not its profile), in 16 hexadecimal
/// digits.
pub const FINGERPRINT: &str = env!("SEEDBED_FINGERPRINT");

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capsule {
    /// The version of this format.
    pub version: Version,
    /// The build that wrote it.
    pub build: String,
    /// Where the scenario was read from.
    pub path: String,
    /// The arm, if the scenario has arms.
    pub arm: Option<String>,
    /// The seed.
    pub seed: u64,
    /// The bug switches of the command line, as `--bug` takes them. Those of the arm are in the scenario.
    pub bugs: Vec<String>,
    /// How the run ended.
    pub verdict: Verdict,
    /// With which exit code.
    pub exit: u8,
    /// The checks that failed.
    pub failed_checks: Vec<String>,
    /// What groups it with others of its kind.
    pub signature: Option<String>,
    /// Events of the world.
    pub events: u64,
    /// The run's digest.
    #[serde(with = "hex")]
    pub digest: u64,
    /// A trace that was kept, as it was named then; looked for there, and beside the capsule.
    pub trace: Option<PathBuf>,
    /// What the faults came to.
    pub plan: Vec<Resolved>,
    /// The digest on the way.
    pub checkpoints: Vec<Checkpoint>,
    /// The scenario file's text.
    pub scenario: String,
}

/// The one version that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version;

const VERSION: u64 = 1;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(VERSION)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            VERSION => Ok(Version),
            other => {
                let expected = format!("{VERSION}, the version of capsules that this build reads");
                Err(de::Error::invalid_value(Unexpected::Unsigned(other), &expected.as_str()))
            }
        }
    }
}

/// A file that is no capsule.
#[derive(Debug, thiserror::Error)]
pub enum CapsuleError {
    /// It cannot be read.
    #[error("{path}: cannot be read: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// It does not hold what it should.
    #[error("{path}:{line}:{column}: {message}\nexpected a capsule, as a failing `seedbed run` or `sweep` writes it")]
    Malformed {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
}

impl Capsule {
    /// The capsule of a run with these switches of the command line; `None` if there is nothing to replay, because the testbed itself broke.
    pub fn of(judged: &Judged, file: &ScenarioFile, bugs: &[BugSwitch]) -> Option<Capsule> {
        let outcome = judged.outcome.as_ref()?;
        let report = &judged.report;
        Some(Capsule {
            version: Version,
            build: FINGERPRINT.to_owned(),
            path: file.file().to_owned(),
            arm: report.arm.clone(),
            seed: report.seed,
            bugs: bugs.iter().map(ToString::to_string).collect(),
            verdict: report.verdict,
            exit: report.exit,
            failed_checks: report.failed_checks.clone(),
            signature: report.signature.clone(),
            events: outcome.events,
            digest: outcome.digest,
            trace: None,
            plan: outcome.plan.clone(),
            checkpoints: outcome.checkpoints.clone(),
            scenario: file.text().to_owned(),
        })
    }

    /// Reads a capsule.
    pub fn read(path: &Path) -> Result<Capsule, CapsuleError> {
        let name = || path.display().to_string();
        let text = fs::read(path).map_err(|error| CapsuleError::Unreadable { path: name(), error })?;
        Capsule::parse(&name(), &text)
    }

    /// Reads a capsule's text; `path` is what messages call it.
    pub fn parse(path: &str, text: &[u8]) -> Result<Capsule, CapsuleError> {
        serde_json::from_slice(text).map_err(|error| {
            let message = error.to_string();
            // The place stands in front; serde_json repeats it at the end.
            let place = format!(" at line {} column {}", error.line(), error.column());
            let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
            let (line, column) = (error.line().max(1), error.column().max(1));
            CapsuleError::Malformed { path: path.to_owned(), line, column, message }
        })
    }

    /// The capsule as text: indented, for people read it too.
    pub fn to_text(&self) -> String {
        serde_json::to_string_pretty(self).expect("invariant: a capsule is plain data") + "\n"
    }

    /// A file name: what failed and with which digest, so that different failures do not overwrite each other and the
    /// same one does.
    pub fn file_name(&self, scenario: &str) -> String {
        let arm = self.arm.as_ref().map(|arm| format!("-{arm}")).unwrap_or_default();
        let name: String = slug(&format!("{scenario}{arm}")).chars().take(80).collect();
        format!("{name}-{:08x}.seedbed", self.digest >> 32)
    }

    /// Writes it into a folder, which is made if need be, and says where.
    ///
    /// # Errors
    /// Whatever the file system refuses.
    pub fn write(&self, folder: &Path, scenario: &str) -> io::Result<PathBuf> {
        let path = folder.join(self.file_name(scenario));
        write_whole(&path, self.to_text().as_bytes())?;
        Ok(path)
    }

    /// Where this run and that of the capsule parted, from their checkpoints.
    pub fn parted(&self, checkpoints: &[Checkpoint], events: u64, digest: u64) -> Option<Parted> {
        let mut last_equal = None;
        for (kept, seen) in self.checkpoints.iter().zip(checkpoints) {
            if kept != seen {
                return Some(Parted { after: last_equal, before: Some(*kept) });
            }
            last_equal = Some(*kept);
        }
        let more = self.checkpoints.get(checkpoints.len()).or(checkpoints.get(self.checkpoints.len()));
        let differs = more.is_some() || events != self.events || digest != self.digest;
        differs.then_some(Parted { after: last_equal, before: more.copied() })
    }
}

/// A name, which is free text, as part of a file's name that no shell asks to quote: `deletes alone` is `deletes-alone`.
pub fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    name.chars().map(plain).collect::<String>().trim_start_matches('.').to_owned()
}

/// Where two runs parted: after a checkpoint (`None`: the start) and before another (`None`: the end).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parted {
    /// The last checkpoint at which both were equal.
    pub after: Option<Checkpoint>,
    /// The first at which they differed.
    pub before: Option<Checkpoint>,
}

/// Writes a file so that it is there whole or not at all: beside its place first, then moved. Makes the folder if need
/// be.
///
/// # Errors
/// Whatever the file system refuses.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        fs::create_dir_all(folder)?;
    }
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file's name"))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = folder.unwrap_or(Path::new("")).join(beside);
    let moved = fs::write(&beside, content).and_then(|()| fs::rename(&beside, path));
    if moved.is_err() {
        // The message about the first failure is worth more than one about this.
        let _ = fs::remove_file(&beside);
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capsule() -> Capsule {
        let checkpoint = |event| Checkpoint { event, at_ns: event * 1000, digest: event * 7 };
        Capsule {
            version: Version,
            build: FINGERPRINT.to_owned(),
            path: "scenarios/mine.toml".to_owned(),
            arm: Some("with bug".to_owned()),
            seed: u64::MAX,
            bugs: vec!["ack-before-wal@n2".to_owned()],
            verdict: Verdict::Unsafe,
            exit: 10,
            failed_checks: vec!["linearizable".to_owned()],
            signature: Some("linearizable · lost write".to_owned()),
            events: 9000,
            digest: 0x9f3c_41d2_7a60_b8e5,
            trace: None,
            plan: Vec::new(),
            checkpoints: vec![checkpoint(4096), checkpoint(8192)],
            scenario: "name = \"mine\"\n".to_owned(),
        }
    }

    fn error(text: &str) -> String {
        Capsule::parse("x.seedbed", text.as_bytes()).expect_err("it is no capsule").to_string()
    }

    #[test]
    fn a_capsule_survives_its_file() {
        let text = capsule().to_text();
        assert_eq!(Capsule::parse("x.seedbed", text.as_bytes()).expect("readable"), capsule());
        assert!(text.contains(r#""digest": "9f3c41d27a60b8e5""#), "digests are hexadecimal");
        assert_eq!(capsule().file_name("a/b c"), "a-b-c-with-bug-9f3c41d2.seedbed");
    }

    #[test]
    fn what_is_no_capsule_is_refused_with_its_place() {
        let text = capsule().to_text();
        assert!(error("").starts_with("x.seedbed:1:1: EOF while parsing"), "{}", error(""));
        assert!(error("seed 42\n").starts_with("x.seedbed:1:1: expected value"), "{}", error("seed 42\n"));
        let cut = error(&text[..text.len() / 2]);
        assert!(cut.contains("EOF while parsing"), "{cut}");
        let version = error(&text.replace("\"version\": 1", "\"version\": 7"));
        assert!(
            version.starts_with("x.seedbed:2:14: invalid value: integer `7`, expected 1, the version"),
            "{version}"
        );
        let unknown = error(&text.replace("\"exit\"", "\"exits\""));
        assert!(unknown.contains("unknown field `exits`, expected one of"), "{unknown}");
        let digest = error(&text.replace("9f3c41d27a60b8e5", "nine"));
        assert!(digest.contains("16 hexadecimal digits"), "{digest}");
    }

    #[test]
    fn runs_part_between_two_checkpoints() {
        let capsule = capsule();
        let same = capsule.checkpoints.clone();
        assert_eq!(capsule.parted(&same, 9000, capsule.digest), None);
        let at_the_end = capsule.parted(&same, 9000, 1).expect("another digest");
        assert_eq!((at_the_end.after, at_the_end.before), (Some(same[1]), None));
        let mut other = same.clone();
        other[1].digest += 1;
        let in_between = capsule.parted(&other, 9000, 1).expect("another digest");
        assert_eq!((in_between.after, in_between.before), (Some(same[0]), Some(same[1])));
        let shorter = capsule.parted(&same[..1], 5000, 1).expect("another digest");
        assert_eq!((shorter.after, shorter.before), (Some(same[0]), Some(same[1])));
    }
}
