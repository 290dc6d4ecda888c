//! `seedbed serve` behind TLS, and configured by a file; beside a real etcd with the same certificates.

#[path = "support/authority.rs"]
mod authority;
#[path = "support/etcd.rs"]
mod etcd;
#[path = "support/folder.rs"]
mod folder;
#[path = "support/serving.rs"]
mod serving;

use authority::Authority;
use etcd::tools;
use folder::Folder;
use serving::{Serving, get};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What etcdctl says at an endpoint, and how it ends, as the client whose certificate this is.
fn ctl(folder: &Folder, address: &str, client: Option<&str>, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", &format!("https://{address}")]);
    command.args(["--command-timeout", "3s", "--dial-timeout", "3s", "--cacert", &folder.path("ca.crt")]);
    if let Some(client) = client {
        let file = |end: &str| folder.path(&format!("{client}.{end}"));
        command.args(["--cert", &file("crt"), "--key", &file("key")]);
    }
    let output = command.args(args).output().expect("etcdctl runs");
    let error = String::from_utf8_lossy(&output.stderr);
    // The client's own log says when it was, and where.
    let error = error.lines().rfind(|line| line.starts_with("Error")).unwrap_or_default();
    (output.status.code(), format!("{}{error}", String::from_utf8_lossy(&output.stdout)))
}

struct Etcd(Child);

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_shows_a_certificate_is_who_it_names() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let [ours, theirs, peer] = tools.addresses(3).try_into().expect("three were asked for");
    let host = ours.split(':').next().expect("an address").to_owned();
    let authority = Authority::new("authority");
    folder.file("ca.crt", &authority.certificate);
    ["server", "root", "alice"].iter().for_each(|name| authority.sign(&folder, name, &host));
    let [urls, their_urls] = [&ours, &theirs].map(|address| format!("https://{address}"));
    let (ca, cert, key) = (folder.path("ca.crt"), folder.path("server.crt"), folder.path("server.key"));
    let tls = ["--cert-file", &cert, "--key-file", &key, "--trusted-ca-file", &ca, "--client-cert-auth"];
    let data = folder.path("ours");
    let args = ["--data-dir", &data, "--listen-client-urls", &urls, "--advertise-client-urls", &urls];
    let mut serving = Serving::start(folder.path("log"), &[&args[..], &tls].concat());
    let mut command = Command::new("etcd");
    command.args(["--data-dir", &folder.path("etcd"), "--listen-client-urls", &their_urls]);
    command.args(["--advertise-client-urls", &their_urls, "--listen-peer-urls", &format!("http://{peer}")]);
    command.args(tls).stdout(Stdio::null()).stderr(Stdio::null());
    let _etcd = Etcd(command.spawn().expect("etcd starts"));
    let well = |address: &str| ctl(&folder, address, Some("root"), &["endpoint", "health"]).0 == Some(0);
    serving.wait_until(|| well(&ours) && well(&theirs));
    assert!(serving.log().contains("ready to serve client requests"), "{}", serving.log());

    let (root, alice) = (Some("root"), Some("alice"));
    let steps: &[(Option<&str>, &[&str])] = &[
        (root, &["put", "a", "1"]),
        (root, &["user", "add", "root:pw"]),
        (root, &["user", "add", "alice:pw"]),
        (root, &["role", "add", "reader"]),
        (root, &["role", "grant-permission", "reader", "read", "a"]),
        (root, &["user", "grant-role", "alice", "reader"]),
        (root, &["user", "grant-role", "root", "root"]),
        (root, &["auth", "enable"]),
        (root, &["put", "a", "2"]),
        (alice, &["get", "a"]),
        (alice, &["put", "a", "3"]),
        (alice, &["--user", "root:pw", "put", "a", "4"]),
        (alice, &["get", "b"]),
        (root, &["get", "a"]),
    ];
    for (client, args) in steps {
        let [expected, said] = [&theirs, &ours].map(|address| ctl(&folder, address, *client, args));
        assert_eq!(said, expected, "{client:?} {args:?}");
    }
    let (code, _) = ctl(&folder, &ours, None, &["get", "a"]);
    assert_ne!(code, Some(0), "without a certificate nobody comes in");

    // Another authority's: who trusts the first does not believe it, as soon as the files say so.
    Authority::new("another").sign(&folder, "server", &host);
    let (code, _) = ctl(&folder, &ours, root, &["get", "a"]);
    assert_ne!(code, Some(0), "the new certificate is shown");
    authority.sign(&folder, "server", &host);
    assert_eq!(ctl(&folder, &ours, root, &["get", "a"]), (Some(0), "a\n4\n".to_owned()));
    folder.file("server.key", "nonsense");
    assert_eq!(ctl(&folder, &ours, root, &["get", "a"]).0, Some(0), "what cannot be read is not used");
    assert!(serving.log().contains("the certificate in use stays"), "{}", serving.log());
}

#[test]
fn a_file_configures_it_and_a_certificate_is_made() {
    let Some(tools) = tools() else { return };
    let folder = Folder::new();
    let [secure, plain] = tools.addresses(2).try_into().expect("two were asked for");
    let data = folder.path("data");
    let file = folder.file(
        "seedbed.yml",
        format!(
            "# as etcd has it\nname: n1\ndata-dir: {data}\nlisten-client-urls: https://{secure},http://{plain}\n\
             advertise-client-urls: https://{secure}\nlisten-peer-urls: http://127.0.0.1:0\nsnapshot-count: 1000\n\
             enable-v2: false\n\
             auto-compaction-mode: revision\nauto-compaction-retention: \"1000\"\nlog-level: warn\n\
             client-transport-security:\n  auto-tls: true\n"
        ),
    );
    let mut serving = Serving::start(folder.path("log"), &["--config-file", &file, "--name", "nobody"]);
    serving.wait_until(|| std::net::TcpStream::connect(&*plain).is_ok() && get(&plain, "/health").status == 200);
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", &format!("https://{secure}")]);
    let flags = ["--insecure-transport=false", "--insecure-skip-tls-verify", "member", "list"];
    let output = command.args(flags).output().expect("etcdctl runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(", n1, "), "the flag does not count beside the file: {said} {output:?}");
    assert!(folder.has("data/fixtures/client/cert.pem"));
    assert!(!serving.log().contains("ready to serve"), "warnings only: {}", serving.log());
}

#[test]
fn what_is_wrong_with_a_file_has_a_line() {
    let folder = Folder::new();
    let serve = |text: &str| {
        let file = folder.file("seedbed.yml", text);
        let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
        let mut child =
            command.args(["serve", "--config-file", &file]).stderr(Stdio::piped()).spawn().expect("it runs");
        let begun = Instant::now();
        while child.try_wait().expect("a child").is_none() {
            if begun.elapsed() > Duration::from_secs(20) {
                let _ = child.kill();
                panic!("{text}: it serves");
            }
            sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().expect("it has ended");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (text, expected) in [
        (
            "name: n1\nlisten-client-url: http://localhost:1\n",
            "seedbed.yml:2: unknown setting listen-client-url; did you mean listen-client-urls?",
        ),
        ("\nsnapshot-count: many\n", "seedbed.yml:2: invalid value 'many' for '--snapshot-count <N>'"),
        ("proxy: \"on\"\n", "seedbed.yml:1: proxy: etcd has this setting"),
        ("name: [n1\n", "seedbed.yml:"),
        ("listen-client-urls: https://localhost:1\n", "a certificate is expected"),
        ("client-transport-security:\n  cert-file: a\n", "--key-file is expected"),
        (
            "client-transport-security:\n  cert-file: /none/a\n  key-file: /none/b\nlisten-client-urls: https://localhost:1\n",
            "/none/b: a private key in PEM is expected",
        ),
    ] {
        let (code, error) = serve(text);
        assert!(code == Some(2) && error.contains(expected), "{text}: {code:?} {error}");
    }
}
