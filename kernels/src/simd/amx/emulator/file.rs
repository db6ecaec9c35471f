//! The tiles of one thread and what the instructions do to them, by the operation sections of Intel's manual (Software
//! Developer's Manual, volume 2, `LDTILECFG` to `TDPBF16PS`).

use super::instruction::{Address, Instruction};

/// The size of the operand of `ldtilecfg`.
const CONFIGURATION: usize = 64;

/// Eight tiles of up to 16 rows x 64 bytes, and their configuration.
pub struct TileFile {
    tiles: [Tile; 8],
}

/// One tile. Without rows: not configured. Bytes outside of the configured shape are zero.
#[derive(Clone, Copy)]
struct Tile {
    rows: usize,
    column_bytes: usize,
    data: [[u8; 64]; 16],
}

impl Tile {
    const UNCONFIGURED: Self = Self { rows: 0, column_bytes: 0, data: [[0; 64]; 16] };

    /// Row `row` as 32 bf16, widened, denormals as zero.
    fn halves(&self, row: usize) -> [f32; 32] {
        let data = &self.data[row];
        std::array::from_fn(|i| flush(f32::from_bits(u32::from_le_bytes([0, 0, data[2 * i], data[2 * i + 1]]))))
    }
}

/// Denormals are zero, with their sign.
#[inline(always)]
fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0f32.copysign(x) } else { x }
}

impl TileFile {
    /// As a thread starts.
    pub const UNCONFIGURED: Self = Self { tiles: [Tile::UNCONFIGURED; 8] };

    /// Carries `instruction` out with the given general registers. False, with nothing changed, where the unit would
    /// raise an exception.
    ///
    /// # Safety
    ///
    /// The memory operand must be readable or writable in the tile's shape, and the CPU must have FMA.
    pub unsafe fn execute(&mut self, instruction: &Instruction, registers: &[u64; 16]) -> bool {
        match *instruction {
            Instruction::Configure(address) => {
                let source = address.row(registers, 0) as *const [u8; CONFIGURATION];
                // SAFETY: readable by contract; bytes have no alignment.
                self.configure(unsafe { &*source })
            }
            Instruction::Release => {
                *self = Self::UNCONFIGURED;
                true
            }
            Instruction::Zero(tile) => {
                self.tiles[tile].data = [[0; 64]; 16];
                self.tiles[tile].rows != 0
            }
            Instruction::Load(tile, address) => {
                let tile = &mut self.tiles[tile];
                for row in 0..tile.rows {
                    let from = address.row(registers, row) as *const u8;
                    // SAFETY: readable by contract; a row has 64 bytes and `column_bytes` is not above that.
                    unsafe { tile.data[row].as_mut_ptr().copy_from_nonoverlapping(from, tile.column_bytes) }
                }
                tile.rows != 0
            }
            Instruction::Store(address, tile) => {
                let tile = &self.tiles[tile];
                for row in 0..tile.rows {
                    let to = address.row(registers, row) as *mut u8;
                    // SAFETY: writable by contract; a row has 64 bytes and `column_bytes` is not above that.
                    unsafe { to.copy_from_nonoverlapping(tile.data[row].as_ptr(), tile.column_bytes) }
                }
                tile.rows != 0
            }
            Instruction::Product { sum, left, right } => {
                let [c, a, b] = [&self.tiles[sum], &self.tiles[left], &self.tiles[right]];
                let distinct = sum != left && sum != right && left != right;
                let shapes_agree = c.rows == a.rows && c.column_bytes == b.column_bytes && a.column_bytes == 4 * b.rows;
                let permitted =
                    distinct && shapes_agree && c.rows != 0 && c.column_bytes.is_multiple_of(4) && b.rows != 0;
                if permitted {
                    // SAFETY: FMA by contract.
                    unsafe { self.product(sum, left, right) }
                }
                permitted
            }
        }
    }

    fn configure(&mut self, operand: &[u8; CONFIGURATION]) -> bool {
        let column_bytes: [usize; 16] =
            std::array::from_fn(|i| u16::from_le_bytes([operand[16 + 2 * i], operand[17 + 2 * i]]).into());
        let rows: [usize; 16] = std::array::from_fn(|i| operand[48 + i].into());
        let palette = operand[0];
        let shapes_fit = rows[..8].iter().all(|&n| n <= 16) && column_bytes[..8].iter().all(|&n| n <= 64);
        let rest_is_zero = operand[1..16].iter().all(|&x| x == 0)
            && rows[8..].iter().all(|&n| n == 0)
            && column_bytes[8..].iter().all(|&n| n == 0);
        let valid = palette == 0 || palette == 1 && shapes_fit && rest_is_zero;
        if valid {
            *self = Self::UNCONFIGURED;
        }
        if valid && palette == 1 {
            for (i, tile) in self.tiles.iter_mut().enumerate().filter(|&(i, _)| rows[i] != 0 && column_bytes[i] != 0) {
                (tile.rows, tile.column_bytes) = (rows[i], column_bytes[i]);
            }
        }
        valid
    }

    /// `sum += left right`. The even and the odd inner values have an accumulator each; the two are added to each other,
    /// then to `sum`. Every step rounds to nearest even and flushes denormals.
    #[target_feature(enable = "avx2,fma")]
    fn product(&mut self, sum: usize, left: usize, right: usize) {
        let pairs = self.tiles[right].rows;
        let mut b = [[[0f32; 16]; 2]; 16];
        for (p, b) in b[..pairs].iter_mut().enumerate() {
            let halves = self.tiles[right].halves(p);
            *b = [std::array::from_fn(|j| halves[2 * j]), std::array::from_fn(|j| halves[2 * j + 1])];
        }
        for row in 0..self.tiles[sum].rows {
            let a = self.tiles[left].halves(row);
            let mut acc = [[0f32; 16]; 2];
            for (p, b) in b[..pairs].iter().enumerate() {
                for half in 0..2 {
                    for (acc, &b) in acc[half].iter_mut().zip(&b[half]) {
                        *acc = flush(a[2 * p + half].mul_add(b, *acc));
                    }
                }
            }
            let columns = self.tiles[sum].column_bytes / 4;
            let data = self.tiles[sum].data[row].as_chunks_mut::<4>().0;
            for (j, c) in data[..columns].iter_mut().enumerate() {
                let products = flush(acc[0][j] + acc[1][j]);
                *c = flush(flush(f32::from_le_bytes(*c)) + products).to_le_bytes();
            }
        }
    }
}

impl Address {
    /// Where row `row` of the operand lies.
    fn row(&self, registers: &[u64; 16], row: usize) -> usize {
        let base = self.base.map_or(0, |base| registers[base]);
        let stride = self.index.map_or(0, |index| registers[index].wrapping_mul(self.scale));
        let offset = stride.wrapping_mul(row as u64).wrapping_add_signed(self.displacement.into());
        base.wrapping_add(offset) as usize
    }
}
