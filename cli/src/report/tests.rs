//! The whole report: structure, ratios, missing and mad numbers.

use proptest::prelude::*;

use super::*;

/// Two runs with every section.
fn full() -> Report {
    let run = |name: &str, cost: f64| RunReport {
        name: name.into(),
        metrics: vec![("p@1".into(), 0.3 + 0.001 * cost), ("loss".into(), 5.0)],
        metric: "p@1".into(),
        origin: Origin { machine: "two cores".into(), commit: "c0ffee".into(), command: "hotrow demo".into() },
        seconds: Some(6.0 * cost),
        flops: Some(1.2e9 * cost),
        curve: (1..=30)
            .map(|i| Point {
                step: 50 * i,
                samples: Some(12_800.0 * i as f64),
                seconds: Some(0.2 * cost * i as f64),
                flops: Some(4e7 * cost * i as f64),
                loss: Some(9.0 / (i as f64).sqrt()),
                quality: (i % 5 == 0).then_some(0.3 - 0.3 / i as f64),
                active_share: Some(0.05),
                union_share: Some(0.07),
            })
            .collect(),
        phases: hotrow::flops::Phase::ALL
            .iter()
            .map(|phase| PhaseCost { name: phase.name().into(), seconds: cost, flops: 1e9, bytes: 1e6 })
            .collect(),
        index_health: (1..=5)
            .map(|i| Health {
                step: 300 * i,
                recall_k: Some(16),
                recall: Some(0.8),
                share_index: Some(0.4),
                log_z_drift: Some(-0.1),
                occupancy: vec![3.0, 0.0, 9.0],
                ..Health::default()
            })
            .collect(),
        components: vec![("output".into(), 4e6), ("optimiser".into(), 8e6)],
        ..RunReport::default()
    };
    Report {
        title: "demo".into(),
        runs: vec![run("dense", 5.0), run("sparse", 1.0)],
        environment: vec![("cpu".into(), "two cores".into())],
        notes: vec!["One seed.".into()],
        ..Report::default()
    }
}

/// Three contenders of one workload, with three seeds each: the second is twice as fast with a tenth of the operations, the
/// third arrives once.
fn contest() -> Report {
    let run = |contender: &str, seed: u32, seconds: Option<f64>, flops: f64| RunReport {
        name: format!("{contender}, seed {seed}"),
        contender: contender.into(),
        workload: "small".into(),
        device: "cpu".into(),
        division: "closed".into(),
        status: if seconds.is_some() { "reached".into() } else { "not converged".into() },
        target: Some(Target { metric: "p@1".into(), value: 0.3, reached: seconds.is_some(), seconds, step: Some(7) }),
        metrics: vec![("p@1".into(), 0.31)],
        metric: "p@1".into(),
        flops: Some(flops),
        dense_flops: Some(1e12),
        curve: (1..=3)
            .map(|i| Point {
                step: i,
                seconds: Some(i as f64 + 0.1 * f64::from(seed)),
                quality: Some(0.1 * i as f64),
                ..Point::default()
            })
            .collect(),
        cost: Some(Cost { amount: 0.5, currency: "EUR".into(), price_per_hour: Some(3.0) }),
        ..RunReport::default()
    };
    let mut runs = Vec::new();
    for seed in 1..=3 {
        runs.push(run("dense", seed, Some(10.0 + f64::from(seed)), 1e12));
        runs.push(run("sparse", seed, Some(5.0 + f64::from(seed) / 2.0), 1e11));
        runs.push(run("tiny", seed, (seed == 1).then_some(2.5), 1e10));
    }
    Report { title: "contest".into(), runs, ..Report::default() }
}

/// Every tag is closed in the order it was opened in, `<` and `&` occur in no text, and nothing outside is referred to.
fn check_html(page: &str) {
    let body = page.strip_prefix("<!DOCTYPE html>").expect("a document type");
    let mut open: Vec<&str> = Vec::new();
    let mut rest = body;
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains('>') || open.last() == Some(&"style"), "a stray > in {text:?}");
        for (at, _) in text.match_indices('&') {
            let entity = text[at + 1..].split_once(';').map(|(entity, _)| entity);
            assert!(matches!(entity, Some("amp" | "lt" | "gt" | "quot" | "apos" | "#39")), "a stray & in {text:?}");
        }
        let (tag, after) = after.split_once('>').expect("a tag ends");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed out of order");
        } else if !tag.ends_with('/') {
            let name = tag.split(' ').next().unwrap_or_default();
            if name != "meta" {
                open.push(name);
            }
        }
        assert!(!tag.contains("href") && !tag.contains("src=") && !tag.starts_with("script"), "refers outside: {tag}");
        check_colours(tag);
    }
    assert!(open.is_empty(), "left open: {open:?}");
    for banned in ["http:", "https:", "url(", "@import"] {
        assert!(!page.contains(banned), "the page says {banned}");
    }
}

/// Drawings have no colour but by variables that the style defines for light pages, dark ones and paper.
fn check_colours(tag: &str) {
    let style = theme::style();
    for attribute in [" fill=\"", " stroke=\""] {
        for value in tag.split(attribute).skip(1) {
            let value = value.split('"').next().unwrap_or_default();
            let variable = value.strip_prefix("var(").and_then(|rest| rest.strip_suffix(')'));
            let known = variable.is_some_and(|name| style.matches(&format!("{name}: #")).count() == 3);
            assert!(known || value == "none", "{value} in {tag}");
        }
    }
}

/// Every table has as many cells in each line as in its head.
fn check_markdown(text: &str) {
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with("| ") {
            continue;
        }
        let columns = cells(line);
        let rule = lines.next().expect("a rule under the head");
        let rule_is_right = rule.split('|').all(|cell| matches!(cell.trim(), "" | "---" | "---:"));
        assert!(rule_is_right && cells(rule) == columns, "{rule:?} under {line:?}");
        while let Some(line) = lines.next_if(|line| line.starts_with("| ")) {
            assert_eq!(cells(line), columns, "{line:?}");
        }
    }
}

#[test]
fn a_full_page_is_well_formed_and_has_every_drawing() {
    let page = html(&full());
    check_html(&page);
    // Quality twice, loss, phases, active and union share, recall, drift, occupancy, memory, and the shares of two runs.
    assert_eq!(page.matches("<svg ").count(), 12);
    assert_eq!(page.matches("<figcaption>two cores · c0ffee · hotrow demo</figcaption>").count(), 12);
    for text in
        ["seconds of training", "loss (nats)", "Recall of the true top 16", "30.50 %", "-0.40 points", "5x less"]
    {
        assert!(page.contains(text), "no {text}");
    }
    check_markdown(&markdown(&full(), Some("pictures")));
}

#[test]
fn a_contest_says_who_arrived_and_multiplies_nothing() {
    let report = contest();
    let page = html(&report);
    check_html(&page);
    let text = markdown(&report, None);
    check_markdown(&text);
    // dense takes 12 s, sparse 6 s: twice as fast, with a tenth of the operations.
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_string();
    assert_eq!(
        line("| sparse |"),
        "| sparse | closed | 3 of 3 | 6 s (5.5 s, 6 s, 6.5 s) | 2x | 100 GFLOP | 10x | 31.00 % | – | 0.50 EUR |"
    );
    assert!(line("| tiny |").contains("| 1 of 3 | not reached (2.5 s, never, never) | – |"), "{}", line("| tiny |"));
    assert!(line("| GPU (CUDA) |").contains("| not run |"), "{text}");
    assert!(!text.contains("20x"), "a product of reduction and speed-up");
    // All nine runs and the medians: two charts' worth of lines, and a row for each run.
    assert_eq!((1..=3).map(|seed| text.matches(&format!("seed {seed} |")).count()).sum::<usize>(), 9);
    assert!(page.contains("tiny (2 of 3 did not arrive)") && page.contains("target 30.00 %"));
}

#[test]
fn a_gpu_that_ran_has_no_row_that_says_otherwise() {
    let mut report = contest();
    report.runs[0].device = "cuda".into();
    assert!(!markdown(&report, None).contains("not run"));
}

#[test]
fn an_empty_report_is_a_page_of_sentences() {
    let page = html(&Report::default());
    check_html(&page);
    assert_eq!(page.matches("<svg ").count(), 0);
    assert_eq!(page.matches("<p class=\"dim\">").count(), 1);
    assert_eq!(table(&Report::default()), "\n");
}

#[test]
fn what_is_left_out_is_named() {
    let run = RunReport { name: "a".into(), seconds: Some(1.0), ..RunReport::default() };
    let page = html(&Report { runs: vec![run], ..Report::default() });
    let left_out = "quality, loss, where the time goes, active rows, index, memory by component, cost and energy";
    assert!(page.contains(left_out), "{page}");
}

#[test]
fn pictures_have_different_names_and_are_small() {
    let report = full();
    let mut names: Vec<String> = Vec::new();
    for (name, bytes) in pictures(&report) {
        assert!(bytes.len() < 100_000, "{name} has {} bytes", bytes.len());
        assert!(markdown(&report, Some("dir")).contains(&format!("(<dir/{name}>)")), "{name}");
        assert!(!names.contains(&name), "{name} twice");
        names.push(name);
    }
    assert_eq!(names.len(), 12);
}

#[test]
fn measurements_are_drawn_and_tabled() {
    let kernel = |name: &str, gflops| Kernel {
        name: name.into(),
        level: "avx2".into(),
        dtype: "f32".into(),
        flops_per_byte: 0.5,
        gflops,
        gbytes: Some(15.0),
        ..Kernel::default()
    };
    let peaks = vec![Peak { level: "avx2".into(), dtype: "f32".into(), gflops: 100.0 }];
    let kernels = vec![kernel("rows_dot", 8.0), kernel("odd", 0.0), kernel("gemm", 9.0)];
    let row = |density: f64| BreakEvenRow {
        density,
        seconds: vec![("sampled".into(), 10.0 * density), ("dense".into(), 1.0)],
        ..BreakEvenRow::default()
    };
    let rule = PackingRule { packed_from: 0.25, measured: Some((0.2, 0.3)), worst_factor: Some(1.5) };
    let sweep = |value| SweepRow {
        axis: "labels".into(),
        value,
        contender: "dense".into(),
        setting: "batch 64".into(),
        seconds: 1e-6 * value,
    };
    let report = Report {
        rooflines: vec![Roofline { peaks, bandwidth: Some(2e10), kernels, ..Roofline::default() }],
        breakevens: vec![BreakEven { rows: vec![row(0.01), row(1.0)], rule: Some(rule), ..BreakEven::default() }],
        sweeps: vec![Sweep { rows: vec![sweep(1e3), sweep(1e6)], ..Sweep::default() }],
        ..Report::default()
    };
    let page = html(&report);
    check_html(&page);
    let text = markdown(&report, None);
    check_markdown(&text);
    assert_eq!(page.matches("<svg ").count(), 3);
    // 8 of the 10 GFLOP/s that memory allows at half an operation a byte.
    assert!(text.contains("| 1: rows\\_dot | avx2 f32 |  | 0.5 | 8 GFLOP/s | 15 GB/s | 80.00 % |"), "{text}");
    // Without operations: 15 of the 20 GB/s of memory.
    assert!(text.contains("| 2: odd | avx2 f32 |  | 0.5 | 0 FLOP/s | 15 GB/s | 75.00 % |"), "{text}");
    assert!(text.contains("from 20.00 % to 30.00 %; at worst the choice takes 1.5 times"), "{text}");
    assert!(text.contains("| labels | 1 k | dense | batch 64 | 1 ms |"), "{text}");
    assert!(text.contains("| 10.00 % |"), "where sampled and dense cross: {text}");
    // A kernel that cannot be drawn does not shift the numbers of the others.
    assert!(page.contains("\n3\n"));
}

#[test]
fn the_text_table_is_aligned_and_compares_with_the_first_run() {
    let text = table(&full());
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.iter().skip(1).any(|line| line.contains("6 s (5x less)")), "{text}");
    assert!(lines.iter().skip(1).any(|line| line.contains("30.10 % (-0.40 points)")), "{text}");
    assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{text}");
}

#[test]
fn figures_that_one_run_lacks_are_a_dash() {
    let mut report = full();
    report.runs[1].seconds = None;
    let text = table(&report);
    let line = text.lines().find(|line| line.starts_with("time of training")).expect("the first run has it");
    assert!(line.contains("30 s") && line.ends_with('-'), "{line}");
}

mod laws;
