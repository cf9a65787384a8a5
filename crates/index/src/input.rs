//! Bytes of an index, read from the front; nothing is believed of them.

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There are fewer bytes, or more, than must be; `bytes` in all.
    Length { bytes: usize },
    /// What must be zero is not.
    NotZero { offset: usize },
}

/// What is left to read.
pub(crate) struct Input<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn wrong_length(&self) -> Fault {
        Fault::Length {
            bytes: self.bytes.len(),
        }
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let taken = self.bytes[self.at..].get(..count);
        let taken = taken.ok_or(self.wrong_length())?;
        self.at += count;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("as many bytes as asked for"))
    }

    pub fn number(&mut self) -> Result<usize, Fault> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    pub fn zeros(&mut self, count: usize) -> Result<(), Fault> {
        let offset = self.at;
        if self.take(count)?.iter().all(|&byte| byte == 0) {
            Ok(())
        } else {
            Err(Fault::NotZero { offset })
        }
    }
}
