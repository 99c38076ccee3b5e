//! What the failing calls need around them: in comes nothing, out come a folder with files that cannot be
//! opened, run or removed, and descriptors that refuse what is asked of them.

use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketType, socket};
use tempfile::TempDir;

use super::raise_loopback;
use crate::daemon::open_dir;

/// A folder and descriptors to fail on.
#[derive(Debug)]
pub struct World {
    dir: TempDir,
    /// A regular file, open for reading and writing.
    pub file: File,
    /// `/dev/full`, open for writing.
    pub full: File,
    /// The writing end of a pipe that nobody reads.
    pub broken_pipe: std::io::PipeWriter,
    /// The reading end of a pipe.
    pub pipe: std::io::PipeReader,
    _writer: std::io::PipeWriter,
    /// A TCP socket that is not connected.
    pub tcp: OwnedFd,
    /// A TCP socket over IPv6, where the kernel has it.
    pub tcp6: Option<OwnedFd>,
    /// A Unix stream socket that is not connected.
    pub unix: OwnedFd,
    /// A UDP socket that is not connected.
    pub udp: UdpSocket,
    listener: TcpListener,
    free_port: u16,
    free_port6: u16,
}

impl World {
    /// Makes the folder and opens the descriptors.
    pub fn new() -> Result<Self> {
        raise_loopback()?;
        let dir = open_dir()?;
        let at = |name: &str| dir.path().join(name);
        let file = |name: &str, content: &[u8], mode: u32| -> Result<()> {
            fs::write(at(name), content)?;
            Ok(fs::set_permissions(at(name), Permissions::from_mode(mode))?)
        };
        file("plain", b"plain\n", 0o644)?;
        file("secret", b"secret\n", 0o600)?;
        file("noexec", b"#!/bin/sh\n", 0o644)?;
        file("garbage", b"\x01\x02\x03 no program\n", 0o755)?;
        file("nointerpreter", b"#!/nowhere/interpreter\n", 0o755)?;
        fs::create_dir_all(at("dir/sub"))?;
        fs::create_dir(at("closed"))?;
        fs::set_permissions(at("closed"), Permissions::from_mode(0o700))?;
        symlink("loop", at("loop"))?;
        drop(UnixListener::bind(at("silent.sock"))?);

        let (pipe, writer) = std::io::pipe()?;
        let (reader, broken_pipe) = std::io::pipe()?;
        drop(reader);
        // A port is free for sure when it was ours a moment ago; nobody else is given it at once.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let free_port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let tcp6 = socket(AddressFamily::INET6, SocketType::STREAM, None).ok();
        let free_port6 = match tcp6 {
            Some(_) => TcpListener::bind((Ipv6Addr::LOCALHOST, 0))?.local_addr()?.port(),
            None => 0,
        };
        Ok(Self {
            file: File::options().read(true).write(true).open(at("plain"))?,
            full: File::options().write(true).open("/dev/full").context("/dev/full")?,
            broken_pipe,
            pipe,
            _writer: writer,
            tcp: socket(AddressFamily::INET, SocketType::STREAM, None)?,
            tcp6,
            unix: socket(AddressFamily::UNIX, SocketType::STREAM, None)?,
            udp: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
            listener,
            free_port,
            free_port6,
            dir,
        })
    }

    /// The path of something in the folder, there or not.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The port on 127.0.0.1 that is taken.
    pub fn taken_port(&self) -> Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// The port on 127.0.0.1 that nobody listens on.
    pub fn free_port(&self) -> u16 {
        self.free_port
    }

    /// The port on ::1 that nobody listens on.
    pub fn free_port6(&self) -> u16 {
        self.free_port6
    }

    /// The numbers of the descriptors: file, full, broken pipe, pipe, tcp, unix, udp.
    pub fn descriptors(&self) -> [RawFd; 7] {
        [
            self.file.as_raw_fd(),
            self.full.as_raw_fd(),
            self.broken_pipe.as_raw_fd(),
            self.pipe.as_raw_fd(),
            self.tcp.as_raw_fd(),
            self.unix.as_raw_fd(),
            self.udp.as_raw_fd(),
        ]
    }
}

/// An IPv4 address as `connect` and `bind` take it.
pub fn inet(address: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut bytes = (libc::AF_INET as u16).to_ne_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend(address.octets());
    bytes.extend([0; 8]);
    bytes
}

/// An IPv6 address as `connect` and `bind` take it.
pub fn inet6(address: Ipv6Addr, port: u16) -> Vec<u8> {
    let mut bytes = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(address.octets());
    bytes.extend([0; 4]);
    bytes
}

/// The address of a Unix socket as `connect` and `bind` take it.
pub fn unix(path: &Path) -> Vec<u8> {
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.extend(path.as_os_str().as_encoded_bytes());
    bytes.push(0);
    bytes
}
