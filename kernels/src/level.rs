//! Which instruction set a kernel runs on: detection, names, and the one dispatch.

#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Amx, Avx2, Avx512};
use crate::simd::{Portable, Simd, Tiles};

/// An instruction set that this machine has. Whoever owns the data detects it once and passes it to every kernel.
///
/// Results differ between levels by the order of additions only. Pass [`Level::PORTABLE`] if a run must repeat to the
/// bit on another machine.
///
/// ```
/// use hotrow_kernels::Level;
/// let best = Level::detect();
/// assert!(Level::available().any(|level| level == best));
/// assert_eq!("portable".parse(), Ok(Level::PORTABLE));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// The `wide` crate: whatever the target has as a baseline.
    Portable(Portable),
    /// AVX2 and FMA, 8 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512 f, bw, dq and vl, 16 lanes; with bf16 too, its pairs are multiplied where that is faster than f32.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// [`Level::Avx512`] with AMX tiles for bf16 products; only the GEMM family differs.
    #[cfg(target_arch = "x86_64")]
    Amx(Amx),
    /// NEON, 4 lanes.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

/// Why a level cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LevelError {
    /// No level has this name.
    #[error("no level is called {name:?}: the levels are portable, avx2, avx512, amx and neon")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The level exists, not on this machine.
    #[error("level {name} is absent: {reason}")]
    Absent {
        /// The level.
        name: &'static str,
        /// What is missing.
        reason: &'static str,
    },
}

impl Level {
    /// The level that every machine has.
    pub const PORTABLE: Level = Level::Portable(Portable::TOKEN);

    /// The names of all levels, lowest first within an architecture.
    pub const NAMES: [&'static str; 5] = ["portable", "avx2", "avx512", "amx", "neon"];

    /// The best level of this machine.
    pub fn detect() -> Level {
        Level::available().last().unwrap_or(Level::PORTABLE)
    }

    /// The levels this machine has, lowest first.
    pub fn available() -> impl Iterator<Item = Level> {
        Level::NAMES.into_iter().filter_map(|name| Level::from_name(name).ok())
    }

    /// The levels this machine lacks, each with the reason.
    ///
    /// ```
    /// for (name, reason) in hotrow_kernels::Level::absent() {
    ///     println!("{name}: {reason}");
    /// }
    /// ```
    pub fn absent() -> impl Iterator<Item = (&'static str, &'static str)> {
        Level::NAMES.into_iter().filter_map(|name| match Level::from_name(name) {
            Err(LevelError::Absent { name, reason }) => Some((name, reason)),
            _ => None,
        })
    }

    /// The level with this name, if this machine has it.
    ///
    /// # Errors
    ///
    /// [`LevelError::Unknown`] or [`LevelError::Absent`].
    ///
    /// ```
    /// use hotrow_kernels::{Level, LevelError};
    /// assert!(Level::from_name("portable").is_ok());
    /// assert!(matches!(Level::from_name("mmx"), Err(LevelError::Unknown { .. })));
    /// ```
    pub fn from_name(name: &str) -> Result<Level, LevelError> {
        match name {
            "portable" => Ok(Level::PORTABLE),
            "avx2" => avx2(),
            "avx512" => avx512(),
            "amx" => amx(),
            "neon" => neon(),
            _ => Err(LevelError::Unknown { name: name.to_owned() }),
        }
    }

    /// Lower-case name, as [`Level::from_name`] takes it.
    ///
    /// ```
    /// assert_eq!(hotrow_kernels::Level::PORTABLE.name(), "portable");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Level::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Amx(_) => "amx",
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => "neon",
        }
    }

    /// The level whose vectors this one computes with. That is [`Level::Avx512`] for AMX, which adds tiles to them, and
    /// itself for all others. One instance of a kernel serves both.
    ///
    /// ```
    /// assert_eq!(hotrow_kernels::Level::PORTABLE.vectors().name(), "portable");
    /// ```
    pub fn vectors(self) -> Level {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Amx(tiles) => Level::Avx512(tiles.avx512()),
            same => same,
        }
    }

    /// Lanes of 32 bits in a vector of this level.
    ///
    /// ```
    /// assert_eq!(hotrow_kernels::Level::PORTABLE.lanes(), 8);
    /// ```
    pub fn lanes(self) -> usize {
        #[inline(always)]
        fn lanes<S: Simd>(_: S) -> usize {
            S::LANES
        }
        crate::dispatch!(self, s => lanes(s))
    }

    /// The matrix unit of this level, if it has one. [`Level::Amx`] does. [`Level::Avx512`] does on CPUs whose
    /// instruction for bf16 pairs is faster than f32 (AMD).
    ///
    /// ```
    /// use hotrow_kernels::Level;
    /// assert!(Level::PORTABLE.tiles().is_none());
    /// assert!(Level::available().filter(|level| level.name() == "amx").all(|level| level.tiles().is_some()));
    /// ```
    pub fn tiles(self) -> Option<Tiles> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Amx(amx) => Some(Tiles::of(amx)),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(avx512) => Tiles::of_vectors(avx512),
            _ => None,
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Level {
    type Err = LevelError;
    fn from_str(name: &str) -> Result<Level, LevelError> {
        Level::from_name(name)
    }
}

#[cfg(target_arch = "x86_64")]
fn avx2() -> Result<Level, LevelError> {
    let reason = "the CPU or the operating system lacks avx2 or fma";
    Avx2::detect().map(Level::Avx2).ok_or(LevelError::Absent { name: "avx2", reason })
}

#[cfg(target_arch = "x86_64")]
fn avx512() -> Result<Level, LevelError> {
    let reason = "the CPU or the operating system lacks one of avx512f, avx512bw, avx512dq, avx512vl";
    Avx512::detect().map(Level::Avx512).ok_or(LevelError::Absent { name: "avx512", reason })
}

#[cfg(target_arch = "x86_64")]
fn amx() -> Result<Level, LevelError> {
    Amx::detect().map(Level::Amx).map_err(|reason| LevelError::Absent { name: "amx", reason })
}

#[cfg(not(target_arch = "x86_64"))]
fn avx2() -> Result<Level, LevelError> {
    Err(LevelError::Absent { name: "avx2", reason: "not an x86-64 machine" })
}

#[cfg(not(target_arch = "x86_64"))]
fn avx512() -> Result<Level, LevelError> {
    Err(LevelError::Absent { name: "avx512", reason: "not an x86-64 machine" })
}

#[cfg(not(target_arch = "x86_64"))]
fn amx() -> Result<Level, LevelError> {
    Err(LevelError::Absent { name: "amx", reason: "not an x86-64 machine" })
}

#[cfg(target_arch = "aarch64")]
fn neon() -> Result<Level, LevelError> {
    Neon::detect().map(Level::Neon).ok_or(LevelError::Absent { name: "neon", reason: "the CPU lacks neon" })
}

#[cfg(not(target_arch = "aarch64"))]
fn neon() -> Result<Level, LevelError> {
    Err(LevelError::Absent { name: "neon", reason: "not an aarch64 machine" })
}

/// Runs an expression with the SIMD token of a [`Level`], compiled for that level's instructions.
///
/// `dispatch!(level, s => kernel(s, ..))`: `kernel` is generic over `S: Simd`. It and everything that it calls is
/// `#[inline(always)]`. Use the macro once at the edge of a kernel, outside loops. A closure that is sent to another
/// thread from inside loses the instruction set. See [`Simd`](crate::simd::Simd) for an example.
#[macro_export]
macro_rules! dispatch {
    ($level:expr, $s:ident => $body:expr) => {
        $crate::__dispatch!($level, $s => $body)
    };
}

#[cfg(target_arch = "x86_64")]
#[doc(hidden)]
#[macro_export]
macro_rules! __dispatch {
    ($level:expr, $s:ident => $body:expr) => {
        match $crate::Level::vectors($level) {
            $crate::Level::Portable($s) => $crate::simd::Simd::vectorize(
                $s,
                #[inline(always)]
                || $body,
            ),
            $crate::Level::Avx2($s) => $crate::simd::Simd::vectorize(
                $s,
                #[inline(always)]
                || $body,
            ),
            $crate::Level::Avx512($s) => $crate::simd::Simd::vectorize(
                $s,
                #[inline(always)]
                || $body,
            ),
            #[allow(unreachable_patterns)]
            _ => unreachable!("the vector levels of this architecture are named above"),
        }
    };
}

#[cfg(target_arch = "aarch64")]
#[doc(hidden)]
#[macro_export]
macro_rules! __dispatch {
    ($level:expr, $s:ident => $body:expr) => {
        match $crate::Level::vectors($level) {
            $crate::Level::Portable($s) => $crate::simd::Simd::vectorize(
                $s,
                #[inline(always)]
                || $body,
            ),
            $crate::Level::Neon($s) => $crate::simd::Simd::vectorize(
                $s,
                #[inline(always)]
                || $body,
            ),
            #[allow(unreachable_patterns)]
            _ => unreachable!("the vector levels of this architecture are named above"),
        }
    };
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __dispatch {
    ($level:expr, $s:ident => $body:expr) => {
        match $crate::Level::vectors($level) {
            $crate::Level::Portable($s) => $crate::simd::Simd::vectorize(
                $s,
                #[inline(always)]
                || $body,
            ),
            #[allow(unreachable_patterns)]
            _ => unreachable!("the vector levels of this architecture are named above"),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_available_or_absent_with_a_reason_and_round_trips() {
        let available: Vec<_> = Level::available().map(Level::name).collect();
        let absent: Vec<_> = Level::absent().map(|(name, _)| name).collect();
        assert_eq!(available.len() + absent.len(), Level::NAMES.len());
        for level in Level::available() {
            assert_eq!(Level::from_name(level.name()), Ok(level));
        }
        assert!(Level::absent().all(|(_, reason)| !reason.is_empty()));
        println!("levels run: {available:?}; absent: {:?}", Level::absent().collect::<Vec<_>>());
    }

    #[test]
    fn levels_are_listed_lowest_first_and_any_can_be_forced() {
        let levels: Vec<_> = Level::available().collect();
        assert_eq!(levels[0], Level::PORTABLE);
        assert_eq!(levels.last(), Some(&Level::detect()));
        for level in levels {
            let forced: Level = level.name().parse().unwrap();
            assert_eq!(forced, level);
            assert_eq!(forced.to_string(), level.name());
            let lanes = match level.name() {
                "avx512" | "amx" => 16,
                "neon" => 4,
                _ => 8,
            };
            assert_eq!(forced.lanes(), lanes, "{level}");
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_levels() {
        let message = Level::from_name("AVX2").unwrap_err().to_string();
        assert!(message.contains("AVX2"));
        assert!(Level::NAMES.iter().all(|name| message.contains(name)), "{message}");
    }

    /// `.ci/run` names the levels that its machine must have, so that a level cannot go missing in silence.
    #[test]
    fn the_levels_named_by_the_environment_are_available() {
        let Ok(expected) = std::env::var("HOTROW_EXPECT_LEVELS") else { return };
        for name in expected.split([' ', ',']).filter(|name| !name.is_empty()) {
            Level::from_name(name).unwrap();
        }
    }
}
