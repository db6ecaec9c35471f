//! Records where a build comes from: the commit, the compiler, the target and the optimisation level.
//!
//! The commit is the one checked out when the build ran, with `-dirty` behind it where code had changes that were not committed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What a build is made of.
const CODE: [&str; 7] =
    ["src", "kernels/src", "cli/src", "Cargo.toml", "kernels/Cargo.toml", "cli/Cargo.toml", "Cargo.lock"];

fn main() {
    record("HOTROW_COMMIT", &commit().unwrap_or_else(|| "unknown".to_owned()));
    record("HOTROW_RUSTC", &run(&variable("RUSTC"), &["--version"]).unwrap_or_else(|| "unknown".to_owned()));
    record("HOTROW_TARGET", &variable("TARGET"));
    record("HOTROW_OPT_LEVEL", &variable("OPT_LEVEL"));
    rerun_if_changed(Path::new("build.rs"));
}

/// The commit of this checkout. A source package inside another project's repository has none.
fn commit() -> Option<String> {
    let root = run("git", &["rev-parse", "--show-toplevel"])?;
    let same =
        Path::new(&root).canonicalize().ok()? == Path::new(&variable("CARGO_MANIFEST_DIR")).canonicalize().ok()?;
    if !same {
        return None;
    }
    // A checkout moves HEAD, a commit the branch that HEAD names. A branch that stands in `packed-refs` only gets a file
    // of its own with the next commit: until then the folder that it will be in is watched.
    let git_path = |name: &str| run("git", &["rev-parse", "--git-path", name]).map(PathBuf::from);
    let branch = run("git", &["symbolic-ref", "--quiet", "HEAD"]);
    let files = ["HEAD", "packed-refs"].into_iter().filter_map(git_path).filter(|path| path.exists());
    files.for_each(|path| rerun_if_changed(&path));
    if let Some(path) = branch.as_deref().and_then(git_path) {
        path.ancestors().find(|path| path.exists()).into_iter().for_each(rerun_if_changed);
    }
    CODE.iter().map(Path::new).filter(|path| path.exists()).for_each(rerun_if_changed);
    let changed = run("git", &[&["status", "--porcelain", "--untracked-files=no", "--"][..], &CODE].concat())?;
    let dirty = if changed.is_empty() { "" } else { "-dirty" };
    Some(run("git", &["rev-parse", "HEAD"])? + dirty)
}

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}

// Build scripts talk to cargo through their standard output.
#[allow(clippy::print_stdout)]
fn record(name: &str, value: &str) {
    println!("cargo::rustc-env={name}={value}");
}

#[allow(clippy::print_stdout)]
fn rerun_if_changed(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
