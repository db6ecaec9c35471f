//! Any numbers and names: the page stays a page, and says the numbers it was given.

use super::*;

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
    fn any_run()(
        name in ".{0,60}",
        numbers in prop::collection::vec(any_number(), 1..40),
        phase in ".{0,5}",
        contest in any::<bool>(),
    ) -> RunReport {
        let at = |i: usize| numbers[i % numbers.len()];
        let point = |i| Point {
            step: i as u64 / 2,
            samples: Some(at(i)),
            seconds: Some(at(i + 1)),
            flops: Some(at(i + 5)),
            loss: Some(at(i + 2)),
            quality: Some(at(i + 3)),
            active_share: Some(at(i + 4)),
            union_share: None,
        };
        let health = |i| Health {
            step: u64::MAX - i as u64,
            recall: Some(at(i)),
            captured_mass: Some(at(i + 1)),
            union_rows: Some(at(i + 2)),
            share_tail: Some(at(i + 3)),
            occupancy: numbers.clone(),
            ..Health::default()
        };
        let target = |metric: &str| Target {
            metric: metric.into(),
            value: at(6),
            reached: at(7) > 0.0,
            seconds: Some(at(8)),
            step: None,
        };
        RunReport {
            metrics: vec![("p@1".into(), at(0)), (name.clone(), at(1))],
            metric: if contest { "p@1".into() } else { phase.clone() },
            contender: if contest { "one".into() } else { String::new() },
            target: contest.then(|| target("p@1")),
            seconds: Some(at(2)),
            flops: Some(at(3)),
            dense_flops: Some(at(4)),
            bytes: Some(at(4)),
            active_share: Some(at(5)),
            curve: (0..numbers.len()).map(point).collect(),
            phases: [phase.as_str(), "gemm", "gemm"]
                .iter()
                .enumerate()
                .map(|(i, name)| PhaseCost { name: name.to_string(), seconds: at(i), flops: at(i + 1), bytes: at(i + 2) })
                .collect(),
            index_health: (0..numbers.len()).map(health).collect(),
            components: vec![(phase.clone(), at(6)), ("output".into(), at(7))],
            cost: Some(Cost { amount: at(8), currency: phase, price_per_hour: None }),
            name,
            ..RunReport::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_numbers_and_names_give_a_well_formed_page(
        runs in prop::collection::vec(any_run(), 0..4),
        text in "\\PC{0,20}|[<>&|\"'`\u{0}\n]{0,9}",
    ) {
        let report = Report {
            title: text.clone(),
            subtitle: text.clone(),
            environment: vec![(text.clone(), text.clone())],
            notes: vec![text],
            runs,
            ..Report::default()
        };
        let names = report.runs.iter().map(|run| &run.name).chain([&report.title]);
        let honest = !names.into_iter().any(|name| ["http:", "https:", "url(", "@import"].iter().any(|b| name.contains(b)));
        prop_assume!(honest);
        check_html(&html(&report));
        check_markdown(&markdown(&report, None));
        prop_assert_eq!(table(&report).lines().count(), compare::rows(&report.runs.iter().collect::<Vec<_>>()).len() + 1);
    }

    #[test]
    fn any_measurements_give_a_well_formed_page(
        numbers in prop::collection::vec(any_number(), 6..30), names in prop::collection::vec("[a<|é]{0,3}", 4),
    ) {
        let at = |i: usize| numbers[i % numbers.len()];
        let name = |i: usize| names[i % names.len()].clone();
        let kernel = |i| Kernel {
            level: name(i),
            dtype: name(i + 1),
            flops_per_byte: at(i),
            gflops: at(i + 1),
            gbytes: Some(at(i + 2)),
            ..Kernel::default()
        };
        let row = |i| BreakEvenRow {
            density: at(i),
            seconds: vec![("sampled".into(), at(i + 1)), (name(i), at(i + 2)), ("dense".into(), at(i + 3))],
            shape: name(i + 1),
            ..BreakEvenRow::default()
        };
        let sweep = |i| SweepRow { axis: name(i), value: at(i), contender: name(i + 1), seconds: at(i + 2), ..SweepRow::default() };
        let peak = |i| Peak { level: name(i), dtype: name(i + 1), gflops: at(i + 3) };
        let all = 0..numbers.len();
        let rule = PackingRule { packed_from: at(0), measured: Some((at(1), at(2))), worst_factor: Some(at(3)) };
        let report = Report {
            rooflines: vec![Roofline {
                peaks: (0..3).map(peak).collect(),
                bandwidth: Some(at(5)),
                kernels: all.clone().map(kernel).collect(),
                ..Roofline::default()
            }],
            breakevens: vec![BreakEven { rows: all.clone().map(row).collect(), rule: Some(rule), ..BreakEven::default() }],
            sweeps: vec![Sweep { rows: all.map(sweep).collect(), ..Sweep::default() }],
            ..Report::default()
        };
        check_html(&html(&report));
        check_markdown(&markdown(&report, None));
    }

    #[test]
    fn every_number_of_a_run_is_on_its_page(
        seconds in 0.001..1e5f64, flops in 1.0..1e20f64, bytes in 1.0..1e15f64, quality in 0.0..1.0f64, part in 1.0..1e12f64,
    ) {
        let run = RunReport {
            name: "a".into(),
            seconds: Some(seconds),
            flops: Some(flops),
            bytes: Some(bytes),
            metrics: vec![("p@1".into(), quality)],
            components: vec![("output".into(), part)],
            phases: vec![PhaseCost { name: "gemm".into(), seconds, flops, bytes }],
            ..RunReport::default()
        };
        let report = Report { runs: vec![run], ..Report::default() };
        let (page, text) = (html(&report), markdown(&report, None));
        let written = [
            number::quantity(seconds, "s"), number::quantity(flops, "FLOP"), number::quantity(flops / seconds, "FLOP/s"),
            number::quantity(bytes, "B"), number::percent(quality), number::quantity(part, "B"),
        ];
        for number in written {
            prop_assert!(page.contains(&format!(">{number}<")), "{number}");
            prop_assert!(text.contains(&format!("| {number} |")), "{number}");
        }
    }
}
