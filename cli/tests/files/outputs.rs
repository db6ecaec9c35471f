//! What is written, and what is taken back.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

use super::common::assert_fails;
use super::{TRAIN, at, data, device, names, pipe, run, succeeds};

#[test]
fn a_report_goes_where_the_user_pointed() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    data(folder.path());
    succeeds(&mut at(folder.path(), TRAIN));
    fs::create_dir(place("far")).unwrap();
    fs::write(place("far/page.html"), "old").unwrap();
    fs::write(place("private.html"), "old").unwrap();
    fs::set_permissions(place("private.html"), fs::Permissions::from_mode(0o600)).unwrap();
    symlink("far/page.html", place("link.html")).unwrap();
    symlink("far/new.md", place("link.md")).unwrap();
    succeeds(&mut at(folder.path(), "report r --out link.html --markdown link.md"));
    assert!(["link.html", "link.md"].iter().all(|link| place(link).symlink_metadata().unwrap().is_symlink()));
    assert_eq!(names(&place("far")), ["new.md", "page.html"]);
    assert!(fs::read_to_string(place("far/page.html")).unwrap().starts_with("<!DOCTYPE"));
    succeeds(&mut at(folder.path(), "report r --out private.html"));
    assert_eq!(fs::metadata(place("private.html")).unwrap().permissions().mode() & 0o777, 0o600);
    pipe(&place("pipe"));
    let reader = std::thread::spawn({
        let path = place("pipe");
        move || {
            let mut text = String::new();
            fs::File::open(path).unwrap().read_to_string(&mut text).unwrap();
            text
        }
    });
    succeeds(&mut at(folder.path(), "report r --out pipe"));
    assert!(reader.join().unwrap().starts_with("<!DOCTYPE"));
    assert!(fs::metadata(place("pipe")).unwrap().file_type().is_fifo());
}

#[test]
fn a_device_is_written_to_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    succeeds(&mut at(folder.path(), TRAIN));
    let Some(null) = device(&folder.path().join("null"), 3) else { return };
    let Some(full) = device(&folder.path().join("full"), 7) else { return };
    succeeds(&mut at(folder.path(), "report r --out null"));
    assert_fails(&run(&mut at(folder.path(), "report r --out full")), 1, &["full: No space left"]);
    for path in [null, full] {
        assert!(fs::metadata(path).unwrap().file_type().is_char_device());
    }
    assert_eq!(names(folder.path()), ["a.svm", "full", "null", "r"]);
}

#[test]
fn a_start_that_fails_leaves_a_folder_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    fs::write(place("bad.svm"), "junk\n").unwrap();
    fs::create_dir(place("empty")).unwrap();
    symlink("empty", place("link")).unwrap();
    let before = names(folder.path());
    for out in ["empty", "link", "new/deep/run"] {
        let words = format!("train xmc --threads 1 --train bad.svm --out {out}");
        assert_fails(&run(&mut at(folder.path(), &words)), 4, &["bad.svm:1:"]);
        assert_eq!(names(folder.path()), before, "{out}");
        assert_eq!(names(&place("empty")), [""; 0]);
    }
    fs::create_dir(place("mine")).unwrap();
    fs::write(place("mine/env.json"), "my file").unwrap();
    let refused = run(&mut at(folder.path(), "train xmc --threads 1 --train bad.svm --out mine"));
    assert_fails(&refused, 2, &["holds env.json and is no run"]);
    assert_eq!(fs::read_to_string(place("mine/env.json")).unwrap(), "my file");
    assert_eq!(names(&place("mine")), ["env.json"]);
    // A cache that was asked for elsewhere goes too, if there is nothing in it.
    let words = "train xmc --threads 1 --train bad.svm --out r --cache shared/cache";
    assert_fails(&run(&mut at(folder.path(), words)), 4, &["bad.svm:1:"]);
    assert!(!place("shared").exists() && !place("r").exists());
}

#[test]
fn what_was_made_for_something_that_fails_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    fs::write(place("a.txt"), "").unwrap();
    fs::write(place("b.txt"), "some words and some more words\n").unwrap();
    for words in [
        "demo --threads 1 --out d --set optim.lr=x",
        "tokenize a.txt --vocabulary 300 --out d/e",
        "tokenize b.txt --tokenizer missing.json --out d/e",
        "make-data xmc --preset small --samples 0 --out d/e",
    ] {
        assert!(!run(&mut at(folder.path(), words)).status.success(), "{words}");
        assert_eq!(names(folder.path()), ["a.txt", "b.txt"], "{words}");
    }
}

#[test]
fn made_data_replaces_nothing_unless_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let gen_small = "make-data xmc --preset small --threads 1 --samples 40 --valid-samples 10 --out d";
    fs::create_dir(place("d")).unwrap();
    fs::write(place("mine.txt"), "mine").unwrap();
    symlink("../mine.txt", place("d/valid.txt")).unwrap();
    assert_fails(&run(&mut at(folder.path(), gen_small)), 2, &["d/valid.txt exists already"]);
    assert_eq!(names(&place("d")), ["valid.txt"]);
    succeeds(&mut at(folder.path(), &format!("{gen_small} --force")));
    assert_eq!(names(&place("d")), ["train.txt", "valid.txt"]);
    assert!(place("d/valid.txt").symlink_metadata().unwrap().is_symlink());
    assert!(fs::read_to_string(place("mine.txt")).unwrap().starts_with("10 "));
}

/// On a disk of 256 KiB, where this user may make one.
#[test]
fn a_full_disk_leaves_the_old_file_and_no_temporary() {
    let folder = tempfile::tempdir().unwrap();
    data(folder.path());
    succeeds(&mut at(folder.path(), TRAIN));
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
        .arg(&disk)
        .stderr(std::process::Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped: this user cannot mount a small disk");
        return;
    }
    let outputs = [
        (fs::write(disk.join("r.html"), "old"), "report r --out disk/r.html"),
        (Ok(()), "make-data xmc --preset small --threads 1 --out disk/d"),
        (Ok(()), "train xmc --threads 1 --train a.svm --out disk/run --set model.hidden=[4096]"),
    ];
    fs::write(disk.join("fill"), vec![0; 250 << 10]).unwrap();
    let results = outputs.map(|(_, words)| run(&mut at(folder.path(), words)));
    let left = names(&disk);
    let old = fs::read_to_string(disk.join("r.html"));
    assert!(std::process::Command::new("umount").arg(&disk).status().unwrap().success());
    results.iter().for_each(|output| assert_fails(output, 1, &["No space left"]));
    assert_eq!(left.iter().filter(|name| *name != "run").collect::<Vec<_>>(), ["fill", "r.html"]);
    assert_eq!(old.unwrap(), "old");
}
