//! What an argument register means, so that one decoder serves every system call.

/// Numbers and what the headers call them.
pub type Names = &'static [(u64, &'static str)];

/// What one argument of a system call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A signed 32-bit number.
    Int,
    /// An unsigned 32-bit number.
    Uint,
    /// A C `long`: a signed number of 64 bits, or of 32 in a 32-bit call.
    Long,
    /// A signed 64-bit number of a 32-bit call, whose lower half is in this register.
    Split {
        /// Index of the argument that holds its upper half.
        high: u8,
    },
    /// The upper half of a number that another argument tells whole.
    HighHalf,
    /// An unsigned 64-bit number, usually a length in bytes.
    Size,
    /// A number that people read in hexadecimal, or one whose meaning another argument decides.
    Hex,
    /// An address in user memory that is not read.
    Pointer,
    /// A file descriptor.
    Fd,
    /// A descriptor of the directory that a path starts from; `AT_FDCWD` is the working directory.
    DirFd,
    /// A NUL-terminated path in user memory.
    Path,
    /// A NUL-terminated string in user memory that is not a path.
    Text,
    /// A socket address in user memory that the caller fills in.
    SockAddr {
        /// Index of the argument that holds its length.
        len: u8,
    },
    /// Permission bits.
    Mode,
    /// Permission bits that count only if the flags create a file; the register holds rubbish otherwise.
    CreateMode {
        /// Index of the argument that holds the `open` flags.
        flags: u8,
    },
    /// A signal number.
    Signal,
    /// A process, thread or process group.
    Pid,
    /// A user, where -1 means "leave as it is".
    Uid,
    /// A group, where -1 means "leave as it is".
    Gid,
    /// A device number.
    Dev,
    /// One of several named numbers.
    Choice(Names),
    /// One of several named numbers, in hexadecimal if it has no name.
    Request(Names),
    /// Bits with names.
    Flags(Flags),
    /// A protocol, whose names depend on the address family.
    SocketProtocol {
        /// Index of the argument that holds the address family.
        domain: u8,
    },
    /// A socket option, whose names depend on the level.
    SocketOption {
        /// Index of the argument that holds the level.
        level: u8,
    },
    /// The last argument of `fcntl`, which some of its commands do not have.
    FcntlArg {
        /// Index of the argument that holds the command.
        cmd: u8,
    },
}

/// A word of flag bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// Whether all 64 bits count; the upper half of a 32-bit argument is rubbish.
    pub wide: bool,
    /// Bits that hold one number rather than flags.
    pub field: Field,
    /// The flags. One made of several bits stands before its parts; 0 names a word with no bit set.
    pub names: Names,
}

/// A number inside a word of flags: the bits it takes, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Every bit is a flag.
    None,
    /// One of several names.
    Names(u64, Names),
    /// A signal, if not 0.
    Signal(u64),
    /// Permission bits, if not 0.
    Octal(u64),
}

/// A kind whose values are named one by one.
pub const fn choice(names: Names) -> Kind {
    Kind::Choice(names)
}

/// Like [`choice`], with unnamed values in hexadecimal.
pub const fn request(names: Names) -> Kind {
    Kind::Request(names)
}

/// Flags in a 32-bit argument.
pub const fn flags(names: Names) -> Kind {
    Kind::Flags(Flags { wide: false, field: Field::None, names })
}

/// Flags in a 64-bit argument.
pub const fn wide(names: Names) -> Kind {
    Kind::Flags(Flags { wide: true, field: Field::None, names })
}

/// Flags in a 32-bit argument, some of whose bits hold a number.
pub const fn field(names: Names, field: Field) -> Kind {
    Kind::Flags(Flags { wide: false, field, names })
}
