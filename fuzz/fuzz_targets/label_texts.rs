//! A file with texts of labels, arbitrary, for labels that are names, numbers, or numbers of samples with features: a vector for each
//! label, or an error about the data.
#![no_main]

use hotrow::config::Data;
use hotrow::data::{Vocabulary, open, read_label_texts};
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::sync::LazyLock;

/// Of names, of numbers, and of features.
static VOCABULARIES: LazyLock<[Vocabulary; 3]> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("hotrow-fuzz-texts-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let config = Data { text: "1".into(), label: "2".into(), hash_size: 64, normalize: true, ..Data::default() };
    let sets = ["a b\ta,b\nb c\tb c\n", "a b\t0,2\nb c\t1\n", "0,2 1:0.5 4:1\n1 0:2\n2\n"];
    let vocabularies = [0, 1, 2].map(|at| {
        let (train, config) = (folder.join(format!("{at}.{}", ["tsv", "tsv", "svm"][at])), &config);
        fs::write(&train, sets[at]).unwrap();
        open(train.to_str().unwrap(), None, config, &folder).unwrap().vocabulary
    });
    fs::remove_dir_all(&folder).unwrap();
    vocabularies
});

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    let before = &VOCABULARIES[first as usize % VOCABULARIES.len()];
    match read_label_texts(bytes, before) {
        Ok((vocabulary, texts)) => {
            assert!(vocabulary.labels() >= before.labels() && texts.described() > 0);
            assert_eq!((texts.features().len(), texts.features().dim()), (vocabulary.labels(), before.features()));
            let names = vocabulary.names().map(<[String]>::len);
            assert_eq!(names, before.names().map(|_| vocabulary.labels()));
        }
        Err(error) => assert_eq!(error.exit_code(), 4, "{error}"),
    }
});
