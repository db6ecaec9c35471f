//! Records where a build comes from: the commit, the compiler, the target and the optimisation level.
//!
//! The commit is the one checked out when the build ran; changes not committed are not told.

use std::path::{Path, PathBuf};
use std::process::Command;

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
    // A commit moves the branch that HEAD names, a checkout moves HEAD. A branch that is only in `packed-refs` gets a
    // file of its own with the next commit, which changes the folder that the file will be in.
    let git_path = |name: &str| run("git", &["rev-parse", "--git-path", name]).map(PathBuf::from);
    let branch = run("git", &["symbolic-ref", "--quiet", "HEAD"]);
    for path in [Some("HEAD"), Some("packed-refs"), branch.as_deref()].into_iter().flatten().filter_map(git_path) {
        if let Some(existing) = path.ancestors().find(|path| path.exists()) {
            rerun_if_changed(existing);
        }
    }
    run("git", &["rev-parse", "HEAD"])
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
