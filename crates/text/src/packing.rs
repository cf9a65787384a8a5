//! Numbers in few bytes: seven bits a byte, and blocks of 128 with the same number of bits each.

use crate::block::BLOCK;

/// Appends a number, seven bits a byte, the lowest first; all bytes but the last have the eighth bit.
pub(crate) fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What is left of some bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub fn u32(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    pub fn u64(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    /// A length that memory could hold.
    pub fn length(&mut self) -> Option<usize> {
        usize::try_from(self.u64()?).ok()
    }

    /// A number as [`put_number`] writes it.
    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        // Most are of one byte.
        if let Some((byte @ 0..0x80, rest)) = self.0.split_first() {
            self.0 = rest;
            return Some(u64::from(*byte));
        }
        self.long_number()
    }

    fn long_number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0_u64, 0);
        loop {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
            shift += 7;
            if shift > 63 {
                return None;
            }
        }
    }

    /// A number of 32 bits.
    #[inline]
    pub fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }
}

/// The bits that the largest of some numbers takes.
pub(crate) fn bits(numbers: &[u32]) -> u8 {
    let all = numbers.iter().fold(0, |all, number| all | number);
    (u32::BITS - all.leading_zeros()) as u8
}

/// Appends a full block of numbers, `bits` each, the lowest first: `16 * bits` bytes.
pub(crate) fn pack(numbers: &[u32; BLOCK], bits: u8, out: &mut Vec<u8>) {
    let (mut held, mut count) = (0_u64, 0);
    for number in numbers {
        held |= u64::from(*number) << count;
        count += u32::from(bits);
        if count >= 32 {
            out.extend((held as u32).to_le_bytes());
            held >>= 32;
            count -= 32;
        }
    }
}

/// Reads what [`pack`] wrote.
pub(crate) fn unpack(bytes: &[u8], bits: u8, numbers: &mut [u32; BLOCK]) -> Option<()> {
    macro_rules! widths {
        ($($width:literal)*) => {
            match bits {
                0 => numbers.fill(0),
                $($width => unpack_width::<$width>(bytes, numbers)?,)*
                _ => return None,
            }
        };
    }
    widths!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
    Some(())
}

/// 32 numbers at a time: they fill whole words, so that each word and shift is known when this is compiled.
fn unpack_width<const BITS: usize>(bytes: &[u8], numbers: &mut [u32; BLOCK]) -> Option<()> {
    let (words, _) = bytes.get(..16 * BITS)?.as_chunks::<4>();
    let mask = u32::MAX >> (32 - BITS);
    let (groups, _) = numbers.as_chunks_mut::<32>();
    for (group, words) in groups.iter_mut().zip(words.chunks_exact(BITS)) {
        let words: &[[u8; 4]; BITS] = words.try_into().ok()?;
        for (at, number) in group.iter_mut().enumerate() {
            let (word, shift) = (at * BITS / 32, at * BITS % 32);
            let mut value = u32::from_le_bytes(words[word]) >> shift;
            if shift + BITS > 32 {
                value |= u32::from_le_bytes(words[word + 1]) << (32 - shift);
            }
            *number = value & mask;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{Reader, bits, pack, put_number, unpack};

    #[test]
    fn numbers_come_back() {
        let mut out = Vec::new();
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        numbers.iter().for_each(|it| put_number(*it, &mut out));
        let mut reader = Reader(&out);
        for number in numbers {
            assert_eq!(reader.number(), Some(number));
        }
        assert_eq!(reader.number(), None);
        assert_eq!(Reader(&[0xff; 10]).number(), None, "more than 64 bits");
        assert_eq!(Reader(&[0x80; 20]).number(), None, "it has no end");
        assert_eq!(Reader(&[0xff; 5]).small(), None);
    }

    #[test]
    fn blocks_of_every_width_come_back() {
        let mut rng = cairn_testkit::Rng::new(9);
        for width in 0..=32_u8 {
            let limit = if width == 0 {
                0
            } else {
                u32::MAX >> (32 - width)
            };
            let mut numbers = [0; 128];
            numbers.fill_with(|| rng.next_u64() as u32 & limit);
            numbers[77] = limit;
            assert_eq!(bits(&numbers), width);
            let mut out = Vec::new();
            pack(&numbers, width, &mut out);
            assert_eq!(out.len(), 16 * usize::from(width));
            let mut read = [7; 128];
            assert_eq!(unpack(&out, width, &mut read), Some(()));
            assert_eq!(read, numbers);
            if width > 0 {
                assert_eq!(unpack(&out[1..], width, &mut read), None);
            }
        }
        assert_eq!(unpack(&[0; 600], 33, &mut [0; 128]), None);
    }
}
