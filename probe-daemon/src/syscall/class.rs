//! Classes of system calls, by what they work on; in and out, their names in a configuration.

use std::fmt;

/// What a system call works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Files, directories and their attributes.
    File,
    /// Reading, writing, waiting for and closing descriptors of any kind.
    Io,
    /// Mounts and the root directory.
    Mount,
    /// Sockets.
    Network,
    /// Processes, threads, namespaces and their limits.
    Process,
    /// Address spaces.
    Memory,
    /// Signals.
    Signal,
    /// Pipes, message queues, semaphores, shared memory and futexes.
    Ipc,
    /// Clocks and timers.
    Time,
    /// Scheduling and priorities.
    Sched,
    /// Credentials, capabilities and sandboxes.
    Security,
    /// Keys and keyrings.
    Key,
    /// Kernel modules and kernel images.
    Module,
    /// Looking into other processes and into the kernel.
    Trace,
    /// The machine as a whole.
    System,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 15] = [
        Self::File,
        Self::Io,
        Self::Mount,
        Self::Network,
        Self::Process,
        Self::Memory,
        Self::Signal,
        Self::Ipc,
        Self::Time,
        Self::Sched,
        Self::Security,
        Self::Key,
        Self::Module,
        Self::Trace,
        Self::System,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Io => "io",
            Self::Mount => "mount",
            Self::Network => "network",
            Self::Process => "process",
            Self::Memory => "memory",
            Self::Signal => "signal",
            Self::Ipc => "ipc",
            Self::Time => "time",
            Self::Sched => "sched",
            Self::Security => "security",
            Self::Key => "key",
            Self::Module => "module",
            Self::Trace => "trace",
            Self::System => "system",
        }
    }

    /// The class with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
