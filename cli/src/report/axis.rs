//! An axis, linear or logarithmic: its range and the positions of its marks.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// How values are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// From the smallest value.
    Linear,
    /// From 0.
    FromZero,
    /// Equal ratios are equally long. Only values above 0 can be drawn.
    Log,
}

/// The largest number that a chart draws. Its inverse is the smallest of a logarithmic axis. Beyond it a difference may
/// overflow, and no figure of a run is that large.
const MOST: f64 = 1e30;

impl Scale {
    /// Logarithmic if the values span more than a factor of `factor`, else from 0. All values are above 0.
    pub fn fitting(values: impl Iterator<Item = f64> + Clone, factor: f64) -> Scale {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(0.0, f64::max);
        if low > 0.0 && high > factor * low { Scale::Log } else { Scale::FromZero }
    }

    /// Whether a value can be drawn.
    pub fn allows(self, value: f64) -> bool {
        value.abs() < MOST && (self != Scale::Log || value > 1.0 / MOST)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    ticks: Vec<f64>,
}

impl Axis {
    /// An axis that holds all values, with marks at round numbers. There is at least one value, and `scale` allows all.
    pub fn new(values: impl Iterator<Item = f64> + Clone, scale: Scale) -> Axis {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        match scale {
            Scale::Log => Axis::logarithmic(low, high),
            Scale::FromZero => Axis::linear(low.min(0.0), high.max(0.0), true),
            Scale::Linear => Axis::linear(low, high, false),
        }
    }

    fn linear(mut low: f64, mut high: f64, from_zero: bool) -> Axis {
        // If all values are nearly the same, the axis gets some room around them. Rounding cannot make it empty again.
        let least = 1e-6 * low.abs().max(high.abs()).max(1e-12);
        if high - low < least {
            (low, high) = (if from_zero && low >= 0.0 { 0.0 } else { low - least }, high + least);
        }
        let top = if from_zero || low < 0.0 { high + 0.04 * (high - low) } else { high + 0.02 * (high - low) };
        Axis { low, high: top, log: false, ticks: round(low, top) }
    }

    fn logarithmic(low: f64, high: f64) -> Axis {
        // 4 % of the length beyond each end, and at least a factor of 2 in all.
        let air = (high / low).powf(0.04).max(if high / low < 2.0 { 1.5 } else { 1.0 });
        let (low, high) = (low / air, high * air);
        let decades = (high / low).log10();
        let ticks = if decades < 0.8 {
            round(low, high)
        } else {
            let mantissas: &[f64] = if decades <= 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let every = (decades / 7.0).ceil() as i32;
            let powers = (low.log10().floor() as i32..=high.log10().ceil() as i32).filter(|p| p % every == 0);
            let all = powers.flat_map(|power| mantissas.iter().map(move |m| m * 10f64.powi(power)));
            all.filter(|tick| (low..=high).contains(tick)).collect()
        };
        Axis { low, high, log: true, ticks }
    }

    /// The position of a value: 0 at the beginning of the axis, 1 at its end.
    fn share(&self, value: f64) -> f64 {
        match self.log {
            true => (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        }
    }
}

/// Multiples of 1, 2 or 5 times a power of ten, about six.
fn round(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 5.2;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|&s| s >= rough).unwrap_or(10.0 * power);
    let first = (low / step).ceil();
    (0..12).map(|i| (first + f64::from(i)) * step).take_while(|&tick| tick <= high).collect()
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, &value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * self.share(value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.low..self.high
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_value_lies_within_its_axis_and_marks_too(
            values in prop::collection::vec(prop_oneof![1e-29..1e29f64, 1e-3..1e3f64, Just(7.0)], 1..9), kind in 0..3,
        ) {
            let scale = [Scale::Linear, Scale::FromZero, Scale::Log][kind as usize];
            prop_assume!(values.iter().all(|&value| scale.allows(value)));
            let axis = Axis::new(values.iter().copied(), scale);
            for &value in values.iter().chain(&axis.ticks) {
                prop_assert!((0..=1000).contains(&axis.map(&value, (0, 1000))), "{value} in {axis:?}");
            }
            prop_assert!(!axis.ticks.is_empty() && axis.ticks.len() <= 12, "{axis:?}");
        }
    }

    #[test]
    fn a_logarithmic_axis_has_equal_steps_for_equal_ratios() {
        let axis = Axis::new([1.0, 10.0, 100.0].into_iter(), Scale::Log);
        let at = |value| axis.map(&value, (0, 3000));
        assert!((at(10.0) - at(1.0) - (at(100.0) - at(10.0))).abs() <= 1);
        assert_eq!(Scale::fitting([1.0, 5.0].into_iter(), 10.0), Scale::FromZero);
        assert_eq!(Scale::fitting([1.0, 50.0].into_iter(), 10.0), Scale::Log);
        assert_eq!(Scale::fitting([0.0, 50.0].into_iter(), 10.0), Scale::FromZero);
    }
}
