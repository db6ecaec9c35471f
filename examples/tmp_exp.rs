//! Temporary.
use hotrow::config::Config;
use hotrow::data::{self, Batch, Loader, Samples};
use hotrow::flops::Phase;
use hotrow::kernels::Level;
use hotrow::train::{Trainer, evaluate};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
#[allow(clippy::print_stdout)]
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (train, valid) = (args[0].clone(), args[1].clone());
    let sets = &args[2..];
    let mut doc = toml::Table::new();
    for s in sets {
        let (k, v) = s.split_once('=').unwrap();
        let (a, b) = k.split_once('.').unwrap();
        let value: toml::Value = format!("x={v}").parse::<toml::Table>().map(|t| t["x"].clone()).unwrap_or(toml::Value::String(v.into()));
        doc.entry(a).or_insert(toml::Table::new().into()).as_table_mut().unwrap().insert(b.into(), value);
    }
    let config: Config = doc.try_into().unwrap();
    let d = data::open(&train, if valid.is_empty() { None } else { Some(&valid) }, &config.data, Path::new("/tmp/cache")).unwrap();
    let train = Arc::new(d.train.clone());
    let n = train.len();
    let per = n.div_ceil(config.train.batch_size) as u64;
    let limit: u64 = std::env::var("STEPS").ok().and_then(|s| s.parse().ok()).unwrap_or(u64::MAX);
    let total = (per * config.train.epochs).min(limit);
    let mut t = Trainer::new(config.clone(), train.features(), train.labels(), total, Level::detect()).unwrap();
    let mut loader = Loader::new(train.clone(), config.train.seed, config.train.batch_size, 0, total);
    let mut loss = 0.0;
    let (mut pairs, mut samples, mut unions) = (0, 0, 0);
    let mut start = Instant::now();
    for step in 0..total {
        let t0 = Instant::now();
        let batch: Batch = loader.next().unwrap();
        t.work.costs.time(Phase::Read, t0.elapsed());
        if config.sparse.inspect_every > 0 && step % config.sparse.inspect_every == config.sparse.inspect_every - 1 {
            if let Some(h) = t.inspect(&batch) {
                println!("  {h:?}");
            }
            start = start + t0.elapsed();
        }
        let r = t.step(&batch).unwrap();
        loss += r.loss * r.samples as f64;
        pairs += r.pairs;
        samples += r.samples;
        unions += r.union_rows;
        loader.recycle(batch);
        if (step + 1) % per == 0 || step + 1 == total {
            let secs = start.elapsed().as_secs_f64();
            t.settle();
            let t1 = Instant::now();
            let costs = t.work.costs;
            let m = d.valid.as_ref().map(|v| evaluate(&t.network, &mut t.work, v, &[1, 3, 5], None).metrics());
            t.work.costs = costs;
            println!(
                "step {} loss {:.4} {} sps {:.0} ms/step {:.2} active {:.3}% union {} eval {:.1}s",
                step + 1, loss / samples as f64,
                m.map(|m| format!("p@1 {:.4} p@3 {:.4} p@5 {:.4}", m["p@1"], m["p@3"], m["p@5"])).unwrap_or_default(),
                samples as f64 / secs, 1e3 * secs / (samples as f64 / config.train.batch_size as f64),
                100.0 * pairs as f64 / (samples as f64 * train.labels() as f64), unions as u64 / (samples / config.train.batch_size).max(1) as u64,
                t1.elapsed().as_secs_f64()
            );
            let c = t.work.costs;
            let steps = (step + 1) as f64;
            println!("   {}", Phase::ALL.iter().map(|&p| format!("{} {:.2}", p.name(), 1e3 * c.of(p).seconds / steps)).collect::<Vec<_>>().join("  "));
            loss = 0.0; pairs = 0; samples = 0; unions = 0;
            start = Instant::now();
        }
    }
}
