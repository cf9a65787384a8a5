//! Reading a segment, every byte through a checksum.

use std::cell::RefCell;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_env::{Access, Bug, DiskFile, Env, Seal, TAG_BYTES, planted};

use super::format::{
    ALIGN, Entry, FOOTER_NONCE, HEADER_BYTES, Header, TRAILER_BYTES, Trailer, block_crc,
    decode_footer, flags_known, footer_crc, footer_proves, nonce,
};
use super::{BLOCK_BYTES, REQUIRED, Section, SectionId, SegmentFile};
use crate::check::{CANNOT_BE_READ, Fault, Finding, Inspector, inspect};
use crate::crypt::{FORGED, open_seal};
use crate::error::{Result, StorageError};
use crate::fields::read_exact;
use crate::mapping::Mapping;

/// Bytes per read of a long run of whole blocks, verified in place right after it.
const READ_BYTES: usize = 1024 * 1024; // 1 MiB: large for the kernel, small for the L2 cache

const _: () = assert!(READ_BYTES.is_multiple_of(BLOCK_BYTES));

/// Bytes that the disk is told of before they are read: it fetches them while checksums of others are
/// compared.
const AHEAD_BYTES: u64 = 2 * READ_BYTES as u64;

thread_local! {
    /// A block of which only a part is wanted.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A finished segment, open for reading from any number of threads.
#[derive(Debug)]
pub struct SegmentReader {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) trailer: Trailer,
    /// Every section of the file, in file order.
    pub(super) entries: Vec<Entry>,
    /// Those the caller understands.
    pub(super) sections: Vec<Section>,
    /// The key of an encrypted file.
    pub(super) seal: Option<Arc<dyn Seal>>,
}

impl SegmentReader {
    /// Opens the segment at `path` and verifies header, footer and trailer; bodies are verified
    /// as they are read.
    ///
    /// `expected`: what its manifest remembers. `known`: section kinds the caller understands;
    /// other sections are passed over, unless they are [`REQUIRED`].
    ///
    /// # Errors
    /// [`StorageError::Missing`], [`StorageError::Corrupt`]; [`StorageError::Unsupported`] for a
    /// newer format or a required section that is not known.
    pub fn open(
        env: &Env,
        path: &Path,
        expected: Option<SegmentFile>,
        known: &[u32],
    ) -> Result<Self> {
        let mut reader = Self::open_as(env, path, expected, true)?;
        reader.sections = select(path, &reader.entries, known)?;
        Ok(reader)
    }

    /// Compares all checksums of the segment at `path`, or only those of header and footer. Needs
    /// no key: they cover the bytes as they are stored.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`verify_all`](Self::verify_all).
    pub fn verify_stored(
        env: &Env,
        path: &Path,
        expected: SegmentFile,
        with_bodies: bool,
    ) -> Result<()> {
        let reader = Self::open_as(env, path, Some(expected), false)?;
        if with_bodies {
            reader.verify_all()?;
        }
        Ok(())
    }

    /// With its key, or only as it is stored; no section is selected.
    fn open_as(
        env: &Env,
        path: &Path,
        expected: Option<SegmentFile>,
        with_key: bool,
    ) -> Result<Self> {
        let corrupt = |at, what: &str| Err(StorageError::corrupt(path, at, what));
        let file = env.disk.open(path, Access::Read);
        let file = file.map_err(StorageError::io("open", path))?;
        let bytes = file.len().map_err(StorageError::io("len", path))?;
        if bytes < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            return corrupt(0, "shorter than its header");
        }
        let trailer_offset = bytes - TRAILER_BYTES as u64;
        let (mut head, mut tail) = ([0; HEADER_BYTES], [0; TRAILER_BYTES]);
        read_exact(&*file, path, 0, &mut head)?;
        let header = Header::decode(path, &head)?;
        read_exact(&*file, path, trailer_offset, &mut tail)?;
        let trailer = Trailer::decode(path, &tail, bytes)?;
        if expected.is_some_and(|expected| expected != trailer.file()) {
            return corrupt(trailer_offset, "not the file its manifest lists");
        }
        let offset = trailer.footer_offset;
        let mut footer = vec![0; in_memory(path, offset, trailer.footer_bytes)?];
        read_exact(&*file, path, offset, &mut footer)?;
        if footer_crc(&head, &footer) != trailer.footer_crc {
            return corrupt(offset, "wrong footer checksum");
        }
        let seal = if with_key {
            let sealed = open_seal(env, path, header.origin, &header.about())?;
            sealed.map(|(_, seal)| seal)
        } else {
            None
        };
        if header.origin.is_some() {
            let Some((_, tag)) = footer.split_last_chunk::<TAG_BYTES>() else {
                return corrupt(offset, "footer is shorter than its tag");
            };
            let tag = *tag;
            footer.truncate(footer.len() - TAG_BYTES);
            let proves = footer_proves(&head, &footer);
            let proved = |seal: &Arc<dyn Seal>| seal.open(&FOOTER_NONCE, &proves, &mut [], &tag);
            if !seal.as_ref().is_none_or(proved) {
                return corrupt(offset, FORGED);
            }
        }
        let entries = decode_footer(path, offset, &footer, header.origin.is_some())?;
        Ok(Self {
            sections: Vec::new(),
            file,
            path: path.to_path_buf(),
            header,
            trailer,
            entries,
            seal,
        })
    }

    /// The sections the caller understands, in file order.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Bytes of a section, or `None` if there is none of this id.
    #[must_use]
    pub fn len(&self, id: SectionId) -> Option<u64> {
        self.find(id).map(|entry| entry.bytes)
    }

    /// Whether the file has no section the caller understands.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Where the body of a section begins, in bytes from the start of the file; of one that is not
    /// understood, too.
    #[must_use]
    pub fn offset(&self, id: SectionId) -> Option<u64> {
        let entry = self.entries.iter().find(|entry| entry.id == id);
        entry.map(|entry| entry.offset)
    }

    /// Bytes of header, footer and trailer, which opening has checked.
    #[must_use]
    pub fn rest_bytes(&self) -> u64 {
        let bodies: u64 = self.entries.iter().map(|entry| entry.bytes).sum();
        self.trailer.file().bytes - bodies
    }

    /// The segment's own id.
    #[must_use]
    pub fn identity(&self) -> [u8; 16] {
        self.header.identity
    }

    /// The collection it was written for.
    #[must_use]
    pub fn collection(&self) -> u64 {
        self.header.collection
    }

    /// Its length and checksum, as a manifest remembers them.
    #[must_use]
    pub fn file(&self) -> SegmentFile {
        self.trailer.file()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A whole section.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] if there is no such section or a block of it is damaged.
    pub fn read(&self, id: SectionId) -> Result<Vec<u8>> {
        let entry = self.entry(id)?;
        let mut body = vec![0; in_memory(&self.path, entry.offset, entry.bytes)?];
        self.fill(entry, 0, &mut body)?;
        Ok(body)
    }

    /// A whole section, in place: large reads, each verified where it landed.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// If `buf` is not as long as the section.
    pub fn read_into(&self, id: SectionId, buf: &mut [u8]) -> Result<()> {
        let entry = self.entry(id)?;
        assert_eq!(
            buf.len() as u64,
            entry.bytes,
            "a buffer as long as the section"
        );
        self.fill(entry, 0, buf)
    }

    /// `buf.len()` bytes from `offset` of a section. Whole blocks land in place, others go
    /// through a scratch block of the thread's; only blocks that are touched are read.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`StorageError::Corrupt`] if the section ends before: whoever
    /// asks has the range from another section, and the two do not agree.
    pub fn read_range(&self, id: SectionId, offset: u64, buf: &mut [u8]) -> Result<()> {
        let entry = self.entry(id)?;
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > entry.bytes) {
            return Err(self.damage(entry, entry.bytes, "range lies outside the section"));
        }
        self.fill(entry, offset, buf)
    }

    /// Says that a range of a section is read next: a hint to the disk, which costs nothing when it is
    /// wrong. What lies outside the section is not asked for.
    pub fn will_read(&self, id: SectionId, range: Range<u64>) {
        if let Some(entry) = self.find(id) {
            let end = range.end.min(entry.bytes);
            let bytes = end.saturating_sub(range.start);
            if bytes > 0 {
                self.file.will_read(entry.offset + range.start, bytes);
            }
        }
    }

    /// A section as memory. `None` where it cannot be had so: in an encrypted file, in one that is not
    /// the system's, on other systems than Unix, and when the system refuses. Nothing is verified:
    /// the caller has read the section before. [`check_mapping`](Self::check_mapping) says whether
    /// what was read of it may be believed.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] if there is no such section.
    pub fn map(&self, id: SectionId) -> Result<Option<Mapping>> {
        let entry = self.entry(id)?;
        if self.seal.is_some() {
            return Ok(None);
        }
        #[cfg(unix)]
        if let Some(file) = self.file.descriptor()
            && let Ok(bytes) = usize::try_from(entry.bytes)
        {
            return Ok(Mapping::new(file, entry.offset, bytes));
        }
        #[cfg(not(unix))]
        let _ = entry;
        Ok(None)
    }

    /// Whether the file is as long as it was, and every page of `mapping`, of the section `id`, was
    /// there when it was read.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`], from then on, if one was not: what was read of it is not the file's.
    pub fn check_mapping(&self, id: SectionId, mapping: &Mapping) -> Result<()> {
        if self.file.len().ok() != Some(self.trailer.file().bytes) {
            mapping.spoil();
        }
        if mapping.is_whole() {
            return Ok(());
        }
        let entry = self.entry(id)?;
        Err(self.damage(entry, 0, "the file was cut while it was mapped"))
    }

    /// A whole section, right or wrong, decrypted where it is right: what [`check`](Self::check)
    /// says of it decides which bytes may be believed.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] if there is no such section, [`StorageError::Io`].
    pub fn read_unchecked(&self, id: SectionId) -> Result<Vec<u8>> {
        let entry = self.entry(id)?;
        let mut body = vec![0; in_memory(&self.path, entry.offset, entry.bytes)?];
        self.pread(entry, 0, &mut body)?;
        if self.seal.is_some() {
            for (block, index) in body.chunks_mut(BLOCK_BYTES).zip(0..) {
                // What is wrong stays as it lies.
                let _ = self.verify(entry, index, block);
            }
        }
        Ok(body)
    }

    /// Reads everything, sections not understood included, and tells every damaged stretch:
    /// blocks whose checksum is wrong, and filling between sections that is not zero.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn check(&self, inspector: &mut dyn Inspector) -> Result<()> {
        self.check_all(inspector, true)
    }

    /// As [`check`](Self::check). `goes_on`: what the disk refuses to read is told, and no error.
    fn check_all(&self, inspector: &mut dyn Inspector, goes_on: bool) -> Result<()> {
        let longest = self.entries.iter().map(|entry| entry.bytes).max();
        let longest = usize::try_from(longest.unwrap_or(0)).unwrap_or(READ_BYTES);
        let mut buffer = vec![0; longest.min(READ_BYTES)];
        for (index, entry) in self.entries.iter().enumerate() {
            let next = self.entries.get(index + 1);
            let next = next.map_or(self.trailer.footer_offset, |next| next.offset);
            if planted(Bug::VerifySkipsLastSection) && index + 1 == self.entries.len() {
                break;
            }
            if !self.check_body(entry, &mut buffer, inspector, goes_on)? {
                return Ok(());
            }
            self.check_filling(entry, next, inspector, goes_on)?;
        }
        Ok(())
    }

    /// As [`check`](Self::check), but ends at the first damage, as an error.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn verify_all(&self) -> Result<()> {
        let mut first = First(None);
        self.check_all(&mut first, false)?;
        match first.0 {
            None => Ok(()),
            Some(finding) => Err(StorageError::Corrupt {
                file: finding.file,
                offset: finding.offset,
                section: finding.section.map(|id| id.to_string()),
                what: finding.what,
            }),
        }
    }

    /// Checks the blocks of a section; neighbours that are damaged are told as one. Returns whether
    /// to go on.
    fn check_body(
        &self,
        entry: &Entry,
        buffer: &mut [u8],
        inspector: &mut dyn Inspector,
        goes_on: bool,
    ) -> Result<bool> {
        let mut bad: Option<(Range<u64>, &'static str)> = None;
        let mut at = 0;
        let mut ahead = self.ahead(entry, 0, entry.bytes);
        while at < entry.bytes {
            ahead.reached(at);
            let bytes = (entry.bytes - at).min(READ_BYTES as u64);
            let bytes = usize::try_from(bytes).expect("at most the buffer");
            let chunk = &mut buffer[..bytes];
            let is_read = match self.pread(entry, at, chunk) {
                Err(error) if error.is_unreadable() && !goes_on => return Err(error),
                // Block by block then: the others are told apart from those that cannot be read.
                Err(error) if error.is_unreadable() => false,
                other => match inspect(other, inspector)? {
                    Some(()) => true,
                    None => return Ok(true),
                },
            };
            let mut start = at;
            for (block, index) in chunk.chunks_mut(BLOCK_BYTES).zip(at / BLOCK_BYTES as u64..) {
                let end = start + block.len() as u64;
                let wrong = match is_read {
                    false if self.pread(entry, start, block).is_err() => Some(CANNOT_BE_READ),
                    _ => self.fault(entry, index, block),
                };
                bad = match (bad.take(), wrong) {
                    (Some((bad, before)), Some(what)) if before == what => {
                        Some((bad.start..end, what))
                    }
                    (before, wrong) => {
                        if let Some(bad) = before {
                            inspector.found(self.damaged_blocks(entry, &bad));
                            if planted(Bug::VerifyStopsAtFirst) {
                                return Ok(false);
                            }
                        }
                        wrong.map(|what| (start..end, what))
                    }
                };
                start = end;
            }
            if !inspector.passed(bytes as u64) {
                return Ok(false);
            }
            at += bytes as u64;
        }
        if let Some(bad) = bad {
            inspector.found(self.damaged_blocks(entry, &bad));
        }
        Ok(true)
    }

    /// Checks the zeros behind a section, up to `next`.
    fn check_filling(
        &self,
        entry: &Entry,
        next: u64,
        inspector: &mut dyn Inspector,
        goes_on: bool,
    ) -> Result<()> {
        let mut fill = [0; ALIGN as usize];
        let bytes = usize::try_from(next - entry.offset - entry.bytes)
            .expect("sections lie one behind the other");
        let fill = &mut fill[..bytes];
        let read = match self.pread(entry, entry.bytes, fill) {
            Err(error) if error.is_unreadable() && !goes_on => return Err(error),
            other => inspect(other, inspector)?,
        };
        let wrong = read.and_then(|()| fill.iter().position(|byte| *byte != 0));
        if let Some(at) = wrong.filter(|_| !planted(Bug::VerifySkipsPadding)) {
            inspector.found(Finding {
                fault: Fault::Damaged,
                file: self.path.clone(),
                section: Some(entry.id),
                offset: entry.offset + entry.bytes + at as u64,
                bytes: 1,
                what: "filling is not zero".to_owned(),
            });
        }
        Ok(())
    }

    fn damaged_blocks(&self, entry: &Entry, (bad, what): &(Range<u64>, &str)) -> Finding {
        Finding {
            fault: Fault::Damaged,
            file: self.path.clone(),
            section: Some(entry.id),
            offset: entry.offset + bad.start,
            bytes: bad.end - bad.start,
            what: (*what).to_owned(),
        }
    }

    fn find(&self, id: SectionId) -> Option<&Entry> {
        self.sections.iter().find(|section| section.id == id)?;
        self.entries.iter().find(|entry| entry.id == id)
    }

    fn entry(&self, id: SectionId) -> Result<&Entry> {
        self.find(id).ok_or_else(|| StorageError::Corrupt {
            file: self.path.clone(),
            offset: self.trailer.footer_offset,
            section: Some(id.to_string()),
            what: "section is missing".to_owned(),
        })
    }

    /// Fills `buf` from `offset` of the section's body; the range lies inside it.
    fn fill(&self, entry: &Entry, offset: u64, buf: &mut [u8]) -> Result<()> {
        const BLOCK: u64 = BLOCK_BYTES as u64;
        let (mut at, mut rest) = (offset, buf);
        let mut ahead = self.ahead(entry, at, rest.len() as u64);
        while !rest.is_empty() {
            ahead.reached(at);
            let (index, skip) = (at / BLOCK, at % BLOCK);
            let left = entry.bytes - index * BLOCK;
            let run = if skip == 0 {
                whole_blocks(rest.len(), left)
            } else {
                0
            };
            let done = if run > 0 {
                self.pread(entry, at, &mut rest[..run])?;
                for (block, index) in rest[..run].chunks_mut(BLOCK_BYTES).zip(index..) {
                    self.verify(entry, index, block)?;
                }
                run
            } else {
                let wanted = (left.min(BLOCK) - skip).min(rest.len() as u64);
                let wanted = usize::try_from(wanted).expect("at most a block");
                self.part(entry, index, skip, &mut rest[..wanted])?;
                wanted
            };
            at += done as u64;
            rest = &mut rest[done..];
        }
        Ok(())
    }

    /// Tells the disk of `bytes` bytes from `at` of the section's body, some time before each is read.
    fn ahead(&self, entry: &Entry, at: u64, bytes: u64) -> Ahead<'_> {
        // One read is asked for as a whole in any case.
        let told = if bytes > READ_BYTES as u64 {
            at
        } else {
            at + bytes
        };
        Ahead {
            file: &*self.file,
            body: entry.offset,
            told,
            end: at + bytes,
        }
    }

    /// Fills `buf` from `skip` of block `index`.
    fn part(&self, entry: &Entry, index: u64, skip: u64, buf: &mut [u8]) -> Result<()> {
        let start = index * BLOCK_BYTES as u64;
        let bytes = (entry.bytes - start).min(BLOCK_BYTES as u64);
        let bytes = usize::try_from(bytes).expect("at most a block");
        let skip = usize::try_from(skip).expect("less than a block");
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(BLOCK_BYTES, 0);
            let block = &mut scratch[..bytes];
            self.pread(entry, start, block)?;
            self.verify(entry, index, block)?;
            buf.copy_from_slice(&block[skip..skip + buf.len()]);
            Ok(())
        })
    }

    fn pread(&self, entry: &Entry, at: u64, buf: &mut [u8]) -> Result<()> {
        match read_exact(&*self.file, &self.path, entry.offset + at, buf) {
            Err(StorageError::Corrupt { what, .. }) => Err(self.damage(entry, at, &what)),
            other => other,
        }
    }

    /// Compares the checksum of block `index`; decrypts it in place.
    fn verify(&self, entry: &Entry, index: u64, block: &mut [u8]) -> Result<()> {
        match self.fault(entry, index, block) {
            None => Ok(()),
            Some(what) => Err(self.damage(entry, index * BLOCK_BYTES as u64, what)),
        }
    }

    /// As [`verify`](Self::verify); what is wrong with the block.
    fn fault(&self, entry: &Entry, index: u64, block: &mut [u8]) -> Option<&'static str> {
        let mut crc = block_crc(&self.header.identity, entry.id, index);
        crc.update(block);
        let slot = usize::try_from(index).expect("blocks are counted in u32");
        if crc.finish() != entry.checksums[slot] && !planted(Bug::IgnoreBlockChecksum) {
            return Some("wrong block checksum");
        }
        let seal = self.seal.as_ref()?;
        let right = seal.open(&nonce(entry.id, index), &[], block, &entry.tags[slot]);
        (!right).then_some(FORGED)
    }

    /// Damage at `at` of the section's body.
    fn damage(&self, entry: &Entry, at: u64, what: &str) -> StorageError {
        StorageError::Corrupt {
            file: self.path.clone(),
            offset: entry.offset + at,
            section: Some(entry.id.to_string()),
            what: what.to_owned(),
        }
    }
}

/// How much of a long read the disk was told of.
struct Ahead<'a> {
    file: &'a dyn DiskFile,
    /// Where the section begins in the file.
    body: u64,
    told: u64,
    end: u64,
}

impl Ahead<'_> {
    /// What comes next is read from `at` of the section.
    fn reached(&mut self, at: u64) {
        let until = self.end.min(at + AHEAD_BYTES);
        if until > self.told && (until == self.end || until - self.told >= READ_BYTES as u64) {
            self.file
                .will_read(self.body + self.told, until - self.told);
            self.told = until;
        }
    }
}

/// The first thing that is found.
struct First(Option<Finding>);

impl Inspector for First {
    fn found(&mut self, finding: Finding) {
        self.0.get_or_insert(finding);
    }

    fn passed(&mut self, _bytes: u64) -> bool {
        self.0.is_none()
    }
}

/// How many of `wanted` bytes can be read and verified in place, from the start of a block
/// where `left` bytes of the section are left: whole blocks, the section's short last one too.
fn whole_blocks(wanted: usize, left: u64) -> usize {
    let wanted = wanted.min(READ_BYTES);
    if wanted as u64 == left {
        wanted
    } else {
        wanted - wanted % BLOCK_BYTES
    }
}

/// The sections the caller understands.
pub(super) fn select(path: &Path, entries: &[Entry], known: &[u32]) -> Result<Vec<Section>> {
    let mut sections = Vec::with_capacity(entries.len());
    for entry in entries {
        if known.contains(&entry.id.kind) && flags_known(entry.flags) {
            sections.push(Section {
                id: entry.id,
                flags: entry.flags,
                bytes: entry.bytes,
            });
        } else if entry.flags & REQUIRED != 0 {
            let what = format!("required section {} flags={:#x}", entry.id, entry.flags);
            return Err(StorageError::unsupported(path, what));
        }
    }
    Ok(sections)
}

fn in_memory(path: &Path, offset: u64, bytes: u64) -> Result<usize> {
    usize::try_from(bytes).map_err(|_| StorageError::corrupt(path, offset, "longer than memory"))
}
