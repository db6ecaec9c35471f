//! Reads the measurements of `hotrow bench roofline`, `breakeven`, `sweep` and `scale`.

use std::path::Path;

use serde_json::Value;

use super::Reader;
use super::json::{self, Object, number, words};
use crate::report::{BreakEven, BreakEvenRow, Kernel, Origin, PackingRule, Peak, Roofline, Sweep, SweepRow};
use hotrow::error::{Error, Result};

impl Reader {
    pub(super) fn roofline(&mut self, path: &Path, object: &Object) -> Result<()> {
        let peak = |at: &str, row: &Object| {
            let [level, dtype] = ["level", "dtype"].map(|key| words(row, key).to_owned());
            Ok(Peak { level, dtype, gflops: need(path, at, row, "gflops")? })
        };
        let kernel = |at: &str, row: &Object| {
            let [name, level, dtype, shape] = ["name", "level", "dtype", "shape"].map(|key| plain(row, key));
            let [flops_per_byte, gflops] = ["flops_per_byte", "gflops"].map(|key| need(path, at, row, key));
            let gbytes = number(row, &["gbytes"]);
            Ok(Kernel { name, level, dtype, shape, flops_per_byte: flops_per_byte?, gflops: gflops?, gbytes })
        };
        let roofline = Roofline {
            origin: origin(object),
            peaks: rows(path, object, "peak", peak)?,
            bandwidth: number(object, &["bandwidth_bytes_per_second"]),
            kernels: rows(path, object, "kernels", kernel)?,
        };
        self.report.rooflines.push(roofline);
        Ok(())
    }

    pub(super) fn breakeven(&mut self, path: &Path, object: &Object) -> Result<()> {
        let row = |at: &str, row: &Object| {
            let [level, dtype, shape] = ["level", "dtype", "shape"].map(|key| plain(row, key));
            // `sampled_seconds` is the time of the method `sampled`.
            let way =
                |(key, value): (&String, &Value)| Some((key.strip_suffix("_seconds")?.to_owned(), value.as_f64()?));
            let seconds = row.iter().filter_map(way).collect();
            Ok(BreakEvenRow { level, dtype, shape, density: need(path, at, row, "density")?, seconds })
        };
        let rows = rows(path, object, "rows", row)?;
        let rule = object.get("rule").and_then(Value::as_object).and_then(|rule| {
            let measured = rule.get("measured").and_then(Value::as_array);
            let measured = measured.and_then(|ends| Some((ends.first()?.as_f64()?, ends.get(1)?.as_f64()?)));
            let packed_from = number(rule, &["packed_from"])?;
            Some(PackingRule { packed_from, measured, worst_factor: number(rule, &["worst_factor"]) })
        });
        self.report.breakevens.push(BreakEven { origin: origin(object), rows, rule });
        Ok(())
    }

    pub(super) fn sweep(&mut self, path: &Path, object: &Object) -> Result<()> {
        let row = |at: &str, row: &Object| {
            let [axis, contender, setting] = ["axis", "contender", "setting"].map(|key| plain(row, key));
            let [value, seconds] = ["value", "seconds"].map(|key| need(path, at, row, key));
            Ok(SweepRow { axis, contender, setting, value: value?, seconds: seconds? })
        };
        let rows = rows(path, object, "rows", row)?;
        self.report.sweeps.push(Sweep { origin: origin(object), rows });
        Ok(())
    }
}

fn origin(object: &Object) -> Origin {
    let machine = object.get("machine").and_then(Value::as_object).cloned().unwrap_or_default();
    json::origin(&machine, object)
}

/// Any value, as text.
fn plain(row: &Object, key: &str) -> String {
    row.get(key).map(json::plain).unwrap_or_default()
}

fn need(path: &Path, at: &str, row: &Object, key: &str) -> Result<f64> {
    number(row, &[key]).ok_or_else(|| Error::data(path, 0, 0, format!("{at}.{key}: is missing or no number")))
}

/// The objects of a list that must be there. Errors name the position in it.
fn rows<T>(path: &Path, object: &Object, key: &str, read: impl Fn(&str, &Object) -> Result<T>) -> Result<Vec<T>> {
    let wrong = |message: String| Error::data(path, 0, 0, message);
    let list =
        object.get(key).and_then(Value::as_array).ok_or_else(|| wrong(format!("{key}: is missing or no list")))?;
    let row = |(i, value): (usize, &Value)| {
        let at = format!("{key}[{i}]");
        read(&at, value.as_object().ok_or_else(|| wrong(format!("{at}: is no object")))?)
    };
    list.iter().enumerate().map(row).collect()
}
