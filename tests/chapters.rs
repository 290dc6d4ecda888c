//! What the README and the chapters ask their readers to type is typed here.
//!
//! A command is a line of a fenced block that begins with `$ seedbed ` or `$ cargo run --release -- `. All commands of a
//! document run in order in a folder of its own, in which there is a copy of `scenarios/`; so they may write what they
//! like, and use what an earlier one wrote (`*` in an argument stands for part of a file's name). What the text says must
//! come true:
//! - a line `# exits 10` after a command is its exit code; without one it is 0;
//! - a block ```` ```console,norun ```` holds commands that are too long for a test: their arguments are parsed, and of a
//!   sweep the first seed is run;
//! - a block ```` ```toml,file=mine.toml ```` is a file that the reader is asked to write, and is written;
//! - links to other files lead somewhere, and a chapter stands in the table of contents.
//!
//! Lines shown below a command are what it prints, abridged with `…`. They change with the world, so they are compared
//! only on demand.

mod support;

use seedbed_sim::cli;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use support::root;

/// What a line may begin with that the reader types elsewhere than into Seedbed.
const OTHER_PROGRAMS: [&str; 5] = ["cargo test", "cargo build", "cargo bench", "cargo doc", "mdbook"];

/// Text that readers are given, by its path from the root.
struct Document {
    path: String,
    text: String,
}

/// The README and every chapter.
fn documents() -> Vec<Document> {
    let read = |path: String| {
        let text = fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Document { path, text }
    };
    let chapters = fs::read_dir(root().join("chapters")).expect("chapters/ is there");
    let mut names: Vec<String> =
        chapters.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8")).collect();
    names.retain(|name| name.ends_with(".md") && name != "SUMMARY.md");
    names.sort();
    let chapters = names.into_iter().map(|name| format!("chapters/{name}"));
    std::iter::once("README.md".to_owned()).chain(chapters).map(read).collect()
}

/// A command as a document has it.
struct Typed {
    /// `path:line`.
    place: String,
    args: Vec<String>,
    exits: i32,
    is_run: bool,
    /// The output that the reader is shown.
    shown: Vec<String>,
}

/// What a reader does, in order.
enum Step {
    Write { file: String, text: String },
    Type(Typed),
}

/// The steps of a document, or what is wrong with it.
fn steps(document: &Document) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut lines = document.text.lines().zip(1..);
    while let Some((line, opened)) = lines.next() {
        // A block may be part of a list, and then it is indented.
        let indent = line.len() - line.trim_start().len();
        let Some(info) = line[indent..].strip_prefix("```") else { continue };
        let place = |number| format!("{}:{number}", document.path);
        let words: Vec<&str> = info.split(',').collect();
        let mut inside = Vec::new();
        loop {
            match lines.next() {
                Some((line, _)) if line.trim() == "```" => break,
                Some((line, number)) => inside.push((line.get(indent..).unwrap_or_default(), number)),
                None => return Err(format!("{}: the block is not closed", place(opened))),
            }
        }
        if let Some(file) = words.iter().find_map(|word| word.strip_prefix("file=")) {
            let text = inside.iter().map(|(line, _)| format!("{line}\n")).collect();
            steps.push(Step::Write { file: file.to_owned(), text });
            continue;
        }
        let first = steps.len();
        for (line, number) in inside {
            if let Some(typed) = line.strip_prefix("$ ") {
                if OTHER_PROGRAMS.iter().any(|program| typed.starts_with(program)) {
                    continue;
                }
                let args = arguments(typed).map_err(|error| format!("{}: {error}: {typed}", place(number)))?;
                let is_run = !words.contains(&"norun");
                steps.push(Step::Type(Typed { place: place(number), args, exits: 0, is_run, shown: Vec::new() }));
            } else if let [.., Step::Type(typed)] = &mut steps[first..] {
                match line.strip_prefix("# exits ").map(str::parse) {
                    Some(code) => typed.exits = code.map_err(|_| format!("{}: {line}: no code", place(number)))?,
                    None => typed.shown.push(line.to_owned()),
                }
            }
        }
    }
    Ok(steps)
}

/// The arguments of a line that starts Seedbed.
fn arguments(line: &str) -> Result<Vec<String>, &'static str> {
    let ours = line.strip_prefix("seedbed ").or_else(|| line.strip_prefix("cargo run --release -- "));
    let line = ours.ok_or("neither Seedbed nor a program that is known here")?;
    if line.contains(['|', '>', '<', '"', '\'', '\\', ';', '&', '#']) {
        return Err("a command stands alone on its line, without quotes, pipes and comments");
    }
    Ok(line.split_whitespace().map(str::to_owned).collect())
}

/// Puts file names in the place of an argument with a `*`, as a shell does.
fn expand(arg: &str, folder: &Path) -> Vec<String> {
    let Some((before, after)) = arg.split_once('*') else { return vec![arg.to_owned()] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or((".", before));
    let entries = fs::read_dir(folder.join(parent)).into_iter().flatten();
    let names = entries.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"));
    let mut found: Vec<String> = names
        .filter(|name| name.starts_with(prefix) && name.ends_with(after))
        .map(|name| format!("{parent}/{name}"))
        .collect();
    found.sort();
    if found.is_empty() { vec![arg.to_owned()] } else { found }
}

/// Checks what can be known of a command without running it.
fn parse(typed: &Typed) -> Result<(), String> {
    let whole = std::iter::once("seedbed".to_owned()).chain(typed.args.iter().cloned());
    match cli::command().try_get_matches_from(whole) {
        Err(error) if error.use_stderr() => return Err(format!("{}: {error}", typed.place)),
        _ => {}
    }
    for arg in typed.args.iter().filter(|arg| arg.starts_with("scenarios")) {
        if !root().join(arg).exists() {
            return Err(format!("{}: there is no {arg}", typed.place));
        }
    }
    Ok(())
}

/// Runs a command, and returns what it printed.
fn run(typed: &Typed, folder: &Path) -> Result<String, String> {
    let mut args: Vec<String> = typed.args.iter().flat_map(|arg| expand(arg, folder)).collect();
    if !typed.is_run {
        let Some(seeds) = args.iter().position(|arg| arg == "--seeds") else { return Ok(String::new()) };
        args[seeds + 1] = "0..1".to_owned();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_seedbed"));
    let output = command.args(&args).current_dir(folder).env_remove("COLUMNS").output().expect("the binary starts");
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let code = output.status.code();
    // The first seed of a sweep may pass where the whole would not; but it may neither be refused nor break.
    let as_stated = code == Some(typed.exits) || (!typed.is_run && code == Some(0));
    if as_stated {
        Ok(printed)
    } else {
        Err(format!("{}: exits {code:?}, the text says {}\n{printed}", typed.place, typed.exits))
    }
}

/// A folder for a document's commands: scenarios, and nothing else.
fn folder_of(document: &Document, purpose: &str) -> PathBuf {
    let name = document.path.replace('/', "-");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chapters").join(purpose).join(name);
    let _ = fs::remove_dir_all(&folder);
    copy(&root().join("scenarios"), &folder.join("scenarios"));
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for the test");
    for entry in fs::read_dir(from).expect("readable").map(|entry| entry.expect("readable").path()) {
        let to = to.join(entry.file_name().expect("an entry has a name"));
        if entry.is_dir() {
            copy(&entry, &to);
        } else {
            fs::copy(&entry, &to).expect("copied");
        }
    }
}

/// Follows a document, and hands each command's output to `see`. Returns all that is wrong.
fn follow(document: &Document, purpose: &str, see: impl Fn(&Typed, &str) -> Vec<String>) -> Vec<String> {
    let steps = match steps(document) {
        Ok(steps) => steps,
        Err(error) => return vec![error],
    };
    let folder = folder_of(document, purpose);
    let mut wrong = Vec::new();
    let mut commands = 0;
    for step in &steps {
        match step {
            Step::Write { file, text } => fs::write(folder.join(file), text).expect("written"),
            Step::Type(typed) => {
                commands += 1;
                match parse(typed).and_then(|()| run(typed, &folder)) {
                    Ok(printed) => wrong.extend(see(typed, &printed)),
                    Err(error) => wrong.push(error),
                }
            }
        }
    }
    if commands == 0 {
        wrong.push(format!("{}: there is no command in it", document.path));
    }
    wrong
}

fn follow_all(purpose: &str, see: impl Fn(&Typed, &str) -> Vec<String> + Sync) {
    let documents = documents();
    assert!(documents.len() > 1, "there are no chapters");
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let followed: Vec<_> =
            documents.iter().map(|document| scope.spawn(|| follow(document, purpose, &see))).collect();
        followed.into_iter().flat_map(|wrong| wrong.join().expect("no panic")).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_command_ends_as_the_text_says() {
    follow_all("exits", |_, _| Vec::new());
}

#[test]
fn every_line_that_is_shown_is_printed() {
    follow_all("shown", |typed, printed| {
        let printed: Vec<String> = printed.lines().map(squeezed).collect();
        let is_printed = |shown: &str| printed.iter().any(|line| holds(line, shown));
        let missing = typed.shown.iter().filter(|shown| typed.is_run && !is_printed(&squeezed(shown)));
        missing.map(|shown| format!("{}: does not print\n{shown}", typed.place)).collect()
    });
}

/// The line with single spaces.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the pieces of `shown` between its `…` stand in `line`, in that order.
fn holds(line: &str, shown: &str) -> bool {
    let mut rest = line;
    shown.split('…').map(str::trim).all(|piece| {
        let found = rest.find(piece);
        rest = found.map_or(rest, |at| &rest[at + piece.len()..]);
        found.is_some()
    })
}

#[test]
fn links_lead_somewhere_and_chapters_are_listed() {
    let summary = fs::read_to_string(root().join("chapters/SUMMARY.md")).expect("chapters/SUMMARY.md");
    let contents = Document { path: "chapters/SUMMARY.md".into(), text: summary.clone() };
    for document in documents().iter().chain([&contents]) {
        let folder = root().join(&document.path).parent().expect("a file is in a folder").to_owned();
        for (line, number) in document.text.lines().zip(1..) {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = link.split('#').next().unwrap_or_default();
                let is_elsewhere = file.is_empty() || file.contains("://");
                assert!(is_elsewhere || folder.join(file).exists(), "{}:{number}: there is no {file}", document.path);
            }
        }
        if let Some(chapter) = document.path.strip_prefix("chapters/") {
            assert!(
                chapter == "SUMMARY.md" || summary.contains(&format!("({chapter})")),
                "chapters/SUMMARY.md does not list {chapter}"
            );
        }
    }
}

/// A document with this text.
fn document(text: &str) -> Document {
    Document { path: "text".into(), text: text.into() }
}

#[test]
fn a_text_without_a_command_is_refused() {
    let wrong = follow(&document("Nothing to do here.\n"), "empty", |_, _| Vec::new());
    assert_eq!(wrong, ["text: there is no command in it"]);
}

#[test]
fn what_does_not_exist_is_refused() {
    for command in ["run scenarios/leader-switch/leader-vanishes.toml", "sweep scenarios/nowhere --seeds 0..9"] {
        for block in ["console", "console,norun"] {
            let text = format!("```{block}\n$ seedbed {command}\n```\n");
            let wrong = follow(&document(&text), "refused", |_, _| Vec::new());
            assert!(matches!(&wrong[..], [error] if error.contains("there is no scenarios/")), "{wrong:?}");
        }
    }
    for command in ["$ seedbed walk", "$ seedbed list | head", "$ seedbedd list"] {
        let text = format!("```console,norun\n{command}\n```\n");
        assert_eq!(follow(&document(&text), "refused", |_, _| Vec::new()).len(), 1, "{command}");
    }
}

#[test]
fn an_exit_code_that_is_not_the_stated_one_is_found() {
    let wrong = follow(&document("```console\n$ seedbed bugs\n# exits 10\n```\n"), "codes", |_, _| Vec::new());
    assert!(matches!(&wrong[..], [error] if error.starts_with("text:2: exits Some(0), the text says 10")), "{wrong:?}");
}
