//! The origin of this build, for `--version`, reports and file headers.

/// Version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit checked out at build time; `unknown` outside a checkout of hotrow.
pub const COMMIT: &str = env!("HOTROW_COMMIT");

/// The compiler, as `rustc --version` prints it.
pub const RUSTC: &str = env!("HOTROW_RUSTC");

/// The target triple.
pub const TARGET: &str = env!("HOTROW_TARGET");

/// The optimisation level: `3` in a release build.
pub const OPT_LEVEL: &str = env!("HOTROW_OPT_LEVEL");

/// All of it, one a line: what `hotrow --version` prints after the name.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit ",
    env!("HOTROW_COMMIT"),
    "\n",
    env!("HOTROW_RUSTC"),
    "\ntarget ",
    env!("HOTROW_TARGET"),
    ", opt-level ",
    env!("HOTROW_OPT_LEVEL"),
);
