//! The child processes: in comes a call, out come its process and, through shared memory, its outcome.
//!
//! Between `fork` and `_exit` a child makes nothing but raw system calls on memory that was laid out before
//! the fork. That is what a process forked off a threaded one may do, and it leaves no other failing call
//! in the child.

use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering::SeqCst};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Pid;

use super::{Arg, Call, Made};

/// What a child tells its parent.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    done: AtomicI32,
    pid: AtomicI32,
    before: AtomicI64,
    after: AtomicI64,
    returned: AtomicI64,
    /// How many calls a flood has made.
    pub(super) calls: AtomicU64,
}

/// Memory shared between a child and its parent.
#[derive(Debug)]
pub(super) struct Slot(*mut Outcome);

impl Slot {
    pub(super) fn new() -> Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
        let memory = unsafe { libc::mmap(ptr::null_mut(), size_of::<Outcome>(), protection, flags, -1, 0) };
        ensure!(memory != libc::MAP_FAILED, "no shared memory: {}", std::io::Error::last_os_error());
        Ok(Self(memory.cast()))
    }

    pub(super) fn outcome(&self) -> &Outcome {
        // SAFETY: the mapping is aligned to a page, as large as an Outcome, lives as long as self, and holds
        // zeros at first, which is a valid Outcome. Only atomics are reached through it.
        unsafe { &*self.0 }
    }

    pub(super) fn made(&self) -> Option<Made> {
        let outcome = self.outcome();
        (outcome.done.load(SeqCst) == 1).then(|| Made {
            pid: outcome.pid.load(SeqCst),
            before: outcome.before.load(SeqCst).into(),
            after: outcome.after.load(SeqCst).into(),
            returned: outcome.returned.load(SeqCst),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference into it outlives self.
        unsafe { libc::munmap(self.0.cast(), size_of::<Outcome>()) };
    }
}

/// Makes `call` in a new process.
pub(super) fn fork(call: &Call, slot: &Slot) -> Result<Pid> {
    let mut words = [0; 6];
    for (word, arg) in words.iter_mut().zip(&call.args) {
        *word = match arg {
            Arg::Number(number) => *number,
            Arg::Memory(bytes) => bytes.as_ptr() as i64,
        };
    }
    let mut comm = [0; 16];
    if let Some(name) = &call.who.comm {
        let length = name.len().min(15);
        comm[..length].copy_from_slice(&name[..length]);
    }
    let name = call.who.comm.as_ref().map(|_| comm.as_ptr());
    let outcome = slot.outcome();
    // SAFETY: the child runs only the functions below, which make raw system calls, and never returns.
    match unsafe { libc::fork() } {
        -1 => bail!("cannot fork: {}", std::io::Error::last_os_error()),
        0 => match call.who.vpid {
            None => act(call, &words, name, outcome),
            Some(vpid) => in_namespace(vpid, || act(call, &words, name, outcome), outcome),
        },
        pid => {
            // In a namespace of its own it is a grandchild that acts, and it is named by its parent.
            if call.who.vpid.is_none() {
                outcome.pid.store(pid, SeqCst);
            }
            Pid::from_raw(pid).context("fork returned no process")
        }
    }
}

/// Makes the call and leaves.
fn act(call: &Call, words: &[i64; 6], comm: Option<*const u8>, outcome: &Outcome) -> ! {
    let [a, b, c, d, e, f] = *words;
    // SAFETY: only raw system calls. Those that prepare act on this process alone. The provoked one is made
    // to fail; its pointers are zero, deliberately bad, or lead to memory of `call`, which the child has a
    // copy of.
    unsafe {
        if let Some(comm) = comm {
            libc::prctl(libc::PR_SET_NAME, comm);
        }
        let uid = call.who.uid;
        if uid != 0 {
            libc::syscall(libc::SYS_setresgid, uid, uid, uid);
            libc::syscall(libc::SYS_setresuid, uid, uid, uid);
        }
        outcome.before.store(now(), SeqCst);
        let result = libc::syscall(call.number, a, b, c, d, e, f);
        let returned = if result == -1 { -i64::from(*libc::__errno_location()) } else { result };
        outcome.after.store(now(), SeqCst);
        outcome.returned.store(returned, SeqCst);
        outcome.done.store(1, SeqCst);
        libc::_exit(0)
    }
}

/// Lets `act` run as process `vpid` of a new process id namespace, and leaves after it.
fn in_namespace(vpid: i32, act: impl Fn(), outcome: &Outcome) -> ! {
    // SAFETY: only raw system calls. The namespace concerns this process's children alone. The first child
    // is the namespace's init; it waits to be killed if it is not the one to act.
    unsafe {
        if libc::unshare(libc::CLONE_NEWPID) != 0 {
            libc::_exit(1);
        }
        let init = libc::fork();
        if init == 0 {
            if vpid == 1 {
                act();
            }
            libc::pause();
            libc::_exit(0);
        }
        let mut actor = init;
        if vpid != 1 {
            actor = libc::fork();
            if actor == 0 {
                act();
            }
        }
        outcome.pid.store(actor, SeqCst);
        libc::waitpid(actor, ptr::null_mut(), 0);
        if actor != init {
            libc::kill(init, libc::SIGKILL);
            libc::waitpid(init, ptr::null_mut(), 0);
        }
        libc::_exit(0)
    }
}

/// The wall clock.
fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the address is that of a live timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Makes failing calls at this rate, one of `numbers` after the other, until it is killed, or until it has made
/// `limit` of them.
pub(super) fn flood(
    a_millisecond: Option<u64>,
    limit: u64,
    numbers: &'static [i64],
    slot: &Slot,
) -> Result<Pid> {
    let outcome = slot.outcome();
    // SAFETY: the child makes only raw system calls and never returns.
    match unsafe { libc::fork() } {
        -1 => bail!("cannot fork: {}", std::io::Error::last_os_error()),
        0 => {
            let batch = a_millisecond.unwrap_or(limit);
            let mut next = now();
            let mut made = 0;
            let mut numbers = numbers.iter().cycle();
            while made < limit {
                for number in numbers.by_ref().take(batch.min(limit - made) as usize) {
                    // SAFETY: -1 is no file descriptor, so each of these calls does nothing.
                    unsafe { libc::syscall(*number, -1, 0, 0, 0) };
                    made += 1;
                    outcome.calls.store(made, SeqCst);
                }
                next += 1_000_000;
                let until = libc::timespec { tv_sec: next / 1_000_000_000, tv_nsec: next % 1_000_000_000 };
                if a_millisecond.is_some() {
                    // SAFETY: the address is that of a live timespec; sleeping touches nothing else.
                    unsafe {
                        libc::clock_nanosleep(
                            libc::CLOCK_REALTIME,
                            libc::TIMER_ABSTIME,
                            &raw const until,
                            ptr::null_mut(),
                        );
                    }
                }
            }
            // SAFETY: leaving without destructors is what a forked child must do.
            unsafe { libc::_exit(0) }
        }
        pid => Pid::from_raw(pid).context("fork returned no process"),
    }
}

/// Starts `processes` short processes, some of them at a time, each of which makes `calls` failing calls.
pub(super) fn bomb(processes: u64, calls: u64, number: i64, slot: &Slot) -> Result<Pid> {
    const AT_A_TIME: u64 = 32;
    let outcome = slot.outcome();
    // SAFETY: the child and its children make only raw system calls and never return. A fork without the C
    // library's own bookkeeping is enough for them.
    unsafe {
        match libc::fork() {
            -1 => bail!("cannot fork: {}", std::io::Error::last_os_error()),
            0 => {
                let mut alive = 0;
                for _ in 0..processes {
                    let pid = libc::fork();
                    if pid == 0 {
                        for _ in 0..calls {
                            libc::syscall(number, -1);
                            outcome.calls.fetch_add(1, SeqCst);
                        }
                        libc::_exit(0);
                    }
                    alive += u64::from(pid > 0);
                    while alive >= AT_A_TIME && libc::waitpid(-1, ptr::null_mut(), 0) > 0 {
                        alive -= 1;
                    }
                }
                while alive > 0 && libc::waitpid(-1, ptr::null_mut(), 0) > 0 {
                    alive -= 1;
                }
                libc::_exit(0)
            }
            pid => Pid::from_raw(pid).context("fork returned no process"),
        }
    }
}

/// Takes the loopback interface up.
pub(super) fn raise_loopback(any: &OwnedFd) -> Result<()> {
    // SAFETY: an ifreq of zeros is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    // SAFETY: both requests take an ifreq; the flags are the member of the union that the first one fills.
    let result = unsafe {
        let mut result = libc::ioctl(any.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request);
        if result == 0 && request.ifr_ifru.ifru_flags & libc::IFF_UP as i16 == 0 {
            request.ifr_ifru.ifru_flags |= libc::IFF_UP as i16;
            result = libc::ioctl(any.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request);
        }
        result
    };
    ensure!(result == 0, "cannot take lo up: {}", std::io::Error::last_os_error());
    Ok(())
}
