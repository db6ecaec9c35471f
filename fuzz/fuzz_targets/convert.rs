//! Changes of storage: the same bits on every level, and what each promises of them.
#![no_main]

use hotrow_fuzz::{Input, Sum, assert_close, same};
use hotrow_kernels::convert::{
    RandomKey, bf16_from_f32, bf16_from_f32_stochastic, f32_from_bf16, f32_rows_from_i8, i8_rows_from_f32,
    i8_rows_from_f32_stochastic, rows_dot_i8,
};
use hotrow_kernels::{Level, MatMut, MatRef, RowIds, bf16};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    if input.flag() { half(&mut input) } else { bytes(&mut input) }
});

fn half(input: &mut Input) {
    let len = input.up_to(150);
    let xs = input.floats(len);
    let key = RandomKey { seed: input.bits() as u64, step: input.bits() as u64, row: input.bits() as u64 };
    let bits = |xs: &[bf16]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();

    let want: Vec<u16> = xs.iter().map(|&x| bf16::from_f32(x).to_bits()).collect();
    let mut noisy: Option<Vec<u16>> = None;
    for level in Level::available() {
        let mut out = vec![bf16::ONE; len];
        bf16_from_f32(level, &mut out, &xs);
        assert_eq!(bits(&out), want, "{level}, nearest");

        let mut back = vec![1.0; len];
        f32_from_bf16(level, &mut back, &out);
        assert!(back.iter().zip(&out).all(|(&a, b)| same(a, b.to_f32())), "{level}, widened");

        bf16_from_f32_stochastic(level, &mut out, &xs, key);
        assert_eq!(&bits(&out), noisy.get_or_insert_with(|| bits(&out)), "{level}, stochastic");
        for (&x, got) in xs.iter().zip(&out) {
            // Cutting off the low half rounds towards zero; the other neighbour is the next bf16 away from it.
            let below = (x.to_bits() >> 16) as u16;
            let exact = x.to_bits() & 0xffff == 0;
            let allowed = got.to_bits() == below || (!exact && got.to_bits() == below + 1);
            assert!(if x.is_nan() { got.is_nan() } else { allowed }, "{level}: {x:e} became {got:e}");
        }
    }
}

fn bytes(input: &mut Input) {
    let (rows, cols) = (input.up_to(5), input.up_to(150));
    let x = input.matrix::<f32>(rows, cols);
    let key = RandomKey { seed: input.bits() as u64, step: 0, row: input.bits() as u64 };
    let (ids, vector) = (input.ids(rows, 6), input.floats(cols));

    let mut first: Option<[(Vec<i8>, Vec<u32>); 2]> = None;
    for level in Level::available() {
        let quantised = [false, true].map(|stochastic| {
            let (mut codes, mut scales) = (vec![1i8; rows * cols], vec![1.0f32; rows]);
            let out = MatMut::new(&mut codes, rows, cols);
            match stochastic {
                false => i8_rows_from_f32(level, out, &mut scales, x.view()),
                true => i8_rows_from_f32_stochastic(level, out, &mut scales, x.view(), key),
            }
            (codes, scales)
        });
        for (r, row) in (0..rows).map(|r| (r, x.view().row(r))) {
            for (steps, (codes, scales)) in [0.5, 1.0].into_iter().zip(&quantised) {
                let (codes, scale) = (&codes[r * cols..][..cols], scales[r]);
                if row.iter().any(|x| !x.is_finite()) {
                    assert!(
                        scale.is_nan() && codes.iter().all(|&code| code == 0),
                        "{level}, row {r}: a fault is hidden"
                    );
                    continue;
                }
                for (&code, &x) in codes.iter().zip(row) {
                    assert_ne!(code, i8::MIN);
                    // Half a step to the nearest, a whole one to either; the quotient, at most 127, and the scale are rounded.
                    let bound = scale as f64 * (steps + 127.0 * f32::EPSILON as f64);
                    assert_close(
                        x,
                        scale as f64 * code as f64,
                        bound,
                        format_args!("{level}, row {r}, scale {scale:e}"),
                    );
                }
            }
        }
        let comparable =
            quantised.map(|(codes, scales)| (codes, scales.iter().map(|s| s.to_bits()).collect::<Vec<_>>()));
        assert_eq!(&comparable, first.get_or_insert_with(|| comparable.clone()), "{level}");

        let [(codes, scale_bits), _] = &comparable;
        let scales: Vec<f32> = scale_bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        let q = MatRef::new(codes.as_slice(), rows, cols);
        let mut back = vec![1.0; rows * cols];
        f32_rows_from_i8(level, MatMut::new(&mut back, rows, cols), q, &scales);
        for (i, (&got, &code)) in back.iter().zip(codes).enumerate() {
            assert!(same(got, scales[i / cols] * code as f32), "{level}, element {i}");
        }

        let Ok(active) = RowIds::new(&ids, rows) else { continue };
        let mut out = vec![f32::NAN; ids.len()];
        rows_dot_i8(level, &mut out, active, q, &scales, &vector);
        for (&got, &id) in out.iter().zip(&ids) {
            let (scale, mut plain, mut sum) = (scales[id as usize] as f64, Sum::default(), Sum::default());
            for (&code, &x) in q.row(id as usize).iter().zip(&vector) {
                plain.add(code as f64, x as f64);
                sum.add(code as f64 * scale, x as f64);
            }
            sum.rounded_once_more();
            if !plain.may_overflow() {
                sum.assert_is(got, format_args!("{level}, dot, row {id}, scale {scale:e}"));
            }
        }
    }
}
