//! Parsed data: what is left, what is shared, and what it is valid for.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use super::common::{assert_fails, summary, text};
use super::{TRAIN, at, data, ended, large, names, run, succeeds};

/// Kills the program as soon as it writes parsed data in `cache`.
fn killed_while_it_reads(command: &mut Command, cache: &std::path::Path) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let writes = || cache.is_dir() && names(cache).iter().any(|name| name.starts_with(".tmp-"));
    while !writes() {
        assert!(child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(60), "it does not read");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_a_killed_reader_has_left_the_next_one_removes() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    large(folder.path());
    for cache in ["shared", "r/cache"] {
        let mut words = TRAIN.replace("a.svm", "large.svm");
        if cache == "shared" {
            words += " --cache shared";
        }
        let path = folder.path().join(cache);
        killed_while_it_reads(&mut at(folder.path(), &words), &path);
        assert!(names(&path).iter().any(|name| name.starts_with(".tmp-")));
        // As it is if a file without a name was about to lose it.
        fs::write(path.join(".tmp-0123456789abcdef-scratch"), "").unwrap();
        let next = match cache {
            "shared" => "train xmc --threads 1 --train a.svm --out s --cache shared --set model.hidden=[4]",
            _ => "train xmc --threads 1 --resume r --stop-after 1",
        };
        let output = run(&mut at(folder.path(), next));
        assert!(matches!(output.status.code(), Some(0 | 75)), "{}", text(&output.stderr));
        let left = names(&path);
        assert!(left.iter().all(|name| name.ends_with(".samples") && !name.starts_with('.')), "{left:?}");
        let _ = fs::remove_dir_all(folder.path().join("r"));
    }
}

#[test]
fn a_dry_run_leaves_nothing_even_if_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    large(folder.path());
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let dry = "train xmc --threads 1 --dry-run --train large.svm";
    let mut child = at(folder.path(), dry).env("TMPDIR", &scratch).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(150));
    child.kill().unwrap();
    child.wait().unwrap();
    fs::write(scratch.join(".tmp-0123456789abcdef-scratch"), "").unwrap();
    succeeds(at(folder.path(), dry).env("TMPDIR", &scratch));
    assert_eq!(names(&scratch), [""; 0]);
    let absent = run(at(folder.path(), dry).env("TMPDIR", folder.path().join("absent")));
    assert_fails(&absent, 1, &["absent: No such file", "--cache names another folder"]);
    assert_eq!(names(folder.path()), ["large.svm", "scratch"]);
}

/// Each in a space of its own for process numbers, where both are number 1, if this user may have one.
#[test]
fn programs_of_the_same_number_share_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    large(folder.path());
    let program = env!("CARGO_BIN_EXE_hotrow");
    let space = ["--pid", "--fork", "--kill-child"];
    let may = Command::new("unshare").args(space).arg("true").stderr(Stdio::null()).status();
    let space = may.is_ok_and(|status| status.success());
    let start = |out: &str| {
        let mut command = Command::new(if space { "unshare" } else { program });
        if space {
            command.args(["--pid", "--fork", "--kill-child", program]);
        }
        let words =
            "train xmc --threads 1 --json --train large.svm --cache shared --set model.hidden=[4] --stop-after 1";
        command.args(words.split(' ')).args(["--out", out]).current_dir(folder.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let runs = [start("a"), start("b"), start("c")].map(ended);
    for output in runs {
        assert_eq!(output.status.code(), Some(75), "{}", text(&output.stderr));
    }
    assert_eq!(names(&folder.path().join("shared")).len(), 1);
}

#[test]
fn equal_size_and_times_do_not_make_another_file_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let mut digests = Vec::new();
    for (out, label) in [("one", 1), ("two", 2)] {
        let path = folder.path().join("a.svm");
        fs::write(&path, format!("0 0:1\n{label} 1:1\n2 2:1\n")).unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        let words = format!("{} --cache shared --json", TRAIN.replace("--out r", &format!("--out {out}")));
        digests.push(summary(&run(&mut at(folder.path(), &words)))["digest"].clone());
    }
    assert_ne!(digests[0], digests[1]);
}

#[test]
fn a_damaged_cache_of_any_kind_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    let start = |out: &str| {
        let words = format!("{} --cache shared", TRAIN.replace("--out r", &format!("--out {out}")));
        succeeds(&mut at(folder.path(), &words));
    };
    start("one");
    let cache = folder.path().join("shared").join(&names(&folder.path().join("shared"))[0]);
    fs::write(&cache, "junk").unwrap();
    start("two");
    fs::remove_file(&cache).unwrap();
    super::pipe(&cache);
    start("three");
    fs::remove_file(&cache).unwrap();
    fs::create_dir(&cache).unwrap();
    start("four");
    assert_eq!(names(&folder.path().join("shared")).len(), 1);
}

#[test]
fn eval_keeps_nothing_and_needs_no_right_to_write_into_the_run() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    succeeds(&mut at(folder.path(), TRAIN));
    let before = (names(&folder.path().join("r")), names(&folder.path().join("r/cache")));
    let lines = fs::read_to_string(folder.path().join("a.svm")).unwrap();
    let eval = "eval xmc --threads 1 --run r --json --data b.svm";
    fs::write(folder.path().join("b.svm"), &lines[..lines.len() / 2 + 1]).unwrap();
    let want = summary(&run(&mut at(folder.path(), eval)))["metrics"].clone();
    assert_eq!((names(&folder.path().join("r")), names(&folder.path().join("r/cache"))), before);
    // Root may write everywhere; a mount that is read-only holds it too.
    let run_folder = folder.path().join("r");
    let bind = |words: &[&str]| Command::new("mount").args(words).arg(&run_folder).stderr(Stdio::null()).status();
    fs::set_permissions(&run_folder, fs::Permissions::from_mode(0o555)).unwrap();
    let path = run_folder.to_str().unwrap();
    let mounted = bind(&["--bind", path]).is_ok_and(|status| status.success());
    let mounted_read_only = mounted && bind(&["-o", "remount,bind,ro"]).is_ok_and(|status| status.success());
    let output = run(&mut at(folder.path(), eval));
    let absent = run(at(folder.path(), eval).env("TMPDIR", folder.path().join("absent")));
    if mounted {
        assert!(Command::new("umount").arg(&run_folder).status().unwrap().success());
    }
    fs::set_permissions(&run_folder, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(summary(&output)["metrics"], want);
    if mounted_read_only {
        assert_fails(&absent, 1, &["--cache names another folder"]);
    }
}
