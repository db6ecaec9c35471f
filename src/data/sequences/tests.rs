use proptest::prelude::*;

use super::*;
use crate::data::tokens::TokenWriter;

/// A file of the tokens 0, 1, 2, ..., so that each tells its place.
fn counting(tokens: usize) -> Arc<TokenFile> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.tokens");
    let mut writer = TokenWriter::create(&path, 1 << 17, None, 7).unwrap();
    writer.append(&Vec::from_iter(0..tokens as u32), 0).unwrap();
    writer.finish().unwrap();
    // What is mapped outlives its name.
    TokenFile::open(&path).unwrap().into()
}

fn step(sequences: &mut Sequences, step: u64) -> (Vec<u32>, Vec<u32>) {
    let (mut tokens, mut targets) = (Vec::new(), Vec::new());
    sequences.read(step, &mut tokens, &mut targets);
    (tokens, targets)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_epoch_predicts_every_token_once_but_fewer_than_one_window(
        tokens in 2_usize..200, context in 1_usize..40, seed in 0_u64..1000, epoch in 0_u64..3,
    ) {
        prop_assume!(tokens > context);
        let mut sequences = Sequences::new(counting(tokens), context, 1, seed).unwrap();
        let windows = sequences.windows() as u64;
        let mut seen: Vec<u32> = (epoch * windows..(epoch + 1) * windows)
            .flat_map(|number| {
                let (tokens, targets) = step(&mut sequences, number);
                // Each target follows its token in the file.
                assert!(tokens.iter().zip(&targets).all(|(token, target)| token + 1 == *target));
                targets
            })
            .collect();
        seen.sort_unstable();
        prop_assert!(seen.is_sorted_by(|a, b| a < b));
        prop_assert!(tokens - 1 - seen.len() < context);
    }

    #[test]
    fn a_step_is_the_same_whichever_were_drawn_before(
        tokens in 30_usize..300, context in 1_usize..30, per_step in 1_usize..9, number in 0_u64..100, other in 0_u64..100,
    ) {
        let file = counting(tokens);
        let mut sequences = Sequences::new(file.clone(), context, per_step, 5).unwrap();
        let want = step(&mut sequences, number);
        prop_assert_eq!(want.0.len(), sequences.step_tokens());
        step(&mut sequences, other);
        prop_assert_eq!(&step(&mut sequences, number), &want);
        // Steps of one sequence are those of steps of several, one after the other.
        let mut single = Sequences::new(file, context, 1, 5).unwrap();
        let parts = (0..per_step as u64).map(|i| step(&mut single, number * per_step as u64 + i));
        let (tokens, targets): (Vec<_>, Vec<_>) = parts.unzip();
        prop_assert_eq!((tokens.concat(), targets.concat()), want);
    }
}

#[test]
fn epochs_and_seeds_have_orders_of_their_own() {
    let file = counting(1000);
    let epoch = |seed, epoch: u64| {
        let mut sequences = Sequences::new(file.clone(), 10, 99, seed).unwrap();
        assert_eq!((sequences.windows(), sequences.epochs(2)), (99, 2.0));
        step(&mut sequences, epoch)
    };
    assert_eq!(epoch(1, 0), epoch(1, 0));
    assert_ne!(epoch(1, 0), epoch(1, 1));
    assert_ne!(epoch(1, 0), epoch(2, 0));
}

#[test]
fn a_file_that_is_too_short_is_refused_with_both_numbers() {
    let error = Sequences::new(counting(10), 10, 1, 1).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let message = "model.context: 10 tokens and the next one are more than the 10 of the training file";
    assert_eq!(error.to_string(), message);
    assert!(Sequences::new(counting(11), 10, 1, 1).is_ok());
}
