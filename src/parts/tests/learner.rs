//! A learner that is stopped, or bounded in time and bytes.

use super::*;

#[test]
fn a_learner_goes_on_after_every_stage_and_refuses_what_is_not_of_that_stage() {
    let (samples, level) = (samples(300, 11), Level::detect());
    let options = LearnOptions { exhaustive: 100, hard: 5, ..LearnOptions::default() };
    let whole = learned(&samples, options, 2);
    let mut learner = Learner::new(&samples, LABELS, options);
    while learner.step(&samples, level).is_some() {
        let (done, stages) = learner.progress();
        let tensors = learner.tensors();
        let mut resumed = Learner::new(&samples, LABELS, options);
        for wrong in [0, done.saturating_sub(1), done + 1] {
            // Memories and negatives look alike after one stage or two, and all stages do after linear rows were dropped.
            let tells = wrong > 2 && wrong <= stages && (done < 12 || learner.classifier().linear.is_some());
            if tells {
                assert!(resumed.restore(&samples, &tensors, wrong, level).is_err(), "{done} as {wrong}");
            }
        }
        resumed.restore(&samples, &tensors, done, level).unwrap();
        while resumed.step(&samples, level).is_some() {}
        assert_eq!(resumed.into_classifier(), whole, "after {done}");
    }
}

#[test]
fn linear_rows_are_given_up_where_time_is_short_and_a_resumed_run_gives_them_up_too() {
    let (samples, level) = (samples(300, 14), Level::detect());
    for exhaustive in [100, u64::MAX] {
        let options = LearnOptions { exhaustive, seconds: 1e-9, ..LearnOptions::default() };
        let without = learned(&samples, options, 2);
        assert!(without.linear.is_none() && without.counts.is_some());
        assert_eq!(without.shares[2], 0.0);
        let mut learner = Learner::new(&samples, LABELS, options);
        while learner.step(&samples, level).is_some() {
            let (done, tensors) = (learner.progress().0, learner.tensors());
            // Time enough now, but what was given up stays so.
            let mut resumed = Learner::new(&samples, LABELS, LearnOptions { seconds: 1e9, ..options });
            resumed.restore(&samples, &tensors, done, level).unwrap();
            while resumed.step(&samples, level).is_some() {}
            assert_eq!((resumed.gave_up(), resumed.into_classifier() == without), (done > 1, done > 1), "{done}");
        }
        let patient = LearnOptions { seconds: 1e9, ..options };
        assert_eq!(
            learned(&samples, patient, 2),
            learned(&samples, LearnOptions { exhaustive, ..LearnOptions::default() }, 2)
        );
    }
    // Where there is nothing else, time is taken.
    let parts = Present { counts: false, neighbours: false, linear: true, ..Present::default() };
    let alone = learned(&samples, LearnOptions { seconds: 1e-9, parts, ..LearnOptions::default() }, 1);
    assert!(alone.linear.is_some());
}

#[test]
fn a_classifier_fits_into_its_bytes_and_keeps_what_counts_most() {
    let (train, valid) = (samples(2000, 15), samples(300, 16));
    let bytes = |classifier: &Classifier| {
        classifier.tensors().iter().map(|tensor| tensor.elements.bytes().len() as u64).sum::<u64>()
    };
    let whole = learned(&train, LearnOptions::default(), 2);
    for share in [0.9, 0.5, 0.2] {
        let limit = (share * bytes(&whole) as f64) as u64;
        let options = LearnOptions { bytes: limit, ..LearnOptions::default() };
        let pruned = learned(&train, options, 1);
        assert_eq!(pruned, learned(&train, options, 3));
        assert!(bytes(&pruned) <= limit && bytes(&pruned) as f64 > 0.8 * limit as f64, "{share}: {}", bytes(&pruned));
        let lost = precision(&whole, &valid) - precision(&pruned, &valid);
        assert!(lost < 0.1, "{share}: {lost}");
    }
    // So few that nothing is left in the parts.
    let empty = learned(&train, LearnOptions { bytes: 1, ..LearnOptions::default() }, 1);
    assert_eq!(empty.counts.as_ref().map_or(0, CountMemory::pairs), 0);
    assert_eq!(empty.best(valid.features.entries(0), 3, &mut empty.lookup(Level::detect())).len(), 3);
}
