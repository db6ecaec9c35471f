//! Operations that a run counts against those that the hardware counts.

mod common;

use std::process::{Command, Stdio};

use common::{hotrow, summary, text, with_sets};

/// Events that count floating-point operations, each with the operations of one count, of AMD and of Intel.
const EVENTS: [&[(&str, u64)]; 2] = [
    &[("fp_ret_sse_avx_ops.all", 1)],
    &[
        ("fp_arith_inst_retired.scalar_single", 1),
        ("fp_arith_inst_retired.128b_packed_single", 4),
        ("fp_arith_inst_retired.256b_packed_single", 8),
        ("fp_arith_inst_retired.512b_packed_single", 16),
    ],
];

/// Operations that the hardware counts while `arguments` are run; or why it does not.
fn hardware(events: &[(&str, u64)], arguments: &[&str], program: &str) -> Result<u64, String> {
    let names: Vec<&str> = events.iter().map(|&(name, _)| name).collect();
    let mut perf = Command::new("perf");
    perf.args(["stat", "-x", ";", "-e", &names.join(","), "--", program]).args(arguments).stdin(Stdio::null());
    let output = perf.output().map_err(|error| format!("perf: {error}"))?;
    let said = text(&output.stderr);
    if !output.status.success() {
        return Err(said.lines().find(|line| !line.trim().is_empty()).unwrap_or("perf has failed").to_owned());
    }
    let count = |&(name, operations): &(&str, u64)| {
        let line = said.lines().find(|line| line.contains(name)).ok_or(format!("no count of {name}"))?;
        let number = line.split(';').next().unwrap_or_default();
        number.parse::<u64>().map(|number| number * operations).map_err(|_| format!("{name}: {number}"))
    };
    events.iter().map(count).sum()
}

/// What one more epoch executes, by the count of the program and by that of the hardware: all else cancels.
#[test]
fn counted_operations_are_those_of_the_hardware_where_it_counts_them() {
    let reasons: Vec<String> =
        EVENTS.iter().map(|events| hardware(events, &[], "true").err().unwrap_or_default()).collect();
    let Some(events) = EVENTS.iter().zip(&reasons).find(|(_, reason)| reason.is_empty()).map(|(events, _)| *events)
    else {
        // Seen with `--nocapture`, and in the log of CI.
        println!("not run: this machine counts no floating-point operations: {}", reasons.join("; "));
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let line = |i: usize| format!("{i}\t{},{}\tword{} other{}\n", i % 2000, (i + 7) % 2000, i % 500, i % 7);
    std::fs::write(path("train.tsv"), (0..2000).map(line).collect::<String>()).unwrap();
    let train = path("train.tsv");
    let run = |epochs: &str| {
        let out = path(&format!("run-{epochs}"));
        let mut arguments = vec!["train", "xmc", "--json", "--threads", "1", "--train", &train, "--out", &out];
        let sets = ["data.format=tsv", "data.label=2", "data.text=3", "sparse.index=all", epochs];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        let hardware = hardware(events, &arguments, env!("CARGO_BIN_EXE_hotrow")).unwrap();
        let mut counted = hotrow(&arguments);
        with_sets(&mut counted, &[]);
        std::fs::remove_dir_all(&out).unwrap();
        (hardware, summary(&counted.output().unwrap())["flops"]["executed"].as_u64().unwrap())
    };
    let (less, more) = (run("train.epochs=1"), run("train.epochs=4"));
    let ratio = (more.0 - less.0) as f64 / (more.1 - less.1) as f64;
    // Beside what is counted are the optimiser's rule and the rounding up of products to whole vectors.
    assert!((0.9..1.5).contains(&ratio), "the hardware counts {ratio} of what the program counts");
}
