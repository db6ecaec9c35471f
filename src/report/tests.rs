//! The whole report: structure, ratios, missing and mad numbers.

use proptest::prelude::*;

use super::*;

/// Two runs with every section.
fn full() -> Report {
    let run = |name: &str, cost: f64| RunReport {
        name: name.into(),
        metrics: vec![("p@1".into(), 0.3 + 0.001 * cost), ("loss".into(), 5.0)],
        seconds: Some(6.0 * cost),
        flops: Some(1.2e9 * cost),
        curve: (1..=30)
            .map(|i| Point {
                step: 50 * i,
                samples: Some(12_800.0 * i as f64),
                seconds: Some(0.2 * cost * i as f64),
                loss: Some(9.0 / (i as f64).sqrt()),
                precision_at_1: (i % 5 == 0).then_some(0.3 - 0.3 / i as f64),
            })
            .collect(),
        phases: crate::flops::Phase::ALL
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
                ..Health::default()
            })
            .collect(),
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
    }
    assert!(open.is_empty(), "left open: {open:?}");
    for banned in ["http:", "https:", "url(", "@import"] {
        assert!(!page.contains(banned), "the page says {banned}");
    }
}

#[test]
fn a_full_page_is_well_formed_and_has_every_drawing() {
    let page = html(&full());
    check_html(&page);
    // Quality, loss, phases, recall, drift, and the shares of two runs.
    assert_eq!(page.matches("<svg ").count(), 7);
    for text in
        ["time of training (s)", "loss (nats)", "Recall of the true top 16", "30.50 %", "-0.40 points", "5x less"]
    {
        assert!(page.contains(text), "no {text}");
    }
}

#[test]
fn an_empty_report_is_a_page_of_sentences() {
    let page = html(&Report::default());
    check_html(&page);
    assert_eq!(page.matches("<svg ").count(), 0);
    assert_eq!(page.matches("<p class=\"dim\">").count(), 6);
    assert_eq!(table(&Report::default()), "\n");
}

#[test]
fn drawings_use_no_ink_but_that_which_the_style_replaces() {
    let page = html(&full());
    let text = page.split("<text ").skip(1).filter(|text| !text.contains("fill=\"#010101\""));
    // Only names on the pieces of bars have a colour of their own.
    assert!(text.into_iter().all(|text| text.contains("fill=\"#FFFFFF\"") || text.contains("fill=\"#000000\"")));
    assert!(page.contains("svg text[fill=\"#010101\"] { fill: var(--ink); }"));
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

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        -10.0..1e4,
        Just(0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        Just(5e-324),
    ]
}

prop_compose! {
    fn any_run()(name in ".{0,60}", numbers in prop::collection::vec(any_number(), 1..40), phase in ".{0,5}") -> RunReport {
        let at = |i: usize| numbers[i % numbers.len()];
        let point = |i| Point {
            step: i as u64,
            samples: Some(at(i)),
            seconds: Some(at(i + 1)),
            loss: Some(at(i + 2)),
            precision_at_1: Some(at(i + 3)),
        };
        let health = |i| Health {
            step: u64::MAX - i as u64,
            recall: Some(at(i)),
            captured_mass: Some(at(i + 1)),
            union_rows: Some(at(i + 2)),
            share_tail: Some(at(i + 3)),
            ..Health::default()
        };
        RunReport {
            metrics: vec![("p@1".into(), at(0)), (name.clone(), at(1))],
            seconds: Some(at(2)),
            flops: Some(at(3)),
            bytes: Some(at(4)),
            active_share: Some(at(5)),
            curve: (0..numbers.len()).map(point).collect(),
            phases: [phase.as_str(), "gemm", "gemm"]
                .iter()
                .enumerate()
                .map(|(i, name)| PhaseCost { name: name.to_string(), seconds: at(i), flops: at(i + 1), bytes: at(i + 2) })
                .collect(),
            index_health: (0..numbers.len()).map(health).collect(),
            name,
            ..RunReport::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_numbers_and_names_give_a_well_formed_page(
        runs in prop::collection::vec(any_run(), 0..4),
        text in "\\PC{0,20}|[<>&\"'\u{0}\n]{0,9}",
    ) {
        let report = Report {
            title: text.clone(),
            subtitle: text.clone(),
            command: text.clone(),
            environment: vec![(text.clone(), text.clone())],
            notes: vec![text],
            runs,
        };
        let names = report.runs.iter().map(|run| &run.name).chain([&report.title]);
        let honest = !names.into_iter().any(|name| ["http:", "https:", "url(", "@import"].iter().any(|b| name.contains(b)));
        prop_assume!(honest);
        check_html(&html(&report));
        prop_assert_eq!(table(&report).lines().count(), compare::rows(&report.runs).len() + 1);
    }
}
