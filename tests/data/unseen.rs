//! Nothing is left out in silence: labels that training has not seen count as missed, and everything is counted.

use super::{file, npz, options};
use hotrow::config::{Config, Data, Format};
use hotrow::data::{self, Batch, Samples, Summary, read_bytes};
use hotrow::kernels::Level;
use hotrow::layer::Workspace;
use hotrow::metrics::{Propensity, Ranking, count_labels};
use hotrow::model::Mlp;
use hotrow::train::xmc::evaluate;

#[test]
fn unseen_labels_are_counted_once_a_sample_in_each_format() {
    let folder = tempfile::tempdir().unwrap();
    let ids = |text: &str| text.to_owned();
    let header = |text: &str| format!("2 3 20\n{text}");
    let json = |labels: &str| format!("{{\"text\":\"hot\",\"labels\":{labels}}}\n");
    for (format, ending, train, valid) in [
        (Format::Svmlight, "svm", ids("0 0:1\n1 1:1\n"), ids("0,9,9 0:1\n1,7,8 1:1\n")),
        (Format::Xc, "txt", "2 2 2\n0 0:1\n1 1:1\n".into(), header("0,9,9 0:1\n1,7,8 1:1\n")),
        (Format::Tsv, "tsv", ids("hot\t0\ncold\t1\n"), ids("hot\t0,9,9\ncold\t1,7,8\n")),
        (Format::Tsv, "tsv", ids("hot\tfig\ncold\tnut\n"), ids("hot\tfig,x,x\ncold\tnut,7,8\n")),
        (Format::Jsonl, "jsonl", json("[0]") + &json("[1]"), json("[0,9,9]") + &json("[1,7,8]")),
    ] {
        let train = file(folder.path(), &format!("a.{ending}"), train);
        let valid = file(folder.path(), &format!("b.{ending}"), valid);
        let sets = data::open(&train, Some(&valid), &options(format), folder.path()).unwrap();
        let valid = sets.valid.unwrap();
        let mut batch = Batch::new(valid.features());
        (0..2).for_each(|sample| valid.read(sample, &mut batch));
        let found: Vec<_> = (0..2).map(|at| (batch.labels.row(at).len(), batch.unseen_of(at))).collect();
        assert_eq!(found, [(1, 1), (1, 2)], "{format:?}");
        assert_eq!(
            (valid.summary().left_out()["unseen_labels"], valid.summary().duplicate_labels),
            (3, 1),
            "{format:?}"
        );
        assert_eq!(valid.labelled(), 2);
        assert!(sets.train.summary().left_out_line().is_none());
        // From the cache as well.
        let again = sets.vocabulary.open(b_path(folder.path(), ending).as_str(), folder.path()).unwrap();
        assert_eq!(again.summary(), valid.summary());
    }
}

fn b_path(folder: &std::path::Path, ending: &str) -> String {
    folder.join(format!("b.{ending}")).to_str().unwrap().into()
}

/// P, recall, nDCG and PSP at k of sets of labels, as their formulas are written.
fn by_hand(rankings: &[Vec<u32>], truth: &[Vec<u32>], inverse: impl Fn(u32) -> f64, k: usize) -> [f64; 4] {
    let (mut p, mut recall, mut ndcg, mut scored, mut best) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (ranking, truth) in rankings.iter().zip(truth) {
        let discount = |place: usize| 1.0 / (place as f64 + 2.0).log2();
        let hits: Vec<usize> = (0..k.min(ranking.len())).filter(|&place| truth.contains(&ranking[place])).collect();
        p += hits.len() as f64 / k as f64;
        recall += hits.len() as f64 / truth.len() as f64;
        let ideal: f64 = (0..k.min(truth.len())).map(discount).sum();
        ndcg += hits.iter().map(|&place| discount(place)).sum::<f64>() / ideal;
        scored += hits.iter().map(|&place| inverse(ranking[place])).sum::<f64>();
        let mut worth: Vec<f64> = truth.iter().map(|&label| inverse(label)).collect();
        worth.sort_by(|a, b| b.total_cmp(a));
        best += worth.iter().take(k).sum::<f64>();
    }
    let n = truth.len() as f64;
    [p / n, recall / n, ndcg / n, scored / best]
}

#[test]
fn metrics_with_unseen_labels_are_those_of_their_formulas_over_all_labels() {
    let truth = vec![vec![0, 9], vec![1, 7, 8], vec![11, 12], vec![2]];
    let rankings = vec![vec![0, 1, 2], vec![2, 1, 0], vec![0, 1, 2], vec![2, 0, 1]];
    let counts = count_labels(3, [0, 0, 0, 0, 0, 1, 1, 2].iter());
    let propensity = Propensity::default();
    let inverse = propensity.inverse(8, &counts);
    let of = |label: u32| {
        let count = counts.get(label as usize).copied().unwrap_or(0);
        propensity.inverse(8, &[count])[0]
    };
    let mut ranking = Ranking::new(&[1, 2, 3], Some(inverse));
    for (predicted, truth) in rankings.iter().zip(&truth) {
        let known: Vec<u32> = truth.iter().copied().filter(|&label| label < 3).collect();
        ranking.add_with_missing(predicted, &known, (truth.len() - known.len()) as u32);
    }
    for k in 1..=3 {
        let want = by_hand(&rankings, &truth, of, k);
        let got = [ranking.precision(k), ranking.recall(k), ranking.ndcg(k), ranking.propensity_scored(k).unwrap()];
        for (got, want) in got.into_iter().zip(want) {
            // A dozen operations on numbers below 8 on either side.
            assert!((got - want).abs() < 64.0 * f64::EPSILON, "at {k}: {got} is not {want}");
        }
    }
}

#[test]
fn a_perfect_network_has_a_recall_of_what_can_be_found() {
    // The figures of the report: (1/2 + 1/3) / 2, with or without a header.
    let folder = tempfile::tempdir().unwrap();
    let svm = [("a.svm", "0 0:1\n1 1:1\n"), ("b.svm", "0,9 0:1\n1,7,8 1:1\n")];
    let xc = [("a.txt", "2 2 10\n0 0:1\n1 1:1\n"), ("b.txt", "2 2 10\n0,9 0:1\n1,7,8 1:1\n")];
    for [train, valid] in [svm, xc].map(|pair| pair.map(|(name, text)| file(folder.path(), name, text))) {
        let sets = data::open(&train, Some(&valid), &Data::default(), folder.path()).unwrap();
        let mut config = Config::default();
        config.model.hidden = vec![8];
        let (features, labels) = (sets.train.features(), sets.train.labels());
        let mut trainer = hotrow::train::xmc::Trainer::new(config, features, labels, 60, Level::detect()).unwrap();
        let mut batch = Batch::new(features);
        (0..2).for_each(|sample| sets.train.read(sample, &mut batch));
        (0..60).for_each(|_| assert!(trainer.step(&batch).is_ok()));
        trainer.settle();
        let ranking = evaluate(&trainer.network, &mut trainer.work, &sets.valid.unwrap(), &[1], None);
        assert_eq!(ranking.precision(1), 1.0);
        assert!((ranking.recall(1) - (0.5 + 1.0 / 3.0) / 2.0).abs() < 1e-12, "{}", ranking.recall(1));
    }
}

#[test]
fn all_labels_unseen_is_a_miss_and_not_a_sample_without_labels() {
    let folder = tempfile::tempdir().unwrap();
    let (train, valid) = (file(folder.path(), "a.svm", "0 0:1\n"), file(folder.path(), "b.svm", "5 0:1\n"));
    let sets = data::open(&train, Some(&valid), &Data::default(), folder.path()).unwrap();
    let valid = sets.valid.unwrap();
    assert_eq!((valid.labelled(), valid.summary().unlabelled), (1, 0));
    let (config, work) = (Config::default(), &mut Workspace::new(Level::detect()));
    let scope = hotrow::optim::Scope::fresh(&config.optim, 1, Level::detect());
    let network = Mlp::new(&scope, &config.model, 1, 1).unwrap();
    assert_eq!(evaluate(&network, work, &valid, &[1], None).metrics()["recall@1"], 0.0);
    let none = file(folder.path(), "c.svm", " 0:1\n 0:2\n");
    assert_eq!(sets.vocabulary.open(&none, folder.path()).unwrap().labelled(), 0);
}

#[test]
fn what_was_left_out_is_told_in_one_line() {
    let read = |text: &str| read_bytes(&[text.as_bytes()], &Data { skip_bad: 1, ..Data::default() }).unwrap().1;
    let summary = read("0,0 1:1 1:2\n 1:1\n1\n1 1:x\n");
    assert_eq!(
        summary.left_out_line().unwrap(),
        "left out: 1 samples without labels, 1 labels named twice, 1 features named twice (their values are added), \
         1 samples without features (kept), 1 faulty lines; the first faulty line: input:4:5: value `x` is not a number"
    );
    assert_eq!(summary.left_out().values().sum::<u64>(), 5);
    assert_eq!(summary.left_out().len(), 7);
    assert!(read("0 1:1\n").left_out_line().is_none());
    assert!(Summary::default().left_out().values().all(|&count| count == 0));
}

#[test]
fn features_named_twice_are_added_up_in_the_order_of_the_line() {
    let (batch, summary) = read_bytes(&[b"1 3:1 0:2 3:0.5 3:1e-1\n"], &Data::default()).unwrap();
    assert_eq!(
        (batch.features.row(0).indices(), batch.features.row(0).values()),
        (&[0, 3][..], &[2.0, 1.5 + 0.1_f32][..])
    );
    assert_eq!((summary.duplicate_features, summary.feature_entries), (2, 2));
    let twice: &[u8] = include_bytes!("features-twice.npz");
    let (_, summary) = read_bytes(&[twice, include_bytes!("labels.npz")], &Data::default()).unwrap();
    assert_eq!(summary.duplicate_features, 1);
}

#[test]
fn a_few_faulty_lines_are_stepped_over_if_asked_and_one_more_is_an_error() {
    let mut lines = vec!["1 1:1"; 400_000];
    for at in [3, 200_000, 399_999] {
        lines[at] = "1 1";
    }
    let text = lines.join("\n");
    let read = |skip_bad| read_bytes(&[text.as_bytes()], &Data { skip_bad, ..options(Format::Svmlight) });
    let (_, summary) = read(3).unwrap();
    assert_eq!((summary.samples, summary.bad_records, summary.notes.len()), (399_997, 3, 1));
    assert!(summary.notes[0].contains("input:4:4:"), "{:?}", summary.notes);
    for (skip_bad, line) in [(0, 4), (1, 200_001), (2, 400_000)] {
        let error = read(skip_bad).unwrap_err().to_string();
        assert!(error.starts_with(&format!("input:{line}:4: ")), "{error}");
    }
    let tsv = Data { skip_bad: 2, ..options(Format::Tsv) };
    let (_, summary) = read_bytes(&[b"hot\tfig\nh\xffot\tfig\ncold\nhot\tnut\n"], &tsv).unwrap();
    assert_eq!((summary.samples, summary.labels, summary.bad_records), (2, 2, 2));
    let xc = Data { skip_bad: 1, ..options(Format::Xc) };
    assert_eq!(read_bytes(&[b"2 6 4\n0 1:1\n4 1:1\n"], &xc).unwrap().1.samples, 1);
}

#[test]
fn negative_and_real_values_of_label_arrays_are_told() {
    let header =
        |kind: &str, shape: &str| format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let bytes = |numbers: &[i32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    let array = |values: [f32; 2]| {
        npz(&[
            ("format", &header("|S3", "()"), b"csr"),
            ("shape", &header("<i4", "(2,)"), &bytes(&[2, 3])),
            ("indptr", &header("<i4", "(3,)"), &bytes(&[0, 1, 2])),
            ("indices", &header("<i4", "(2,)"), &bytes(&[2, 0])),
            ("data", &header("<f4", "(2,)"), &values.map(f32::to_le_bytes).concat()),
        ])
    };
    let (ones, half) = (array([1.0, 1.0]), array([1.0, 0.5]));
    let error = read_bytes(&[&ones, &array([1.0, -1.0])], &Data::default()).unwrap_err();
    assert_eq!(error.to_string(), "input: row 1: label 0 has the value -1, below 0");
    let swapped = read_bytes(&[&ones, &half], &Data::default()).unwrap().1;
    assert!(swapped.notes[0].contains("swapped"), "{:?}", swapped.notes);
    assert!(read_bytes(&[&half, &ones], &Data::default()).unwrap().1.notes.is_empty());
    // The largest id and its row are known.
    let largest = read_bytes(&[&ones, &ones], &Data::default()).unwrap().1.largest_label.unwrap();
    assert_eq!((largest.id, largest.line), (2, 1));
}
