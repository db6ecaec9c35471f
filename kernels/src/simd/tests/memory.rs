//! Loads, stores, gathers and permutations.

use super::*;
use crate::testing::Misaligned;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn partial_loads_pad_with_zeros_and_partial_stores_stop_at_the_end() {
    #[inline(always)]
    fn check<S: Simd, W: Weight + PartialEq>(s: S) {
        for len in 0..=S::LANES + 3 {
            let xs: Vec<W> = numbers(len, 7).into_iter().map(W::from_f32).collect();
            let xs = Misaligned::new(&xs, 1);
            let got = lanes(s, W::load_partial(s, &xs));
            for (lane, got) in got.into_iter().enumerate() {
                assert_eq!(got.to_bits(), xs.get(lane).map_or(0, |x| x.to_f32().to_bits()), "lane {lane} of {len}");
            }
            let from = numbers(S::LANES, 8);
            let sentinel = W::from_f32(9.0);
            let mut out = Misaligned::new(&vec![sentinel; S::LANES + 5], 1);
            W::store_partial(s, s.load(&from), &mut out[..len]);
            for (lane, &got) in out.iter().enumerate() {
                let written = lane < len.min(S::LANES);
                let want = if written { W::from_f32(from[lane]) } else { sentinel };
                assert_eq!(got, want, "lane {lane} of {len}");
            }
        }
    }
    at_every_token!(s => { check::<_, f32>(s); check::<_, bf16>(s) });
}

#[test]
fn whole_loads_and_stores_take_the_first_lanes_at_any_alignment() {
    #[inline(always)]
    fn check<S: Simd, W: Weight + PartialEq>(s: S) {
        for extra in 0..4 {
            let xs: Vec<W> = numbers(S::LANES + extra, 7).into_iter().map(W::from_f32).collect();
            let xs = Misaligned::new(&xs, 1 + extra);
            let got = lanes(s, W::load(s, &xs));
            assert!(got.iter().zip(&*xs).all(|(&got, x)| got == x.to_f32()));
            let mut out = Misaligned::new(&vec![W::default(); S::LANES + extra], 1 + extra);
            W::store(s, s.load(&got), &mut out);
            assert_eq!(out[..S::LANES], xs[..S::LANES]);
            assert!(out[S::LANES..].iter().all(|&x| x == W::default()));
        }
    }
    at_every_token!(s => { check::<_, f32>(s); check::<_, bf16>(s) });
}

#[test]
fn integer_loads_and_stores_take_the_first_lanes() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        let xs: Vec<u32> = (0..S::LANES as u32 + 3).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
        let xs = Misaligned::new(&xs, 1);
        let mut out = Misaligned::new(&vec![7; S::LANES + 3], 1);
        s.store_u32(s.load_u32(&xs), &mut out);
        assert_eq!(out[..S::LANES], xs[..S::LANES]);
        assert_eq!(out[S::LANES..], [7; 3]);
        assert_eq!(lanes_u32(s, s.iota()), (0..S::LANES as u32).collect::<Vec<_>>());
        assert_eq!(lanes_u32(s, s.splat_u32(0xdead_beef)), vec![0xdead_beef; S::LANES]);
    }
    at_every_token!(s => check(s));
}

#[test]
fn bytes_are_extended_with_zeros_and_cut_to_the_low_eight_bits() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        let bytes: Vec<u8> = (0..=255).collect();
        for start in 0..=bytes.len() - S::LANES {
            let got = lanes_u32(s, s.load_u8(&bytes[start..]));
            assert!(got.iter().zip(&bytes[start..]).all(|(&got, &want)| got == u32::from(want)));
        }
        for high in [0u32, 0x100, 0xff00, 0x7fff_ff00, 0x8000_0000, 0xffff_ff00] {
            for chunk in bytes.chunks(S::LANES) {
                let wide: Vec<u32> = chunk.iter().map(|&byte| high | u32::from(byte)).collect();
                let mut out = vec![0xaa; S::LANES + 3];
                s.store_u8(s.load_u32(&wide), &mut out);
                assert_eq!(out[..S::LANES], *chunk, "above {high:x}");
                assert_eq!(out[S::LANES..], [0xaa; 3]);
            }
        }
    }
    at_every_token!(s => check(s));
}

#[test]
fn a_pair_of_bf16_vectors_is_the_even_and_the_odd_numbers() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        let xs: Vec<bf16> = (0..2 * S::LANES as u16 + 3).map(|i| bf16::from_bits(i.wrapping_mul(40503))).collect();
        let xs = Misaligned::new(&xs, 1);
        let (even, odd) = s.load_bf16_pair(&xs);
        for (lane, (even, odd)) in lanes(s, even).into_iter().zip(lanes(s, odd)).enumerate() {
            assert_eq!(even.to_bits(), u32::from(xs[2 * lane].to_bits()) << 16);
            assert_eq!(odd.to_bits(), u32::from(xs[2 * lane + 1].to_bits()) << 16);
        }
    }
    at_every_token!(s => check(s));
}

#[test]
fn slices_that_are_too_short_panic() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        let (zero, zero_u32) = (s.splat(0.0), s.splat_u32(0));
        let panics = |what: &str, call: &mut dyn FnMut()| {
            assert!(catch_unwind(AssertUnwindSafe(call)).is_err(), "{what}");
        };
        for len in [0, 1, S::LANES - 1] {
            let (xs, us, bytes, hs) = (vec![0.0; len], vec![0; len], vec![0; len], vec![bf16::ZERO; len]);
            panics("load", &mut || drop(lanes(s, s.load(&xs))));
            panics("load_u32", &mut || drop(lanes_u32(s, s.load_u32(&us))));
            panics("load_u8", &mut || drop(lanes_u32(s, s.load_u8(&bytes))));
            panics("load_bf16", &mut || drop(lanes(s, s.load_bf16(&hs))));
            panics("store", &mut || s.store(zero, &mut xs.clone()));
            panics("store_u32", &mut || s.store_u32(zero_u32, &mut us.clone()));
            panics("store_u8", &mut || s.store_u8(zero_u32, &mut bytes.clone()));
            panics("store_bf16_bits", &mut || s.store_bf16_bits(zero_u32, &mut hs.clone()));
        }
        for len in [0, 1, S::LANES, 2 * S::LANES - 1] {
            let hs = vec![bf16::ZERO; len];
            panics("load_bf16_pair", &mut || drop(lanes(s, s.load_bf16_pair(&hs).0)));
        }
    }
    at_every_token!(s => check(s));
}

#[test]
fn gather_reads_the_table_and_zero_beyond_it() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        for len in [0, 1, 2, 5, 100] {
            let table: Vec<f32> = (0..len).map(|i| i as f32 + 1.0).collect();
            let mut indices: Vec<u32> = (0..len as u32 + 20).collect();
            indices.extend([0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0xc000_0000, u32::MAX, 0x4000_0000, 0x2000_0000]);
            indices.extend((0..100).map(|i: u32| i.wrapping_mul(0x9e37_79b9)));
            indices.extend((0..100).map(|i: u32| i.wrapping_mul(0x9e37_79b9) % (len as u32 + 1)));
            for chunk in indices.chunks(S::LANES) {
                let got = lanes(s, s.gather(&table, load_padded(s, chunk)));
                for (&index, got) in chunk.iter().zip(got) {
                    let want = table.get(index as usize).copied().unwrap_or(0.0);
                    assert_eq!(got.to_bits(), want.to_bits(), "index {index} into {len}");
                }
            }
        }
    }
    at_every_token!(s => check(s));
}

#[test]
fn permutations_move_every_lane_to_its_place() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        let numbered: Vec<f32> = (0..2 * S::LANES).map(|i| f32::from_bits(0x7f80_0001 + i as u32)).collect();
        let bits = |v| lanes(s, v).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let expect =
            |from: &dyn Fn(usize) -> usize| (0..S::LANES).map(|i| numbered[from(i)].to_bits()).collect::<Vec<_>>();
        let (a, b) = (s.load(&numbered), s.load(&numbered[S::LANES..]));
        for by in 0..S::LANES {
            assert_eq!(bits(s.xor_lanes(a, by)), expect(&|i| i ^ by), "xor {by}");
        }
        let (even, odd) = s.deinterleave(a, b);
        assert_eq!(bits(even), expect(&|i| 2 * i), "even");
        assert_eq!(bits(odd), expect(&|i| 2 * i + 1), "odd");
        let (first, second) = s.interleave(even, odd);
        assert_eq!(bits(first), expect(&|i| i), "interleaved, first half");
        assert_eq!(bits(second), expect(&|i| S::LANES + i), "interleaved, second half");
    }
    at_every_token!(s => check(s));
}

#[test]
fn prefetch_takes_any_slice_and_changes_nothing() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        for len in [0, 1, 63, 64, 65, 1000] {
            let row = vec![42u8; len];
            s.prefetch(&row);
            s.prefetch(&vec![(); len]);
            assert_eq!(row, vec![42u8; len]);
        }
    }
    at_every_token!(s => check(s));
}

#[test]
fn lookup_takes_the_low_three_bits_of_an_index() {
    #[inline(always)]
    fn check<S: Simd>(s: S) {
        let table = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, f32::INFINITY];
        for first in [0, 3, 8, 0x7fff_fffe, u32::MAX - 3] {
            let index = s.add_u32(s.iota(), s.splat_u32(first));
            let got = lanes(s, s.lookup(&table, index));
            for (i, got) in got.into_iter().enumerate() {
                assert_eq!(got, table[first.wrapping_add(i as u32) as usize % 8], "{first} and {i}");
            }
        }
    }
    at_every_token!(s => check(s));
}
