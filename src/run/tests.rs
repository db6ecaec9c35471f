use super::*;
use crate::checkpoint::{Contents, TrainerState, save};
use crate::config::Config;
use crate::kernels::Level;

fn environment() -> Environment {
    Environment::read(Level::PORTABLE, 3, 7, vec!["hotrow".into(), "a b".into()], Default::default())
}

fn create(path: &Path) -> Result<RunDir> {
    RunDir::create(path, &Config::default(), &environment())
}

#[track_caller]
fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    error.to_string()
}

fn save_step(run: &Path, step: u64) {
    save(run, &Contents::new(TrainerState::new(step, 0, 7), serde_json::json!({})), 2).unwrap();
}

#[test]
fn a_new_run_has_its_configuration_and_environment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs/first");
    let mut config = Config::default();
    config.train.seed = 9;
    let environment = environment();
    let run = RunDir::create(&path, &config, &environment).unwrap();
    assert_eq!(run.config::<Config>(&[]).unwrap(), config);
    assert_eq!(run.config::<Config>(&["train.seed=10".into()]).unwrap().train.seed, 10);
    assert_eq!(run.environment().unwrap(), environment);
    config.train.epochs = 10;
    run.write_config(&config).unwrap();
    assert_eq!(run.config::<Config>(&[]).unwrap(), config);
    run.write_summary(&Summary::default()).unwrap();
    assert_eq!(fs::read_to_string(path.join("summary.json")).unwrap(), Summary::default().to_json());
    let leftovers = fs::read_dir(&path).unwrap().flatten().filter(|e| e.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn folders_with_something_in_them_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.tex"), "").unwrap();
    let refused = message(create(folder.path()));
    assert!(refused.ends_with("holds thesis.tex and is no run: choose another folder"), "{refused}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let file = folder.path().join("thesis.tex");
    assert_eq!(create(&file).unwrap_err().exit_code(), 2);
    assert!(message(RunDir::resume(folder.path())).contains("there is no run in"));
    assert!(message(RunDir::resume(&folder.path().join("nothing"))).contains("there is no run in"));
}

#[test]
fn one_program_at_a_time_is_at_work_in_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = create(folder.path()).unwrap();
    assert!(message(RunDir::resume(folder.path())).starts_with("resume: another program is using "));
    drop(run);
    assert!(RunDir::resume(folder.path()).is_ok());
    assert!(message(create(folder.path())).contains("holds a run: resume it with --resume "));
    // Killed between its first steps in the folder: it is no run yet.
    fs::remove_file(folder.path().join(CONFIG)).unwrap();
    fs::write(folder.path().join(".tmp-0123456789abcdef-env.json"), "{").unwrap();
    create(folder.path()).unwrap();
}

#[test]
fn files_of_somebody_else_are_no_leftovers_whatever_they_are_called() {
    let valid = serde_json::to_string(&environment()).unwrap();
    for (files, refused) in [
        (vec![("env.json", "my file")], "env.json"),
        (vec![("env.json", &*valid)], "env.json"),
        (vec![("lock", ""), ("env.json", "{}")], "env.json"),
        (vec![("lock", "my file")], "lock"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        let message = message(create(folder.path()));
        assert!(message.ends_with(&format!("holds {refused} and is no run: choose another folder")), "{message}");
        for (name, text) in files {
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text);
        }
    }
}

#[test]
fn a_run_that_cannot_begin_takes_back_what_it_has_made_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    fs::create_dir(place("there")).unwrap();
    std::os::unix::fs::symlink("there", place("link")).unwrap();
    for (out, note, stays) in [
        ("a/b", false, ""),
        ("a/b", true, "a/b/note"),
        ("there", false, "there"),
        ("link", false, "link"),
        ("link", true, "there/note"),
    ] {
        let run = create(&place(out)).unwrap();
        drop(run.metrics(0).unwrap());
        files::write(&place(out).join("vocabulary.json"), b"{}").unwrap();
        if note {
            fs::write(place(out).join("note"), "of somebody else").unwrap();
        }
        drop(run);
        RunDir::discard(&place(out));
        let left: Vec<_> = fs::read_dir(place(out)).into_iter().flatten().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, if note { vec!["note"] } else { vec![] }, "{out}");
        assert!(place(stays).exists());
        assert_eq!(place("a").exists(), note && out == "a/b");
        let _ = fs::remove_dir_all(place("a"));
    }
    assert!(place("link").symlink_metadata().unwrap().is_symlink());
}

#[test]
fn a_run_that_has_begun_or_that_somebody_else_holds_is_not_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    for (name, held) in [("held", true), ("begun", false)] {
        let path = folder.path().join(name);
        let run = create(&path).unwrap();
        if !held {
            run.keep();
        }
        let _held = held.then_some(run);
        RunDir::discard(&path);
        assert!(path.join(CONFIG).exists(), "{name}");
    }
}

#[test]
fn a_run_is_taken_up_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(create(path).unwrap());
    assert!(RunDir::resume(path).unwrap().1.is_none(), "before the first checkpoint");
    save_step(path, 500);
    save_step(path, 1000);
    fs::create_dir(path.join(".tmp-checkpoint-001500")).unwrap();
    let step = |path: &Path| RunDir::resume(path).unwrap().1.unwrap().state().step;
    assert_eq!(step(path), 1000);
    assert!(!path.join(".tmp-checkpoint-001500").exists());
    assert_eq!(step(&path.join("checkpoint-000500")), 500);
    let (run, _) = RunDir::resume(&path.join("checkpoint-000500")).unwrap();
    assert_eq!(run.path(), path);
    drop(run);
    fs::remove_file(path.join("checkpoint-001000/config.json")).unwrap();
    let error = RunDir::resume(path).unwrap_err();
    assert!(error.to_string().ends_with("checkpoint-000500 is complete"), "{error}");
    // What it names can be gone on from.
    assert_eq!(step(&path.join("checkpoint-000500")), 500);
}

#[test]
fn an_environment_that_is_none_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let run = create(folder.path()).unwrap();
    fs::write(folder.path().join(ENVIRONMENT), "{\n\"schema\": x}").unwrap();
    let error = run.environment().unwrap_err();
    assert!(error.to_string().contains("env.json:2:11: "), "{error}");
    assert_eq!(error.exit_code(), 4);
}
