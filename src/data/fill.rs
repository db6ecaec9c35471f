//! Reads files of each format into a sink.

use super::ids::{self, IdParser};
use super::input::Input;
use super::line_reader::LineReader;
use super::lines::{self, Fault, first_line, for_each_block};
use super::records::{Records, Scratch};
use super::samples::{Limits, Policy};
use super::sink::{Sink, dimensions};
use super::source::is_header;
use super::text::Featurizer;
use super::text_lines::{Census, Columns, Labels, TextParser};
use super::unpack::other_kind;
use super::{Vocabulary, npz};
use crate::config::{self, Format};
use crate::error::{Error, Result};
use std::sync::Arc;

/// Samples of a pair that go to the sink together.
const PIECE: usize = 4096;

/// Reads the files of `format` into `sink`. Returns the names of the labels if this file defines them.
pub(crate) fn fill(
    inputs: &[Input],
    format: Format,
    config: &config::Data,
    vocabulary: Option<&Vocabulary>,
    sink: &mut impl Sink,
) -> Result<Option<Vec<String>>> {
    let policy = vocabulary.map_or(Policy::from(config.unlabelled), |_| Policy::Keep);
    let text = matches!(format, Format::Tsv | Format::Jsonl);
    if config.labels == config::Labels::Names && !text {
        return Err(Error::config("data.labels", "names are those of text files (tsv, jsonl); here labels are ids"));
    }
    if format == Format::Npz {
        return npz::fill(inputs, policy, vocabulary, sink).map(|()| None);
    }
    let first = first_line(inputs[0])?;
    if let Some(what) = other_kind(&first) {
        return Err(Error::data(inputs[0].path(), 1, 0, format!("looks like {what}")));
    }
    let limits = vocabulary.map_or(Limits::NONE, Vocabulary::limits);
    match format {
        _ if text => {
            let columns = Columns::new(format, config)?;
            return fill_text(inputs[0], columns, config, policy, vocabulary, sink);
        }
        Format::Xc => match (ids::header(&first), ids::header(&first), inputs) {
            (Some(header), _, &[input]) => {
                fill_xc(input, header, config.skip_bad, IdParser { limits, policy, comments: false }, sink)?
            }
            (_, Some(header), _) => {
                fill_pair(inputs, header, IdParser { limits, policy, comments: false }, vocabulary, sink)?
            }
            _ => {
                let message = match inputs.len() {
                    1 => "the header `samples features labels` is missing",
                    _ => "the header `samples features` of a file of features is missing",
                };
                return Err(Error::data(inputs[0].path(), 1, 1, message));
            }
        },
        _ => {
            if is_header(&first) {
                let message = "looks like the header of an XC file (`samples features labels`); set data.format=xc";
                return Err(Error::data(inputs[0].path(), 1, 1, message));
            }
            let parser = IdParser { limits, policy, comments: true };
            stream(inputs[0], 0, config.skip_bad, |line, scratch, out| parser.line(line, scratch, out), sink)?;
        }
    }
    let known = match format {
        Format::Xc => ids::header(&first).map(|[_, features, labels]| (features, labels)),
        _ => None,
    };
    dimensions(vocabulary, sink, known);
    Ok(None)
}

/// Parses every line after the first `skip`, and skips up to `bad` faulty ones.
fn stream(
    input: Input,
    skip: usize,
    bad: u64,
    parse: impl Fn(&[u8], &mut Scratch, &mut Records) -> Result<(), Fault> + Sync,
    sink: &mut impl Sink,
) -> Result<u64> {
    let parse_block = |block: &[u8], start: u64| {
        let (mut scratch, mut out, mut count, mut faults) = (Scratch::default(), Records::default(), 0, Vec::new());
        for (at, line) in lines::lines(block).enumerate().skip(if start == 0 { skip } else { 0 }) {
            // The counts of a faulty line must not stay.
            let (first, before) = (out.len(), (bad > 0).then(|| out.summary.clone()));
            count += 1;
            match parse(line, &mut scratch, &mut out) {
                Ok(()) => out.place(first, at as u64 + 1),
                Err(fault) => {
                    out.summary = before.unwrap_or_default();
                    faults.push(Fault { line: at as u64, ..fault });
                    // More than the whole file may have. Which of them is one too many depends on the blocks before.
                    if faults.len() as u64 > bad {
                        break;
                    }
                }
            }
        }
        Ok((out, count, faults))
    };
    let (mut total, mut faulty) = (0, 0);
    for_each_block(input, parse_block, |(mut records, count, faults), before| {
        for fault in faults {
            let error = Error::data(input.path(), before + fault.line + 1, fault.column, fault.message);
            faulty += 1;
            if faulty > bad {
                return Err(error);
            }
            if faulty == 1 {
                records.summary.notes.push(format!("the first faulty line: {error}"));
            }
            records.summary.bad_records += 1;
        }
        total += count;
        records.summary.move_down(before);
        sink.append(&records)
    })?;
    Ok(total)
}

fn fill_xc(
    input: Input,
    [samples, features, labels]: [u64; 3],
    skip_bad: u64,
    mut parser: IdParser,
    sink: &mut impl Sink,
) -> Result<()> {
    let bad = |message: String| Error::data(input.path(), 1, 1, message);
    for (what, number, limit) in
        [("features", features, parser.limits.features), ("labels", labels, parser.limits.labels)]
    {
        if number > limit {
            return Err(bad(format!("{number} {what} are more than {limit}")));
        }
    }
    parser.limits = Limits { features, labels, ..parser.limits };
    let found = stream(input, 1, skip_bad, |line, scratch, out| parser.line(line, scratch, out), sink)?;
    if found != samples {
        return Err(bad(format!("the header says {samples} samples, the file has {found}")));
    }
    Ok(())
}

/// The pair of newer sets of the repository: a file of features and one of labels, each with the header `rows columns`
/// and lines of `id:value`. Without the second file there are no labels.
fn fill_pair(
    inputs: &[Input],
    [samples, features]: [u64; 2],
    mut parser: IdParser,
    vocabulary: Option<&Vocabulary>,
    sink: &mut impl Sink,
) -> Result<()> {
    let bad = |input: &Input, message: String| Err(Error::data(input.path(), 1, 1, message));
    let labels = match inputs.get(1) {
        Some(labels) => match ids::header(&first_line(*labels)?) {
            Some([rows, _]) if rows != samples => {
                return bad(labels, format!("{rows} rows of labels for {samples} of features"));
            }
            Some([_, labels]) => labels,
            None => return bad(labels, "the header `samples labels` is missing".into()),
        },
        None if vocabulary.is_none() => {
            return bad(&inputs[0], "the file of labels is missing: trn_X_Xf.txt,trn_X_Y.txt".into());
        }
        None => 0,
    };
    let limits = parser.limits;
    for (input, what, number, limit) in
        [(0, "features", features, limits.features), (inputs.len() - 1, "labels", labels, limits.labels)]
    {
        if number > limit {
            return bad(&inputs[input], format!("{number} {what} are more than {limit}"));
        }
    }
    parser.limits = Limits { features, labels, ..limits };
    let mut readers: Vec<LineReader> = inputs.iter().map(LineReader::open).collect::<Result<_>>()?;
    for reader in &mut readers {
        reader.next()?;
    }
    let (mut scratch, mut out) = (Scratch::default(), Records::default());
    for row in 0..=samples {
        let mut of_row: Vec<Option<Vec<u8>>> = Vec::with_capacity(2);
        for (input, reader) in inputs.iter().zip(&mut readers) {
            let line = reader.next()?;
            if line.is_some() != (row < samples) {
                let there = if row < samples { row.to_string() } else { "more".into() };
                return bad(input, format!("the header says {samples} samples, the file has {there}"));
            }
            of_row.push(line);
        }
        let Some(Some(line)) = of_row.first() else { break };
        let labels = of_row.get(1).and_then(Option::as_deref).unwrap_or_default();
        let first = out.len();
        parser.pair(line, labels, &mut scratch, &mut out).map_err(|fault| {
            let which = if fault.message.starts_with("label") || fault.message.starts_with("a label") { 1 } else { 0 };
            Error::data(inputs[which].path(), row + 2, fault.column, fault.message)
        })?;
        out.place(first, row + 2);
        if out.len() >= PIECE {
            sink.append(&std::mem::take(&mut out))?;
        }
    }
    sink.append(&out)?;
    dimensions(vocabulary, sink, Some((features, labels)));
    Ok(())
}

fn fill_text(
    input: Input,
    columns: Columns,
    config: &config::Data,
    policy: Policy,
    vocabulary: Option<&Vocabulary>,
    sink: &mut impl Sink,
) -> Result<Option<Vec<String>>> {
    let featurizer = Featurizer::new(config)?;
    let skip = usize::from(config.header && matches!(columns, Columns::Tsv { .. }));
    let (parser, names) = match vocabulary {
        Some(vocabulary) => (vocabulary.text_parser(columns, policy)?, None),
        None => {
            let census = census(input, skip, &columns, config.skip_bad > 0)?;
            sink.summary().notes.extend(census.note());
            let names = census.names(config.labels);
            let labels = match &names {
                Some(names) => Labels::Names(Arc::new(
                    names.iter().enumerate().map(|(id, name)| (name.clone(), id as u32)).collect(),
                )),
                None => Labels::Ids { canonical: false },
            };
            (TextParser { columns, featurizer, labels, limits: Limits::NONE, policy }, names)
        }
    };
    stream(input, skip, config.skip_bad, |line, scratch, out| parser.line(line, scratch, out), sink)?;
    let known = (config.hash_size as u64, names.as_ref().map_or(0, |names| names.len() as u64));
    dimensions(vocabulary, sink, Some(known));
    Ok(names)
}

/// Finds out what the labels of a training file are. With `skip_bad` it ignores faults: reading the samples reports
/// them or skips them.
fn census(input: Input, skip: usize, columns: &Columns, skip_bad: bool) -> Result<Census> {
    let count_block = |block: &[u8], start: u64| {
        let mut census = Census::default();
        for (at, line) in lines::lines(block).enumerate().skip(if start == 0 { skip } else { 0 }) {
            let at = at as u64;
            match census.line(columns, line, at + 1) {
                Err(fault) if !skip_bad => return Err(Fault { line: at, ..fault }),
                _ => {}
            }
        }
        Ok(census)
    };
    let mut total = Census::default();
    for_each_block(input, count_block, |census, before| {
        total.add(census, before);
        Ok(())
    })?;
    Ok(total)
}
