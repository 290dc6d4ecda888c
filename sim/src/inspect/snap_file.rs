//! Raft snapshot files: where each stands, its configuration, and the members in its v2 store.
//!
//! etcd keeps its pairs in the database; the image inside a `.snap` file is the old v2 store as JSON, of which only the
//! members, the removed members and the cluster's version still matter. Other writers put an image of their own there.

use super::finding::Findings;
use seedbed::disk::{DiskError, DiskRead, FileName};
use seedbed::snap::{self, SnapError};
use serde::Serialize;
use serde_json::Value;

/// A `.snap` file.
#[derive(Clone, Debug, Serialize)]
pub struct SnapReport {
    /// Its path.
    pub file: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The last entry covered; `None` when the file is damaged.
    pub index: Option<u64>,
    /// Its term.
    pub term: Option<u64>,
    /// Who votes, in hexadecimal.
    pub voters: Vec<String>,
    /// Who learns.
    pub learners: Vec<String>,
    /// What the image is.
    pub image: Image,
    /// Bytes of the image.
    pub image_bytes: u64,
    /// The v2 store's members.
    pub members: Vec<MemberReport>,
    /// Ids that were removed, in hexadecimal.
    pub removed: Vec<String>,
    /// The cluster's version.
    pub cluster_version: Option<String>,
}

/// What is inside a `.snap` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    /// Nothing.
    Empty,
    /// The v2 store, as etcd writes it.
    V2Json,
    /// Something else.
    Other,
    /// The file is damaged.
    Unreadable,
}

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemberReport {
    /// Its id in hexadecimal.
    pub id: String,
    /// Its name; empty until it has started.
    pub name: String,
    /// Where its peers reach it.
    pub peer_urls: Vec<String>,
    /// Where its clients reach it.
    pub client_urls: Vec<String>,
    /// Whether it has no vote yet.
    pub is_learner: bool,
}

/// Reads a `.snap` file. Damage is a finding.
pub(super) fn report(disk: &dyn DiskRead, file: &FileName, findings: &mut Findings) -> Result<SnapReport, DiskError> {
    let mut report = SnapReport {
        file: file.to_string(),
        bytes: disk.len(file)?,
        index: None,
        term: None,
        voters: Vec::new(),
        learners: Vec::new(),
        image: Image::Unreadable,
        image_bytes: 0,
        members: Vec::new(),
        removed: Vec::new(),
        cluster_version: None,
    };
    let snapshot = match snap::load(disk, file) {
        Ok(snapshot) => snapshot,
        Err(SnapError::Disk(error)) => return Err(error),
        Err(error) => {
            findings.add(file, without_place(&error.to_string(), file));
            return Ok(report);
        }
    };
    let hex = |ids: &[u64]| ids.iter().map(|id| format!("{id:x}")).collect();
    (report.index, report.term) = (Some(snapshot.meta.index), Some(snapshot.meta.term));
    (report.voters, report.learners) = (hex(&snapshot.meta.conf.voters), hex(&snapshot.meta.conf.learners));
    report.image_bytes = snapshot.data.len() as u64;
    let name = file.rsplit('/').next().and_then(|name| name.strip_suffix(".snap"));
    let wanted = format!("{:016x}-{:016x}", snapshot.meta.term, snapshot.meta.index);
    if name.is_some_and(|name| looks_numbered(name) && name != wanted) {
        findings.add(file, format!("expected the name {wanted}.snap, from the term and the index in it"));
    }
    report.image = match serde_json::from_slice::<Value>(&snapshot.data) {
        _ if snapshot.data.is_empty() => Image::Empty,
        Ok(json) if report.read_v2(&json) => Image::V2Json,
        _ => Image::Other,
    };
    Ok(report)
}

/// The file's name stands beside the text already.
fn without_place(text: &str, file: &str) -> String {
    text.strip_prefix(file).and_then(|text| text.strip_prefix(": ")).unwrap_or(text).to_owned()
}

fn looks_numbered(name: &str) -> bool {
    name.len() == 33 && name.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

impl SnapReport {
    /// Whether the JSON is a v2 store.
    fn read_v2(&mut self, json: &Value) -> bool {
        let Some(root) = json.pointer("/Root/Children/0/Children") else { return json.get("Root").is_some() };
        for (id, node) in children(root.get("members")) {
            let mut member = MemberReport { id: id.clone(), ..MemberReport::default() };
            for part in ["attributes", "raftAttributes"] {
                let value = node.pointer(&format!("/Children/{part}/Value")).and_then(Value::as_str);
                if let Some(Ok(value)) = value.map(serde_json::from_str::<Value>) {
                    member.take(&value);
                }
            }
            self.members.push(member);
        }
        self.removed = children(root.get("removed_members")).map(|(id, _)| id.clone()).collect();
        let version = root.pointer("/version/Value").and_then(Value::as_str);
        self.cluster_version = version.filter(|version| !version.is_empty()).map(str::to_owned);
        true
    }
}

fn children(node: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    node.and_then(|node| node.get("Children")).and_then(Value::as_object).into_iter().flatten()
}

impl MemberReport {
    /// Takes over what some JSON says of the member: etcd uses the same names everywhere.
    pub fn take(&mut self, json: &Value) {
        let urls = |name: &str| {
            let urls = json.get(name).and_then(Value::as_array);
            urls.map(|urls| urls.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        if let Some(name) = json.get("name").and_then(Value::as_str) {
            self.name = name.to_owned();
        }
        if let Some(peers) = urls("peerURLs") {
            self.peer_urls = peers;
        }
        if let Some(clients) = urls("clientURLs") {
            self.client_urls = clients;
        }
        self.is_learner |= json.get("isLearner").and_then(Value::as_bool).unwrap_or(false);
    }

    /// In words: `b71f75320dc06a6c "default" peers http://…`.
    pub fn words(&self) -> String {
        let mut text = self.id.clone();
        if !self.name.is_empty() {
            text += &format!(" {:?}", self.name);
        }
        if self.is_learner {
            text += " (learner)";
        }
        for (what, urls) in [("peers", &self.peer_urls), ("clients", &self.client_urls)] {
            if !urls.is_empty() {
                text += &format!(" {what} {}", urls.join(", "));
            }
        }
        text
    }
}
