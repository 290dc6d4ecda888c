//! etcd's configuration file: the flags of `seedbed serve`, written down in YAML.
//!
//! ```yaml
//! name: n1
//! data-dir: /var/lib/seedbed
//! listen-client-urls: https://10.0.0.1:2379
//! client-transport-security:
//!   cert-file: n1.crt
//!   key-file: n1.key
//! ```
//!
//! Keys are called as the flags are; those of TLS stand in two sections, for clients and for peers. As with etcd, a file
//! is all that counts: with it no other flag and no variable does. So a file is made into a command line and read as one,
//! and whatever a flag refuses is refused here, with the line where it stands.

use super::BadInput;
use saphyr_parser::{Event, Parser, Span};
use std::path::Path;

/// Sections of etcd's file, each with what stands before the names of its flags.
const SECTIONS: [(&str, &str); 2] = [("client-transport-security", ""), ("peer-transport-security", "peer-")];

/// Settings of etcd that have no counterpart. A file may name them where they ask for nothing.
const NOT_HERE: &[&str] = &[
    "client-crl-file",
    "cors",
    "debug",
    "discovery",
    "discovery-fallback",
    "discovery-proxy",
    "discovery-srv",
    "enable-grpc-gateway",
    "enable-pprof",
    "enable-v2",
    "experimental-corrupt-check-time",
    "experimental-initial-corrupt-check",
    "force-new-cluster",
    "host-whitelist",
    "listen-metrics-urls",
    "log-package-levels",
    "max-snapshots",
    "max-wals",
    "metrics",
    "pre-vote",
    "proxy",
    "proxy-dial-timeout",
    "proxy-failure-wait",
    "proxy-read-timeout",
    "proxy-refresh-interval",
    "proxy-write-timeout",
    "wal-dir",
];

/// A setting, and the line where it stands.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    key: String,
    value: String,
    line: usize,
}

/// The command line that a file stands for. `command` knows the flags.
pub(super) fn arguments(path: &Path, command: &clap::Command) -> Result<Vec<String>, BadInput> {
    let text = std::fs::read_to_string(path).map_err(|error| BadInput(format!("{}: {error}", path.display())))?;
    let at = |line: usize| format!("{}:{line}", path.display());
    let settings = settings(&text).map_err(|(line, error)| BadInput(format!("{}: {error}", at(line))))?;
    let mut arguments = vec!["serve".to_owned()];
    for Setting { key, value, line } in settings {
        if NOT_HERE.contains(&&*key) {
            if !matches!(&*value, "" | "0" | "false" | "off" | "~" | "null") {
                let error = format!("{key}: etcd has this setting, and `seedbed serve` has not; remove it");
                return Err(BadInput(format!("{}: {error}", at(line))));
            }
            continue;
        }
        let flags: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
        if key == "config-file" || !flags.contains(&&*key) {
            return Err(BadInput(format!("{}: unknown setting {key}; {}", at(line), near(&key, &flags))));
        }
        let argument = format!("--{key}={value}");
        if let Err(error) = command.clone().try_get_matches_from(["serve", &argument]) {
            let error = error.to_string();
            let error = error.lines().next().unwrap_or_default().trim_start_matches("error: ");
            return Err(BadInput(format!("{}: {error}", at(line))));
        }
        arguments.push(argument);
    }
    Ok(arguments)
}

fn near(key: &str, flags: &[&str]) -> String {
    let distance = |flag: &&&str| strsim::damerau_levenshtein(flag, key);
    match flags.iter().min_by_key(distance) {
        Some(flag) if distance(&flag) <= key.chars().count() / 3 + 1 => format!("did you mean {flag}?"),
        _ => "`seedbed serve --help` names all".to_owned(),
    }
}

/// The settings of a text. An error names its line.
fn settings(text: &str) -> Result<Vec<Setting>, (usize, String)> {
    let mut events = Parser::new_from_str(text);
    let mut next = || match events.next() {
        Some(Ok(event)) => Ok(event),
        Some(Err(error)) => Err((error.marker().line(), format!("not YAML: {}", error.info()))),
        None => Ok((Event::StreamEnd, Span::default())),
    };
    let mut settings = Vec::new();
    // What stands before a section's flags, while one is open.
    let mut section: Option<&str> = None;
    let mut open = false;
    loop {
        let (event, span) = next()?;
        let line = span.start.line();
        match event {
            Event::StreamEnd => return Ok(settings),
            Event::MappingStart(..) if !open => open = true,
            Event::MappingEnd if section.take().is_none() => open = false,
            Event::Scalar(key, ..) if open => {
                let key = key.into_owned();
                match next()?.0 {
                    Event::MappingStart(..) if section.is_none() => {
                        let known = SECTIONS.iter().find(|(name, _)| *name == key);
                        let names = SECTIONS.map(|(name, _)| name);
                        let unknown = || (line, format!("unknown section {key}; {}", near(&key, &names)));
                        section = Some(known.ok_or_else(unknown)?.1);
                    }
                    Event::MappingStart(..) => {
                        return Err((line, format!("{key}: a value is expected, not a section")));
                    }
                    Event::SequenceStart(..) => {
                        let mut values = Vec::new();
                        while let Event::Scalar(value, ..) = next()?.0 {
                            values.push(value.into_owned());
                        }
                        settings.push(setting(section, &key, values.join(","), line));
                    }
                    Event::Scalar(value, ..) => settings.push(setting(section, &key, value.into_owned(), line)),
                    _ => return Err((line, format!("{key}: a value is expected"))),
                }
            }
            Event::Scalar(text, ..) if !text.is_empty() => {
                return Err((line, format!("{text}: settings are expected, each `key: value` on a line of its own")));
            }
            _ => {}
        }
    }
}

fn setting(section: Option<&str>, key: &str, value: String, line: usize) -> Setting {
    Setting { key: format!("{}{key}", section.unwrap_or_default()), value, line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_texts_lists_or_sections() {
        let text = "# a comment\nname: n1\nsnapshot-count: 1000\nlog-outputs: [stderr, a.log]\n\
                    peer-transport-security:\n  cert-file: 'p.crt'\n\nauto-compaction-retention: \"1\"\n";
        let expected = [
            ("name", "n1", 2),
            ("snapshot-count", "1000", 3),
            ("log-outputs", "stderr,a.log", 4),
            ("peer-cert-file", "p.crt", 6),
            ("auto-compaction-retention", "1", 8),
        ];
        let expected = expected.map(|(key, value, line)| setting(None, key, value.to_owned(), line));
        assert_eq!(settings(text), Ok(Vec::from(expected)));
        assert_eq!(settings(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_has_a_line() {
        for (text, line, expected) in [
            ("name: n1\ntransport: {}\nx: {a: 1}\n", 2, "unknown section transport"),
            ("client-transport-securty:\n  cert-file: a\n", 1, "did you mean client-transport-security?"),
            ("name: n1\njust words\n", 3, "not YAML: "),
            ("just words\n", 1, "settings are expected"),
            ("name: [n1\n", 2, "not YAML: "),
        ] {
            let (at, error) = settings(text).expect_err(text);
            assert!(at == line && error.contains(expected), "{text}: {at} {error}");
        }
    }
}
