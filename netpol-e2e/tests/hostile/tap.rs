//! Whatever reaches a host, and frames that no socket but this one sends.

use std::io::{self, Read};
use std::mem::{MaybeUninit, size_of};
use std::thread;
use std::time::{Duration, Instant};

use netpol_e2e::lab::{Host, QUICK};
use socket2::{Domain, Protocol, SockAddr, SockAddrStorage, Socket, Type};

/// How long what was sent before something else, by another way, may be late.
const LATE: Duration = Duration::from_millis(50);

fn packet_socket(host: &Host, kind: Type) -> io::Result<Socket> {
    let every = Protocol::from(i32::from((libc::ETH_P_ALL as u16).to_be()));
    host.netns()
        .inside(|| Socket::new(Domain::PACKET, kind, Some(every)))?
}

/// All that reaches a host's interfaces, read when it is asked for.
pub(crate) struct Tap {
    socket: Socket,
    seen: Vec<Vec<u8>>,
}

impl Tap {
    pub(crate) fn on(host: &Host) -> io::Result<Self> {
        let socket = packet_socket(host, Type::DGRAM)?;
        socket.set_recv_buffer_size(1 << 22)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            seen: Vec::new(),
        })
    }

    /// Whether a packet with these bytes somewhere in it has come.
    pub(crate) fn has(&mut self, mark: &[u8]) -> bool {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length) = self.socket.read(&mut buffer) {
            self.seen.push(buffer[..length].to_vec());
        }
        let holds = |packet: &Vec<u8>| packet.windows(mark.len()).any(|part| part == mark);
        self.seen.iter().any(holds)
    }

    /// Whether one comes in time.
    pub(crate) fn sees(&mut self, mark: &[u8]) -> bool {
        let deadline = Instant::now() + QUICK;
        while !self.has(mark) {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Which of these marks have come, once `last`, which was sent after them, has.
    pub(crate) fn came_before(&mut self, last: &[u8], marks: &[&[u8]]) -> Vec<usize> {
        assert!(self.sees(last), "what comes last has come");
        thread::sleep(LATE);
        let came = |(number, mark): (usize, &&[u8])| self.has(mark).then_some(number);
        marks.iter().enumerate().filter_map(came).collect()
    }
}

/// Sends an Ethernet frame out of a host's `eth0`.
pub(crate) fn send_frame(host: &Host, frame: &[u8]) -> io::Result<()> {
    let socket = packet_socket(host, Type::RAW)?;
    let index = host.netns().inside(|| {
        // SAFETY: the pointer is to a string that ends with a zero byte.
        unsafe { libc::if_nametoindex(c"eth0".as_ptr()) }
    })?;
    socket.send_to(frame, &out_of(index)).map(drop)
}

/// The address of an interface.
fn out_of(index: u32) -> SockAddr {
    let mut link = MaybeUninit::<libc::sockaddr_ll>::zeroed();
    // SAFETY: the structure is of numbers alone, for which zeros are values.
    let link = unsafe { link.assume_init_mut() };
    link.sll_family = libc::AF_PACKET as u16;
    link.sll_ifindex = index as i32;
    link.sll_halen = 6;
    let mut storage = SockAddrStorage::zeroed();
    let length = size_of::<libc::sockaddr_ll>();
    // SAFETY: `sockaddr_ll` is one of the addresses that the storage is for, so it fits and is
    // aligned; the length is its own.
    unsafe {
        *storage.view_as::<libc::sockaddr_ll>() = *link;
        SockAddr::new(storage, length as libc::socklen_t)
    }
}
