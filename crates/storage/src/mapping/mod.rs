//! A stretch of an immutable file as memory.
//!
//! Reading a file verifies what it returns, each time; memory that is mapped does not. A page that
//! the system dropped comes back as the disk has it then, and where the file has become shorter there
//! is none: the processor raises SIGBUS, whose default is the end of the process. So who maps a file
//!
//! - has read and verified it before, and maps it only where wrong bytes do no more than make a
//!   comparison wrong: what is returned to a caller is read through its checksum;
//! - asks [`Mapping::is_whole`] when it is done, and throws away what it has where the answer is no.
//!
//! A handler ([`guard`](self)) turns the signal into that answer: it puts a page of zeros where there
//! is none and lets the reader go on. What nobody can see is a file that somebody overwrites in
//! place. Ours are never written again, and stand in a directory that is closed to other users.
//!
//! Only Unix is asked; elsewhere nothing is mapped.

#[cfg(unix)]
mod guard;
#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub use unix::Mapping;

/// What there is none of on this system.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct Mapping(std::convert::Infallible);

#[cfg(not(unix))]
impl Mapping {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self.0 {}
    }

    /// Whether all that was read so far were the bytes of the file.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match self.0 {}
    }

    /// Gives the pages of a range back.
    pub fn let_go(&self, _range: std::ops::Range<usize>) {
        match self.0 {}
    }

    /// Says that it will be read here and there, or from front to back.
    pub fn will_jump(&self, _jumps: bool) {
        match self.0 {}
    }

    pub(crate) fn spoil(&self) {
        match self.0 {}
    }
}
