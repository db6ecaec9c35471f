//! Weights of features against scikit-learn, and text features as a whole.

use super::{Sample, all, file, options};
use hotrow::config::{Data, Format};
use hotrow::data;

/// The counts of `make.py`, each sample with a label.
const COUNTS: &str = "4 6 2\n0 0:1 3:2\n1 4:3 1:1 0:4\n1\n0 2:1 4:7\n";

fn weights(tf_idf: bool) -> Vec<Sample> {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "a.txt", COUNTS);
    let config = Data { tf_idf: tf_idf.into(), normalize: true, ..Data::default() };
    let sets = data::open(&path, Some(&path), &config, folder.path()).unwrap();
    assert_eq!(all(&sets.train), all(&sets.valid.unwrap()));
    all(&sets.train)
}

fn assert_near(got: Vec<Sample>, want: &[f32]) {
    let got: Vec<f32> = got.into_iter().flat_map(|sample| sample.1).map(|feature| feature.1).collect();
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        // Printed with 7 decimals; computed in f32 from a logarithm, a product and a quotient, each rounded to half a
        // unit of values below 8, and scaled to below 1.
        let bound = 0.5e-7 + 4.0 * f32::EPSILON;
        assert!((got - want).abs() <= bound, "{got} is not {want}");
    }
}

#[test]
fn tf_idf_is_that_of_scikit_learn() {
    // TfidfTransformer(sublinear_tf=True, norm="l2"), printed by make.py.
    assert_near(weights(true), &[0.4221274, 0.9065365, 0.6974207, 0.3706959, 0.6133425, 0.3954571, 0.9184844]);
}

#[test]
fn scaling_is_that_of_scikit_learn() {
    // normalize, printed by make.py.
    assert_near(weights(false), &[0.4472136, 0.8944272, 0.7844645, 0.1961161, 0.5883484, 0.1414214, 0.9899495]);
}

#[test]
fn weights_come_from_the_training_set_alone() {
    let folder = tempfile::tempdir().unwrap();
    let train = file(folder.path(), "a.tsv", "hot rows\t1\ncold rows\t0\n");
    let valid = file(folder.path(), "b.tsv", "rows rows\t1\nhot\t1\nhot\t1\nlukewarm\t0\n");
    let config = Data { tf_idf: true.into(), ..options(Format::Tsv) };
    let sets = data::open(&train, Some(&valid), &config, folder.path()).unwrap();
    let value = |sample: &Sample| sample.1[0].1;
    let valid = all(&sets.valid.unwrap());
    let idf = |df: f32| (3.0 / (1.0 + df)).ln() + 1.0;
    // A feature that the training set has twice, once and never; half a unit of values below 4 for each of 4 roundings.
    for (sample, want) in [(0, (1.0 + 2.0_f32.ln()) * idf(2.0)), (1, idf(1.0)), (2, idf(1.0)), (3, idf(0.0))] {
        assert!((value(&valid[sample]) - want).abs() <= 4.0 * 2.0 * f32::EPSILON, "{sample}: {:?}", valid[sample]);
    }
}
