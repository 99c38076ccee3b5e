//! Names of the flags and choices that memory calls take.
//!
//! The numbers are those of the kernel's user-space headers for x86_64, up to Linux 6.18.

use crate::syscall::kind::{Field, choice, field, flags};
use crate::syscall::names::names;

names! {
    /// Memory protection.
    PROT flags {
        0x0 PROT_NONE, 0x1 PROT_READ, 0x2 PROT_WRITE, 0x4 PROT_EXEC, 0x8 PROT_SEM, 0x1000000 PROT_GROWSDOWN,
        0x2000000 PROT_GROWSUP
    }
    /// `mmap` flags; the four lowest bits are how it is shared.
    MAP field(Field::Names(0xf, &[
        (1, "MAP_SHARED"), (2, "MAP_PRIVATE"), (3, "MAP_SHARED_VALIDATE"), (8, "MAP_DROPPABLE")
    ])) {
        0x10 MAP_FIXED, 0x20 MAP_ANONYMOUS, 0x40 MAP_32BIT, 0x80 MAP_ABOVE4G, 0x100 MAP_GROWSDOWN,
        0x800 MAP_DENYWRITE, 0x1000 MAP_EXECUTABLE, 0x2000 MAP_LOCKED, 0x4000 MAP_NORESERVE,
        0x8000 MAP_POPULATE, 0x10000 MAP_NONBLOCK, 0x20000 MAP_STACK, 0x40000 MAP_HUGETLB, 0x80000 MAP_SYNC,
        0x100000 MAP_FIXED_NOREPLACE
    }
    /// `mremap` flags.
    MREMAP flags {
        0x1 MREMAP_MAYMOVE, 0x2 MREMAP_FIXED, 0x4 MREMAP_DONTUNMAP
    }
    /// `madvise` advice.
    MADVISE choice {
        0 MADV_NORMAL, 1 MADV_RANDOM, 2 MADV_SEQUENTIAL, 3 MADV_WILLNEED, 4 MADV_DONTNEED, 8 MADV_FREE,
        9 MADV_REMOVE, 10 MADV_DONTFORK, 11 MADV_DOFORK, 12 MADV_MERGEABLE, 13 MADV_UNMERGEABLE,
        14 MADV_HUGEPAGE, 15 MADV_NOHUGEPAGE, 16 MADV_DONTDUMP, 17 MADV_DODUMP, 18 MADV_WIPEONFORK,
        19 MADV_KEEPONFORK, 20 MADV_COLD, 21 MADV_PAGEOUT, 22 MADV_POPULATE_READ, 23 MADV_POPULATE_WRITE,
        24 MADV_DONTNEED_LOCKED, 25 MADV_COLLAPSE, 100 MADV_HWPOISON, 101 MADV_SOFT_OFFLINE,
        102 MADV_GUARD_INSTALL, 103 MADV_GUARD_REMOVE
    }
    /// `msync` flags.
    MSYNC flags {
        0x1 MS_ASYNC, 0x2 MS_INVALIDATE, 0x4 MS_SYNC
    }
    /// `mlockall` flags.
    MLOCKALL flags {
        0x1 MCL_CURRENT, 0x2 MCL_FUTURE, 0x4 MCL_ONFAULT
    }
    /// `mlock2` flags.
    MLOCK flags {
        0x1 MLOCK_ONFAULT
    }
    /// Flags of a memory policy; the other bits are the mode.
    POLICY field(Field::Names(0xfff, &[
        (0, "MPOL_DEFAULT"), (1, "MPOL_PREFERRED"), (2, "MPOL_BIND"), (3, "MPOL_INTERLEAVE"),
        (4, "MPOL_LOCAL"), (5, "MPOL_PREFERRED_MANY"), (6, "MPOL_WEIGHTED_INTERLEAVE")
    ])) {
        0x8000 MPOL_F_STATIC_NODES, 0x4000 MPOL_F_RELATIVE_NODES, 0x2000 MPOL_F_NUMA_BALANCING
    }
    /// `mbind` and `move_pages` flags.
    MBIND flags {
        0x1 MPOL_MF_STRICT, 0x2 MPOL_MF_MOVE, 0x4 MPOL_MF_MOVE_ALL
    }
    /// `get_mempolicy` flags.
    GET_POLICY flags {
        0x1 MPOL_F_NODE, 0x2 MPOL_F_ADDR, 0x4 MPOL_F_MEMS_ALLOWED
    }
    /// Rights that `pkey_alloc` takes away.
    PKEY flags {
        0x1 PKEY_DISABLE_ACCESS, 0x2 PKEY_DISABLE_WRITE
    }
    /// `membarrier` commands.
    MEMBARRIER choice {
        0 MEMBARRIER_CMD_QUERY, 1 MEMBARRIER_CMD_GLOBAL, 2 MEMBARRIER_CMD_GLOBAL_EXPEDITED,
        4 MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 8 MEMBARRIER_CMD_PRIVATE_EXPEDITED,
        16 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 32 MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE,
        64 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 128 MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
        256 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 512 MEMBARRIER_CMD_GET_REGISTRATIONS
    }
    /// `userfaultfd` flags.
    USERFAULTFD flags {
        0x1 UFFD_USER_MODE_ONLY, 0x800 O_NONBLOCK, 0x80000 O_CLOEXEC
    }
    /// `memfd_secret` flags.
    SECRET flags {
        0x80000 O_CLOEXEC
    }
    /// `map_shadow_stack` flags.
    SHADOW_STACK flags {
        0x1 SHADOW_STACK_SET_TOKEN, 0x2 SHADOW_STACK_SET_MARKER
    }
}
