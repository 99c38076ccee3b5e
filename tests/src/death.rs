//! Processes that die on purpose: in comes the way, out come the process id and what wait(2) says.
//!
//! Between `fork` and its end a child makes nothing but raw system calls and plain instructions, as a process
//! forked off a threaded one must.

use std::arch::asm;
use std::ffi::{CStr, CString};
use std::ptr;

use anyhow::{Result, bail, ensure};

/// How a process dies.
#[derive(Debug, Clone)]
pub enum Way {
    /// With an exit code.
    Code(i32),
    /// By reading this address.
    Read(u64),
    /// By dividing by zero.
    Divide,
    /// By a signal that it sends to itself, in a folder where a core dump may be written.
    Raise(i32, CString),
    /// By a signal from this process.
    Killed(i32),
    /// By a system call (`getppid`) that its seccomp filter does not let pass.
    Seccomp,
    /// A second thread executes this program.
    ThreadExecutes(CString),
    /// The first thread leaves with code 0, then the second ends the process with this code.
    FirstThreadLeaves(i32),
    /// By filling this many bytes of memory, after it has written its id to that file (`cgroup.procs`).
    Fill(usize, CString),
}

/// What became of it.
#[derive(Debug, Clone, Copy)]
pub struct Dead {
    /// Its process id.
    pub pid: i32,
    /// Status of wait(2).
    pub status: i32,
}

/// Lets a process of that name die, and waits for it.
pub fn die(name: &str, way: &Way) -> Result<Dead> {
    let child = Alive::start(name, way)?;
    if let Way::Killed(signal) = way {
        child.signal(*signal)?;
    }
    child.signal(libc::SIGCONT)?;
    child.wait()
}

/// A process that has its name and waits to be told to go on.
#[derive(Debug)]
pub struct Alive {
    pid: i32,
}

impl Alive {
    /// Starts it.
    pub fn start(name: &str, way: &Way) -> Result<Self> {
        let name = CString::new(name)?;
        let mut stack = vec![0u8; 1 << 16];
        let top = stack.as_mut_ptr_range().end;
        // SAFETY: the child runs `act`, which makes only raw system calls and never returns.
        let pid = match unsafe { libc::fork() } {
            -1 => bail!("cannot fork: {}", std::io::Error::last_os_error()),
            0 => act(&name, way, top),
            pid => pid,
        };
        let child = Self { pid };
        let status = child.status(libc::WUNTRACED)?;
        ensure!(libc::WIFSTOPPED(status), "the child ended at once: {status:#x}");
        Ok(child)
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        // SAFETY: sends a signal to a child that has not been waited for.
        ensure!(unsafe { libc::kill(self.pid, signal) } == 0, "cannot send signal {signal}");
        Ok(())
    }

    /// Waits for its end.
    pub fn wait(self) -> Result<Dead> {
        Ok(Dead { pid: self.pid, status: self.status(0)? })
    }

    fn status(&self, options: i32) -> Result<i32> {
        let mut status = 0;
        // SAFETY: the status is written to a live integer.
        let waited = unsafe { libc::waitpid(self.pid, &raw mut status, options) };
        ensure!(waited == self.pid, "cannot wait for {}: {}", self.pid, std::io::Error::last_os_error());
        Ok(status)
    }
}

fn act(name: &CStr, way: &Way, stack: *mut u8) -> ! {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    // SAFETY: raw system calls on memory that was laid out before the fork. Where memory is misused, that is what
    // the process is to die of, in assembly that the compiler does not look into.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, name.as_ptr());
        // No core dump where the test happens to run.
        let none = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        // Rust ignores SIGPIPE, and catches some of what kills.
        if let Way::Killed(signal) = way {
            libc::signal(*signal, libc::SIG_DFL);
        }
        libc::raise(libc::SIGSTOP);
        match way {
            Way::Code(code) => libc::_exit(*code),
            Way::Read(address) => asm!("mov {0}, [{0}]", inout(reg) *address => _),
            Way::Divide => asm!(
                "xor edx, edx", "div {zero:e}",
                zero = in(reg) 0, inout("eax") 1 => _, out("edx") _
            ),
            Way::Raise(signal, folder) => {
                libc::chdir(folder.as_ptr());
                let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
                libc::setrlimit(libc::RLIMIT_CORE, &raw const all);
                libc::raise(*signal);
            }
            Way::Killed(_) => {
                libc::pause();
            }
            Way::Seccomp => seccomp(),
            Way::ThreadExecutes(program) => {
                second_thread(execute, stack, program.as_ptr().cast_mut().cast());
                libc::pause();
            }
            Way::FirstThreadLeaves(code) => {
                second_thread(leave, stack, ptr::without_provenance_mut(*code as usize));
                libc::syscall(libc::SYS_exit, 0);
            }
            Way::Fill(bytes, procs) => {
                let file = libc::open(procs.as_ptr(), libc::O_WRONLY);
                libc::write(file, c"0".as_ptr().cast(), 1);
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
                libc::mmap(ptr::null_mut(), *bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
                // A signal that is on its way gets the time to arrive.
                libc::nanosleep(&raw const pause, ptr::null_mut());
            }
        }
        libc::_exit(99)
    }
}

/// Kills the process at `getppid`.
unsafe fn seccomp() {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        // Load the number; on `getppid` go on to the next step, else skip one.
        step(0x20, 0, 0, 0),
        step(0x15, 0, 1, libc::SYS_getppid as u32),
        step(0x06, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        step(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the filter lives until the kernel has copied it.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program);
        libc::syscall(libc::SYS_getppid);
    }
}

unsafe fn second_thread(
    run: extern "C" fn(*mut libc::c_void) -> i32,
    stack: *mut u8,
    with: *mut libc::c_void,
) {
    let flags =
        libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
    // SAFETY: the stack is this process's own copy, and nobody else uses it.
    unsafe { libc::clone(run, stack.cast(), flags, with) };
}

extern "C" fn execute(program: *mut libc::c_void) -> i32 {
    let arguments = [program.cast_const().cast(), ptr::null()];
    // SAFETY: a string that was laid out before the fork, and two arrays that end with a null pointer.
    unsafe { libc::execve(program.cast(), arguments.as_ptr(), arguments[1..].as_ptr()) }
}

extern "C" fn leave(code: *mut libc::c_void) -> i32 {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    // SAFETY: sleeps, then leaves with all threads.
    unsafe {
        libc::nanosleep(&raw const pause, ptr::null_mut());
        libc::_exit(code.addr() as i32)
    }
}
