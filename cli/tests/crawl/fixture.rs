//! A folder with something valid for every path of every command.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use tempfile::TempDir;

use super::common::{hotrow, text};

/// A command, as `hotrow arguments` names it.
#[derive(Deserialize)]
pub struct Leaf {
    pub command: Vec<String>,
    pub paths: Vec<PathArgument>,
}

#[derive(Deserialize)]
pub struct PathArgument {
    pub name: String,
    pub flag: Option<String>,
    pub written: bool,
    pub required: bool,
}

pub struct Fixture {
    folder: TempDir,
    pub leaves: Vec<Leaf>,
}

/// Who may read little.
pub struct Nobody {
    program: PathBuf,
}

const NOBODY: u32 = 65534;

impl Fixture {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let listed = hotrow(&["arguments"]).output().unwrap();
        let leaves = serde_json::from_slice(&listed.stdout).unwrap();
        let fixture = Self { folder, leaves };
        let place = |name: &str| fixture.root().join("valid").join(name).to_string_lossy().into_owned();
        fs::create_dir(fixture.root().join("valid")).unwrap();
        fs::write(place("a.svm"), "0 0:1 3:0.5\n1 1:1\n2 2:1 0:2\n".repeat(20)).unwrap();
        fs::write(place("a.txt"), "to be or not to be, that is the question\n".repeat(40)).unwrap();
        fs::write(place("a.toml"), "[train]\n").unwrap();
        fs::write(place("prices.toml"), "").unwrap();
        let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let result = repository.join("benches/results/bench/few-labels-hotrow-cpu-dense-1.json");
        fs::copy(result, place("result.json")).unwrap();
        fs::write(place("short.txt"), "to be").unwrap();
        let digest = xxhash_rust::xxh3::xxh3_128(&fs::read(place("a.svm")).unwrap());
        fs::write(place("workload.toml"), WORKLOAD.replace("DIGEST", &format!("{digest:032x}"))).unwrap();
        let work = |arguments: &[&str]| {
            let output = hotrow(arguments).output().unwrap();
            assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        };
        let svm = place("a.svm");
        let train = ["train", "xmc", "--threads", "1", "--set", "train.epochs=1", "--train", &svm];
        work(&[&train[..], &["--valid", &svm, "--out", &place("xmc")]].concat());
        let tokens = place("tokens");
        work(&["tokenize", &place("a.txt"), "--vocabulary", "260", "--valid-share", "0.2", "--out", &tokens]);
        let train = ["train", "lm", "--threads", "1", "--preset", "tiny", "--train", &place("tokens/train.tokens")];
        work(&[&train[..], &["--out", &place("lm")], &SMALL].concat());
        open_to_all(&fixture.root().join("valid"));
        fixture
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A place that nothing is at.
    pub fn fresh(&self, name: &str) -> PathBuf {
        let path = self.root().join(name);
        remove(&path);
        path
    }

    /// Something valid for an argument that is read, if it can be given at all beside the others.
    pub fn valid(&self, leaf: &Leaf, argument: &PathArgument) -> Option<PathBuf> {
        let task = leaf.command.join(" ");
        let name = match (task.as_str(), argument.name.as_str()) {
            (_, "config") => "a.toml",
            (_, "prices") => "prices.toml",
            (_, "resume") => return None,
            ("train lm", "train") => "tokens/train.tokens",
            ("train lm" | "eval lm", "valid" | "data") => "tokens/valid.tokens",
            ("train lm" | "tokenize", "tokenizer") => "tokens/tokenizer.json",
            ("eval lm", "run") | ("generate", "checkpoint") => "lm",
            ("tokenize", "files" | "valid") => "a.txt",
            ("generate", _) => "short.txt",
            ("bench ask", "data") => "a.svm",
            ("report", _) | (_, "run") => "xmc",
            ("bench run", _) => "workload.toml",
            ("bench compare", _) => "result.json",
            _ => "a.svm",
        };
        Some(self.root().join("valid").join(name))
    }

    /// The command with all that it needs, and `bad` in the place of one path.
    pub fn command(&self, leaf: &Leaf, bad: Option<(&PathArgument, &Path)>) -> Command {
        let mut command = hotrow(&[]);
        command.args(self.arguments(leaf, bad)).current_dir(self.root());
        command
    }

    /// The same under a limit of `ulimit`.
    pub fn limited(&self, limit: &str, leaf: &Leaf, bad: Option<(&PathArgument, &Path)>) -> Command {
        let mut command = Command::new("bash");
        let script = format!("ulimit {limit} || exit 0; exec \"$@\"");
        command.args(["-c", &script, "bash"]).arg(env!("CARGO_BIN_EXE_hotrow"));
        command.args(self.arguments(leaf, bad)).current_dir(self.root()).env_remove("HOTROW_LEVEL");
        command
    }

    fn arguments(&self, leaf: &Leaf, bad: Option<(&PathArgument, &Path)>) -> Vec<OsString> {
        let task = leaf.command.join(" ");
        let mut arguments: Vec<OsString> = leaf.command.iter().map(OsString::from).collect();
        let tried = bad.map_or("", |(argument, _)| argument.name.as_str());
        let resumes = tried == "resume";
        for argument in &leaf.paths {
            let wanted = argument.required || OFTEN.contains(&argument.name.as_str());
            // A run that is resumed has its own folder and configuration.
            let excluded = resumes && argument.name != "resume";
            let path = match bad {
                Some((other, path)) if other.name == argument.name => Some(path.to_owned()),
                _ if excluded || !wanted => None,
                _ if argument.written => Some(self.root().join("out")),
                _ => self.valid(leaf, argument),
            };
            if let Some(path) = path {
                arguments.extend(argument.flag.as_ref().map(OsString::from));
                arguments.push(path.into());
            }
        }
        let more: &[&str] = match task.as_str() {
            "train xmc" if !resumes => &["--threads", "1", "--set", "train.epochs=1"],
            "train lm" if !resumes => &[&["--threads", "1", "--preset", "tiny"][..], &SMALL].concat(),
            "tokenize" if tried != "tokenizer" => &["--vocabulary", "260"],
            "make-data xmc" => &["--preset", "small", "--samples", "50", "--valid-samples", "10", "--labels", "100"],
            "generate" => &["--max-tokens", "5"],
            "demo" => &["--epochs", "1", "--threads", "2"],
            "bench ask" => &["--samples", "3", "--repeats", "1"],
            "bench run" => &["--few", "--rounds", "1", "--threads", "1"],
            "bench sweep" | "bench roofline" | "bench breakeven" | "bench scale" => &["--quick", "--repeats", "1"],
            _ => &[],
        };
        arguments.extend(more.iter().map(OsString::from));
        arguments
    }

    /// The names of all that is there, and of what is in the system's folder for temporaries under our names.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, u64> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.root().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(meta) = entry.path().symlink_metadata() else { continue };
                // A lock is taken by being opened; a run that is read may keep one.
                if meta.is_dir() {
                    folders.push(entry.path());
                }
                found.insert(entry.path(), if meta.is_file() { meta.len() } else { 0 });
            }
        }
        found
    }

    /// Removes everything but what is valid.
    pub fn clear(&self) {
        for entry in fs::read_dir(self.root()).unwrap().flatten() {
            if !["valid", "small", "program"].iter().any(|kept| entry.file_name() == *kept) {
                remove(&entry.path());
            }
        }
    }

    /// Another user, if this one may become it: with a program that it may run.
    pub fn for_nobody(&self) -> Option<Nobody> {
        let program = self.root().join("program");
        fs::copy(env!("CARGO_BIN_EXE_hotrow"), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let probe = Command::new(&program).args(["info"]).uid(NOBODY).gid(NOBODY).stdout(Stdio::null()).status();
        probe.is_ok_and(|status| status.success()).then_some(Nobody { program })
    }
}

impl Nobody {
    pub fn command(&self, fixture: &Fixture, leaf: &Leaf, bad: Option<(&PathArgument, &Path)>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(fixture.arguments(leaf, bad)).current_dir(fixture.root());
        command.uid(NOBODY).gid(NOBODY).env_remove("HOTROW_LEVEL");
        command
    }
}

/// A workload that takes no time.
const WORKLOAD: &str = r#"
schema = 1
name = "workload"
title = "A few lines"
task = "xmc"
division = "closed"
seeds = [1]
[target]
metric = "p@1"
value = 0.2
[data]
train = "a.svm"
valid = "a.svm"
[data.xxh3]
"a.svm" = "DIGEST"
[config.model]
hidden = [8]
[config.train]
epochs = 1
[[variant]]
name = "dense"
set = ["sparse.index=all"]
"#;

/// Not required by the parser, but by what the command does.
const OFTEN: [&str; 3] = ["train", "out", "input"];

/// A language model that takes no time.
const SMALL: [&str; 14] = [
    "--set",
    "model.width=16",
    "--set",
    "model.layers=1",
    "--set",
    "model.heads=2",
    "--set",
    "model.context=16",
    "--set",
    "train.batch_tokens=64",
    "--set",
    "train.steps=3",
    "--set",
    "train.sample_tokens=0",
];

fn open_to_all(path: &Path) {
    let mode = if path.is_dir() { 0o777 } else { 0o666 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    fs::read_dir(path).into_iter().flatten().flatten().for_each(|entry| open_to_all(&entry.path()));
}

/// Copies a file or a folder.
pub fn copy(from: &Path, to: &Path) {
    remove(to);
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
}

/// Removes whatever is there.
pub fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// What has a name that only unfinished files have.
pub fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".tmp-"))).collect()
}
