//! Decoding of the tile instructions: VEX with three bytes of prefix, opcode map 0F38, 128 bits, W0.

/// A tile instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// `ldtilecfg m512`
    Configure(Address),
    /// `tilerelease`
    Release,
    /// `tilezero tmm`
    Zero(usize),
    /// `tileloadd tmm, sibmem` and `tileloaddt1`, which differ in a caching hint.
    Load(usize, Address),
    /// `tilestored sibmem, tmm`
    Store(Address, usize),
    /// `tdpbf16ps tmm, tmm, tmm`
    Product {
        /// Read and written.
        sum: usize,
        /// A row for each row of `sum`.
        left: usize,
        /// A row for each pair of inner values.
        right: usize,
    },
}

/// A memory operand: base and index are register numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Absent: zero.
    pub base: Option<usize>,
    /// The register whose value, times `scale`, is the distance between rows. Absent: zero.
    pub index: Option<usize>,
    /// 1, 2, 4 or 8.
    pub scale: u64,
    /// Added to the base.
    pub displacement: i32,
}

impl Instruction {
    /// The instruction whose bytes are `byte(0)`, `byte(1)`, .. and its length, if it is a tile instruction that we know.
    /// Asks for no byte behind its end.
    pub fn decode(byte: impl Fn(usize) -> u8) -> Option<(Self, usize)> {
        if byte(0) != 0xc4 {
            return None;
        }
        let (extension, rest) = (byte(1), byte(2));
        // The extension bits R, X, B and the register vvvv are stored inverted.
        let inverted = |bit: u8| usize::from(extension >> bit & 1 == 0) << 3;
        let (reg_high, index_high, base_high) = (inverted(7), inverted(6), inverted(5));
        let (wide, third, long, prefix) = (rest >> 7, !rest >> 3 & 0xf, rest >> 2 & 1, rest & 3);
        if extension & 0x1f != 2 || wide != 0 || long != 0 || reg_high != 0 {
            return None;
        }
        let (opcode, modrm) = (byte(3), byte(4));
        let (mode, tile, rm) = (modrm >> 6, usize::from(modrm >> 3 & 7), usize::from(modrm & 7));
        if mode == 3 {
            let known = match (prefix, opcode) {
                (0, 0x49) if modrm == 0xc0 && third == 0 => Self::Release,
                (3, 0x49) if rm == 0 && third == 0 => Self::Zero(tile),
                (2, 0x5c) if third < 8 => Self::Product { sum: tile, left: rm, right: third.into() },
                _ => return None,
            };
            return (base_high == 0).then_some((known, 5));
        }
        if third != 0 {
            return None;
        }
        let (address, length) = Address::decode(&byte, mode, rm, index_high, base_high)?;
        let known = match (prefix, opcode, rm) {
            (0, 0x49, _) if tile == 0 => Self::Configure(address),
            (1 | 3, 0x4b, 4) => Self::Load(tile, address),
            (2, 0x4b, 4) => Self::Store(address, tile),
            _ => return None,
        };
        Some((known, length))
    }
}

impl Address {
    /// The operand that starts at the ModRM byte, number 4, and the length of the whole instruction.
    fn decode(
        byte: impl Fn(usize) -> u8,
        mode: u8,
        rm: usize,
        index_high: usize,
        base_high: usize,
    ) -> Option<(Self, usize)> {
        let (mut base, mut index, mut scale, mut next) = (rm, None, 1, 5);
        if rm == 4 {
            let sib = byte(5);
            next = 6;
            base = usize::from(sib & 7);
            scale = 1 << (sib >> 6);
            // Number 4, the stack pointer, cannot be an index: it stands for none.
            index = Some(index_high | usize::from(sib >> 3 & 7)).filter(|&index| index != 4);
        }
        let wide = |at| i32::from_le_bytes([byte(at), byte(at + 1), byte(at + 2), byte(at + 3)]);
        let (base, displacement, length) = match mode {
            // Relative to the instruction pointer without a SIB byte, which we do not use; absolute with one.
            0 if base == 5 && rm == 5 => return None,
            0 if base == 5 => (None, wide(next), next + 4),
            0 => (Some(base_high | base), 0, next),
            1 => (Some(base_high | base), i32::from(byte(next) as i8), next + 1),
            _ => (Some(base_high | base), wide(next), next + 4),
        };
        Some((Self { base, index, scale, displacement }, length))
    }
}
