//! Programs that do nothing, one for each hook of the event probe: what a hook costs at the least.
//!
//! In: the kernel's tracepoints. Out: nothing. `cargo xtask bench kernel` attaches them in place of the probe's own
//! programs of the same name.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

    macro_rules! empty {
        ($($hook:ident)*) => {$(
            #[doc = concat!("On `", stringify!($hook), "`.")]
            #[btf_tracepoint]
            pub fn $hook(_: BtfTracePointContext) -> i32 {
                0
            }
        )*};
    }

    empty! {
        sys_exit sched_switch sched_process_exit sched_process_exec sched_process_fork mark_victim signal_deliver
        signal_generate cap_capable io_uring_complete io_uring_complete_v1 sched_process_gone
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }

    /// The licence of programs that attach to tracepoints.
    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
