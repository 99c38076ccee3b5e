//! Which layout this is: one number that differs wherever kernel and user space would misread each other.
//!
//! In: names, offsets and sizes of all fields that outlive a daemon. Out: [`LAYOUT`].

use core::mem::offset_of;

use crate::{
    CallPayload, Control, Counters, ExitKey, ExitPayload, ExitRecord, Fault, FoldFirst, FoldPage, FoldSet,
    FoldedExit, Head, KINDS, Ledger, OffcpuPayload, OomPayload, RING_VERSION, Reached, RingHeader, Sender,
    ToldPage,
};

/// Goes on with the digest of these structures. A field that is not named does not compile.
macro_rules! structures {
    ($hash:ident: $($structure:ident { $($field:ident)* })*) => {
        $(
            $hash = number(digest($hash, stringify!($structure).as_bytes()), size_of::<$structure>());
            $($hash = number(digest($hash, stringify!($field).as_bytes()), offset_of!($structure, $field));)*
            let _: fn($structure) = |$structure { $($field: _),* }| {};
        )*
    };
}

/// The layout of what a daemon leaves to the next: ring records, fold table, counters, ledger. Two builds with the same
/// number understand each other's.
pub const LAYOUT: u64 = {
    let mut hash = number(digest_of(b"layout"), RING_VERSION as usize);
    hash = number(hash, KINDS as usize);
    structures!(hash:
        Head { pid tid uid gid nr ns_pid start finish sid pid_ns uts_ns mnt_ns ipc_ns cgr_ns context_sw errno ret comm }
        RingHeader { tag length euid parent start_time cgroup stamp head }
        CallPayload { registers memory_len captured truncated abi capability }
        ExitPayload { status device inode sender fault cgroup_name }
        ExitRecord { header payload }
        ExitKey { inode cgroup device status euid syscall arch bank comm }
        FoldedExit { count record }
        Sender { receiver_start pid uid comm }
        Fault { process_start signal code address instruction mapping_start mapping_page syscall arch immutable mapping }
        OffcpuPayload { since duration threshold wait ongoing told cpu other frames other_comm stack }
        OomPayload { total_vm anon file shmem pgtables limit limit_cgroup trigger_pid score_adj trigger_comm cgroup_name limit_name }
        Counters { sent lost }
        Control { bank pages own reserved }
        FoldSet { keys counts }
        FoldPage { sets }
        FoldFirst { key header payload }
        ToldPage { counts }
        Reached { how events sequence }
        Ledger { epoch maps folded_cleared clearing forgetting started dismissed sequence ring reached }
    );
    hash
};

/// A digest of these bytes (FNV-1a).
pub const fn digest_of(bytes: &[u8]) -> u64 {
    digest(0xcbf2_9ce4_8422_2325, bytes)
}

/// Goes on with a digest.
pub const fn digest(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x100_0000_01b3);
        at += 1;
    }
    hash
}

const fn number(hash: u64, number: usize) -> u64 {
    digest(hash, &(number as u64).to_le_bytes())
}
