//! The JSON gateway beside a real etcd's: the same requests, the same bytes.
//!
//! Only what may differ between two clusters (ids, terms, tokens, sizes) is replaced by a word before the answers are
//! compared.

#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/serving.rs"]
mod serving;

use etcd::{Etcd, Tools, tools};
use folder::Folder;
use serving::{Answer, Serving, ask, begin, get, post};
use std::io::{BufRead as _, BufReader};

/// Paths below `/v3/`, each with a body.
const REQUESTS: &[(&str, &str)] = &[
    ("kv/put", r#"{"key":"Zm9v","value":"YmFy"}"#),
    ("kv/put", r#"{"key":"Zm9v","value":"YmFy","prev_kv":true}"#),
    ("kv/put", r#"{"key":"Zm9w","value":"PDw+"}"#),
    ("kv/put", r#"{"value":"YmFy"}"#),
    ("kv/range", r#"{"key":"Zm9v"}"#),
    ("kv/range", r#"{"key":"Zm9v","range_end":"Zm9x","limit":"1","sort_order":"DESCEND","sort_target":"KEY"}"#),
    ("kv/range", r#"{"key":"Zm9v","rangeEnd":"Zm9x","keysOnly":true,"sortOrder":1}"#),
    ("kv/range", r#"{"key":"AA==","range_end":"AA==","count_only":true}"#),
    ("kv/range", r#"{"key":"Zm9v","revision":"99999"}"#),
    ("kv/range", r#"{"key":"Zm9v","revision":2,"serializable":true} and more"#),
    ("kv/range", r#"{"key":"Zm9v","limit":" 1","no_such_field":[{}]}"#),
    ("kv/range", r#"{"key":"bm9uZQ=="}"#),
    ("kv/range", r#"{"key":"foo!"}"#),
    ("kv/range", r#"{"key":"YQ"}"#),
    ("kv/range", r#"{"key":"_-8="}"#),
    ("kv/range", r#"{"key":5}"#),
    ("kv/range", r#"{"key":null}"#),
    ("kv/range", r#"{"key":"YQ==","limit":1.5}"#),
    ("kv/range", r#"{"key":"YQ==","limit":"x"}"#),
    ("kv/range", r#"{"key":"YQ==","limit":""}"#),
    ("kv/range", r#"{"key":"YQ==","limit":"9223372036854775808"}"#),
    ("kv/range", r#"{"key":"YQ==","serializable":"true"}"#),
    ("kv/range", r#"{"key":"YQ==","sort_order":"NOPE"}"#),
    ("kv/range", r#"{"key":"YQ==","sort_order":true}"#),
    ("kv/range", r#"{"key":"YQ==","key":"Zm9v"}"#),
    ("kv/range", "{bad"),
    ("kv/range", r#"{"key":"YQ==""#),
    ("kv/range", r#"{"key":"YQ==",}"#),
    ("kv/range", r#"{"key":tru}"#),
    ("kv/range", ""),
    ("kv/range", "[]"),
    ("kv/range", "5"),
    (
        "kv/txn",
        r#"{"compare":[{"key":"Zm9v","target":"CREATE","create_revision":"2"}],
            "success":[{"request_put":{"key":"Zm9v","value":"YmFy"}},{"request_range":{"key":"Zm9v"}}]}"#,
    ),
    (
        "kv/txn",
        r#"{"compare":[{"key":"Zm9v","result":"GREATER","target":"VALUE","value":""}],
            "success":[{"requestDeleteRange":{"key":"enp6"}}],"failure":[{"requestRange":{"key":"YQ=="}}]}"#,
    ),
    ("kv/txn", r#"{"compare":{"key":"YQ=="}}"#),
    ("kv/txn", r#"{"success":[{}]}"#),
    ("kv/txn", r#"{"success":[5]}"#),
    ("kv/txn", r#"{"success":null}"#),
    ("kv/deleterange", r#"{"key":"Zm9v","prev_kv":true}"#),
    ("kv/deleterange", r#"{"key":"Zm9v"}"#),
    ("kv/compaction", r#"{"revision":"3"}"#),
    ("kv/compaction", r#"{"revision":"3"}"#),
    ("lease/grant", r#"{"TTL":6000,"ID":77}"#),
    ("lease/grant", r#"{"TTL":"6000","ID":"77"}"#),
    ("kv/put", r#"{"key":"bA==","lease":77}"#),
    ("lease/timetolive", r#"{"ID":77,"keys":true}"#),
    ("kv/lease/timetolive", r#"{"ID":77}"#),
    ("lease/timetolive", r#"{"ID":78}"#),
    ("lease/leases", "{}"),
    ("kv/lease/leases", "{}"),
    ("lease/keepalive", r#"{"ID":77}{"ID":78}"#),
    ("lease/keepalive", r#"{"ID":"x"}"#),
    ("lease/keepalive", ""),
    ("lease/revoke", r#"{"ID":77}"#),
    ("kv/lease/revoke", r#"{"ID":77}"#),
    ("watch", r#"{"create_request":{"key":"YQ=="#),
    ("cluster/member/list", "{}"),
    ("cluster/member/remove", r#"{"ID":"1"}"#),
    ("cluster/member/promote", r#"{"ID":"1"}"#),
    ("cluster/member/add", r#"{"peerURLs":["nowhere"]}"#),
    ("cluster/member/update", r#"{"ID":1,"peerURLs":["http://localhost:1"]}"#),
    ("maintenance/alarm", r#"{"action":"GET"}"#),
    ("maintenance/alarm", r#"{"action":"ACTIVATE","memberID":5,"alarm":"NOSPACE"}"#),
    ("kv/put", r#"{"key":"Zm9v"}"#),
    ("maintenance/alarm", r#"{"action":"DEACTIVATE","memberID":5,"alarm":"NOSPACE"}"#),
    ("maintenance/hash", "{}"),
    ("maintenance/hashkv", "{}"),
    ("maintenance/defragment", "{}"),
    ("maintenance/transfer-leadership", r#"{"targetID":"1"}"#),
    ("auth/enable", "{}"),
    ("auth/user/add", r#"{"name":"root","password":"pw"}"#),
    ("auth/user/add", r#"{"name":"root","password":"pw"}"#),
    ("auth/role/add", r#"{"name":"root"}"#),
    ("auth/user/grant", r#"{"user":"root","role":"root"}"#),
    ("auth/user/list", "{}"),
    ("auth/role/add", r#"{"name":"r<é>&"}"#),
    ("auth/role/list", "{}"),
    ("auth/user/get", r#"{"name":"root"}"#),
    ("auth/role/grant", r#"{"name":"r<é>&","perm":{"permType":"READWRITE","key":"Zm9v"}}"#),
    ("auth/role/get", r#"{"role":"r<é>&"}"#),
    ("auth/role/get", r#"{"role":"none"}"#),
    ("auth/role/revoke", r#"{"role":"r<é>&","key":"Zm9v"}"#),
    ("auth/user/changepw", r#"{"name":"root","password":"pw2"}"#),
    ("auth/authenticate", r#"{"name":"root","password":"pw2"}"#),
    ("auth/enable", "{}"),
    ("auth/authenticate", r#"{"name":"root","password":"bad"}"#),
    ("kv/range", r#"{"key":"Zm9v"}"#),
    ("nope", "{}"),
    ("kv/put/", "{}"),
];

/// Ours and a real one, side by side.
struct Pair {
    ours: String,
    theirs: String,
    _serving: Serving,
    _etcd: Etcd,
}

impl Pair {
    fn start(tools: &Tools, folder: &Folder) -> Pair {
        let [ours] = tools.addresses(1).try_into().expect("one was asked for");
        let serving = Serving::healthy(folder.path("log"), &folder.path("ours"), &ours);
        let mut etcd = tools.etcd("default", folder.path("etcd"));
        etcd.start();
        let theirs = etcd.client_url().replace("http://", "");
        Pair { ours, theirs, _serving: serving, _etcd: etcd }
    }

    fn each(&self, say: impl Fn(&str) -> Answer) -> [(u16, String, String); 2] {
        [&self.theirs, &self.ours].map(|address| {
            let answer = say(address);
            let kind = answer.header("content-type").unwrap_or_default().to_owned();
            (answer.status, kind, without_ids(&answer.body, address))
        })
    }
}

/// Ids, terms and tokens are replaced: long numbers, and what stands behind these names. Left out is what is the member's to
/// tell, not the gateway's: the headers within a transaction's answer, and where clients reach a member.
fn without_ids(body: &str, address: &str) -> String {
    let mut text = body.replace(address, "ADDRESS").replace(",\"clientURLs\":[\"http://ADDRESS\"]", "");
    while let Some(from) = text.find("\"header\":{\"revision\"") {
        let to = from + text[from..].find('}').expect("a header ends") + 1;
        text.replace_range(from..to + usize::from(text[to..].starts_with(',')), "");
    }
    for name in ["cluster_id", "member_id", "raft_term", "ID", "token", "peerURLs", "hash"] {
        let key = format!("\"{name}\":");
        let mut at = 0;
        while let Some(found) = text[at..].find(&key) {
            let from = at + found + key.len();
            let len = text[from..].find([',', '}']).unwrap_or(0);
            let value = &text[from..from + len];
            if name != "ID" || value.len() > 12 {
                text.replace_range(from..from + len, "N");
            }
            at = from;
        }
    }
    text
}

#[test]
fn requests_are_answered_as_etcd_answers_them() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let pair = Pair::start(&tools, &folder);
    let mut different = Vec::new();
    for (path, body) in REQUESTS {
        let [theirs, ours] = pair.each(|address| post(address, &format!("/v3/{path}"), body));
        if ours != theirs {
            different.push(format!("{path} {body}\n  etcd    {theirs:?}\n  seedbed {ours:?}"));
        }
    }
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), REQUESTS.len(), different.join("\n"));
}

#[test]
fn paths_and_methods_are_etcds() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let pair = Pair::start(&tools, &folder);
    for (method, path) in [
        ("GET", "/v3/kv/range"),
        ("PUT", "/v3/kv/range"),
        ("OPTIONS", "/v3/kv/range"),
        ("OPTIONS", "/nope"),
        ("GET", "/v3/nope"),
        ("POST", "/v3beta/kv/range"),
        ("GET", "/v3beta/kv/range"),
        ("POST", "/v3alpha/kv/range"),
        ("GET", "/"),
        ("GET", "/health"),
        ("GET", "/health?exclude=NOSPACE"),
    ] {
        let [theirs, ours] = pair.each(|address| ask(address, method, path, &[], r#"{"key":"Zm9v"}"#));
        assert_eq!(ours, theirs, "{method} {path}");
    }
    let names = ["access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers"];
    let [ours, theirs] = [&pair.ours, &pair.theirs].map(|address| get(address, "/version"));
    assert_eq!(names.map(|name| ours.header(name)), names.map(|name| theirs.header(name)));
}

#[test]
fn a_watch_is_lines_and_a_token_travels_in_a_header() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let pair = Pair::start(&tools, &folder);
    let heard = [&pair.theirs, &pair.ours].map(|address| {
        let create = r#"{"create_request":{"key":"Zm9v","prev_kv":true}}{"progress_request":{}}"#;
        let watch = begin(address, "POST", "/v3/watch", &[], create);
        let mut lines = BufReader::new(watch).lines().map(|line| line.expect("the watch goes on"));
        let mut next = || loop {
            let line = lines.next().expect("the watch goes on");
            if line.starts_with("{\"result\"") {
                return without_ids(&line, address);
            }
        };
        let created = next();
        for body in [r#"{"key":"Zm9v","value":"MQ=="}"#, r#"{"key":"Zm9v","value":"Mg=="}"#] {
            post(address, "/v3/kv/put", body);
        }
        post(address, "/v3/kv/deleterange", r#"{"key":"Zm9v"}"#);
        let mut events: Vec<String> = (0..3).map(|_| next()).collect();
        // An answer about progress may come before the events or between them.
        if let Some(at) = events.iter().position(|line| line.contains("\"watch_id\":\"-1\"")) {
            events.remove(at);
            events.push(next());
        }
        (created, events)
    });
    assert_eq!(heard[1], heard[0]);

    let heard = [&pair.theirs, &pair.ours].map(|address| {
        for (path, body) in [
            ("user/add", r#"{"name":"root","password":"pw"}"#),
            ("role/add", r#"{"name":"root"}"#),
            ("user/grant", r#"{"user":"root","role":"root"}"#),
            ("enable", "{}"),
        ] {
            assert_eq!(post(address, &format!("/v3/auth/{path}"), body).status, 200, "{path}");
        }
        let said = post(address, "/v3/auth/authenticate", r#"{"name":"root","password":"pw"}"#).body;
        let token = said.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
        let read = |token: &str| {
            let headers = [("Authorization", token)];
            let answer = ask(address, "POST", "/v3/kv/range", &headers, r#"{"key":"Zm9v"}"#);
            (answer.status, without_ids(&answer.body, address))
        };
        let keep_alive = post(address, "/v3/lease/keepalive", r#"{"ID":5}"#);
        (read(token), read("none"), keep_alive.status, without_ids(&keep_alive.body, address))
    });
    assert_eq!(heard[1], heard[0]);
    assert_eq!(heard[1].0.0, 200);
}
