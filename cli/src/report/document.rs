//! The order of a report: the workloads, then the machine, then the sources.

use super::block::{Block, Cell, Figure, Table, origins};
use super::compare;
use super::contest;
use super::figures::Figures;
use super::group::{Workload, workloads};
use super::number::{one_line, percent, quantity};
use super::{Origin, Report, RunReport, slug};

/// The whole report.
pub(super) fn blocks(report: &Report) -> Vec<Block> {
    let title = match one_line(&report.title) {
        title if title.is_empty() => "Training report".to_string(),
        title => title,
    };
    let mut blocks = vec![Block::Heading(1, title)];
    if !report.subtitle.is_empty() {
        blocks.push(Block::Remark(report.subtitle.clone()));
    }
    let all = origins(all_origins(report));
    let commands: Vec<&str> = all.iter().map(|origin| origin.command.as_str()).filter(|c| !c.is_empty()).collect();
    if let [command] = commands.as_slice() {
        blocks.push(Block::Code(command.to_string()));
    }
    let workloads = workloads(&report.runs);
    for workload in &workloads {
        let name = match workload.name {
            "" => "Runs".to_string(),
            name => one_line(name),
        };
        let prefix = if workloads.len() > 1 { format!("{}-", slug(&name)) } else { String::new() };
        blocks.push(Block::Heading(2, name));
        if !workload.title.is_empty() {
            blocks.push(Block::Text(workload.title.to_owned()));
        }
        one_workload(workload, prefix, &mut blocks);
    }
    if report.runs.is_empty() && report.rooflines.is_empty() && report.breakevens.is_empty() && report.sweeps.is_empty()
    {
        blocks.push(Block::Remark("There is no run and no measurement to show.".to_owned()));
    }
    let mut measured = |heading: &str, all: Vec<Vec<Block>>| {
        if !all.is_empty() {
            blocks.push(Block::Heading(2, heading.to_owned()));
            blocks.extend(all.into_iter().flatten());
        }
    };
    let file = |kind: &str, i: usize| if i == 0 { kind.to_owned() } else { format!("{kind}-{}", i + 1) };
    let each = report.rooflines.iter().enumerate();
    measured("Roofline", each.map(|(i, roofline)| roofline.blocks(&file("roofline", i))).collect());
    let each = report.breakevens.iter().enumerate();
    measured("Break-even of sparse products", each.map(|(i, rows)| rows.blocks(&file("breakeven", i))).collect());
    let each = report.sweeps.iter().enumerate();
    measured("Growth", each.map(|(i, rows)| rows.blocks(&file("growth", i))).collect());
    blocks.extend(sources(report));
    if !report.environment.is_empty() {
        blocks.push(Block::Heading(2, "Environment".to_owned()));
        let row = |(name, value): &(String, String)| vec![one_line(name).into(), one_line(value).into()];
        let rows = report.environment.iter().map(row).collect();
        blocks.push(Block::Table(Table { head: vec![String::new(), String::new()], rows, prose: true }));
    }
    if !report.notes.is_empty() {
        blocks.push(Block::Heading(2, "Notes".to_owned()));
        blocks.extend(report.notes.iter().map(|note| Block::Text(note.clone())));
    }
    blocks
}

fn all_origins(report: &Report) -> impl Iterator<Item = &Origin> {
    let runs = report.runs.iter().map(|run| &run.origin);
    let measured = report.rooflines.iter().map(|measured| &measured.origin);
    let measured = measured.chain(report.breakevens.iter().map(|measured| &measured.origin));
    let all = runs.chain(measured).chain(report.sweeps.iter().map(|measured| &measured.origin));
    all.filter(|origin| **origin != Origin::default())
}

/// Everything about one workload. It ends with the figures that no run has.
fn one_workload(workload: &Workload, prefix: String, blocks: &mut Vec<Block>) {
    let mut missing: Vec<&str> = Vec::new();
    let figures = Figures { workload, prefix };
    let mut section = |heading: &'static str, content: Vec<Block>| match content.is_empty() {
        true => missing.push(heading),
        false => {
            blocks.push(Block::Heading(3, heading.to_owned()));
            blocks.extend(content);
        }
    };
    let drawn = |figures: Vec<Figure>| if figures.is_empty() { Vec::new() } else { vec![Block::Figures(figures)] };
    match workload.is_contest() {
        true => section("Comparison", contest::comparison(workload)),
        false => section("Comparison", comparison(workload)),
    }
    section("Quality", drawn(figures.quality()));
    section("Loss", drawn(figures.loss().into_iter().collect()));
    if workload.is_contest() {
        section("Time, part by part", contest::parts(workload));
    }
    section("Where the time goes", phases(workload, &figures));
    section("Active rows", drawn(figures.activity()));
    section("Index", drawn(figures.health()));
    section("Memory by component", memory(workload, &figures));
    section("Cost and energy", contest::costs(workload));
    if workload.is_contest() {
        section("All runs", contest::runs(workload));
    }
    if !missing.is_empty() {
        let missing = missing.join(", ").to_lowercase();
        blocks.push(Block::Remark(format!("Left out, because no run has the numbers: {missing}.")));
    }
}

/// A table with figures in rows and runs in columns.
fn comparison(workload: &Workload) -> Vec<Block> {
    let runs: Vec<&RunReport> = workload.runs().collect();
    let head = std::iter::once(String::new()).chain(runs.iter().map(|run| one_line(&run.name))).collect();
    let row = |row: compare::Row| {
        let cells = row.cells.into_iter().map(|cell| Cell { small: cell.against_first, ..cell.value.into() });
        std::iter::once(row.name.into()).chain(cells).collect()
    };
    let rows: Vec<Vec<Cell>> = compare::rows(&runs).into_iter().map(row).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let table = Block::Table(Table { head, rows, prose: false });
    match runs.as_slice() {
        [first, _, ..] => vec![table, Block::Remark(format!("Small print: against {}.", one_line(&first.name)))],
        _ => vec![table],
    }
}

fn phases(workload: &Workload, figures: &Figures) -> Vec<Block> {
    let Some(figure) = figures.phases() else { return Vec::new() };
    let mut blocks = vec![Block::Figures(vec![figure])];
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for contender in &workload.contenders {
        let run = contender.middle_run();
        let total: f64 = run.phases.iter().map(|phase| phase.seconds).sum();
        for phase in run.phases.iter().filter(|phase| phase.seconds > 0.0) {
            let rate = |amount: f64, unit| {
                let rate = amount / phase.seconds;
                (rate.is_finite() && rate > 0.0).then(|| quantity(rate, unit))
            };
            rows.push(vec![
                one_line(&format!("{}: {}", contender.name, phase.name)).into(),
                quantity(phase.seconds, "s").into(),
                percent(phase.seconds / total).into(),
                quantity(phase.flops, "FLOP").into(),
                rate(phase.flops, "FLOP/s").into(),
                quantity(phase.bytes, "B").into(),
                rate(phase.bytes, "B/s").into(),
            ]);
        }
    }
    blocks.extend(Table::block(
        &["phase", "time", "share", "operations", "a second", "memory traffic (estimated)", "a second"],
        rows,
    ));
    if workload.contenders.iter().any(|contender| contender.runs.len() > 1) {
        blocks.push(Block::Remark("Of each contender the run whose time of training is in the middle.".to_owned()));
    }
    blocks
}

fn memory(workload: &Workload, figures: &Figures) -> Vec<Block> {
    let Some(figure) = figures.memory() else { return Vec::new() };
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for contender in &workload.contenders {
        let run = contender.middle_run();
        rows.extend(run.components.iter().map(|(name, bytes)| {
            vec![one_line(&format!("{}: {name}", contender.name)).into(), quantity(*bytes, "B").into()]
        }));
    }
    let table = Table::block(&["component", "memory"], rows);
    std::iter::once(Block::Figures(vec![figure])).chain(table).collect()
}

/// Which figures come from where.
fn sources(report: &Report) -> Vec<Block> {
    let mut rows: Vec<(&Origin, Vec<String>)> = Vec::new();
    let mut add = |origin, name: String| match rows.iter_mut().find(|(known, _)| *known == origin) {
        Some((_, names)) => names.push(name),
        None => rows.push((origin, vec![name])),
    };
    report.runs.iter().for_each(|run| add(&run.origin, one_line(&run.name)));
    report.rooflines.iter().for_each(|measured| add(&measured.origin, "roofline".to_owned()));
    report.breakevens.iter().for_each(|measured| add(&measured.origin, "break-even".to_owned()));
    report.sweeps.iter().for_each(|measured| add(&measured.origin, "growth".to_owned()));
    rows.retain(|(origin, _)| **origin != Origin::default());
    if rows.is_empty() {
        return Vec::new();
    }
    let head = ["what", "machine", "commit", "command"].map(str::to_owned).to_vec();
    let row = |(origin, names): (&Origin, Vec<String>)| -> Vec<Cell> {
        let [machine, commit, command] = [&origin.machine, &origin.commit, &origin.command].map(|text| one_line(text));
        vec![names.join(", ").into(), machine.into(), commit.into(), command.into()]
    };
    let rows = rows.into_iter().map(row).collect();
    vec![Block::Heading(2, "Sources".to_owned()), Block::Table(Table { head, rows, prose: true })]
}
