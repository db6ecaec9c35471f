//! What a network cannot have or read is an error, and leaves everything as it was.
#![cfg_attr(not(feature = "text"), allow(unused_imports))] // Some tests need a tokenizer that encodes.

use super::*;
use crate::config::lm::Ngram;
use crate::data::tokens::{TokenFile, TokenWriter, Tokenizer};
use crate::generate::{Generation, generate};
use crate::train::lm::try_evaluate;

#[test]
fn memory_that_the_system_refuses_is_an_error_with_its_name_wherever_it_is_asked_for() {
    for tied in [true, false] {
        let model = Model { tied, ..small() };
        match Gpt::new(&Scope::fresh(&sgd(), 5, Level::detect()), &model.clone().into(), 1 << 58, vec![]) {
            Err(Error::Memory { what, bytes }) => {
                assert!(what.contains("embedding.weight"), "{what}");
                assert_eq!(bytes, (1 << 58) * 12 * 4);
            }
            other => panic!("{other:?}"),
        }
        let parts = Parts { model, ngram: Ngram { rows: 50, ..Ngram::default() }, ..Parts::default() };
        let refused = Gpt::new(&Scope::fresh(&sgd(), 5, Level::detect()), &parts, 1 << 58, vec![]);
        assert!(matches!(refused, Err(Error::Memory { .. })), "{refused:?}");
    }
    assert!(matches!(
        Gpt::new(&Scope::fresh(&sgd(), 5, Level::detect()), &small().into(), 0, vec![]),
        Err(Error::Config { .. })
    ));
}

#[test]
fn tokens_that_cannot_follow_are_refused_and_the_cache_stays_as_it_was() {
    let (gpt, work) = (network(&small(), &sgd(), VOCABULARY), &mut Workspace::new(Level::detect()));
    let (mut cache, mut logits) = (gpt.cache(), [0.0; VOCABULARY]);
    let ((most, _), context) = (tokens(11, VOCABULARY, 1), gpt.context());
    gpt.try_next(work, &mut cache, &most[..context - 1], &mut logits).unwrap();
    let refused = [
        (vec![], VOCABULARY, "tokens: none"),
        (vec![VOCABULARY as u32], VOCABULARY, "tokens: token 23 is not below the vocabulary 23"),
        (vec![1, 2], VOCABULARY, "tokens: 2 after 10 are more than the context of 11"),
        (vec![1], VOCABULARY - 1, "logits: 22 places"),
    ];
    for (next, places, want) in refused {
        let error = gpt.try_next(work, &mut cache, &next, &mut logits[..places]).unwrap_err().to_string();
        assert!(error.starts_with(want), "{error}");
        assert_eq!(cache.len(), context - 1);
    }
    // What follows is what follows without them.
    gpt.try_next(work, &mut cache, &most[context - 1..], &mut logits).unwrap();
    let (mut fresh, mut want) = (gpt.cache(), [0.0; VOCABULARY]);
    gpt.try_next(work, &mut fresh, &most[..context - 1], &mut want).unwrap();
    gpt.try_next(work, &mut fresh, &most[context - 1..], &mut want).unwrap();
    assert_eq!(logits, want);
}

#[cfg(feature = "text")]
#[test]
fn text_and_files_of_another_vocabulary_are_refused() {
    let (mut gpt, work) = (network(&small(), &sgd(), VOCABULARY), &mut Workspace::new(Level::detect()));
    let tokenizer = Tokenizer::train_on("to be or not to be", 260).unwrap();
    let options = Generation::default();
    let error = generate(&gpt, work, &tokenizer, "to", &options, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(error.starts_with("tokenizer: has ") && error.ends_with("where the network knows 23"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, vocabulary: usize, tokens: &[u32]| {
        let path = folder.path().join(name);
        let mut writer = TokenWriter::create(&path, vocabulary, None, 7).unwrap();
        writer.append(tokens, 12).unwrap();
        writer.finish().unwrap();
        TokenFile::open(&path).unwrap()
    };
    let (other, short, good) = (file("a", 24, &[1, 2, 3]), file("b", 23, &[1]), file("c", 23, &[1, 2, 3]));
    let mut refused =
        |file: &TokenFile, context| try_evaluate(&mut gpt, work, file, context).map_err(|e| e.to_string());
    assert_eq!(refused(&other, 4), Err("tokens: of a vocabulary of 24, where the network knows 23".to_owned()));
    assert_eq!(refused(&short, 4), Err("tokens: 1 leave nothing to predict".to_owned()));
    for context in [0, 12] {
        let message = format!("context: {context} is not in 1..=11, which the network reads");
        assert_eq!(refused(&good, context), Err(message));
    }
    assert_eq!(refused(&good, 11).unwrap().tokens, 2);
}
