use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::*;

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn links_stay_and_what_they_name_is_replaced_or_made() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    fs::create_dir(place("deep")).unwrap();
    fs::write(place("deep/old"), "old").unwrap();
    symlink("deep/old", place("link")).unwrap();
    symlink("link", place("link to it")).unwrap();
    symlink("deep/new", place("dangling")).unwrap();
    symlink("round", place("round")).unwrap();
    write(&place("link to it"), b"new").unwrap();
    write(&place("dangling"), b"made").unwrap();
    assert_eq!(fs::read_to_string(place("deep/old")).unwrap(), "new");
    assert_eq!(fs::read_to_string(place("deep/new")).unwrap(), "made");
    assert!(write(&place("round"), b"").is_err());
    for link in ["link", "link to it", "dangling", "round"] {
        assert!(place(link).symlink_metadata().unwrap().is_symlink(), "{link}");
    }
    assert_eq!(names(&place("deep")), ["new", "old"]);
}

#[test]
fn a_file_keeps_its_mode_and_a_new_one_has_that_of_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new, other] = ["old", "new", "other"].map(|name| folder.path().join(name));
    fs::write(&old, "old").unwrap();
    for want in [0o600, 0o640, 0o666] {
        fs::set_permissions(&old, fs::Permissions::from_mode(want)).unwrap();
        write(&old, b"new").unwrap();
        assert_eq!(mode(&old), want);
    }
    write(&new, b"").unwrap();
    File::create(&other).unwrap();
    assert_eq!(mode(&new), mode(&other));
}

#[test]
fn a_pipe_gets_the_bytes_and_stays_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    pipe(&path);
    let reader = std::thread::spawn({
        let path = path.clone();
        move || {
            let mut text = String::new();
            File::open(path).unwrap().read_to_string(&mut text).unwrap();
            text
        }
    });
    write(&path, b"through").unwrap();
    assert_eq!(reader.join().unwrap(), "through");
    assert_eq!(names(folder.path()), ["pipe"]);
    assert!(!path.metadata().unwrap().is_file());
    assert!(
        Output::create(&path)
            .unwrap_err()
            .to_string()
            .ends_with("is a device or a pipe, where a file is to be written")
    );
}

#[test]
fn every_name_of_a_file_shows_the_new_bytes_but_of_a_large_output_only_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    fs::write(&one, "longer than the new bytes").unwrap();
    fs::hard_link(&one, &two).unwrap();
    write(&one, b"new").unwrap();
    assert_eq!(fs::read_to_string(&two).unwrap(), "new");
    assert_eq!(one.metadata().unwrap().nlink(), 2);
    let output = Output::create(&one).unwrap();
    output.file().write_all(b"newer").unwrap();
    output.finish().unwrap();
    assert_eq!([&one, &two].map(|path| fs::read_to_string(path).unwrap()), ["newer", "new"]);
}

#[test]
fn what_cannot_be_written_is_an_error_about_the_path_that_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    fs::write(place("file"), "").unwrap();
    symlink("missing/file", place("link")).unwrap();
    for (path, says) in [
        (place("missing/report.html"), "No such file"),
        (place("link"), "No such file"),
        (place("file/inside"), "Not a directory"),
        (place("new/"), "is no name of a file"),
        (folder.path().to_owned(), "is a folder"),
        (PathBuf::from(""), "is no name of a file"),
    ] {
        let error = write(&path, b"new").unwrap_err();
        assert!(error.to_string().starts_with(&format!("{}: ", path.display())), "{error}");
        assert!(error.to_string().contains(says) && error.exit_code() == 1, "{error}");
    }
    assert_eq!(names(folder.path()), ["file", "link"]);
}

#[test]
fn a_temporary_goes_unless_it_gets_its_last_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.samples");
    let (dropped, kept) = (Temporary::file(&path).unwrap(), Temporary::file(&path).unwrap());
    assert_ne!(dropped.path(), kept.path());
    assert!(names(folder.path()).iter().all(|name| original_name(name) == Some("a.samples")));
    kept.handle().write_all(b"kept").unwrap();
    drop(dropped);
    kept.persist(&path).unwrap();
    assert_eq!(names(folder.path()), ["a.samples"]);
    let long = folder.path().join("é".repeat(127));
    Temporary::file(&long).unwrap().persist(&long).unwrap();
    assert!(long.exists());
}

#[test]
fn a_sweep_takes_what_nobody_holds_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let left = ".tmp-0123456789abcdef-a.samples";
    let others = [
        ".tmp-0123456789abcdef-a.tokens",
        ".tmp-0123456789ABCDEF-a.samples",
        ".tmp-123-a.samples",
        ".tmp-a.samples",
        "a.samples",
    ];
    others.iter().for_each(|name| fs::write(place(name), "").unwrap());
    let held = [Temporary::file(&place("a.samples")).unwrap(), Temporary::folder(folder.path(), "b.samples").unwrap()];
    fs::write(held[1].path().join("inside"), "").unwrap();
    // Neither followed nor waited for.
    symlink("a.samples", place(".tmp-0123456789abcdea-link.samples")).unwrap();
    pipe(&place(".tmp-0123456789abcdeb-pipe.samples"));
    fs::create_dir(place(left)).unwrap();
    fs::write(place(left).join("inside"), "").unwrap();
    let before = names(folder.path());
    assert!(held.iter().all(|temporary| is_held(temporary.path())));
    assert!(!is_held(&place(left)) && !is_held(&place("missing")));
    sweep(folder.path(), |name| name.ends_with(".samples"));
    let after: Vec<_> = before.into_iter().filter(|name| name != left).collect();
    assert_eq!(names(folder.path()), after);
}

/// Makers and a sweep that never rests: no maker loses what it holds.
#[test]
fn what_is_just_being_made_is_not_swept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.samples");
    std::thread::scope(|scope| {
        let maker = scope.spawn(|| {
            for _ in 0..500 {
                let [file, scratch] =
                    [Temporary::file(&path).unwrap(), Temporary::folder(folder.path(), "scratch").unwrap()];
                assert!(file.path().exists() && scratch.path().exists());
                file.persist(&path).unwrap();
            }
        });
        // Also if the maker panics.
        while !maker.is_finished() {
            sweep(folder.path(), |name| name == "a.samples" || name == "scratch");
        }
    });
    assert_eq!(names(folder.path()), ["a.samples"]);
}

#[test]
fn what_was_made_is_taken_back_and_nothing_of_anybody_else() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    fs::create_dir(place("there")).unwrap();
    fs::write(place("there/old"), "old").unwrap();
    symlink("there", place("link")).unwrap();
    symlink("new target", place("dangling")).unwrap();
    for name in ["there", "link", "dangling", "a/b/c"] {
        let before = names(folder.path());
        let made = Rollback::folder(&place(name)).unwrap();
        write(&place(name).join("new"), b"").unwrap();
        let inner = Rollback::folder(&place(name).join("cache")).unwrap();
        write(&place(name).join("cache/a.samples"), b"").unwrap();
        inner.keep();
        if name == "there" {
            write(&place("there/old"), b"replaced").unwrap();
        }
        drop(made);
        assert_eq!(names(folder.path()), before, "{name}");
    }
    assert_eq!(names(&place("there")), ["old"]);
    let made = Rollback::folder(&place("a/b")).unwrap();
    write(&place("a/b/new"), b"").unwrap();
    fs::write(place("a/note"), "of somebody else").unwrap();
    drop(made);
    assert_eq!(names(&place("a")), ["note"]);
    Rollback::folder(&place("a/b")).unwrap().keep();
    assert!(place("a/b").exists());
    assert!(Rollback::folder(&place("there/old/x")).is_err());
}

#[test]
fn what_is_no_file_is_refused_before_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    pipe(&path);
    for result in [regular(&path), open(&path).map(drop), read(&path).map(drop), read_settings(&path).map(drop)] {
        let error = result.unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(
            error.to_string().ends_with("pipe: is a pipe, which cannot be read a second time; give a file"),
            "{error}"
        );
    }
    assert!(regular(folder.path()).unwrap_err().to_string().ends_with("is a folder, not a file"));
    assert_eq!(regular(&folder.path().join("missing")).unwrap_err().exit_code(), 1);
    let large = folder.path().join("large");
    File::create(&large).unwrap().set_len(MOST_SETTINGS + 1).unwrap();
    assert!(read_settings(&large).unwrap_err().to_string().contains("has more than 16777216 bytes"));
}

const CHILD: &str = "HOTROW_TEST_REMOVE_ALL";

/// In a process of its own, in which nothing can be made afterwards.
#[test]
fn after_the_end_was_asked_for_nothing_is_left_and_nothing_is_made() {
    if let Some(root) = std::env::var_os(CHILD).map(PathBuf::from) {
        let made = Rollback::folder(&root.join("run")).unwrap();
        write(&root.join("run/config.toml"), b"").unwrap();
        let temporary = Temporary::file(&root.join("a.samples")).unwrap();
        let output = Output::create(&root.join("b.txt")).unwrap();
        remove_all();
        assert!(ending());
        assert_eq!(names(&root), [""; 0]);
        assert_eq!(temporary.persist(&root.join("a.samples")).unwrap_err().exit_code(), 130);
        assert_eq!(output.finish().unwrap_err().exit_code(), 130);
        assert_eq!(write(&root.join("c"), b"").unwrap_err().exit_code(), 130);
        assert_eq!(Rollback::folder(&root.join("d")).unwrap_err().exit_code(), 130);
        drop(made);
        assert_eq!(names(&root), [""; 0]);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "files::tests::after_the_end_was_asked_for_nothing_is_left_and_nothing_is_made";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", name]).env(CHILD, folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
