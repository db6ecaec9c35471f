//! What is to be predicted is read as what was trained on, and each line is answered.

use super::{Sample, file, options, samples};
use hotrow::config::{Data, Format};
use hotrow::data::{self, Batch, Stream, Vocabulary};
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};

fn vocabulary(name: &str, text: &str, config: &Data) -> Vocabulary {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), name, text);
    data::open(&path, None, config, folder.path()).unwrap().vocabulary
}

/// Which lines have samples, the samples, and the error after them.
fn drain(vocabulary: &Vocabulary, mut stream: Stream) -> (Vec<bool>, Vec<Sample>, Option<String>) {
    let (mut lines, mut batch) = (Vec::new(), Batch::new(vocabulary.features()));
    loop {
        match stream.next(&mut batch, 3) {
            Ok(Some(more)) => lines.extend(more),
            Ok(None) => return (lines, samples(&batch), None),
            Err(error) => return (lines, samples(&batch), Some(error.to_string())),
        }
    }
}

fn read(vocabulary: &Vocabulary, bytes: &[u8]) -> (Vec<bool>, Vec<Sample>, Option<String>) {
    drain(
        vocabulary,
        Stream::new(vocabulary, "input".as_ref(), std::io::Cursor::new(bytes.to_vec()), false, None).unwrap(),
    )
}

const SVM: &str = "0,2 1:0.5 4:1\n1 0:2\n";

#[test]
fn each_line_is_told_to_have_a_sample_or_none() {
    let svm = vocabulary("a.svm", SVM, &Data::default());
    assert_eq!(read(&svm, b"0 1:1\n\n1 0:2\n# comment\n2 2:1").0, [true, false, true, false, true]);
    let tsv = vocabulary("a.tsv", "hot\tfig\n", &options(Format::Tsv));
    assert_eq!(read(&tsv, b"hot\n\ncold\tnut,-,\n \n").0, [true, false, true, false]);
    let bare = Stream::new(&tsv, "input".as_ref(), &b"hot\n\nhot rows"[..], true, None).unwrap();
    assert_eq!(drain(&tsv, bare).0, [true, false, true]);
    let json = vocabulary("a.jsonl", "{\"text\": \"hot\", \"labels\": \"fig\"}\n", &options(Format::Jsonl));
    assert_eq!(read(&json, b"{\"text\": \"hot\", \"labels\": {\"a\": 1.5}}\n\n").0, [true, false]);
}

#[test]
fn headers_marks_and_packing_are_those_of_other_files() {
    let want = vec![(vec![], vec![(1, 0.5), (4, 1.0)]), (vec![], vec![(0, 2.0)])];
    let gzip = |bytes: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    };
    for (name, train) in [("a.svm", SVM.to_owned()), ("a.txt", format!("2 5 3\n{SVM}"))] {
        let vocabulary = vocabulary(name, &train, &Data::default());
        for text in [SVM.to_owned(), format!("2 5 3\n{SVM}"), "2 5\n1:0.5 4:1\n0:2\n".to_owned()] {
            for bytes in [
                text.clone().into_bytes(),
                format!("\u{feff}{}", text.replace('\n', "\r\n")).into_bytes(),
                gzip(text.as_bytes()),
                zstd::encode_all(text.as_bytes(), 1).unwrap(),
            ] {
                let (lines, got, error) = read(&vocabulary, &bytes);
                assert_eq!((got, error), (want.clone(), None), "{name} {text}");
                assert_eq!(lines.len(), text.lines().count());
            }
        }
    }
}

#[test]
fn labels_are_stepped_over_whatever_they_are() {
    let svm = vocabulary("a.svm", SVM, &Data::default());
    let (lines, got, error) = read(&svm, "abcd-1234 1:1\n-1 1:1\n99999999999 1:1\n\u{fc},? 1:1\n 1:1\n".as_bytes());
    assert_eq!((lines.len(), error), (5, None));
    assert!(got.iter().all(|sample| *sample == (vec![], vec![(1, 1.0)])), "{got:?}");
}

#[test]
fn good_lines_before_a_bad_one_are_given_first_and_the_place_is_told() {
    let tsv = vocabulary("a.tsv", "hot\tfig\n", &options(Format::Tsv));
    let (lines, _, error) = read(&tsv, b"hot\ncold\nrows\nhot\nh\xffot\nhot\n");
    assert_eq!((lines.len(), error.as_deref()), (4, Some("input:5:2: the text is not UTF-8")));
    let skipping = Stream::new(&tsv, "input".as_ref(), &b"hot\nh\xffot\nhot\n\xff"[..], false, Some(1)).unwrap();
    let (lines, _, error) = drain(&tsv, skipping);
    assert_eq!((lines, error.as_deref()), (vec![true, false, true], Some("input:4:1: the text is not UTF-8")));
    let svm = vocabulary("a.svm", SVM, &Data { skip_bad: 1, ..Data::default() });
    let mut stream = Stream::new(&svm, "input".as_ref(), &b"0 1:x\n0 1:1 7:1\n"[..], false, None).unwrap();
    let mut batch = Batch::new(svm.features());
    while stream.next(&mut batch, 9).unwrap().is_some() {}
    let left_out = stream.summary().left_out();
    assert_eq!((left_out["bad_records"], left_out["features_dropped"], left_out["samples_without_labels"]), (1, 1, 0));
    let packed = zstd::encode_all(SVM.as_bytes(), 1).unwrap();
    let (_, _, error) = read(&svm, &packed[..packed.len() - 5]);
    assert!(error.as_ref().unwrap().contains(": cannot be read further"), "{error:?}");
    let (_, _, error) = read(&svm, b"\xfd7zXZ\0\0");
    assert!(error.as_ref().unwrap().contains("packed with xz"), "{error:?}");
}

#[test]
fn rows_of_arrays_are_predicted_too() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let (x, y) = (format!("{folder}/tests/data/features.npz"), format!("{folder}/tests/data/labels.npz"));
    let cache = tempfile::tempdir().unwrap();
    let arrays = data::open(&format!("{x},{y}"), None, &Data::default(), cache.path()).unwrap().vocabulary;
    let svm = vocabulary("a.svm", SVM, &Data::default());
    for (vocabulary, path) in [(&arrays, x.clone()), (&arrays, format!("{x},{y}")), (&svm, x)] {
        let (lines, got, error) = drain(vocabulary, Stream::open(vocabulary, &path, false, None).unwrap());
        assert_eq!((lines, error), (vec![true; 4], None));
        assert_eq!(got[0], (vec![], vec![(0, 1.0), (3, 2.0)]));
    }
    // Lines of ids can be asked of such a run as well.
    assert_eq!(read(&arrays, b"0 1:1\n").1, [(vec![], vec![(1, 1.0)])]);
    let tsv = super::options(Format::Tsv);
    let text = self::vocabulary("a.tsv", "hot\tfig\n", &tsv);
    assert!(Stream::open(&text, &y, false, None).unwrap_err().to_string().contains("but the training set was Tsv"));
}

/// Bytes that come when they are sent.
struct Slow(Receiver<&'static [u8]>);

impl Read for Slow {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Ok(bytes) = self.0.recv() else { return Ok(0) };
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

#[test]
fn a_line_is_given_when_input_pauses() {
    let svm = vocabulary("a.svm", SVM, &Data::default());
    let (send, receive) = channel();
    let mut stream = Stream::new(&svm, "input".as_ref(), Slow(receive), false, None).unwrap();
    let mut batch = Batch::new(svm.features());
    // The next bytes are sent after the answer only: a reader that waits for more would wait for ever.
    for line in [&b"1\n"[..], b"0 1:1\n", b"0 1:1\n"] {
        line.chunks(1).for_each(|byte| send.send(byte).unwrap());
        assert_eq!(stream.next(&mut batch, 256).unwrap(), Some(vec![true]));
    }
    drop(send);
    assert_eq!(stream.next(&mut batch, 256).unwrap(), None);
}
