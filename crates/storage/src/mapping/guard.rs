//! What becomes of a read of a page that a mapped file does not have.
//!
//! The processor cannot go on, so the system sends SIGBUS to the thread that read. The handler here
//! looks up the address among the mappings that are watched, notes that this one is damaged, puts a
//! page of zeros there and returns: the read is repeated and succeeds. Whoever reads from a mapping
//! asks afterwards, see [`Mapping::is_whole`](super::Mapping::is_whole). Libraries that share memory
//! with strangers do the same (libwayland, for one).
//!
//! A handler may interrupt anything, so it allocates nothing and takes no lock: it loads atomics of a
//! table of fixed size and calls `mmap`. Damage is noted before the page is there, so no thread can
//! read zeros and then find nothing noted. Signals that are not about a watched mapping go to whoever
//! handled them before; where nobody did, the process ends as it would have.
//!
//! The handler is installed with the first mapping and stays: it cannot be taken back safely once
//! somebody else may have one that calls it.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Mappings at a time; whoever comes later is read instead.
const SLOTS: usize = 1024;

/// Nobody has the slot.
const FREE: usize = 0;
/// Somebody is filling it in. No mapping starts here, nor at [`FREE`].
const TAKEN: usize = 1;

struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    damaged: AtomicBool,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        start: AtomicUsize::new(FREE),
        end: AtomicUsize::new(0),
        damaged: AtomicBool::new(false),
    }
}; SLOTS];

/// Who had the signal before, and the size of a page.
static BEFORE: OnceLock<Option<(libc::sigaction, usize)>> = OnceLock::new();

/// A range of addresses whose signals are caught until this is dropped.
pub(super) struct Watched(&'static Slot);

/// Watches `bytes` bytes at `start`. `None` when there is no slot left, or no handler.
pub(super) fn watch(start: usize, bytes: usize) -> Option<Watched> {
    (*BEFORE.get_or_init(install))?;
    let take = |slot: &&Slot| {
        let taken = slot
            .start
            .compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Relaxed);
        taken.is_ok()
    };
    let slot = TABLE.iter().find(take)?;
    slot.damaged.store(false, Ordering::Release);
    slot.end.store(start + bytes, Ordering::Release);
    slot.start.store(start, Ordering::Release);
    Some(Watched(slot))
}

impl Watched {
    pub(super) fn is_damaged(&self) -> bool {
        self.0.damaged.load(Ordering::Acquire)
    }

    pub(super) fn damage(&self) {
        self.0.damaged.store(true, Ordering::Release);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.start.store(FREE, Ordering::Release);
    }
}

/// Installs the handler; the one before it.
fn install() -> Option<(libc::sigaction, usize)> {
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a number is asked for.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    // SAFETY: all zeros are a `sigaction`: the default action, with an empty mask and no flags.
    let mut ours: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    ours.sa_sigaction = on_bus_error as *const () as usize;
    // On the stack that a program may have made for signals: the thread's own may be what is full.
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: both point to a `sigaction`. The handler keeps to what a handler may do; what it needs,
    // `BEFORE`, is set before any address is watched, and it can be without.
    let done = unsafe { libc::sigaction(libc::SIGBUS, &raw const ours, before.as_mut_ptr()) };
    // SAFETY: a call that succeeds has written the one before.
    (done == 0).then(|| (unsafe { before.assume_init() }, page))
}

/// The slot that watches `address`.
fn watching(address: usize) -> Option<&'static Slot> {
    TABLE.iter().find(|slot| {
        let start = slot.start.load(Ordering::Acquire);
        let end = slot.end.load(Ordering::Acquire);
        // Another mapping may have come into the slot between the two.
        let same = slot.start.load(Ordering::Acquire) == start;
        start > TAKEN && (start..end).contains(&address) && same
    })
}

extern "C" fn on_bus_error(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let before = BEFORE.get().copied().flatten();
    // SAFETY: the system hands over the description of a fault, which has an address.
    let address = unsafe { (*info).si_addr() }.addr();
    if let Some((_, page)) = before
        && let Some(slot) = watching(address)
    {
        slot.damaged.store(true, Ordering::SeqCst);
        let start = null_mut::<c_void>().with_addr(address & !(page - 1));
        // SAFETY: the page lies in a mapping that is watched, which its owner keeps as long as this
        // thread reads from it, and is replaced by one of the same size that can be read as well.
        let mapped = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED;
            libc::mmap(start, page, libc::PROT_READ, flags, -1, 0)
        };
        if mapped != libc::MAP_FAILED {
            return;
        }
    }
    // SAFETY: what this handler was called with.
    unsafe { pass_on(before.map(|(action, _)| action), signal, info, context) }
}

/// Does what would have been done without this handler.
///
/// # Safety
/// The arguments are those of a handler that runs.
unsafe fn pass_on(
    before: Option<libc::sigaction>,
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    type Plain = extern "C" fn(c_int);
    type Told = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
    let handler = before.map_or(libc::SIG_DFL, |action| action.sa_sigaction);
    match before {
        Some(action) if handler != libc::SIG_DFL && handler != libc::SIG_IGN => {
            if action.sa_flags & libc::SA_SIGINFO == 0 {
                // SAFETY: installed without `SA_SIGINFO`, so it is a function of this type.
                let handler = unsafe { std::mem::transmute::<usize, Plain>(handler) };
                handler(signal);
            } else {
                // SAFETY: installed with `SA_SIGINFO`, so it is a function of this type.
                let handler = unsafe { std::mem::transmute::<usize, Told>(handler) };
                handler(signal, info, context);
            }
        }
        // The default, which cannot be ignored either: the signal waits until this handler returns,
        // and ends the process then.
        _ => {
            // SAFETY: both may be called by a handler.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            }
        }
    }
}
