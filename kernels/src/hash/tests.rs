//! What holds for every bucket hash: one id whatever the level, the form and the storage; odd inputs; refused calls.

use super::*;
use crate::testing::*;
use crate::{Level, MatMut, MatRef, RowIds, SparseRow, bf16};

const TABLES: usize = 7;

/// Runs `$body` with `$hash` bound to one set of parameters of each family for vectors of `$dim` numbers.
macro_rules! each_family {
    ($dim:expr, $seed:expr, $hash:ident => $body:expr) => {{
        let (dim, seed) = ($dim, $seed);
        {
            let $hash = SimHash::with_rounds(seed, dim, 9, TABLES, 1 + dim % 3).unwrap();
            $body
        }
        {
            let $hash = CrossPolytope::new(seed, dim, 3, TABLES, 16).unwrap();
            $body
        }
        {
            let $hash = Dwta::new(seed, dim, 5, TABLES, 8).unwrap();
            $body
        }
        {
            let $hash = MinHash::new(seed, dim, 4, TABLES, 6).unwrap();
            $body
        }
    }};
}

fn dense<W: crate::Weight>(level: Level, hash: &impl BucketHash, x: &[W]) -> Vec<u32> {
    let mut out = vec![u32::MAX; hash.buckets().tables()];
    hash.dense(level, &mut out, x, &mut vec![f32::NAN; hash.scratch_len()]);
    assert!(out.iter().all(|&id| (id as u64) < hash.buckets().per_table()), "an id beyond the table");
    out
}

fn sparse(level: Level, hash: &impl BucketHash, x: SparseRow) -> Vec<u32> {
    let mut out = vec![u32::MAX; hash.buckets().tables()];
    hash.sparse(level, &mut out, x, &mut vec![f32::NAN; hash.scratch_len() + 1]);
    out
}

/// The coordinates that are not zero, and every fifth that is.
fn split(x: &[f32]) -> (Vec<u32>, Vec<f32>) {
    x.iter().enumerate().filter(|(i, x)| **x != 0.0 || i % 5 == 0).map(|(i, x)| (i as u32, *x)).unzip()
}

/// Dense, sparse, and as a row, at every level and in both storages.
fn forms_agree(hash: &impl BucketHash, x: &[f32]) {
    let (indices, values) = split(x);
    let row = SparseRow::new(&indices, &values, x.len()).unwrap();
    let (halves, x) = (halves(x), Misaligned::new(x, 1));
    let widened: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
    let (want, want_of_halves) = (dense(Level::PORTABLE, hash, &x), dense(Level::PORTABLE, hash, &widened));
    at_every_level(|level| {
        assert_eq!(dense(level, hash, &x), want, "dense: {:?}", &*x);
        assert_eq!(sparse(level, hash, row), want, "sparse: {:?}", &*x);
        assert_eq!(dense(level, hash, &Misaligned::new(&halves, 3)), want_of_halves, "bf16: {:?}", &*x);
        let mut out = vec![0; 2 * TABLES + 3];
        let out_rows = MatMut::with_stride(&mut out, 2, TABLES, TABLES + 3);
        let (ids, mut scratch) = (RowIds::new(&[0, 0], 1).unwrap(), vec![f32::NAN; hash.scratch_len()]);
        hash.rows(level, out_rows, MatRef::new(&x, 1, x.len()), ids, &mut scratch);
        assert_eq!(out[..TABLES], want);
        assert_eq!(out[TABLES + 3..], want);
        assert_eq!(out[TABLES..TABLES + 3], [0; 3], "written between the rows");
    });
}

#[test]
fn ids_do_not_depend_on_level_or_form_at_every_length() {
    for dim in lengths().skip(1).chain([512, 700]) {
        let mut x = numbers(dim, dim as u64);
        x.iter_mut().skip(dim % 2).step_by(2).for_each(|x| *x = 0.0);
        each_family!(dim, dim as u64, hash => forms_agree(&hash, &x));
    }
}

proptest::proptest! {
    #[test]
    fn ids_do_not_depend_on_level_or_form_for_any_bits(bits in proptest::collection::vec(proptest::num::u32::ANY, 1..100), seed: u64) {
        let any: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        each_family!(any.len(), seed, hash => forms_agree(&hash, &any));
        // Few values, so that ties and empty bins are common.
        let few: Vec<f32> = bits.iter().map(|&bits| (bits % 5) as f32 - 2.0).collect();
        each_family!(few.len(), seed, hash => forms_agree(&hash, &few));
    }
}

#[test]
fn zeros_nan_infinities_and_denormals_have_ids() {
    for dim in [1, 5, 16, 33, 130] {
        for value in [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-45] {
            let mut x = vec![value; dim];
            each_family!(dim, 1, hash => forms_agree(&hash, &x));
            x[dim / 2] = 1.0;
            each_family!(dim, 1, hash => forms_agree(&hash, &x));
        }
        each_family!(dim, 1, hash => {
            let empty = SparseRow::new(&[], &[], dim).unwrap();
            assert_eq!(sparse(Level::detect(), &hash, empty), [0; TABLES]);
            assert_eq!(dense(Level::detect(), &hash, &vec![0.0_f32; dim]), [0; TABLES]);
            assert_eq!(dense(Level::detect(), &hash, &vec![bf16::ZERO; dim]), [0; TABLES]);
        });
    }
}

#[test]
fn many_rows_are_hashed_in_the_order_asked_for() {
    let (rows, dim, ids) = (9, 37, [8, 0, 3, 3, 5]);
    let store = numbers(rows * dim, 4);
    let w = MatRef::new(&store, rows, dim);
    each_family!(dim, 2, hash => {
        at_every_level(|level| {
            let (mut out, mut scratch) = (vec![0; ids.len() * TABLES], vec![0.0; hash.scratch_len()]);
            let active = RowIds::new(&ids, rows).unwrap();
            hash.rows(level, MatMut::new(&mut out, ids.len(), TABLES), w, active, &mut scratch);
            for (out, &id) in out.chunks(TABLES).zip(&ids) {
                assert_eq!(out, dense(level, &hash, w.row(id as usize)));
            }
            let none = RowIds::new(&[], rows).unwrap();
            hash.rows(level, MatMut::new(&mut [], 0, TABLES), w, none, &mut scratch);
        });
    });
}

#[test]
fn a_seed_gives_one_function_and_another_seed_another() {
    let x = numbers(100, 1);
    // An id of all tables together has at least 63 bits, but for MinHash of a dense vector.
    each_family!(100, 1, hash => {
        let once = dense(Level::detect(), &hash, &x);
        each_family!(100, 1, again => {
            if hash.buckets() == again.buckets() {
                assert_eq!(dense(Level::detect(), &again, &x), once);
            }
        });
        each_family!(100, 2, other => {
            if hash.buckets() == other.buckets() {
                assert_ne!(dense(Level::detect(), &other, &x), once);
            }
        });
    });
}

#[test]
fn parameters_that_make_no_sense_are_refused_with_a_reason() {
    let text = |error: HashError| error.to_string();
    assert_eq!(text(SimHash::new(0, 0, 1, 1).unwrap_err()), "dim is 0, which is not in 1..=16777216");
    assert_eq!(text(SimHash::new(0, 1, 0, 1).unwrap_err()), "codes is 0, which is not in 1..=32");
    assert_eq!(text(SimHash::new(0, 1, 33, 1).unwrap_err()), "codes is 33, which is not in 1..=32");
    assert_eq!(text(Dwta::new(0, 9, 4, 0, 8).unwrap_err()), "tables is 0, which is not in 1..=4194304");
    assert_eq!(text(Dwta::new(0, 9, 4, 1, 1).unwrap_err()), "bin is 1, which is not in 2..=65536");
    let too_many = "11 codes of 3 bits need more than the 32 bits of a bucket id";
    assert_eq!(text(Dwta::new(0, 9, 11, 1, 8).unwrap_err()), too_many);
    assert!(Dwta::new(0, 9, 16, 1, 3).is_ok_and(|hash| hash.buckets().per_table() == 1 << 32));
    let power = "coordinates is 3, which is not a power of two";
    assert_eq!(text(CrossPolytope::new(0, 9, 1, 1, 3).unwrap_err()), power);
    assert!(MinHash::new(0, 9, 1, 1, 0).is_err() && MinHash::new(0, 0, 1, 1, 1).is_err());
    assert!(NgramHash::new(0, 1, 0, 1).is_err() && NgramHash::new(0, 1, 1, 0).is_err());
}

#[test]
#[should_panic(expected = "the vector and dim differ in length")]
fn a_vector_of_another_length_is_refused() {
    let hash = SimHash::new(1, 4, 2, 1).unwrap();
    hash.dense(Level::PORTABLE, &mut [0], &[1.0_f32; 5], &mut [0.0; 16]);
}

#[test]
#[should_panic(expected = "out and the tables differ in number")]
fn a_short_out_is_refused() {
    let hash = SimHash::new(1, 4, 2, 2).unwrap();
    hash.dense(Level::PORTABLE, &mut [0], &[1.0_f32; 4], &mut [0.0; 16]);
}

#[test]
#[should_panic(expected = "scratch of 15 words where 16 are needed")]
fn a_short_scratch_is_refused() {
    let hash = SimHash::new(1, 4, 2, 1).unwrap();
    hash.dense(Level::PORTABLE, &mut [0], &[1.0_f32; 4], &mut [0.0; 15]);
}
