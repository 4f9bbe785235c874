//! The numbers of values that delta encodings claim in their headers. A decoder takes them at their word, and reserves
//! memory for as many.
//!
//! The encodings are those of <https://parquet.apache.org/docs/file-format/data-pages/encodings/>: a sequence of whole
//! numbers is a header (values in a block, miniblocks in a block, number of values, first value), then blocks of a smallest
//! difference, a width in bits for each miniblock, and the packed differences.

use parquet::basic::Encoding;

/// The largest number of values that a page of byte arrays claims to have, if it is encoded by differences of lengths; 0 for
/// any other encoding. What cannot be read is left to the decoder, which finds it too.
pub(super) fn claimed_values(encoding: Encoding, values: &[u8]) -> u64 {
    let lengths = |bytes: &[u8]| Sequence::new(bytes).map_or(0, |sequence| sequence.values);
    match encoding {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => lengths(values),
        // The lengths of the prefixes are followed by those of the suffixes.
        Encoding::DELTA_BYTE_ARRAY => {
            let Some(prefixes) = Sequence::new(values) else { return 0 };
            let claimed = prefixes.values;
            claimed.max(prefixes.rest().map_or(0, lengths))
        }
        _ => 0,
    }
}

/// A sequence of whole numbers, of which the header has been read.
struct Sequence<'a> {
    bytes: &'a [u8],
    values: u64,
    miniblocks: usize,
    values_per_miniblock: u64,
}

impl<'a> Sequence<'a> {
    /// None if the bytes end before the header.
    fn new(mut bytes: &'a [u8]) -> Option<Self> {
        let (block, miniblocks, values) = (number(&mut bytes)?, number(&mut bytes)?, number(&mut bytes)?);
        number(&mut bytes)?;
        let values_per_miniblock = block.checked_div(miniblocks).filter(|values| *values > 0)?;
        Some(Self { bytes, values, miniblocks: usize::try_from(miniblocks).ok()?, values_per_miniblock })
    }

    /// The bytes after the sequence; None if it does not end.
    fn rest(mut self) -> Option<&'a [u8]> {
        let mut left = self.values.saturating_sub(1);
        while left > 0 {
            number(&mut self.bytes)?;
            let (widths, packed) = self.bytes.split_at_checked(self.miniblocks)?;
            self.bytes = packed;
            for &width in widths {
                if left == 0 {
                    break;
                }
                let bits = self.values_per_miniblock.checked_mul(u64::from(width))?;
                // The last miniblock may end with its last value.
                let bytes = usize::try_from(bits / 8).ok()?.min(self.bytes.len());
                self.bytes = &self.bytes[bytes..];
                left = left.saturating_sub(self.values_per_miniblock);
            }
        }
        Some(self.bytes)
    }
}

/// The next number of variable length (unsigned LEB128), taken off the bytes.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 128 values in a block of 4 miniblocks; 3 values from 2 (zigzag 4): 2, 3, 5 with smallest difference 1 (zigzag 2) and
    /// differences of 1 bit above it, 0 and 1, in 32 places.
    const LENGTHS: [u8; 14] = [0x80, 0x01, 4, 3, 4, 2, 1, 0, 0, 0, 0b10, 0, 0, 0];

    #[test]
    fn the_number_of_values_stands_in_the_header() {
        assert_eq!(claimed_values(Encoding::DELTA_LENGTH_BYTE_ARRAY, &LENGTHS), 3);
        assert_eq!(claimed_values(Encoding::PLAIN, &LENGTHS), 0);
        let huge = [0x80, 0x01, 4, 0xff, 0xff, 0xff, 0xff, 0x07, 0];
        assert_eq!(claimed_values(Encoding::DELTA_LENGTH_BYTE_ARRAY, &huge), 0x7fff_ffff);
    }

    #[test]
    fn the_suffixes_of_byte_arrays_have_a_header_of_their_own() {
        let mut both = LENGTHS.to_vec();
        both.extend([0x80, 0x01, 4, 9, 0]);
        assert_eq!(claimed_values(Encoding::DELTA_BYTE_ARRAY, &both), 9);
    }

    #[test]
    fn bytes_that_end_early_claim_nothing_more() {
        for end in 0..LENGTHS.len() {
            let claimed = claimed_values(Encoding::DELTA_BYTE_ARRAY, &LENGTHS[..end]);
            assert!(claimed == 0 || claimed == 3, "{end}: {claimed}");
        }
        assert_eq!(claimed_values(Encoding::DELTA_BYTE_ARRAY, &[0x80, 0x01, 0, 3, 0]), 0, "no miniblocks");
    }
}
