//! Every command with every path that it takes, where the path is not what it should be: missing, empty, a folder, a pipe, a
//! device, unreadable, of odd bytes; where the disk is full, the folder read-only, memory short, or a signal comes early.
//!
//! Commands and paths are those of the argument parser (`hotrow arguments`), so a new command is tried by being there. Whatever
//! happens, the exit code is a documented one, an error is one line that names what is wrong, nobody reads of a panic, and
//! nothing is left behind.

mod common;
#[path = "crawl/fixture.rs"]
mod fixture;
#[path = "crawl/watch.rs"]
mod watch;

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fixture::{Fixture, Leaf, PathArgument};
use watch::{Outcome, PATIENCE, REFUSED, mknod, run, signalled};

/// Commands that are too long for many tries measure, and take no path but `--out`: they are tried with missing paths only.
fn measures(leaf: &Leaf) -> bool {
    leaf.command[0] == "bench" && leaf.paths.iter().all(|path| path.written)
}

/// The demo trains for a minute once its folder can be made.
fn takes_long(leaf: &Leaf) -> bool {
    measures(leaf) || leaf.command == ["demo"]
}

/// Tries `make` in the place of each path of each command that `wanted` selects.
fn crawl(
    patience: Duration,
    wanted: impl Fn(&PathArgument) -> bool,
    make: impl Fn(&Path),
    check: impl Fn(&Leaf, &PathArgument, &Path, &Outcome),
) {
    let fixture = Fixture::new();
    for leaf in &fixture.leaves {
        for argument in leaf.paths.iter().filter(|argument| wanted(argument)) {
            if measures(leaf) {
                continue;
            }
            let bad = fixture.fresh("bad");
            make(&bad);
            let before = fixture.snapshot();
            let outcome = signalled(fixture.command(leaf, Some((argument, &bad))), patience);
            outcome.assert_documented();
            check(leaf, argument, &bad, &outcome);
            if outcome.code != Some(0) {
                assert_eq!(fixture.snapshot(), before, "{outcome}: files are left");
            }
            fixture.clear();
        }
    }
}

/// An input that cannot be used is an error of one line that names it.
fn refused(_: &Leaf, argument: &PathArgument, bad: &Path, outcome: &Outcome) {
    assert!(matches!(outcome.code, Some(1 | 2 | 4)), "{outcome}");
    let name = bad.file_name().unwrap().to_string_lossy();
    outcome.assert_one_line(&[&name, argument.flag.as_deref().unwrap_or(&argument.name)]);
}

fn read(argument: &PathArgument) -> bool {
    !argument.written
}

#[test]
fn paths_that_are_missing_are_named() {
    crawl(PATIENCE, read, |_| (), refused);
}

#[test]
fn empty_files_are_refused_or_understood() {
    crawl(
        PATIENCE,
        read,
        |path| fs::write(path, "").unwrap(),
        |leaf, argument, bad, outcome| {
            // An empty configuration is one, and so is an empty list of prices; of nothing there is nothing to predict.
            if outcome.code != Some(0) {
                refused(leaf, argument, bad, outcome);
            }
        },
    );
}

#[test]
fn empty_folders_are_refused() {
    crawl(PATIENCE, read, |path| fs::create_dir(path).unwrap(), refused);
}

/// What reads once may wait for whoever writes; then a signal ends it.
#[test]
fn pipes_are_refused_at_once_or_waited_for_until_a_signal() {
    crawl(
        REFUSED,
        |_| true,
        |path| mknod(path, "p").expect("pipes can be made"),
        |leaf, argument, bad, outcome| match (outcome.asked, outcome.code) {
            (true, code) => assert_eq!(code, Some(130), "{outcome}: a signal was not obeyed"),
            (false, Some(0)) => assert!(argument.written, "{outcome}: took a pipe for a file"),
            (false, _) => refused(leaf, argument, bad, outcome),
        },
    );
}

#[test]
fn devices_are_refused_as_input_and_stay_devices_as_output() {
    let probe = tempfile::tempdir().unwrap();
    if mknod(&probe.path().join("null"), "null").is_none() {
        return eprintln!("no device can be made here: not tested");
    }
    crawl(
        PATIENCE,
        |_| true,
        |path| mknod(path, "null").expect("devices can be made"),
        |leaf, argument, bad, outcome| {
            use std::os::unix::fs::FileTypeExt;
            assert!(fs::symlink_metadata(bad).unwrap().file_type().is_char_device(), "{outcome}: the device is gone");
            if outcome.code != Some(0) {
                refused(leaf, argument, bad, outcome);
            }
        },
    );
}

#[test]
fn files_that_may_not_be_read_and_folders_that_may_not_be_written_are_named() {
    let fixture = Fixture::new();
    let Some(nobody) = fixture.for_nobody() else { return eprintln!("only root can become nobody: not tested") };
    for leaf in fixture.leaves.iter().filter(|leaf| !measures(leaf)) {
        for argument in &leaf.paths {
            let bad = fixture.fresh("closed");
            match argument.written {
                true => fs::create_dir(&bad).unwrap(),
                false => fs::write(&bad, "0 0:1\n").unwrap(),
            }
            fs::set_permissions(&bad, fs::Permissions::from_mode(if argument.written { 0o555 } else { 0 })).unwrap();
            let path = if argument.written { bad.join("inside") } else { bad.clone() };
            let before = fixture.snapshot();
            let outcome = run(nobody.command(&fixture, leaf, Some((argument, &path))));
            outcome.assert_documented();
            refused(leaf, argument, &bad, &outcome);
            assert_eq!(fixture.snapshot(), before, "{outcome}: files are left");
            fixture.clear();
        }
    }
}

#[test]
fn names_that_are_not_utf8_are_names() {
    let fixture = Fixture::new();
    for leaf in fixture.leaves.iter().filter(|leaf| !takes_long(leaf)) {
        for argument in &leaf.paths {
            let odd = fixture.root().join(OsString::from_vec(b"caf\xe9".to_vec()));
            if let (false, Some(valid)) = (argument.written, fixture.valid(leaf, argument)) {
                fixture::copy(&valid, &odd);
            }
            let outcome = run(fixture.command(leaf, Some((argument, &odd))));
            outcome.assert_documented();
            if outcome.code != Some(0) {
                outcome.assert_one_line(&["caf", argument.flag.as_deref().unwrap_or(&argument.name)]);
            }
            fixture.clear();
        }
    }
}

/// A limit on the size of files stands for a disk that is full from the start, and a small file system for one that fills up.
#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let fixture = Fixture::new();
    let small = fixture.root().join("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(&small).output();
    let mounted = mounted.is_ok_and(|output| output.status.success());
    if !mounted {
        eprintln!("nothing can be mounted here: only the limit on the size of files is tested");
    }
    for leaf in fixture.leaves.iter().filter(|leaf| !takes_long(leaf)) {
        let Some(out) = leaf.paths.iter().find(|argument| argument.written) else { continue };
        let mut tries = vec![(fixture.limited("-f 0", leaf, None), fixture.fresh("out"))];
        if mounted {
            fs::write(small.join("filler"), vec![1; 48 << 10]).unwrap();
            tries.push((fixture.command(leaf, Some((out, &small.join("out")))), small.join("out")));
        }
        for (command, place) in tries {
            fixture::remove(&place);
            let before = fixture.snapshot();
            let outcome = run(command);
            outcome.assert_documented();
            if outcome.code != Some(0) {
                outcome.assert_one_line(&[]);
                // What has begun to train is a run, which goes on when there is room again.
                let run = place.join("config.toml").is_file() && fixture::unfinished(&place).is_empty();
                assert!(run || !place.exists(), "{outcome}: {} is left", place.display());
                fixture::remove(&place);
                assert_eq!(fixture.snapshot(), before, "{outcome}: files are left");
            }
            fixture.clear();
            if mounted {
                fs::read_dir(&small).unwrap().flatten().for_each(|entry| fixture::remove(&entry.path()));
            }
        }
    }
    if mounted {
        assert!(Command::new("umount").arg(&small).status().unwrap().success());
    }
}

#[test]
fn little_memory_is_enough_or_an_error() {
    let fixture = Fixture::new();
    for leaf in fixture.leaves.iter().filter(|leaf| !takes_long(leaf)) {
        for kib in [300_000, 150_000] {
            let before = fixture.snapshot();
            let outcome = run(fixture.limited(&format!("-v {kib}"), leaf, None));
            outcome.assert_documented();
            if outcome.code != Some(0) {
                outcome.assert_one_line(&[]);
                assert_eq!(fixture.snapshot(), before, "{outcome}: files are left");
            }
            fixture.clear();
        }
    }
}

#[test]
fn an_early_signal_is_obeyed_and_leaves_nothing_or_a_run_that_can_be_resumed() {
    let fixture = Fixture::new();
    for leaf in &fixture.leaves {
        for milliseconds in [20, 100, 400] {
            let before = fixture.snapshot();
            let outcome = signalled(fixture.command(leaf, None), Duration::from_millis(milliseconds));
            // On a busy machine the signal may come before the program has begun.
            if outcome.code.is_none() && outcome.stderr.is_empty() {
                assert_eq!(fixture.snapshot(), before, "{outcome}: files are left");
                continue;
            }
            outcome.assert_documented();
            match outcome.code {
                Some(0 | 75) => {}
                // Between the end of a run and that of the program, the run is whole.
                Some(130) if fixture.root().join("out/summary.json").exists() => {}
                Some(130) => assert_eq!(fixture.snapshot(), before, "{outcome}: files are left"),
                _ => panic!("{outcome}: after a signal"),
            }
            fixture.clear();
        }
    }
}

#[test]
fn every_command_works_when_nothing_is_wrong() {
    let fixture = Fixture::new();
    for leaf in fixture.leaves.iter().filter(|leaf| !takes_long(leaf)) {
        let outcome = run(fixture.command(leaf, None));
        assert_eq!(outcome.code, Some(0), "{outcome}");
        fixture.clear();
    }
}

#[test]
fn the_table_of_exit_codes_stands_in_the_help_and_in_the_documents() {
    let help = run(common::hotrow(&["--help"]));
    let documents =
        fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/command-line.md")).unwrap();
    for (code, name, rule) in hotrow::error::EXIT_CODES {
        let line = help.stdout.lines().find(|line| line.trim_start().starts_with(&format!("{code}  {name}: ")));
        assert!(line.is_some_and(|line| line.ends_with(rule)), "{code}: {}", help.stdout);
        assert!(documents.contains(&format!("| {code} | {name} | {rule} |")), "| {code} | {name} | {rule} |");
    }
}
