//! The tile instructions of this crate in software, for tests on machines without the unit.
//!
//! On such a CPU a tile instruction raises SIGILL before it does anything. [`install`] puts a handler there, once per
//! process, that decodes the instruction at the fault, carries it out on eight tiles of the thread, and resumes behind
//! it. Any other illegal instruction is left to the handler that was there before, usually to the default: the process
//! dies by SIGILL, as it should.
//!
//! The handler may interrupt only the assembly of this crate, allocates nothing and takes no lock. It runs on the
//! interrupted stack, not on the alternate one, which the runtime sizes for reporting an overflow and no more.

mod file;
mod instruction;
#[cfg(test)]
mod tests;

use std::cell::UnsafeCell;
use std::sync::{Once, OnceLock};

use file::TileFile;
use instruction::Instruction;

thread_local! {
    // Initialised at compile time and without a destructor: the handler's access is a plain one, without registration.
    static FILE: UnsafeCell<TileFile> = const { UnsafeCell::new(TileFile::UNCONFIGURED) };
}

/// What was to be done about SIGILL before.
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Installs the handler, once; whether it is there.
pub fn install() -> bool {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // SAFETY: all zeros is a valid `sigaction`: the default action, no flags, no signals masked.
        let (mut action, mut previous): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_illegal_instruction as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: both are valid, and the handler has the signature that SA_SIGINFO asks for.
        if unsafe { libc::sigaction(libc::SIGILL, &action, &mut previous) } == 0 {
            let _ = PREVIOUS.set(previous);
        }
    });
    PREVIOUS.get().is_some()
}

/// The position in `gregs` of each register, by its number in an instruction.
const REGISTERS: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

extern "C" fn on_illegal_instruction(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the third argument of an SA_SIGINFO handler is the interrupted context, ours until we return.
    let saved = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = saved[libc::REG_RIP as usize] as *const u8;
    let registers = REGISTERS.map(|register| saved[register as usize] as u64);
    // SAFETY: the CPU fetched the bytes of the instruction from here, and no byte behind its end is asked for.
    let decoded = Instruction::decode(|position| unsafe { at.add(position).read() });
    let done = decoded.filter(|(instruction, _)| {
        // SAFETY: the file is this thread's, no reference to it outlives the handler, and the handler does not nest. The
        // memory operands are those of the assembly in `block.rs`, whose SAFETY comments say why they are valid.
        FILE.with(|file| unsafe { (*file.get()).execute(instruction, &registers) })
    });
    match (done, PREVIOUS.get()) {
        (Some((_, length)), _) => saved[libc::REG_RIP as usize] += length as i64,
        // SAFETY: the action was in force before. On return the instruction faults once more, into it.
        (None, Some(previous)) => unsafe {
            libc::sigaction(libc::SIGILL, previous, std::ptr::null_mut());
        },
        // SAFETY: another thread's fault in the moment between installation and its record: as by default.
        (None, None) => unsafe {
            libc::signal(libc::SIGILL, libc::SIG_DFL);
        },
    }
}
