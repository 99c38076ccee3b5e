//! What the host must offer before anything is loaded.
//!
//! In: `/proc/self/status`, the kernel's BTF. Out: nothing when all is there, else the one thing to mend.

use std::{
    fs, io,
    os::linux::net::SocketAddrExt,
    os::unix::net::{SocketAddr, UnixListener, UnixStream},
    path::Path,
};

use super::KernelError;

/// The kernel's own type information.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Capabilities that loading and attaching need (capabilities(7)), with their bits. CAP_SYS_ADMIN, which older
/// setups grant instead, includes them.
const NEEDED: [(&str, u32); 2] = [("CAP_BPF", 39), ("CAP_PERFMON", 38)];
const CAP_SYS_ADMIN: u32 = 21;

/// Checks privileges first, since most of what follows fails without them in less telling ways.
///
/// # Errors
/// [`KernelError::Privilege`] with the missing capabilities, [`KernelError::Lacks`] with what the kernel lacks.
pub fn check() -> Result<(), KernelError> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let missing = missing_capabilities(&status);
    if !missing.is_empty() {
        return Err(KernelError::Privilege(missing.join(" and ")));
    }
    if !Path::new(BTF_PATH).exists() {
        return Err(KernelError::Lacks(format!(
            "BTF type information ({BTF_PATH}): it needs CONFIG_DEBUG_INFO_BTF=y and a mounted /sys"
        )));
    }
    Ok(())
}

/// Whether the memory controller has a hierarchy of its own (cgroup v1, hybrid setups included).
pub fn memory_cgroup_is_v1() -> bool {
    Path::new("/sys/fs/cgroup/memory").is_dir()
}

/// The name that a running daemon holds: an abstract socket, which needs no directory and no privilege, and which the
/// kernel lets go when the daemon is gone, however it ends. It is one per network namespace.
const CLAIM: &[u8] = b"gala-gopher-event-probe";

/// Claims the host: two daemons would report everything twice. Hold it for as long as events are captured.
///
/// # Errors
/// [`KernelError::Busy`] where another daemon holds it, with its process id where it can be told.
pub fn claim() -> Result<UnixListener, KernelError> {
    let refused = |error: io::Error| KernelError::refused("claiming the host", error);
    let address = SocketAddr::from_abstract_name(CLAIM).map_err(refused)?;
    UnixListener::bind_addr(&address).map_err(|error| {
        if error.kind() != io::ErrorKind::AddrInUse {
            return refused(error);
        }
        let other = UnixStream::connect_addr(&address).ok();
        let pid = other.and_then(|other| rustix::net::sockopt::socket_peercred(other).ok());
        KernelError::Busy(pid.map_or_else(|| "unknown".to_owned(), |peer| peer.pid.as_raw_pid().to_string()))
    })
}

fn missing_capabilities(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        // Without /proc the kernel itself will say no.
        .unwrap_or(u64::MAX);
    let has = |bit: u32| effective & (1 << bit) != 0;
    if has(CAP_SYS_ADMIN) {
        return Vec::new();
    }
    NEEDED.iter().filter(|(_, bit)| !has(*bit)).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cap_eff: &str, missing: &[&str]) {
        assert_eq!(missing_capabilities(&format!("Name:\tx\nCapEff:\t{cap_eff}\n")), missing, "{cap_eff}");
    }

    #[test]
    fn missing_capabilities_are_named() {
        check("000001ffffffffff", &[]);
        check("0000000000200000", &[]);
        check("000000c000000000", &[]);
        check("0000000000000000", &["CAP_BPF", "CAP_PERFMON"]);
        check("0000008000000000", &["CAP_PERFMON"]);
    }
}
