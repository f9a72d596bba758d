//! Who sums up packets: the stack, or the device they leave by.

use std::io;

use socket2::{Domain, Socket, Type};

use super::error::{Doing, Result};
use super::host::Host;

/// `ETHTOOL_STXCSUM` of `linux/ethtool.h`.
const SET_TX_CHECKSUM: u32 = 0x17;
/// `SIOCETHTOOL` of `linux/sockios.h`.
const ETHTOOL: libc::Ioctl = 0x8946;

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

impl Host {
    /// Has one of its interfaces take packets that are not summed up yet, or not: then the stack
    /// sums up each before it leaves by it. `ethtool -K INTERFACE tx on|off`.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn offload_checksums(&self, interface: &str, on: bool) -> Result<()> {
        let set = || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
            set_tx_checksum(&socket, interface, on)
        };
        let doing = || format!("set how {interface} of {} sums up", self.name);
        self.netns.inside(set).doing(doing)?.doing(doing)
    }
}

fn set_tx_checksum(socket: &Socket, interface: &str, on: bool) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let mut value = EthtoolValue {
        command: SET_TX_CHECKSUM,
        data: on.into(),
    };
    // SAFETY: all zeros is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let name = request.ifr_name.iter_mut().zip(interface.bytes());
    name.take(libc::IFNAMSIZ - 1)
        .for_each(|(place, byte)| *place = byte as libc::c_char);
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request, and the value it points to, live longer than the call.
    match unsafe { libc::ioctl(socket.as_raw_fd(), ETHTOOL, &raw mut request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
