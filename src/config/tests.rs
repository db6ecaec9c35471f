use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::error::Error;

fn load(sets: &[&str]) -> Result<Config, Error> {
    Config::load(None, &sets.iter().map(|&set| set.to_owned()).collect::<Vec<_>>())
}

#[track_caller]
fn message(sets: &[&str]) -> String {
    let error = load(sets).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    error.to_string()
}

fn load_text(text: &str, sets: &[&str]) -> Result<Config, Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(Some(&path), &sets.iter().map(|&set| set.to_owned()).collect::<Vec<_>>())
}

#[test]
fn nothing_given_is_the_defaults_and_they_are_allowed() {
    assert_eq!(load(&[]).unwrap(), Config::default());
}

#[test]
fn a_file_changes_the_defaults_and_the_last_set_wins() {
    let text = "[optim]\nlr = 0.5\n[train]\nseed = 7\n";
    let config = load_text(text, &["optim.lr=2", " optim.lr = 0.25 "]).unwrap();
    let mut want = Config::default();
    (want.optim.lr, want.train.seed) = (0.25, 7);
    assert_eq!(config, want);
}

#[test]
fn values_may_be_given_with_and_without_quotes() {
    let names = ["sparse.mode=per-sample", "sparse.mode=\"per-sample\"", "sparse.mode='per-sample'"];
    for set in names {
        assert_eq!(load(&[set]).unwrap().sparse.mode, Mode::PerSample, "{set}");
    }
    for (set, text) in
        [("data.text=3", "3"), ("data.text=true", "true"), ("data.text=\"3\"", "3"), ("data.text=a b", "a b")]
    {
        assert_eq!(load(&[set]).unwrap().data.text, text, "{set}");
    }
    assert_eq!(load(&["data.char_ngrams=[3, 4]"]).unwrap().data.char_ngrams, [3, 4]);
}

#[test]
fn unknown_names_lead_to_the_nearest_key() {
    let cases = [
        ("optim.lrr=1", "optim.lrr: no such key; did you mean optim.lr?"),
        ("train.lr=1", "train.lr: no such key; did you mean optim.lr?"),
        ("train.bacth_size=1", "train.bacth_size: no such key; did you mean train.batch_size?"),
        ("optm.lr=1", "optm.lr: no such section; did you mean optim.lr?"),
        ("seed=1", "seed: section.key is expected; did you mean train.seed?"),
    ];
    for (set, want) in cases {
        assert_eq!(message(&[set]), want, "{set}");
    }
    assert_eq!(message(&["optim"]), "set: \"optim\" is not section.key=value");
}

#[test]
fn wrong_types_and_names_say_what_is_allowed() {
    let index = message(&["sparse.index=simhsh"]);
    assert!(index.starts_with("sparse.index: unknown variant `simhsh`, expected one of `all`, `random`, `simhash`"));
    let lr = message(&["optim.lr=fast"]);
    assert!(lr.starts_with("optim.lr: invalid type: string \"fast\", expected f32"), "{lr}");
    let epochs = message(&["train.epochs=-1"]);
    assert!(epochs.starts_with("train.epochs: invalid value: integer `-1`, expected u64"), "{epochs}");
    // Two values in one are none.
    assert!(message(&["train.epochs=1\nseed=2"]).starts_with("train.epochs: invalid type: string"));
}

#[test]
fn parts_are_a_name_or_a_list_of_names() {
    let parts = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|set| format!("model.parts={set}")).collect();
        Config::load(None, &sets).unwrap().model.parts
    };
    assert_eq!(parts(&[]), [PartName::Network]);
    assert_eq!(parts(&["auto"]), [PartName::Auto]);
    // The type of a key does not follow from what was set before.
    assert_eq!(parts(&["auto", "[\"linear\", \"counts\"]"]), [PartName::Linear, PartName::Counts]);
    assert_eq!(parts(&["[\"linear\", \"counts\"]", "neighbours"]), [PartName::Neighbours]);
}

#[test]
fn errors_in_a_file_name_it() {
    let message = |text| {
        let error = load_text(text, &[]).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    assert!(message("[optim]\nlr = = 1\n").contains("run.toml:2:6: "), "{}", message("[optim]\nlr = = 1\n"));
    let unknown = message("[optim]\nlrr = 1\n");
    assert!(unknown.starts_with("optim.lrr: no such key; did you mean optim.lr? (in "), "{unknown}");
    assert!(message("[optm]\nlr = 1\n").starts_with("optm.lr: no such section; did you mean optim.lr?"));
    assert!(message("seed = 1\n").contains("did you mean train.seed?"));
    assert!(message("[optim]\nlr = \"fast\"\n").starts_with("optim.lr: invalid type"));
    assert_eq!(Config::load(Some(Path::new("no/such.toml")), &[]).unwrap_err().exit_code(), 1);
}

#[test]
fn what_cannot_be_is_refused_with_its_key_value_and_limit() {
    let cases: &[(&[&str], &str)] = &[
        (&["optim.lr=-1"], "optim.lr: -1 is not above 0"),
        (&["optim.lr=nan"], "optim.lr: NaN is not above 0"),
        (&["optim.lr=inf"], "optim.lr: inf is not above 0"),
        (&["optim.beta2=1"], "optim.beta2: 1 is not at least 0 and below 1"),
        (&["optim.schedule=linear", "optim.final_lr=1"], "optim.final_lr: 1 is above optim.lr (0.1)"),
        (&["optim.name=sgd", "optim.eight_bit=true"], "optim.eight_bit: true is for adam"),
        (&["model.hidden=[]"], "model.hidden: [] is empty"),
        (&["model.hidden=[8, 0]"], "model.hidden: 0 is not at least 1"),
        (&["model.sampled_hidden=[1]"], "model.sampled_hidden: 1 is no hidden layer"),
        (&["model.hidden=[8, 8, 8]", "model.sampled_hidden=[3, 2]"], "model.sampled_hidden: [3, 2] is not strictly"),
        (&["sparse.tail=1.5"], "sparse.tail: 1.5 is not from 0 to 1"),
        (
            &["sparse.micro_batch=257", "train.batch_size=256"],
            "sparse.micro_batch: 257 is above train.batch_size (256)",
        ),
        (&["sparse.rebuild_most=99"], "sparse.rebuild_most: 99 is below sparse.rebuild_every (100)"),
        (&["sparse.index=random", "sparse.frozen=true"], "sparse.frozen: true is for an index"),
        (&["sparse.index=inverted", "sparse.frozen=true"], "sparse.frozen: true is for an index"),
        (
            &["sparse.index=inverted", "model.hidden=[9, 9]", "model.sampled_hidden=[2]"],
            "sparse.index: inverted is for output layers",
        ),
        (&["sparse.hidden_active=0"], "sparse.hidden_active: 0 is not above 0 and at most 1"),
        (&["train.keep=0"], "train.keep: 0 is not at least 1"),
        (&["data.hash_size=1000"], "data.hash_size: 1000 is not 0 or a power of two"),
        (&["data.word_ngrams=0"], "data.word_ngrams: 0 is too few"),
        (&["data.format=tsv", "data.text=abstract"], "data.text: \"abstract\" is no column of a tsv file"),
        (&["data.text=a", "data.label=a"], "data.label: \"a\" is the column of data.text too"),
        (&["data.text=b,a", "data.label=a"], "data.label: \"a\" is the column of data.text too"),
        (&["data.format=tsv", "data.text=1,b"], "data.text: \"b\" is no column of a tsv file"),
        (&["data.text=a,b,a"], "data.text: \"a,b,a\" is with a column twice"),
        (&["data.text=a,"], "data.text: \"a,\" is without a name after a comma"),
        (&["data.tf_idf=maybe"], "data.tf_idf: "),
    ];
    for (sets, want) in cases {
        assert!(message(sets).starts_with(want), "{sets:?}: {}", message(sets));
    }
}

#[test]
fn a_seed_that_toml_cannot_hold_is_refused() {
    let mut config = Config::default();
    config.train.seed = u64::MAX;
    assert_eq!(
        config.check().unwrap_err().to_string(),
        format!("train.seed: {} is not at most {}", u64::MAX, i64::MAX)
    );
}

#[test]
fn every_key_can_be_set_to_its_default() {
    let table: toml::Table = Config::default().to_toml().parse().unwrap();
    for name in Config::keys() {
        let (section, key) = name.split_once('.').unwrap();
        let set = format!("{name}={}", table[section][key]);
        assert_eq!(load(&[&set]).unwrap(), Config::default(), "{set}");
    }
}

fn above(least: f32) -> impl Strategy<Value = f32> {
    any::<f32>().prop_filter("in range", move |x| x.is_finite() && *x > least)
}

prop_compose! {
    fn configs()(
        hidden in prop::collection::vec(1_usize..5000, 1..4), storage in 0_usize..3, index in 0_usize..9, schedule in 0_usize..3,
        numbers in (0.0_f32..=1.0, above(0.0), above(0.0), 0.0_f32..1.0), seed in 0..=i64::MAX as u64,
        active: u32, text in "[ -+\\--~äß\n\"\\\\]{0,12}", char_ngrams in prop::collection::vec(1_usize..9, 0..3), flag: bool,
    ) -> Config {
        let mut config = Config::default();
        config.model.hidden = hidden;
        config.model.storage = [Storage::F32, Storage::Bf16, Storage::Bf16Master][storage];
        config.sparse.index = [
            IndexName::All, IndexName::Random, IndexName::Simhash, IndexName::Dwta, IndexName::Minhash,
            IndexName::CrossPolytope, IndexName::Blocks, IndexName::Exact, IndexName::Inverted,
        ][index];
        config.sparse.active = active as usize;
        config.sparse.correction = flag;
        (config.sparse.tail, config.optim.lr, config.optim.eps, config.optim.beta1) = numbers;
        config.optim.schedule = [Schedule::Constant, Schedule::Linear, Schedule::Cosine][schedule];
        config.train.seed = seed;
        config.data.text = text;
        config.data.char_ngrams = char_ngrams;
        config
    }
}

proptest! {
    #[test]
    fn what_is_written_out_reads_back_the_same(config in configs()) {
        config.check().unwrap();
        let text = config.to_toml();
        prop_assert_eq!(load_text(&text, &[]).unwrap(), config, "{}", text);
    }

    #[test]
    fn no_text_is_a_panic(text in ".{0,60}", set in "[a-z.=\\[\\]\" \n0-9-]{0,30}") {
        let _ = load_text(&text, &[]);
        let _ = load(&[&set]);
    }
}

#[test]
fn kinds_of_runs_are_told_by_the_sections_that_they_alone_have() {
    let sections = |text: String| text.parse::<toml::Table>().unwrap().keys().cloned().collect::<Vec<_>>();
    let [xmc, lm] = [sections(Config::default().to_toml()), sections(lm::Lm::default().to_toml())];
    let only = |own: &[String], other: &[String]| -> Vec<String> {
        own.iter().filter(|name| !other.contains(name)).cloned().collect()
    };
    let want = [(Config::TASK, only(&xmc, &lm)), (lm::Lm::TASK, only(&lm, &xmc))];
    let known =
        super::load::KINDS.map(|(task, sections)| (task, sections.iter().map(|&name| name.to_owned()).collect()));
    assert_eq!(known, want);
}
