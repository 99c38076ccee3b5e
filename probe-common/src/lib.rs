//! The byte layout that the BPF programs and the daemon share, and nothing else.
//!
//! In: bytes from the ring buffer or from a stored event. Out: types, or a [`DecodeError`]; decoding is
//! total, so no bytes panic. This is the only crate that knows how an event lies in memory; `probe-ebpf`
//! writes these types and `probe-daemon` reads them.

#![cfg_attr(not(test), no_std)]

mod call;
mod exit;
mod fold;
mod layout;
mod ledger;
mod map;
mod offcpu;
mod oom;
mod process;
mod raw;
mod ring;

pub use call::{
    CallPayload, CallRecord, CallScratch, I386, MEMORY_SLOT_LEN, Memory, PATH_LEN, REGISTERS,
    SCRATCH_MEMORY_LEN, SOCKADDR_LEN, X86_64,
};
pub use exit::{
    EXITS, EXITS_LEN, EXITS_TOLD, ExitKey, ExitPayload, ExitRecord, Fault, FoldedExit, NAME_LEN, Sender,
};
pub use fold::{
    CONTROL, CONTROL_SYMBOL, Control, FOLD, FOLD_BANKS, FOLD_FIRST, FOLD_SETS, FOLD_WAYS, FoldFirst,
    FoldPage, FoldSet, PAGE_WAYS, TOLD, ToldPage, fold_key, fold_place,
};
pub use layout::{LAYOUT, digest, digest_of};
pub use ledger::{LEDGER, LEDGER_SINKS, Ledger, Reached};
pub use map::{
    ABSENT, ASKED, ASKED_NOTHING, ASKED_ROW, ASKED_SYMBOL, Asked, COUNTERS, Counters, ERRNO_BITS, I386_FIRST,
    IO_URING_FIRST, IO_URING_SLOTS, KINDS, LOOKS, LOOKS_ALL, LOOKS_MAX, LOOKS_SLOTS, Looks, OFFSETS, Offsets,
    POLICY, POLICY_SLOTS, QUESTIONS, Question, REFUSED, REFUSED_SLOTS, RING, Refused, SOCKETCALL,
    SOCKETCALLS, SYSCALL_OTHER, SYSCALL_SLOTS, SyscallPolicy, asked, io_uring_slot, socketcall_slot,
    syscall_slot,
};
pub use offcpu::{
    CALIBRATION, Calibration, FRAMES, OFFCPU_CONTROL, OFFCPU_CONTROL_SYMBOL, OffcpuControl, OffcpuPayload,
    OffcpuRecord, RUNNERS, Runner, SLEEPER_CGROUPS, SLEEPER_CGROUPS_LEN, SLEEPER_NAMES, SLEEPER_NAMES_LEN,
    SLEEPER_SETS, SLEEPERS, SleeperSet, TAKEN, WAYS, Wait,
};
pub use oom::{OomPayload, OomRecord};
pub use process::{
    COMPONENT_LEN, LIVING, NAMES_LEN, NO_LOGIN, PAST, PATH_ROOM, PastKey, ProcessEntry, TTY_LEN,
};
pub use raw::{ARG_COUNT, ARG_LEN, COMM_LEN, DecodeError, Head, RAW_EVENT_LEN, RawEvent};
pub use ring::{Kind, Payload, RING_TAG, RING_VERSION, RingHeader, RingRecord};
