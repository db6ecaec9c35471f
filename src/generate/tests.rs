use crate::optim::Scope;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::kernels::Level;
use crate::kernels::reduce::softmax;

fn draws(sampling: &Sampling, scores: &[f32], count: u64) -> Vec<u32> {
    (0..count).map(|i| sampling.draw(Level::detect(), scores, &mut rng(3, "draw", i)).unwrap()).collect()
}

const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0 };

#[test]
fn at_temperature_0_the_first_of_the_best_is_taken() {
    let greedy = Sampling { temperature: 0.0, ..PLAIN };
    assert_eq!(draws(&greedy, &[1.0, 3.0, -2.0, 3.0], 5), [1; 5]);
    assert_eq!(draws(&Sampling { top_k: 1, ..PLAIN }, &[1.0, 3.0, -2.0, 3.0], 5), [1; 5]);
    assert_eq!(draws(&Sampling { top_p: 1e-30, ..PLAIN }, &[1.0, 3.0, -2.0, 3.0], 5), [1; 5]);
}

/// Pearson's statistic of n draws has 7 degrees of freedom; it is above 29.9 once in ten thousand times.
#[test]
fn tokens_are_drawn_as_often_as_their_probability_says() {
    let scores: Vec<f32> = (0..8).map(|i| 0.4 * i as f32).collect();
    for temperature in [0.5, 1.0, 2.0] {
        let weights: Vec<f64> = scores.iter().map(|&score| f64::from(score / temperature).exp()).collect();
        let (n, total) = (20_000, weights.iter().sum::<f64>());
        let mut counts = [0_u32; 8];
        draws(&Sampling { temperature, ..PLAIN }, &scores, n).iter().for_each(|&token| counts[token as usize] += 1);
        let expected = weights.iter().map(|weight| weight / total * n as f64);
        let chi: f64 = counts.iter().zip(expected).map(|(&count, want)| (f64::from(count) - want).powi(2) / want).sum();
        assert!(chi < 29.9, "temperature {temperature}: {chi}, {counts:?}");
    }
}

#[test]
fn the_nucleus_is_the_fewest_tokens_that_reach_p() {
    // Probabilities 1/2, 1/4, 1/8, 1/8, in another order.
    let scores = [0.125_f32, 0.5, 0.125, 0.25].map(f32::ln);
    let seen = |top_p| BTreeSet::from_iter(draws(&Sampling { top_p, ..PLAIN }, &scores, 400));
    assert_eq!(seen(0.4), [1].into());
    assert_eq!(seen(0.6), [1, 3].into());
    // Of equal ones the first.
    assert_eq!(seen(0.8), [0, 1, 3].into());
    assert_eq!(seen(0.95), [0, 1, 2, 3].into());
    assert_eq!(seen(1.0), [0, 1, 2, 3].into());
    // The tokens left by top-k are the whole from which top-p takes its part: 2/3 and 1/3.
    let both = Sampling { top_k: 2, top_p: 0.7, ..PLAIN };
    assert_eq!(BTreeSet::from_iter(draws(&both, &scores, 400)), [1, 3].into());
}

/// A flat distribution over many tokens, where the nucleus ends within a bin of many.
#[test]
fn the_nucleus_of_many_tokens_is_as_large_as_if_all_were_sorted() {
    let scores: Vec<f32> = (0..5000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as f32 / 4096.0).collect();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    let total: f64 = scores.iter().map(|&score| f64::from(score).exp()).sum();
    for top_p in [0.1, 0.5, 0.9] {
        let sampling = Sampling { top_p, ..PLAIN };
        let mut weights: Vec<f32> = scores.iter().map(|score| score - 4095.0 / 4096.0).collect();
        softmax(Level::detect(), &mut weights, None);
        let (_, last) = sampling.nucleus(&scores, 4095.0 / 4096.0, &weights).unwrap();
        let kept = 1 + order.iter().position(|&token| token == last as usize).unwrap();
        let mass = |count: usize| order[..count].iter().map(|&i| f64::from(scores[i]).exp()).sum::<f64>() / total;
        // Rounding, as above.
        let error = 16.0 * f64::from(f32::EPSILON);
        assert!(mass(kept) >= f64::from(top_p) - error && mass(kept - 1) < f64::from(top_p) + error, "{top_p}: {kept}");
    }
}

#[test]
fn scores_that_say_nothing_are_refused_and_impossible_tokens_never_drawn() {
    let draw = |scores: &[f32]| PLAIN.draw(Level::detect(), scores, &mut rng(1, "draw", 0));
    assert_eq!(draw(&[0.0, f32::NAN]), None);
    assert_eq!(draw(&[f32::NEG_INFINITY; 3]), None);
    assert_eq!(draw(&[f32::INFINITY, 0.0]), None);
    assert_eq!(draw(&[]), None);
    let scores = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
    assert_eq!(draws(&PLAIN, &scores, 50), [1; 50]);
    for sampling in [
        Sampling { temperature: -1.0, ..PLAIN },
        Sampling { temperature: f32::NAN, ..PLAIN },
        Sampling { top_p: 0.0, ..PLAIN },
        Sampling { top_p: 1.5, ..PLAIN },
    ] {
        assert_eq!(sampling.check().unwrap_err().exit_code(), 2, "{sampling:?}");
    }
}

fn small() -> (Tokenizer, Gpt, Workspace) {
    use crate::config::{Optim, lm::Model};
    let tokenizer = Tokenizer::train_on("to be or not to be", 260).unwrap();
    let model = Model { width: 8, heads: 2, layers: 1, context: 6, ..Model::default() };
    let network = Gpt::new(
        &Scope::fresh(&Optim::default(), 1, Level::detect()),
        &model.clone().into(),
        tokenizer.vocabulary(),
        vec![],
    )
    .unwrap();
    (tokenizer, network, Workspace::new(Level::detect()))
}

#[test]
fn a_prompt_beyond_the_context_is_refused_or_its_end_is_read() {
    let (tokenizer, network, mut work) = small();
    let mut go_on = |prompt: &str, truncate_prompt| {
        let options = Generation { max_tokens: 4, truncate_prompt, logprobs: true, ..Generation::default() };
        generate(&network, &mut work, &tokenizer, prompt, &options, &mut |_| Ok(()))
    };
    let refused = go_on("abcdefghi", false).unwrap_err();
    assert_eq!(refused.exit_code(), 2);
    assert!(
        refused.to_string().contains("has 9 tokens") && refused.to_string().contains("--truncate-prompt"),
        "{refused}"
    );
    let truncated = go_on("abcdefghi", true).unwrap();
    assert_eq!(truncated.prompt_ids, tokenizer.encode("defghi").unwrap());
    assert_eq!(truncated, go_on("defghi", false).unwrap());
}

/// By the scores that the network gives for what was drawn, in f64.
#[test]
fn the_probability_of_each_token_is_told_before_temperature() {
    let (tokenizer, network, mut work) = small();
    let sampling = Sampling { temperature: 3.0, top_k: 5, ..PLAIN };
    let options = Generation { max_tokens: 3, sampling, logprobs: true, ..Generation::default() };
    let made = generate(&network, &mut work, &tokenizer, "to", &options, &mut |_| Ok(())).unwrap();
    assert_eq!((made.ids.len(), made.logprobs.len(), made.tokens), (3, 3, 3));
    let (mut cache, mut logits) = (network.cache(), vec![0.0; network.vocabulary()]);
    let mut read = made.prompt_ids.clone();
    for (&id, &got) in made.ids.iter().zip(&made.logprobs) {
        network.next(&mut work, &mut cache, &read, &mut logits);
        let sum: f64 = logits.iter().map(|&score| f64::from(score).exp()).sum();
        let want = f64::from(logits[id as usize]) - sum.ln();
        // Scores near 0 and some hundred of them: rounding of the sum in f32.
        assert!((f64::from(got) - want).abs() < 1e-5, "{got} {want}");
        read = vec![id];
    }
    let options = Generation { logprobs: false, ..options };
    let without = generate(&network, &mut work, &tokenizer, "to", &options, &mut |_| Ok(())).unwrap();
    assert_eq!((without.ids, without.logprobs), (made.ids, vec![]));
}

/// A prompt is no text whose bytes are counted.
#[test]
fn a_prompt_is_normalised_as_the_tokenizer_wants() {
    let (tokenizer, network, mut work) = small();
    let mut value: serde_json::Value = serde_json::from_slice(tokenizer.json()).unwrap();
    value["normalizer"] = serde_json::json!({ "type": "NFC" });
    let tokenizer = Tokenizer::from_json(value.to_string().into_bytes()).unwrap();
    let options = Generation { max_tokens: 1, ..Generation::default() };
    let made = generate(&network, &mut work, &tokenizer, "e\u{301}", &options, &mut |_| Ok(())).unwrap();
    assert_eq!(tokenizer.bytes(&made.prompt_ids), "é".as_bytes());
}

#[test]
fn a_text_ends_at_the_token_that_was_chosen() {
    let (tokenizer, network, mut work) = small();
    let options = Generation { max_tokens: 40, ..Generation::default() };
    let free = tokenizer.with_end_of_text(None);
    let drawn = generate(&network, &mut work, &free, "to", &options, &mut |_| Ok(())).unwrap();
    assert_eq!((drawn.ended, drawn.tokens), (Ended::MaxTokens, 40));
    let third = drawn.ids[2];
    let first = drawn.ids.iter().position(|&id| id == third).unwrap();
    let ending = free.with_end_of_text(Some(third));
    let ended = generate(&network, &mut work, &ending, "to", &options, &mut |_| Ok(())).unwrap();
    assert_eq!((ended.ended, &ended.ids[..]), (Ended::EndOfText, &drawn.ids[..=first]));
}

proptest! {
    #[test]
    fn what_is_drawn_is_among_the_best(
        scores in prop::collection::vec(-9_i8..9, 1..300), top_k in 0_usize..310, top_p in 0.01_f32..=1.0, counter: u64,
    ) {
        let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
        let sampling = Sampling { temperature: 0.7, top_k, top_p };
        let token = sampling.draw(Level::detect(), &scores, &mut rng(5, "draw", counter)).unwrap();
        let better = |other: usize| {
            let (a, b) = (scores[other], scores[token as usize]);
            a > b || (a == b && other < token as usize)
        };
        let before: Vec<usize> = (0..scores.len()).filter(|&other| better(other)).collect();
        prop_assert!(top_k == 0 || before.len() < top_k);
        // Were those before it enough, it would not have been kept. They may be just enough by rounding: of exponentials in f32,
        // and of their arguments, by some eps each.
        let weight = |i: usize| f64::from(scores[i] / 0.7).exp();
        let mut all: Vec<f64> = (0..scores.len()).map(weight).collect();
        all.sort_by(|a, b| b.total_cmp(a));
        all.truncate(if top_k == 0 { usize::MAX } else { top_k });
        let reached: f64 = before.iter().map(|&i| weight(i)).sum::<f64>() / all.iter().sum::<f64>();
        prop_assert!(reached < f64::from(top_p) + 16.0 * f64::from(f32::EPSILON));
    }

    #[test]
    fn a_text_to_stop_at_is_found_however_the_text_comes(text in "[abé]{0,30}", stops in prop::collection::vec("[abé]{0,4}", 0..3), size in 1_usize..4) {
        let found = stops.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop.as_str())).min();
        let (mut stop, mut got, mut stopped) = (Stop::new(&stops), String::new(), false);
        for piece in text.chars().collect::<Vec<_>>().chunks(size) {
            let (out, end) = stop.push(&piece.iter().collect::<String>());
            got += &out;
            stopped = end;
            if end {
                break;
            }
        }
        if !stopped {
            got += &stop.finish();
        }
        prop_assert_eq!(stopped, found.is_some());
        // A longer stop text that ends later may begin earlier; what was held back then is not given out before it is decided.
        prop_assert!(text.starts_with(&got));
        if stops.len() <= 1 {
            prop_assert_eq!(&got, &text[..found.unwrap_or(text.len())]);
        }
    }
}
