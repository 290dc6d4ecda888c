//! Histories that others recorded, with the verdicts that others found; and what the readers make of files that are
//! damaged, empty or something else.
//!
//! The data is not part of the project: it is read from the folder `SEEDBED_PEERS`, or from `../shared/peers`.

use seedbed_sim::check::Budget;
use seedbed_sim::check::foreign::{self, Format, Judgement, Verdict};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs};

/// The folder of the histories, or `None`, said aloud, if there is none.
fn histories() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let peers = env::var_os("SEEDBED_PEERS").map_or_else(|| root.join("../shared/peers"), PathBuf::from);
    let histories = peers.join("histories");
    if histories.join("verdicts.csv").is_file() {
        return Some(histories);
    }
    println!("skipped: no histories/verdicts.csv in {} (SEEDBED_PEERS names another folder)", peers.display());
    None
}

#[test]
fn histories_of_others_get_the_verdicts_of_others() {
    let Some(folder) = histories() else { return };
    let table = fs::read_to_string(folder.join("verdicts.csv")).unwrap();
    let mut judged = 0;
    for row in table.lines().skip(1) {
        let columns: Vec<&str> = row.split(',').collect();
        let content = fs::read(folder.join(columns[0])).unwrap();
        let format = foreign::recognise(&content).unwrap_or_else(|| panic!("{} is not recognised", columns[0]));
        let judgement = foreign::judge(&content, format, Budget::default());
        let Judgement { verdict, operations, unreturned, .. } =
            judgement.unwrap_or_else(|error| panic!("{}:{:?}: {error}", columns[0], error.at));
        // A history without operations has no verdict, whatever stands in the table.
        match verdict {
            Verdict::Linearizable => assert_eq!(columns[1], "true", "{}", columns[0]),
            Verdict::NotLinearizable { .. } => assert_eq!(columns[1], "false", "{}", columns[0]),
            Verdict::Empty => assert!(["0", ""].contains(&columns[4]), "{}", columns[0]),
            Verdict::Undecided { spent } => panic!("{}: undecided, out of {spent:?}", columns[0]),
        }
        // The readers saw what others saw in the file, not less.
        for (seen, column) in [(operations, 4), (unreturned, 5)] {
            assert!(columns[column].is_empty() || columns[column] == seen.to_string(), "{row}: {seen}");
        }
        judged += 1;
    }
    assert!(judged > 0, "an empty table proves nothing");
    println!("{judged} histories judged");
}

fn judge(text: &str) -> Judgement {
    let format = foreign::recognise(text.as_bytes()).unwrap_or_else(|| panic!("not recognised: {text}"));
    foreign::judge(text.as_bytes(), format, Budget::default()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A log of `jepsen.util` lines.
fn log(events: &[&str]) -> String {
    events.iter().map(|event| format!("INFO  jepsen.util - {event}\n")).collect()
}

const WRITE_1: [&str; 2] = ["0\t:invoke\t:write\t1", "0\t:ok\t:write\t1"];

#[test]
fn tabs_and_spaces_are_the_same() {
    let stale = log(&[WRITE_1[0], WRITE_1[1], "1\t:invoke\t:read\tnil", "1\t:ok\t:read\tnil"]);
    for text in [stale.clone(), stale.replace('\t', " "), stale.replace('\t', "    "), stale.replace('\n', "\r\n")] {
        let judgement = judge(&text);
        assert_eq!(judgement.verdict, Verdict::NotLinearizable { line: 3 }, "{text}");
        assert_eq!(judgement.operations, 2);
    }
}

#[test]
fn a_log_may_hold_more_than_its_history() {
    let text = "2026-10-19 12:00:00,000{GMT}\tINFO\t[main] jepsen.cli: Test options: {:a 1}\n\
                WARN  jepsen.core - Process 3 indeterminate\n\
                java.net.SocketTimeoutException: Read timed out\n\tat java.net.Socket.read(Socket.java:1)\n\
                INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n\
                INFO  jepsen.util - encountered 2 problems\n\
                2026-10-19 12:00:01,000{GMT}\tINFO\t[jepsen worker 0] jepsen.util: 0\t:invoke\t:cas\t[1 2]\n\
                2026-10-19 12:00:02,000{GMT}\tINFO\t[jepsen worker 0] jepsen.util: 0\t:info\t:cas\t[1 2]\t\"timed out: [\n\
                INFO  jepsen.util - 5\t:invoke\t:read\tnil\n\
                INFO  jepsen.util - 5\t:fail\t:read\t:timed-out\n\
                Everything looks good! ヽ(‘ー`)ノ\n";
    let judgement = judge(text);
    assert_eq!((judgement.verdict, judgement.operations, judgement.unreturned), (Verdict::Linearizable, 2, 1));
    // A bare `history.txt` has no logger.
    assert_eq!(judge("0 :invoke :read nil\n0 :ok :read 3\n").verdict, Verdict::NotLinearizable { line: 1 });
}

#[test]
fn outcomes_of_a_register() {
    let read = |value: &str| vec!["9\t:invoke\t:read\tnil".to_owned(), format!("9\t:ok\t:read\t{value}")];
    let after = |events: &[&str], value: &str| {
        let events: Vec<String> =
            [WRITE_1.as_slice(), events].concat().into_iter().map(str::to_owned).chain(read(value)).collect();
        judge(&log(&events.iter().map(|event| &event[..]).collect::<Vec<_>>())).verdict == Verdict::Linearizable
    };
    // A compare that failed is a mismatch; one that only says that it was not done is not.
    assert!(!after(&["1\t:invoke\t:cas\t[1 2]", "1\t:fail\t:cas\t[1 2]"], "1"));
    assert!(after(&["1\t:invoke\t:cas\t[3 2]", "1\t:fail\t:cas\t[3 2]"], "1"));
    assert!(after(&["1\t:invoke\t:cas\t[1 2]", "1\t:fail\t:cas\t:timed-out"], "1"));
    // What is unknown may have happened or not; what failed has not.
    for value in ["1", "2"] {
        assert!(after(&["1\t:invoke\t:cas\t[1 2]", "1\t:info\t:cas\t:timed-out"], value));
        assert!(after(&["1\t:invoke\t:write\t2", "1\t:info\t:write\t:timed-out"], value));
        assert!(after(&["1\t:invoke\t:write\t2"], value));
        assert_eq!(after(&["1\t:invoke\t:write\t2", "1\t:fail\t:write\t2"], value), value == "1");
    }
    assert!(!after(&["1\t:invoke\t:cas\t[3 2]", "1\t:info\t:cas\t:timed-out"], "2"));
    // An unknown write may still take effect much later.
    assert!(after(
        &["1\t:invoke\t:write\t2", "1\t:info\t:write\t:timed-out", "3\t:invoke\t:read\tnil", "3\t:ok\t:read\t1"],
        "2"
    ));
}

#[test]
fn keys_are_judged_for_themselves_and_values_may_hold_anything() {
    let right = r#"
        ; a comment, and a vector around all events
        [{:process 0, :type :invoke, :f :put, :key "a \"b\"", :value "[}\\", :time 12, :error nil}
         {:process 1 :type :invoke :f :get :key "a \"b\"" :value nil}
         {:process :nemesis, :type :info, :f :start, :value #{"n1"}}
         {:process 0, :type :ok, :f :put, :key "a \"b\"", :value "[}\\"}
         {:process 1, :type :ok, :f :get, :key "a \"b\"", :value "[}\\"}
         {:process 1, :type :invoke, :f :get, :key "c", :value nil}
         {:process 1, :type :ok, :f :get, :key "c", :value ""}]"#;
    assert_eq!(judge(right).verdict, Verdict::Linearizable);
    assert_eq!(judge(right).operations, 3);
    let wrong = right.replace(r#":key "c", :value """#, r#":key "c", :value "[}\\""#);
    assert_eq!(judge(&wrong).verdict, Verdict::NotLinearizable { line: 8 });
}

#[test]
fn a_history_without_operations_is_empty() {
    let noise = "INFO  jepsen.core - Setting up\nERROR jepsen.core - cluster failed to start\n\tat clojure.lang\n";
    let nemesis = "INFO  jepsen.util - :nemesis\t:info\t:start\tnil\n";
    let others = "WARN  org.eclipse.jetty - no leader\n";
    for text in ["", " \n\n", noise, others, nemesis, "{:process :nemesis, :type :info, :f :start}"] {
        assert_eq!(judge(text).verdict, Verdict::Empty, "{text}");
    }
}

#[test]
fn what_is_no_history_is_not_recognised() {
    for text in [
        "history,expected\njepsen/etcd_000.log,false\n",
        "# README\njepsen/*.log: `INFO jepsen.util - <proc>\\t:<invoke|ok|fail|info>\\t…`\n",
        "{\"process\": 0, \"type\": \"invoke\"}",
        "{:deps {jepsen/jepsen {:mvn/version \"0.3\"}}}",
        "INFO: see jepsen.io - it says INFO - nothing\n",
        "\u{0}\u{1}\u{2}",
    ] {
        assert_eq!(foreign::recognise(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn damage_is_an_error_with_its_place() {
    let damaged = [
        ("0 invoke :read nil", 2, 23, "a type"),
        ("0\t:invoke\t:reed\tnil", 2, 31, "a function"),
        ("0\t:invoke\t:write\tx", 2, 38, "an integer"),
        ("0\t:invoke\t:write", 2, 37, "an integer"),
        ("0\t:invoke\t:cas\t[1", 2, 38, "']'"),
        ("0\t:invoke\t:cas\t[1 2 3]", 2, 36, "a pair of integers"),
        ("x :invoke :read nil", 2, 21, "a process number"),
        ("9\t:ok\t:read\t1", 2, 21, "an invocation by process 9"),
        ("7\t:invoke\t:read\tnil", 2, 21, "the completion"),
        ("7\t:ok\t:write\t3", 2, 27, ":read, which process 7 invoked"),
        ("7\t:ok\t:read\t3INFO", 2, 33, "nil or an integer"),
    ];
    for (event, line, column, expected) in damaged {
        let text = log(&["7\t:invoke\t:read\tnil", event]);
        let error = foreign::judge(text.as_bytes(), Format::Jepsen, Budget::default()).unwrap_err();
        assert_eq!((error.at.line, error.at.column), (line, column), "{event}: {error}");
        assert!(error.expected.contains(expected), "{event}: {error}");
    }
    let invoked = "{:process 0, :type :invoke, :f :put, :key \"a\", :value \"x\"}\n";
    let damaged = [
        ("{:process 0, :type :ok, :f :put, :key \"a\", :value \"y\"}", 51, "the value that process 0 invoked"),
        ("{:process 0, :type :ok, :f :put, :key \"b\", :value \"x\"}", 39, "the key that process 0 invoked"),
        ("{:process 0, :type :ok, :f :get, :key \"a\", :value \"x\"}", 28, "the function that process 0 invoked"),
        ("{:process 0, :type :ok, :f :put, :key \"a\"}", 1, ":value"),
        ("{:process 0, :type :done, :f :put, :key \"a\"}", 20, "a type"),
        ("{:process 0, :type :ok, :f :push, :key \"a\"}", 28, "a function"),
        ("{:process 0, :type :ok, :f :put, :key 7}", 39, "a key"),
        ("{:process 0, :type :ok", 23, "'}'"),
        (":process", 1, "a map"),
    ];
    for (event, column, expected) in damaged {
        let text = format!("{invoked}{event}");
        let error = foreign::judge(text.as_bytes(), Format::Kv, Budget::default()).unwrap_err();
        assert_eq!((error.at.line, error.at.column), (2, column), "{event}: {error}");
        assert!(error.expected.contains(expected), "{event}: {error}");
    }
    let error = foreign::judge(b"INFO  jepsen.util - 0 :invoke :read nil\nab\xff", Format::Jepsen, Budget::default())
        .unwrap_err();
    assert_eq!((error.at.line, error.at.column), (2, 3), "{error}");
}

/// A folder of its own for one test, with these files in it.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check").join(name);
    let _ = fs::remove_dir_all(&folder);
    for (path, content) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

/// Runs `seedbed check` in a folder.
fn check(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
    let Output { status, stdout, stderr } = command.current_dir(folder).arg("check").args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn right() -> String {
    log(&WRITE_1)
}

fn wrong() -> String {
    log(&["0\t:invoke\t:read\tnil", "0\t:ok\t:read\t3"])
}

#[test]
fn the_command_prints_a_line_for_each_history_and_exits_by_the_worst() {
    let (right, wrong) = (right(), wrong());
    let files = [
        ("b/wrong.log", &wrong[..]),
        ("a/right.log", &right[..]),
        ("a/none.log", ""),
        ("README.md", "# Read me\n"),
        (".git/HEAD", "ref: x\n"),
    ];
    let folder = folder("verdicts", &files);
    let (code, out, err) = check(&folder, &["."]);
    assert_eq!(out, "./a/none.log: empty\n./a/right.log: linearizable\n./b/wrong.log: not linearizable\n");
    assert_eq!(code, Some(10), "{err}");
    assert!(err.contains("passed over: ./README.md") && !err.contains("HEAD"), "{err}");
    assert!(err.contains("./b/wrong.log:1: no order"), "{err}");
    assert!(err.ends_with("3 histories: 1 linearizable, 1 not, 1 empty, 1 passed over\n"), "{err}");
    assert_eq!(check(&folder, &["a"]).0, Some(0), "what is empty does not fail");
    let (code, out, err) = check(&folder, &["b", "a/right.log", "--json"]);
    assert_eq!(code, Some(10), "{err}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["files"][0]["verdict"], "not linearizable");
    assert_eq!(json["files"][1]["path"], "a/right.log");
    assert_eq!(json["linearizable"], 1);
}

#[test]
fn the_command_refuses_what_it_cannot_read() {
    let damaged = format!("{}INFO  jepsen.util - 0\t:invoke\t:writ\t1\n", right());
    let files = [("damaged.log", &damaged[..]), ("README.md", "# Read me\n"), ("none/README.md", "# Read me\n")];
    let folder = folder("unreadable", &files);
    let (code, out, err) = check(&folder, &["damaged.log"]);
    assert_eq!((code, &out[..]), (Some(2), ""));
    let expected = "error: damaged.log:3:31: expected a function: :read, :write or :cas, found :writ\n";
    assert!(err.starts_with(expected), "{err}");
    for (path, expected) in
        [("README.md", "expected a history"), ("absent", "cannot be read"), ("none", "nothing to check")]
    {
        let (code, _, err) = check(&folder, &[path]);
        assert_eq!(code, Some(2), "{err}");
        assert!(err.contains(expected), "{err}");
    }
}

#[test]
fn the_command_says_when_it_does_not_know() {
    let wrong = wrong();
    let folder = folder("budget", &[("a.log", &wrong[..])]);
    let (code, out, err) = check(&folder, &["a.log", "--budget-steps", "0"]);
    assert_eq!((code, &out[..]), (Some(14), "a.log: undecided\n"), "{err}");
    assert!(err.contains("--budget-steps"), "{err}");
    let (code, out, _) = check(&folder, &["a.log", "--budget-steps", "100"]);
    assert_eq!((code, &out[..]), (Some(10), "a.log: not linearizable\n"));
}

#[test]
fn the_command_survives_a_reader_that_goes_away() {
    let right = right();
    let folder = folder("pipe", &[("a.log", &right[..])]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_seedbed"))
        .current_dir(&folder)
        .args(["check"])
        .args(std::iter::repeat_n("a.log", 3000))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    let err = String::from_utf8(stderr).unwrap();
    assert!(status.code() == Some(0) && !err.contains("panicked"), "{status}: {err}");
}
