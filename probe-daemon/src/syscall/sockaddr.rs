//! Socket addresses: in, the bytes that a program handed to the kernel; out, the address in them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
const AF_PACKET: u16 = 17;
const AF_VSOCK: u16 = 40;

/// A socket address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SockAddr {
    /// IPv4 or IPv6.
    Ip(SocketAddr),
    /// A Unix socket.
    Unix(UnixName),
    /// Netlink.
    Netlink {
        /// The port id, 0 for the kernel.
        pid: u32,
        /// Multicast groups, a bit each.
        groups: u32,
    },
    /// Link layer.
    Packet {
        /// Index of the interface.
        ifindex: i32,
        /// Ethernet protocol.
        protocol: u16,
    },
    /// Virtual machine and its host.
    Vsock {
        /// Context id of the machine.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// Any other family, or too few bytes for their family.
    Other {
        /// The family, 0 if not even that is there.
        family: u16,
        /// What follows it.
        data: Vec<u8>,
    },
}

/// The name of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixName {
    /// None.
    Unnamed,
    /// A file, by its path.
    Path(Vec<u8>),
    /// A name of its own namespace, without the leading NUL and the filling NULs at the end.
    Abstract(Vec<u8>),
}

impl SockAddr {
    /// Reads an address from bytes of any length and content.
    pub fn parse(bytes: &[u8]) -> Self {
        let Some((family, data)) = bytes.split_first_chunk::<2>() else {
            return Self::Other { family: 0, data: bytes.to_vec() };
        };
        let family = u16::from_ne_bytes(*family);
        Self::parse_family(family, data).unwrap_or_else(|| Self::Other { family, data: data.to_vec() })
    }

    fn parse_family(family: u16, data: &[u8]) -> Option<Self> {
        Some(match family {
            AF_UNIX => Self::Unix(UnixName::parse(data)),
            AF_INET => {
                let ip = Ipv4Addr::from(chunk::<4>(data, 2)?);
                Self::Ip(SocketAddrV4::new(ip, u16::from_be_bytes(chunk(data, 0)?)).into())
            }
            AF_INET6 => {
                let ip = Ipv6Addr::from(chunk::<16>(data, 6)?);
                // The kernel accepts the shorter form of RFC 2133, which ends before the scope.
                let scope = chunk(data, 22).map_or(0, u32::from_ne_bytes);
                Self::Ip(SocketAddrV6::new(ip, u16::from_be_bytes(chunk(data, 0)?), 0, scope).into())
            }
            AF_NETLINK => Self::Netlink {
                pid: u32::from_ne_bytes(chunk(data, 2)?),
                groups: u32::from_ne_bytes(chunk(data, 6)?),
            },
            AF_PACKET => Self::Packet {
                ifindex: i32::from_ne_bytes(chunk(data, 2)?),
                protocol: u16::from_be_bytes(chunk(data, 0)?),
            },
            AF_VSOCK => Self::Vsock {
                cid: u32::from_ne_bytes(chunk(data, 6)?),
                port: u32::from_ne_bytes(chunk(data, 2)?),
            },
            _ => return None,
        })
    }

    /// The address as the kernel takes it: the inverse of [`SockAddr::parse`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let (family, data) = match self {
            Self::Ip(SocketAddr::V4(addr)) => {
                (AF_INET, [&addr.port().to_be_bytes()[..], &addr.ip().octets(), &[0; 8]].concat())
            }
            Self::Ip(SocketAddr::V6(addr)) => {
                let (port, scope) = (addr.port().to_be_bytes(), addr.scope_id().to_ne_bytes());
                (AF_INET6, [&port[..], &addr.flowinfo().to_be_bytes(), &addr.ip().octets(), &scope].concat())
            }
            Self::Unix(UnixName::Unnamed) => (AF_UNIX, Vec::new()),
            Self::Unix(UnixName::Path(path)) => (AF_UNIX, path.clone()),
            Self::Unix(UnixName::Abstract(name)) => (AF_UNIX, [&[0][..], name].concat()),
            Self::Netlink { pid, groups } => {
                (AF_NETLINK, [&[0; 2][..], &pid.to_ne_bytes(), &groups.to_ne_bytes()].concat())
            }
            Self::Packet { ifindex, protocol } => {
                (AF_PACKET, [&protocol.to_be_bytes()[..], &ifindex.to_ne_bytes()].concat())
            }
            Self::Vsock { cid, port } => {
                (AF_VSOCK, [&[0; 2][..], &port.to_ne_bytes(), &cid.to_ne_bytes()].concat())
            }
            Self::Other { family, data } => (*family, data.clone()),
        };
        [&family.to_ne_bytes()[..], &data].concat()
    }

    /// The IP address, an IPv4 address mapped into IPv6 as IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(addr) => Some(addr.ip().to_canonical()),
            _ => None,
        }
    }

    /// The port of an IP address.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Ip(addr) => Some(addr.port()),
            _ => None,
        }
    }
}

impl UnixName {
    fn parse(data: &[u8]) -> Self {
        match data {
            [] => Self::Unnamed,
            [0, rest @ ..] => {
                let end = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                Self::Abstract(rest[..end].to_vec())
            }
            path => Self::Path(path.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()),
        }
    }
}

/// `N` bytes from an offset on, if they are there.
fn chunk<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk().copied()
}

impl fmt::Display for SockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr @ SocketAddr::V4(_)) => write!(f, "ipv4:{addr}"),
            Self::Ip(addr @ SocketAddr::V6(_)) => write!(f, "ipv6:{addr}"),
            Self::Unix(UnixName::Unnamed) => f.write_str("unix:"),
            Self::Unix(UnixName::Path(path)) => write!(f, "unix:{}", String::from_utf8_lossy(path)),
            Self::Unix(UnixName::Abstract(name)) => write!(f, "unix:@{}", String::from_utf8_lossy(name)),
            Self::Netlink { pid, groups } => write!(f, "netlink:{pid}:{groups}"),
            Self::Packet { ifindex, protocol } => write!(f, "packet:{ifindex}:{protocol:#06x}"),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::Other { family, data } => {
                write!(f, "family:{family}:")?;
                data.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}
