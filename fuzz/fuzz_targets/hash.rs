//! Hashing: parameters are accepted or refused without a panic; every level, the dense and the sparse form, and a row of many
//! have the same bucket ids, each below the number of buckets.
#![no_main]

use hotrow_fuzz::Input;
use hotrow_kernels::hash::{BucketHash, CrossPolytope, Dwta, MinHash, SimHash};
use hotrow_kernels::{Level, MatMut, RowIds, SparseRow, Weight, bf16};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let seed = input.bits() as u64;
    let (dim, codes, tables) = (input.up_to(200), input.up_to(33), input.up_to(9));
    match input.up_to(3) {
        0 => agree(&mut input, SimHash::new(seed, dim, codes, tables).ok()),
        1 => {
            let coordinates = input.up_to(300);
            agree(&mut input, CrossPolytope::new(seed, dim, codes, tables, coordinates).ok())
        }
        2 => {
            let bin = input.up_to(40);
            agree(&mut input, Dwta::new(seed, dim, codes, tables, bin).ok())
        }
        _ => {
            let bits = input.up_to(33) as u32;
            agree(&mut input, MinHash::new(seed, dim, codes, tables, bits).ok())
        }
    }
});

fn agree(input: &mut Input, hash: Option<impl BucketHash>) {
    let Some(hash) = hash else { return };
    if input.flag() { rows::<f32>(input, &hash) } else { rows::<bf16>(input, &hash) }
}

fn rows<W: Weight>(input: &mut Input, hash: &impl BucketHash) {
    let (rows, dim, tables) = (1 + input.up_to(3), hash.dim(), hash.buckets().tables());
    let w = input.matrix::<W>(rows, dim);
    let ids = input.ids(rows, 5);
    let Ok(active) = RowIds::new(&ids, rows) else { return };
    // What scratch holds before must not matter.
    let mut scratch = vec![f32::NAN; hash.scratch_len()];

    let mut first: Vec<Option<Vec<u32>>> = vec![None; rows];
    for level in Level::available() {
        for (row, first) in first.iter_mut().enumerate() {
            let mut out = vec![u32::MAX; tables];
            hash.dense(level, &mut out, w.view().row(row), &mut scratch);
            assert!(out.iter().all(|&id| (id as u64) < hash.buckets().per_table()), "{level}: {out:?}");
            assert_eq!(&out, first.get_or_insert_with(|| out.clone()), "{level}, row {row}");

            // The sparse form of the same numbers, f32 as sparse values are.
            let x: Vec<f32> = w.view().row(row).iter().map(|x| x.to_f32()).collect();
            let indices: Vec<u32> = (0..dim as u32).filter(|&i| x[i as usize] != 0.0).collect();
            let values: Vec<f32> = indices.iter().map(|&i| x[i as usize]).collect();
            let sparse = SparseRow::new(&indices, &values, dim).expect("increasing and in range");
            let mut got = vec![u32::MAX; tables];
            hash.sparse(level, &mut got, sparse, &mut scratch);
            assert_eq!(got, out, "{level}, row {row}, sparse");
        }
        let mut all = vec![u32::MAX; ids.len() * tables];
        hash.rows(level, MatMut::new(&mut all, ids.len(), tables), w.view(), active, &mut scratch);
        for (got, &id) in all.chunks(tables).zip(&ids) {
            assert_eq!(Some(got), first[id as usize].as_deref(), "{level}, rows");
        }
    }
}
