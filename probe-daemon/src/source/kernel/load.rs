//! Loads the BPF object.
//!
//! In: where the kernel keeps its fields, sizes, and the maps of an earlier daemon where this one goes on with them. Out: the
//! loaded object, none of whose programs is attached yet.

use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use probe_common::{
    ASKED, ASKED_NOTHING, ASKED_SYMBOL, CONTROL, CONTROL_SYMBOL, Control, EXITS, EXITS_TOLD, FOLD,
    FOLD_BANKS, FOLD_FIRST, OFFCPU_CONTROL, OFFCPU_CONTROL_SYMBOL, OFFSETS, OffcpuControl, Offsets,
    PAGE_WAYS, RUNNERS, TOLD,
};
use zerocopy::IntoBytes;

use super::{Folding, KernelError, pins::Side};

/// The BPF object, aligned as its ELF structures need; empty in a build without BPF tools.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bpf-object"));

/// The name of the kernel side that would be loaded: another one differs in what it does, or in its maps.
pub fn name(offsets: &Offsets, folding: Folding) -> String {
    let sizes = [folding.pages(), folding.exits(), cpus()];
    Side::name(&[OBJECT, offsets.as_bytes(), sizes.as_bytes()])
}

/// Loads the object, with maps of its own or with those of a kernel side that is pinned.
pub fn load(offsets: &Offsets, folding: Folding, side: Option<&mut Side>) -> Result<Ebpf, KernelError> {
    let own = std::process::id();
    let mut control = Control { bank: 0, pages: folding.pages(), own, reserved: 0 };
    let mut offcpu = OffcpuControl { gate: i64::MAX, ..OffcpuControl::default() };
    let mut asked = ASKED_NOTHING;
    let mut pinned = Vec::new();
    if let Some(side) = side {
        // The loader writes globals, whose maps other programs use already: nothing may change in them.
        control = Control { own, ..side.get(CONTROL)? };
        offcpu = side.get(OFFCPU_CONTROL)?;
        asked = side.get(ASKED)?;
        pinned = side.pinned().map_err(|e| KernelError::refused("reading event.pin_dir", e))?;
    }
    let mut loader = EbpfLoader::new();
    // aya has read the kernel's types for itself when it makes a loader, and needs none.
    loader.btf(None);
    Side::lend(&pinned, &mut loader);
    let pages = FOLD_BANKS * folding.pages().max(1);
    loader
        .verifier_log_level(VerifierLogLevel::DEBUG)
        .override_global(OFFSETS, offsets, true)
        .override_global(CONTROL_SYMBOL, &control, true)
        .override_global(ASKED_SYMBOL, &asked, true)
        .override_global(OFFCPU_CONTROL_SYMBOL, &offcpu, true)
        .map_max_entries(FOLD, pages)
        .map_max_entries(FOLD_FIRST, pages * PAGE_WAYS)
        .map_max_entries(TOLD, pages)
        .map_max_entries(EXITS, folding.exits())
        .map_max_entries(EXITS_TOLD, folding.exits())
        .map_max_entries(RUNNERS, cpus())
        .load(OBJECT)
        .map_err(|e| KernelError::refused("loading the BPF object", e))
}

/// CPUs that this kernel can have.
fn cpus() -> u32 {
    let possible = aya::util::nr_cpus().unwrap_or(1);
    u32::try_from(possible).unwrap_or(u32::MAX)
}
