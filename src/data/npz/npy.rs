//! Reads one array of numbers in numpy's format (NEP 1), as a stream.

use std::io::{self, BufReader, Read};

/// A part of an archive, before its first number.
pub(super) struct Array<'a> {
    /// Its type in numpy's notation, such as `<f4`.
    pub kind: String,
    pub shape: Vec<u64>,
    /// What follows the header.
    pub reader: BufReader<Box<dyn Read + 'a>>,
}

/// The kinds of numbers in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Integer,
    Unsigned,
    Float,
}

/// A number as it is stored, before it is converted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    /// Only for values above the range of the other.
    Unsigned(u64),
    Float(f64),
}

impl<'a> Array<'a> {
    /// Reads the header.
    pub fn open(part: Box<dyn Read + 'a>) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(1 << 16, part);
        let mut start = [0; 10];
        reader.read_exact(&mut start)?;
        // Version 1 has a length of two bytes. Later versions are for headers that this reader refuses.
        if !start.starts_with(b"\x93NUMPY\x01") {
            return Err(invalid("is no array"));
        }
        let mut header = Vec::new();
        reader.by_ref().take(u64::from(u16::from_le_bytes([start[8], start[9]]))).read_to_end(&mut header)?;
        let (kind, shape) = fields(&header).ok_or_else(|| invalid("is no ordinary array"))?;
        Ok(Self { kind, shape, reader })
    }

    /// The number of its numbers.
    pub fn len(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Its numbers, if they are integers of 32 or 64 bits; `None` if they are of another type.
    pub fn integers(self) -> Option<impl Iterator<Item = io::Result<i64>> + 'a> {
        let taken = matches!(self.stored()?, (_, Kind::Integer, 4 | 8) | (_, Kind::Unsigned, 4));
        let whole = |number| match number {
            Number::Integer(number) => number,
            other => unreachable!("{other:?} in 63 bits"),
        };
        let numbers = self.numbers()?;
        taken.then(|| numbers.map(move |number| number.map(whole)))
    }

    /// Its numbers as the nearest f64; `None` if they are of another type.
    pub fn reals(self) -> Option<impl Iterator<Item = io::Result<f64>> + 'a> {
        let real = |number| match number {
            Number::Integer(number) => number as f64,
            Number::Unsigned(number) => number as f64,
            Number::Float(number) => number,
        };
        Some(self.numbers()?.map(move |number| number.map(real)))
    }

    fn numbers(self) -> Option<impl Iterator<Item = io::Result<Number>> + 'a> {
        let ((big, kind, width), len, mut reader) = (self.stored()?, self.len(), self.reader);
        Some((0..len).map(move |_| {
            let mut bytes = [0; 8];
            reader.read_exact(&mut bytes[..width])?;
            if big {
                bytes[..width].reverse();
            }
            number(bytes, kind, width)
        }))
    }

    /// Whether the numbers are big-endian, their kind, and their width in bytes.
    fn stored(&self) -> Option<(bool, Kind, usize)> {
        let mut characters = self.kind.chars();
        let order = characters.next()?;
        let kind = match characters.next()? {
            'b' => Kind::Bool,
            'i' => Kind::Integer,
            'u' => Kind::Unsigned,
            'f' => Kind::Float,
            _ => return None,
        };
        let width = characters.as_str().parse().ok()?;
        let known = match kind {
            Kind::Bool => width == 1,
            Kind::Integer | Kind::Unsigned => matches!(width, 1 | 2 | 4 | 8),
            Kind::Float => matches!(width, 4 | 8),
        };
        // A byte has no order; every other type must name one.
        let ordered = matches!(order, '<' | '>') || (order == '|' && width == 1);
        (known && ordered).then_some((order == '>', kind, width))
    }
}

/// The number in the first `width` of these bytes.
fn number(bytes: [u8; 8], kind: Kind, width: usize) -> io::Result<Number> {
    let unused = 64 - 8 * width as u32;
    Ok(match (kind, width) {
        (Kind::Bool, _) if bytes[0] > 1 => return Err(invalid(&format!("invalid value for bool: {}", bytes[0]))),
        (Kind::Float, 4) => Number::Float(f64::from(f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))),
        (Kind::Float, _) => Number::Float(f64::from_le_bytes(bytes)),
        // Extends the sign of a shorter number.
        (Kind::Integer, _) => Number::Integer(i64::from_le_bytes(bytes) << unused >> unused),
        (Kind::Bool | Kind::Unsigned, _) => {
            let number = u64::from_le_bytes(bytes);
            i64::try_from(number).map_or(Number::Unsigned(number), Number::Integer)
        }
    })
}

/// Type and shape from a header, a Python dictionary as numpy writes it:
/// `{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }`. `None` if it is anything else, or its shape is too
/// large.
fn fields(header: &[u8]) -> Option<(String, Vec<u64>)> {
    let text = std::str::from_utf8(header).ok()?.trim_end();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    // Dimensions of fewer than 18 digits in all cannot overflow as a product.
    if text.len() > 1024 || digits > 18 {
        return None;
    }
    let mut rest = text.strip_prefix('{')?.strip_suffix('}')?.trim();
    let (mut kind, mut order, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, after) = rest.strip_prefix('\'')?.split_once('\'')?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        let (value, after) = match key {
            "shape" => value.strip_prefix('(')?.split_once(')')?,
            _ => value.split_once(',').unwrap_or((value, "")),
        };
        match key {
            "descr" => kind = Some(value.trim().strip_prefix('\'')?.strip_suffix('\'')?.to_owned()),
            "fortran_order" => order = Some(matches!(value.trim(), "True" | "False").then_some(())?),
            "shape" => {
                let numbers = value.split(',').map(str::trim).filter(|number| !number.is_empty());
                shape = Some(numbers.map(|number| number.parse().ok()).collect::<Option<Vec<u64>>>()?);
            }
            _ => return None,
        }
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    order?;
    Some((kind?, shape?))
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(kind: &str, shape: &str, bytes: &[u8]) -> io::Result<Array<'static>> {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}   \n");
        let len = (header.len() as u16).to_le_bytes();
        let file = [b"\x93NUMPY\x01\0", &len[..], header.as_bytes(), bytes].concat();
        Array::open(Box::new(io::Cursor::new(file)))
    }

    fn reals(kind: &str, bytes: &[u8], shape: &str) -> Vec<f64> {
        array(kind, shape, bytes).unwrap().reals().unwrap().collect::<io::Result<_>>().unwrap()
    }

    #[test]
    fn numbers_of_every_type_and_order_are_themselves() {
        assert_eq!(reals("<f4", &[1.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()].concat(), "2,"), [1.5, -2.0]);
        assert_eq!(reals(">f4", &1.5_f32.to_be_bytes(), "1,"), [1.5]);
        assert_eq!(reals("<f8", &0.1_f64.to_le_bytes(), "1,"), [0.1]);
        assert_eq!(reals("|i1", &[255, 127], "2,"), [-1.0, 127.0]);
        assert_eq!(reals("|u1", &[255], ""), [255.0]);
        assert_eq!(reals(">i2", &(-300_i16).to_be_bytes(), "1,"), [-300.0]);
        assert_eq!(reals("<u2", &65535_u16.to_le_bytes(), "1,"), [65535.0]);
        assert_eq!(reals("<u8", &u64::MAX.to_le_bytes(), "1,"), [u64::MAX as f64]);
        assert_eq!(reals("|b1", &[0, 1], "1, 2"), [0.0, 1.0]);
        let integers = |kind, bytes: &[u8]| -> Vec<i64> {
            array(kind, "1,", bytes).unwrap().integers().unwrap().collect::<io::Result<_>>().unwrap()
        };
        assert_eq!(integers("<i8", &i64::MIN.to_le_bytes()), [i64::MIN]);
        assert_eq!(integers(">i4", &(-7_i32).to_be_bytes()), [-7]);
        assert_eq!(integers("<u4", &u32::MAX.to_le_bytes()), [i64::from(u32::MAX)]);
    }

    #[test]
    fn other_types_and_cut_off_numbers_are_told() {
        for kind in ["<u8", "<i2", "<f4", "|b1", "<c8", "<U3", "i4", "|i4", "<i16"] {
            assert!(array(kind, "1,", &[0; 16]).unwrap().integers().is_none(), "{kind}");
        }
        for kind in ["<f2", "<c8", "|S3", "<b2", "", "<", "<f"] {
            assert!(array(kind, "1,", &[0; 16]).unwrap().reals().is_none(), "{kind}");
        }
        let cut: io::Result<Vec<f64>> = array("<f4", "2,", &[0; 7]).unwrap().reals().unwrap().collect();
        assert!(cut.is_err());
        let bool: io::Result<Vec<f64>> = array("|b1", "1,", &[2]).unwrap().reals().unwrap().collect();
        assert_eq!(bool.unwrap_err().to_string(), "invalid value for bool: 2");
        assert!(array("<f4", "99999999999,99999999999", &[]).is_err());
    }

    #[test]
    fn headers_are_read_in_any_order_of_keys_and_nothing_else_is_taken_for_one() {
        let read = |header: &str| fields(header.as_bytes());
        let want = Some(("<f4".to_owned(), vec![3, 4]));
        assert_eq!(read("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }"), want);
        assert_eq!(read("{'shape': (3, 4), 'fortran_order': True, 'descr': '<f4'}"), want);
        assert_eq!(read("{'descr': '<U3', 'fortran_order': False, 'shape': (), }  \n").unwrap().1, [0; 0]);
        for wrong in [
            "",
            "{}",
            "{'descr': '<f4', 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': 3}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': ((3,),)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'other': 1}",
            "['descr', '<f4']",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
