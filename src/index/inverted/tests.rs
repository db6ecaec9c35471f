use super::*;
use proptest::prelude::*;

fn samples(rows: &[Vec<u32>], dim: usize) -> SparseBatch {
    let mut batch = SparseBatch::new(dim);
    rows.iter().for_each(|row| batch.push(row, &vec![1.0; row.len()]).unwrap());
    batch
}

fn sets(most: u32) -> impl Strategy<Value = Vec<u32>> {
    prop::collection::btree_set(0..most, 1..6).prop_map(|set| set.into_iter().collect())
}

proptest! {
    /// With room for all labels and less than `FEATURES` features, hits are the labels by the sums of the definition. These are taken
    /// in the same order here, so the numbers are the same.
    #[test]
    fn hits_are_the_labels_with_the_largest_sums(
        data in prop::collection::vec((sets(12), sets(20)), 1..40),
        asked in sets(12),
    ) {
        let (features, labels): (Vec<_>, Vec<_>) = data.iter().cloned().unzip();
        let mut index = Inverted::new(20, 20);
        index.learn(&samples(&features, 12), &labels.iter().cloned().collect());
        let mut sums = [0.0_f32; 20];
        for &feature in &asked {
            let having: Vec<&Vec<u32>> = data.iter().filter(|s| s.0.contains(&feature)).map(|s| &s.1).collect();
            let factor = 1.0 / (SMOOTHING + having.len() as f32);
            for (label, sum) in sums.iter_mut().enumerate() {
                let count = having.iter().filter(|labels| labels.contains(&(label as u32))).count();
                *sum += gain(count as u32) * factor;
            }
        }
        let mut want: Vec<u32> = (0..20).filter(|&label| sums[label as usize] > 0.0).collect();
        want.sort_by(|&a, &b| sums[b as usize].total_cmp(&sums[a as usize]).then(a.cmp(&b)));
        let got = index.select_by_inputs(&samples(&[asked], 12), 7);
        want.truncate(7);
        prop_assert_eq!(got.row(0), want);
    }
}

#[test]
fn a_list_holds_the_most_frequent_labels_and_a_long_sample_reads_its_strongest_features() {
    let mut index = Inverted::new(1, 4);
    let rows: Ragged<u32> = [vec![0, 1], vec![1], vec![1, 2]].into_iter().collect();
    index.learn(&samples(&[vec![0], vec![0], vec![0]], 1), &rows);
    assert_eq!(index.select_by_inputs(&samples(&[vec![0]], 1), 9).row(0), [1]);

    // Feature f has label f; the last has the largest value and comes first.
    let (many, ids) = (FEATURES + 8, (0..FEATURES as u32 + 8).collect::<Vec<_>>());
    let each: Vec<Vec<u32>> = ids.iter().map(|&id| vec![id]).collect();
    let mut index = Inverted::new(4, many);
    index.learn(&samples(&each, many), &each.iter().cloned().collect());
    let mut long = SparseBatch::new(many);
    long.push(&ids, &ids.iter().map(|&id| id as f32).collect::<Vec<_>>()).unwrap();
    let strongest: Vec<u32> = (8..many as u32).rev().collect();
    assert_eq!(index.select_by_inputs(&long, many).row(0), strongest);
}

#[test]
fn what_it_has_not_learnt_names_nothing() {
    let index = Inverted::new(4, 10);
    assert!(index.select_by_inputs(&samples(&[vec![3]], 5), 4).row(0).is_empty());
    let mut index = Inverted::new(4, 10);
    index.learn(&samples(&[vec![0]], 1), &Ragged::from_iter([[7]]));
    let mut negative = SparseBatch::new(9);
    negative.push(&[0, 8], &[-1.0, 1.0]).unwrap();
    assert!(index.select_by_inputs(&negative, 4).row(0).is_empty());
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let mut index = Inverted::new(2, 10);
    index.learn(&samples(&[vec![0], vec![1]], 2), &Ragged::from_iter([[7, 8], [2, 9]]));
    let refused = |most, rows| Inverted::new(most, rows).restore(&index.state()).unwrap_err();
    assert!(refused(2, 9).contains("below 9"));
    assert!(refused(1, 10).contains("up to 1 labels"));
    assert!(Inverted::new(2, 10).restore(&index.state()).is_ok());
}
