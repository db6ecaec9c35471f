//! Tables of runs with a target: who reached it, when, and at what price.

use super::RunReport;
use super::block::{Block, Cell, Table};
use super::figures::{number, shown};
use super::group::{Contender, Workload};
use super::number::{one_line, quantity, times};

/// A line for each contender, the fastest first. FLOP reduction and speed-up stand in columns of their own.
pub(super) fn comparison(workload: &Workload) -> Vec<Block> {
    let Some(target) = workload.runs().find_map(|run| run.target.as_ref()) else { return Vec::new() };
    let reference = workload.reference();
    let first = reference.and_then(Contender::seconds_to_target);
    let mut contenders: Vec<&Contender> = workload.contenders.iter().collect();
    let time = |contender: &Contender| contender.seconds_to_target().unwrap_or(f64::INFINITY);
    contenders.sort_by(|a, b| time(a).total_cmp(&time(b)));
    let mut rows: Vec<Vec<Cell>> = contenders.iter().map(|contender| row(contender, &target.metric, first)).collect();
    if !contenders.iter().any(|contender| contender.device() == "cuda") {
        let mut cells: Vec<Cell> = vec!["GPU (CUDA)".into()];
        cells.extend((1..HEAD.len()).map(|column| if column == 3 { "not run".into() } else { None.into() }));
        rows.push(cells);
    }
    let mut blocks: Vec<Block> = Table::block(&HEAD, rows).into_iter().collect();
    let rule = if target.metric.contains('@') { "at least" } else { "at most" };
    let mut remark = format!(
        "Target: {} of {rule} {} on the validation set; time from the start of training, reading and evaluation \
         included. Medians; small print: all runs. ",
        shown(&target.metric),
        number(&target.metric, target.value),
    );
    remark += &match reference {
        Some(reference) => format!(
            "Speed-up: the time of {}, the fastest of the closed division that computes every row, divided by the contender's. ",
            one_line(reference.name)
        ),
        None => "Speed-up: none, for no contender that computes every row got there. ".to_owned(),
    };
    remark += "FLOP reduction: the operations of a network that computes every row, divided by those executed.";
    blocks.push(Block::Remark(remark));
    blocks
}

const HEAD: [&str; 10] = [
    "contender",
    "division",
    "arrived",
    "time to target",
    "speed-up",
    "operations",
    "FLOP reduction",
    "quality at the end",
    "peak memory",
    "cost",
];

fn row(contender: &Contender, metric: &str, first: Option<f64>) -> Vec<Cell> {
    let runs = contender.runs.len();
    let seconds = contender.times_to_target();
    let each = |seconds: &f64| if seconds.is_finite() { quantity(*seconds, "s") } else { "never".to_owned() };
    let time = match contender.seconds_to_target() {
        Some(seconds) => quantity(seconds, "s"),
        None => "not reached".to_owned(),
    };
    let speed_up = first.zip(contender.seconds_to_target()).and_then(|(first, own)| times(first / own));
    let quality = contender.median(|run| of(run, metric)).map(|value| number(metric, value));
    let estimate = contender.runs.iter().any(|run| run.metrics_are_estimates);
    let cost = contender.median(|run| Some(run.cost.as_ref()?.amount));
    let currency = contender.runs.iter().find_map(|run| Some(run.cost.as_ref()?.currency.as_str()));
    vec![
        one_line(contender.name).into(),
        one_line(&contender.runs[0].division).into(),
        format!("{} of {runs}", contender.reached()).into(),
        Cell { text: time, small: (runs > 1).then(|| seconds.iter().map(each).collect::<Vec<_>>().join(", ")) },
        speed_up.map(|times| format!("{times}x")).into(),
        contender.median(|run| run.flops.filter(|&f| f > 0.0)).map(|flops| quantity(flops, "FLOP")).into(),
        contender.flop_reduction().and_then(times).map(|times| format!("{times}x")).into(),
        Cell { small: estimate.then(|| "estimate".to_owned()), ..quality.into() },
        contender.median(|run| run.peak_memory_bytes).map(|bytes| quantity(bytes, "B")).into(),
        cost.map(|cost| money(cost, currency.unwrap_or_default())).into(),
    ]
}

fn of(run: &RunReport, metric: &str) -> Option<f64> {
    run.metrics.iter().find(|(name, _)| name == metric).map(|&(_, value)| value)
}

/// The time by part, and in total. Loading and compiling count in the total.
pub(super) fn parts(workload: &Workload) -> Vec<Block> {
    const PARTS: [&str; 6] = ["load", "compile", "train", "eval", "index", "read"];
    let head = ["contender", "in all", "load", "compile", "train", "evaluate", "index", "read", "speed"];
    let row = |contender: &Contender| -> Vec<Cell> {
        let part = |name: &str| {
            let own = |run: &RunReport| run.parts.iter().find(|(part, _)| part == name).map(|&(_, seconds)| seconds);
            contender.median(own).map(|seconds| quantity(seconds, "s"))
        };
        let tokens = contender.median(|run| run.tokens_per_second).map(|rate| quantity(rate, "tokens/s"));
        let samples = contender.median(|run| run.samples_per_second.filter(|&rate| rate > 0.0));
        let speed = tokens.or(samples.map(|rate| quantity(rate, "samples/s")));
        let total = contender.median(|run| run.total_seconds).map(|seconds| quantity(seconds, "s"));
        let cells = PARTS.iter().map(|name| part(name).into());
        [one_line(contender.name).into(), total.into()].into_iter().chain(cells).chain([speed.into()]).collect()
    };
    Table::block(&head, workload.contenders.iter().map(row).collect()).into_iter().collect()
}

/// What runs cost, if a price or energy is known.
pub(super) fn costs(workload: &Workload) -> Vec<Block> {
    let row = |contender: &Contender| -> Option<Vec<Cell>> {
        let priced = contender.runs.iter().find_map(|run| run.cost.as_ref());
        let energy = contender.runs.iter().find_map(|run| run.energy.as_ref());
        if priced.is_none() && energy.is_none() {
            return None;
        }
        let currency = priced.map_or("", |cost| cost.currency.as_str());
        let amount = contender.median(|run| Some(run.cost.as_ref()?.amount));
        let hour = priced.and_then(|cost| cost.price_per_hour);
        let joules = contender.median(|run| Some(run.energy.as_ref()?.0));
        Some(vec![
            one_line(contender.name).into(),
            amount.map(|amount| money(amount, currency)).into(),
            hour.map(|price| money(price, currency)).into(),
            Cell { small: energy.map(|(_, method)| one_line(method)), ..joules.map(|j| quantity(j, "J")).into() },
        ])
    };
    let rows = workload.contenders.iter().filter_map(row).collect();
    Table::block(&["contender", "cost of a run", "price of an hour", "energy"], rows).into_iter().collect()
}

/// Every run, even those that missed the target.
pub(super) fn runs(workload: &Workload) -> Vec<Block> {
    let row = |run: &RunReport| -> Vec<Cell> {
        let target = run.target.as_ref();
        let reached = target.filter(|target| target.reached);
        let metric = target.map_or(run.metric.as_str(), |target| &target.metric);
        vec![
            one_line(&run.name).into(),
            one_line(&run.status).into(),
            reached.and_then(|target| target.seconds).map(|seconds| quantity(seconds, "s")).into(),
            reached.and_then(|target| target.step).map(|step| step.to_string()).into(),
            of(run, metric).map(|value| number(metric, value)).into(),
            run.seconds.map(|seconds| quantity(seconds, "s")).into(),
            run.total_seconds.map(|seconds| quantity(seconds, "s")).into(),
        ]
    };
    let head = ["run", "status", "time to target", "steps to target", "quality at the end", "training", "in all"];
    Table::block(&head, workload.runs().map(row).collect()).into_iter().collect()
}

/// An amount with two decimals, or two digits if it is small.
fn money(amount: f64, currency: &str) -> String {
    let places = match amount.abs() {
        a if a >= 99.95 => 0,
        a if (1e-9..0.1).contains(&a) => (1.0 - a.log10().floor()) as usize,
        _ => 2,
    };
    one_line(&format!("{amount:.places$} {currency}"))
}

#[cfg(test)]
mod tests {
    use super::money;

    #[test]
    fn amounts_have_two_places_or_two_digits() {
        let written = [(123.4, "123 €"), (12.345, "12.35 €"), (0.5, "0.50 €"), (0.00317, "0.0032 €"), (0.0, "0.00 €")];
        for (amount, text) in written {
            assert_eq!(money(amount, "€"), text);
        }
    }
}
