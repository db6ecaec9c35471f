//! Digests of tensors and files: xxh3 with 128 bits, in hexadecimal.

use xxhash_rust::xxh3::Xxh3Default;

use crate::tensor::Tensor;

/// The digest of the names, types, shapes and bytes of `tensors`, in their order: 32 hexadecimal digits. Two runs that
/// have computed the same have equal digests.
///
/// ```
/// use hotrow::tensor::{Elements, Tensor};
/// let of = |x: &[f32]| {
///     hotrow::checkpoint::digest(&[Tensor { name: "w".into(), shape: vec![x.len()], elements: Elements::F32(x) }])
/// };
/// assert_eq!(of(&[1.0, 2.0]), of(&[1.0, 2.0]));
/// assert_ne!(of(&[0.0]), of(&[-0.0]));
/// ```
pub fn digest(tensors: &[Tensor]) -> String {
    let mut hash = Xxh3Default::new();
    for tensor in tensors {
        // A length precedes everything of variable length, so no two lists give the same bytes.
        let mut number = |n: usize| hash.update(&(n as u64).to_le_bytes());
        number(tensor.name.len());
        number(tensor.elements.type_name().len());
        number(tensor.shape.len());
        tensor.shape.iter().for_each(|&n| number(n));
        number(tensor.elements.bytes().len());
        hash.update(tensor.name.as_bytes());
        hash.update(tensor.elements.type_name().as_bytes());
        hash.update(tensor.elements.bytes());
    }
    hex(&hash)
}

/// The digest so far.
pub(super) fn hex(hash: &Xxh3Default) -> String {
    format!("{:032x}", hash.digest128())
}

/// The digest of some bytes.
pub(super) fn of_bytes(bytes: &[u8]) -> String {
    let mut hash = Xxh3Default::new();
    hash.update(bytes);
    hex(&hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Elements;

    fn tensor<'a>(name: &str, shape: &[usize], elements: Elements<'a>) -> Tensor<'a> {
        Tensor { name: name.to_owned(), shape: shape.to_vec(), elements }
    }

    #[test]
    fn a_digest_changes_with_name_type_shape_bytes_and_order() {
        let (zeros, other) = ([0_u32; 6], [0, 0, 0, 0, 0, 1_u32]);
        let a = || tensor("a", &[2, 3], Elements::U32(&zeros));
        let b = || tensor("b", &[2, 3], Elements::U32(&zeros));
        let digests = [
            digest(&[]),
            digest(&[a()]),
            digest(&[b()]),
            digest(&[a(), b()]),
            digest(&[b(), a()]),
            digest(&[tensor("a", &[3, 2], Elements::U32(&zeros))]),
            digest(&[tensor("a", &[6], Elements::U32(&zeros))]),
            digest(&[tensor("a", &[2, 3], Elements::F32(&[0.0; 6]))]),
            digest(&[tensor("a", &[2, 3], Elements::U32(&other))]),
        ];
        for (i, digest) in digests.iter().enumerate() {
            assert!(!digests[..i].contains(digest), "{i}");
            assert_eq!(digest.len(), 32);
        }
        assert_eq!(digest(&[a(), b()]), digests[3]);
    }

    #[test]
    fn the_digest_of_bytes_is_xxh3_128() {
        // The published test vector: XXH3_128bits of nothing with seed 0.
        assert_eq!(of_bytes(b""), "99aa06d3014798d86001c324468d497f");
    }
}
