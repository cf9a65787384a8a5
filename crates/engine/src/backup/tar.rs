//! Headers of tar archives, as POSIX.1-1988 (`ustar`) has them: 512 bytes, numbers in octal.
//!
//! Lengths from 8 GiB are written in base 256, as GNU tar does; every tar of today reads that.

/// Bytes of a header, and what contents are filled up to.
pub(super) const BLOCK_BYTES: usize = 512;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Dir,
    /// Facts about others, which are passed over.
    Facts,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// With `/` between names, without one at the end.
    pub path: String,
    pub kind: Kind,
    pub bytes: u64,
}

/// Largest length that fits eleven octal digits.
const OCTAL_MAX: u64 = (1 << 33) - 1;
const CHECKSUM: std::ops::Range<usize> = 148..156;

impl Header {
    /// # Panics
    /// If the path is longer than the 100 bytes of a name; none of ours is.
    pub fn encode(&self, seconds: u64) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        let (name, mode, flag) = match self.kind {
            Kind::Dir => (format!("{}/", self.path), 0o700, b'5'),
            Kind::File | Kind::Facts => (self.path.clone(), 0o600, b'0'),
        };
        block[..name.len()].copy_from_slice(name.as_bytes());
        assert!(name.len() < 100, "a path of ours fits a name");
        put_octal(&mut block[100..108], mode);
        put_octal(&mut block[108..116], 0);
        put_octal(&mut block[116..124], 0);
        if self.bytes <= OCTAL_MAX {
            put_octal(&mut block[124..136], self.bytes);
        } else {
            block[124] = 0x80;
            block[128..136].copy_from_slice(&self.bytes.to_be_bytes());
        }
        put_octal(&mut block[136..148], seconds.min(OCTAL_MAX));
        block[156] = flag;
        block[257..265].copy_from_slice(b"ustar\x0000");
        let sum = format!("{:06o}\0 ", checksum(&block));
        block[CHECKSUM].copy_from_slice(sum.as_bytes());
        block
    }

    /// What [`Header::encode`] or another tar wrote; `None` for the end of the archive.
    ///
    /// # Errors
    /// Why it is no header, or none that can be used.
    pub fn decode(block: &[u8; BLOCK_BYTES]) -> Result<Option<Self>, &'static str> {
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if get_number(&block[CHECKSUM]) != Some(u64::from(checksum(block))) {
            return Err("wrong checksum of a header");
        }
        let kind = match block[156] {
            b'0' | 0 => Kind::File,
            b'5' => Kind::Dir,
            b'x' | b'g' => Kind::Facts,
            _ => return Err("an entry that is neither a file nor a directory"),
        };
        let name = text(&block[..100])?;
        let is_ustar = &block[257..262] == b"ustar";
        let prefix = if is_ustar {
            text(&block[345..500])?
        } else {
            ""
        };
        let path = if prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{prefix}/{name}")
        };
        let path = path.strip_prefix("./").unwrap_or(&path);
        let bytes = get_number(&block[124..136]).ok_or("a length that is no number")?;
        Ok(Some(Self {
            path: path.trim_end_matches('/').to_owned(),
            kind,
            bytes: if kind == Kind::Dir { 0 } else { bytes },
        }))
    }

    /// Bytes that the contents take, filled up.
    pub fn filled(&self) -> Option<u64> {
        self.bytes.checked_next_multiple_of(BLOCK_BYTES as u64)
    }
}

/// The sum of all bytes, the checksum's own taken as spaces.
fn checksum(block: &[u8; BLOCK_BYTES]) -> u32 {
    let byte = |(at, &byte): (usize, &u8)| match CHECKSUM.contains(&at) {
        true => u32::from(b' '),
        false => u32::from(byte),
    };
    block.iter().enumerate().map(byte).sum()
}

fn put_octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    field[..digits].copy_from_slice(text.as_bytes());
}

fn get_number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at_checked(field.len() - 8)?;
        let (first, rest) = high.split_first()?;
        let fits = *first == 0x80 && rest.iter().all(|&byte| byte == 0);
        return fits.then(|| u64::from_be_bytes(low.try_into().expect("eight bytes")));
    }
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches(|c| c == ' ' || c == '\0');
    u64::from_str_radix(digits, 8).ok()
}

fn text(field: &[u8]) -> Result<&str, &'static str> {
    let end = field.iter().position(|&byte| byte == 0);
    let bytes = &field[..end.unwrap_or(field.len())];
    std::str::from_utf8(bytes).map_err(|_| "a name that is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(path: &str, kind: Kind, bytes: u64) -> Header {
        Header {
            path: path.to_owned(),
            kind,
            bytes,
        }
    }

    #[test]
    fn headers_of_every_length_come_back() {
        for bytes in [0, 1, 511, OCTAL_MAX, OCTAL_MAX + 1, 1 << 50] {
            let file = header("collections/0/seg/x.seg", Kind::File, bytes);
            assert_eq!(Header::decode(&file.encode(5)), Ok(Some(file)));
        }
        let dir = header("catalog", Kind::Dir, 0);
        assert_eq!(Header::decode(&dir.encode(5)), Ok(Some(dir)));
        assert_eq!(Header::decode(&[0; BLOCK_BYTES]), Ok(None));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let block = header("CURRENT", Kind::File, 32).encode(0);
        for at in 0..BLOCK_BYTES {
            let mut damaged = block;
            damaged[at] ^= 1;
            let decoded = Header::decode(&damaged);
            let same = decoded == Header::decode(&block);
            // Spaces and zeros around a checksum say the same.
            assert!(
                decoded.is_err() || (same && CHECKSUM.contains(&at)),
                "byte {at}"
            );
        }
    }
}
