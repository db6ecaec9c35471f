use super::*;
use crate::testing::*;

/// A block product by its definition.
struct Case {
    left: Vec<f32>,
    right: Vec<f32>,
    depth: usize,
}

impl Case {
    /// `left` (32, depth) and `right` (depth, 32), rounded to bf16.
    fn new(mut left: Vec<f32>, mut right: Vec<f32>) -> Self {
        let depth = left.len() / Tiles::SIDE;
        left.iter_mut().chain(&mut right).for_each(|x| *x = bf16::from_f32(*x).to_f32());
        Self { left, right, depth }
    }

    fn random(steps: usize, seed: u64) -> Self {
        Self::new(numbers(steps * Tiles::STEP, seed), numbers(steps * Tiles::STEP, seed + 1))
    }

    fn packed(&self) -> (Vec<bf16>, Vec<bf16>) {
        let (mut a, mut b) = (vec![bf16::ZERO; self.left.len()], vec![bf16::ZERO; self.right.len()]);
        for k in 0..self.depth {
            let (step, inner) = (k / Tiles::DEPTH, k % Tiles::DEPTH);
            for i in 0..Tiles::SIDE {
                let (tile, within) = (step * Tiles::STEP + i / 16 * 512, i % 16);
                a[tile + within * 32 + inner] = bf16::from_f32(self.left[i * self.depth + k]);
                b[tile + inner / 2 * 32 + within * 2 + inner % 2] = bf16::from_f32(self.right[k * Tiles::SIDE + i]);
            }
        }
        (a, b)
    }

    /// `c[row, column] + sum_k left[row, k] right[k, column]`, and the same of magnitudes.
    fn exact(&self, c: &[f32; 1024], row: usize, column: usize) -> (f64, f64) {
        let start = c[row * Tiles::SIDE + column] as f64;
        let products = (0..self.depth)
            .map(|k| self.left[row * self.depth + k] as f64 * self.right[k * Tiles::SIDE + column] as f64);
        (products.clone().fold(start, |sum, x| sum + x), products.fold(start.abs(), |sum, x| sum + x.abs()))
    }

    /// Runs the block misaligned by two bytes (four for `c`) and checks it. The bound is that of any sum of as many
    /// products: in the unit, too, a number goes through at most one rounding for each of them.
    #[track_caller]
    fn check(&self, tiles: Tiles, c: &[f32; 1024]) -> [f32; 1024] {
        let (a, b) = self.packed();
        let (a, b, mut got) = (Misaligned::new(&a, 1), Misaligned::new(&b, 1), Misaligned::new(c, 1));
        let block: &mut [f32; 1024] = (&mut got[..]).try_into().unwrap();
        tiles.configured(|unit| unit.tile_block(&a, &b, block));
        for row in 0..Tiles::SIDE {
            for column in 0..Tiles::SIDE {
                let (want, magnitude) = self.exact(c, row, column);
                let got = block[row * Tiles::SIDE + column];
                assert_within(got, want, sum_bound(self.depth, magnitude), format!("row {row}, column {column}"));
            }
        }
        *block
    }
}

fn random_block(seed: u64) -> [f32; 1024] {
    numbers(1024, seed).try_into().unwrap()
}

/// The unit, at every level that has one.
fn with_tiles(check: impl Fn(Tiles)) {
    at_every_level(|level| {
        if let Some(tiles) = level.tiles() {
            check(tiles);
        }
    });
}

#[test]
fn amx_has_tiles_avx512_may_have_and_no_other_level_does() {
    at_every_level(|level| match level.name() {
        "amx" => assert!(level.tiles().is_some()),
        "avx512" => {}
        _ => assert!(level.tiles().is_none()),
    });
}

#[test]
fn a_block_is_the_sum_of_products_on_top_of_what_was_there() {
    with_tiles(|tiles| {
        for steps in [0, 1, 2, 7] {
            Case::random(steps, steps as u64).check(tiles, &random_block(99));
            Case::random(steps, 17 + steps as u64).check(tiles, &[0.0; 1024]);
        }
    });
}

#[test]
fn integers_come_out_exact() {
    let small = |xs: Vec<f32>| xs.into_iter().map(|x| (x * 9.0).round()).collect::<Vec<_>>();
    with_tiles(|tiles| {
        let case = Case::new(small(numbers(3 * Tiles::STEP, 1)), small(numbers(3 * Tiles::STEP, 2)));
        let got = case.check(tiles, &[1.0; 1024]);
        for (i, &got) in got.iter().enumerate() {
            assert_eq!(got as f64, case.exact(&[1.0; 1024], i / 32, i % 32).0);
        }
    });
}

#[test]
fn one_call_with_two_steps_equals_two_calls_with_one() {
    with_tiles(|tiles| {
        let (a, b) = Case::random(2, 5).packed();
        let (mut once, mut twice) = (random_block(6), random_block(6));
        tiles.configured(|unit| {
            unit.tile_block(&a, &b, &mut once);
            unit.tile_block(&a[..1024], &b[..1024], &mut twice);
            unit.tile_block(&a[1024..], &b[1024..], &mut twice);
        });
        assert_eq!(once, twice);
    });
}

#[test]
fn nan_and_infinities_spread_along_their_row_and_column() {
    with_tiles(|tiles| {
        for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut case = Case::random(2, 21);
            case.left[3 * case.depth + 40] = special;
            case.right[40 * Tiles::SIDE + 30] = special;
            case.right[7 * Tiles::SIDE + 11] = special;
            case.left[29 * case.depth + 7] = 0.0;
            let mut c = random_block(22);
            c[20 * 32 + 20] = special;
            case.check(tiles, &c);
        }
    });
}

#[test]
fn denormals_count_as_zero_and_become_zero() {
    let denormal = f32::MIN_POSITIVE / 4.0;
    let is_zero = |block: [f32; 1024]| block.iter().all(|&x| x == 0.0);
    with_tiles(|tiles| {
        let run = |left, right, start| {
            let (a, b) = Case::new(vec![left; 1024], vec![right; 1024]).packed();
            let mut c = [start; 1024];
            tiles.configured(|unit| unit.tile_block(&a, &b, &mut c));
            c
        };
        assert!(is_zero(run(denormal, 1e30, 0.0)), "left");
        assert!(is_zero(run(1e30, -denormal, 0.0)), "right");
        assert!(is_zero(run(0.0, 0.0, denormal)), "block");
        assert!(is_zero(run(1e-20, 1e-20, 0.0)), "result");
    });
}

#[test]
fn no_steps_leave_even_denormals_alone() {
    with_tiles(|tiles| {
        let mut c = [f32::MIN_POSITIVE / 4.0; 1024];
        tiles.configured(|unit| unit.tile_block(&[], &[], &mut c));
        assert_eq!(c, [f32::MIN_POSITIVE / 4.0; 1024]);
    });
}

#[test]
fn scopes_nest_and_survive_a_panic() {
    with_tiles(|tiles| {
        let (a, b) = Case::random(1, 31).packed();
        let run = |unit: &ConfiguredTiles| {
            let mut c = [0.0; 1024];
            unit.tile_block(&a, &b, &mut c);
            c
        };
        let want = tiles.configured(run);
        tiles.configured(|outer| {
            assert_eq!(tiles.configured(run), want);
            let panicked = std::panic::catch_unwind(|| tiles.configured(|_| panic!("inside a nested scope")));
            assert!(panicked.is_err());
            // Neither inner scope took the configuration away.
            assert_eq!(run(outer), want);
        });
        assert_eq!(DEPTH.get(), 0);
        let panicked = std::panic::catch_unwind(|| tiles.configured(|_| panic!("inside a scope")));
        assert!(panicked.is_err());
        assert_eq!(DEPTH.get(), 0);
        assert_eq!(tiles.configured(run), want);
    });
}

#[test]
fn threads_have_tiles_of_their_own() {
    with_tiles(|tiles| {
        let run = |seed| {
            let (a, b) = Case::random(2, seed).packed();
            let mut c = random_block(seed);
            tiles.configured(|unit| (0..20).for_each(|_| unit.tile_block(&a, &b, &mut c)));
            c
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|seed| (seed, scope.spawn(move || run(seed)))).collect();
            for (seed, thread) in threads {
                assert_eq!(thread.join().unwrap(), run(seed), "thread {seed}");
            }
        });
    });
}

#[test]
fn operands_of_wrong_lengths_panic() {
    with_tiles(|tiles| {
        for (a, b) in [(1024, 2048), (1000, 1000), (0, 1024)] {
            let (a, b) = (vec![bf16::ZERO; a], vec![bf16::ZERO; b]);
            let outcome = std::panic::catch_unwind(|| {
                tiles.configured(|unit| unit.tile_block(&a, &b, &mut [0.0; 1024]));
            });
            assert!(outcome.is_err(), "{} and {}", a.len(), b.len());
        }
    });
}

proptest::proptest! {
    #[test]
    fn any_values_agree_with_the_definition(steps in 0usize..4, seed: u32, scale in -20i32..20) {
        let scaled = |xs: Vec<f32>| xs.into_iter().map(|x| x * 2f32.powi(scale)).collect::<Vec<_>>();
        let (left, right) = (numbers(steps * 1024, seed.into()), scaled(numbers(steps * 1024, !u64::from(seed))));
        with_tiles(|tiles| {
            Case::new(left.clone(), right.clone()).check(tiles, &random_block(seed.into()));
        });
    }
}
