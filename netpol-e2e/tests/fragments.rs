//! Packets in pieces and out of the ordinary, over real veths: fragments, extension headers,
//! and packets larger than a page.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use netpol_e2e::{
    lab::{
        Family, Host, Link, PATIENT, QUICK, Result, Seen, Wiretap, skipped_without_root, udp_packet,
    },
    shop::{self, Shop, UDP},
};

/// A port that the lab's servers leave alone; policies of these tests name it.
const BULK: u16 = UDP + 1;
/// Data of crafted datagrams, in three fragments.
const DATA: usize = 1000;
const PIECE: usize = 400;

/// Both directions judged: `good` may send to the server, `bad` may not.
fn enforcing(link: Link) -> Result<Shop> {
    let bulk = format!(
        "\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{namespace: shop, name: bulk-in}}
spec:
  podSelector: {{matchLabels: {{app: server}}}}
  policyTypes: [Ingress, Egress]
  ingress:
    - from: [{{podSelector: {{matchLabels: {{app: good}}}}}}]
      ports: [{{protocol: TCP, port: {BULK}}}, {{protocol: UDP, port: {BULK}}}]
"
    );
    Shop::enforcing(
        link,
        &[shop::admit(&["good"]), shop::egress("good"), bulk].concat(),
    )
}

fn set_mtu(shop: &Shop, host: &Host, mtu: &str) -> Result<()> {
    host.run("ip", &["link", "set", "eth0", "mtu", mtu])?;
    let node_end = ["link", "set", host.interface(), "mtu", mtu];
    shop.lab.node().run("ip", &node_end).map(drop)
}

/// The server's own socket, for both families.
fn bulk_server(server: &Host) -> io::Result<UdpSocket> {
    let any = SocketAddr::new([0_u16; 8].into(), BULK);
    let socket = server.netns().inside(|| UdpSocket::bind(any))??;
    socket.set_read_timeout(Some(QUICK))?;
    Ok(socket)
}

/// Sends a datagram and waits for the very same as an answer.
fn echoes(from: &Host, server: &UdpSocket, to: IpAddr, bytes: usize) -> io::Result<bool> {
    let address = SocketAddr::new(to, BULK);
    let client = from.udp_to(address)?;
    client.set_read_timeout(Some(QUICK))?;
    let sent: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
    client.send(&sent)?;
    let mut buffer = vec![0; 1 << 16];
    let Ok((length, peer)) = server.recv_from(&mut buffer) else {
        return Ok(false);
    };
    assert!(buffer[..length] == sent, "{length} bytes of {bytes} came");
    server.send_to(&sent, peer)?;
    let length = client.recv(&mut buffer)?;
    assert!(
        buffer[..length] == sent,
        "{length} bytes of {bytes} came back"
    );
    Ok(true)
}

#[test]
fn large_datagrams_pass_in_fragments_where_policy_lets_them() -> Result<()> {
    if skipped_without_root("large_datagrams_pass_in_fragments") {
        return Ok(());
    }
    for link in Link::ALL {
        let shop = enforcing(link)?;
        let [server, good, bad] = ["server", "good", "bad"].map(|name| shop.pod(name));
        let socket = bulk_server(&server).expect("a socket");
        for family in Family::BOTH {
            for bytes in [1473, 2000, 20_000, 65_000] {
                let ask = |from| echoes(from, &socket, shop.server(family), bytes);
                let context = format!("{link}, {family}, {bytes} bytes");
                assert!(ask(&good).expect("a datagram"), "{context}");
            }
            let denied = echoes(&bad, &socket, shop.server(family), 20_000);
            assert!(!denied.expect("a datagram"), "{link}, {family}");
        }
    }
    Ok(())
}

#[test]
fn datagrams_larger_than_any_page_pass_whole() -> Result<()> {
    if skipped_without_root("datagrams_larger_than_any_page") {
        return Ok(());
    }
    let shop = enforcing(Link::PointToPoint)?;
    let [server, good, bad] = ["server", "good", "bad"].map(|name| shop.pod(name));
    let socket = bulk_server(&server).expect("a socket");
    for mtu in ["9000", "65535"] {
        for host in [&server, &good, &bad] {
            set_mtu(&shop, host, mtu)?;
        }
        for family in Family::BOTH {
            for bytes in [8000, 65_000] {
                let ask = |from| echoes(from, &socket, shop.server(family), bytes);
                assert!(ask(&good).expect("a datagram"), "{mtu}, {family}, {bytes}");
            }
            let denied = echoes(&bad, &socket, shop.server(family), 65_000);
            assert!(!denied.expect("a datagram"), "{mtu}, {family}");
        }
    }
    Ok(())
}

/// Sends a file by TCP, which the kernel does from the file's pages, and counts what arrives.
fn transfers(from: &Host, to: &Host, to_address: IpAddr, bytes: u64) -> io::Result<u64> {
    let address = SocketAddr::new(to_address, BULK);
    let listener = to.netns().inside(|| TcpListener::bind(address))??;
    let reader = thread::spawn(move || -> io::Result<u64> {
        let (mut stream, _) = listener.accept()?;
        io::copy(&mut stream, &mut io::sink())
    });
    let mut stream = from
        .netns()
        .inside(|| TcpStream::connect_timeout(&address, PATIENT))??;
    let mut file = tempfile()?;
    io::copy(&mut io::repeat(7).take(bytes), &mut file)?;
    file.rewind()?;
    // `sendfile`, where both are files of the kernel.
    io::copy(&mut file, &mut stream)?;
    stream.flush()?;
    drop(stream);
    reader.join().expect("the reader ends")
}

fn tempfile() -> io::Result<File> {
    let path = format!(
        "/tmp/netpol-lab-{}-{}",
        std::process::id(),
        fastrand::u64(..)
    );
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

#[test]
fn offloaded_segments_and_pages_of_files_pass_at_every_mtu() -> Result<()> {
    const BYTES: u64 = 8 << 20;
    if skipped_without_root("offloaded_segments_and_pages") {
        return Ok(());
    }
    for link in Link::ALL {
        let shop = enforcing(link)?;
        let [server, good] = ["server", "good"].map(|name| shop.pod(name));
        for mtu in ["1500", "9000", "65535"] {
            for host in [&server, &good] {
                set_mtu(&shop, host, mtu)?;
            }
            for family in Family::BOTH {
                let came = transfers(&good, &server, shop.server(family), BYTES);
                let context = format!("{link}, MTU {mtu}, {family}");
                assert_eq!(came.expect("a connection"), BYTES, "{context}");
            }
        }
    }
    Ok(())
}

/// Cuts a UDP packet into fragments of [`PIECE`] bytes.
fn cut(packet: &[u8], identification: u16) -> Vec<Vec<u8>> {
    let v4 = packet[0] >> 4 == 4;
    let (header, body) = packet.split_at(if v4 { 20 } else { 40 });
    let pieces = body.chunks(PIECE).enumerate();
    pieces
        .map(|(number, piece)| {
            let offset = number * PIECE;
            let last = offset + piece.len() == body.len();
            fragment(header, identification, offset, !last, piece)
        })
        .collect()
}

/// One fragment with the addresses of an IP header.
fn fragment(header: &[u8], id: u16, offset: usize, more: bool, piece: &[u8]) -> Vec<u8> {
    let mut header = header.to_vec();
    if header[0] >> 4 == 4 {
        let length = (20 + piece.len()) as u16;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[4..6].copy_from_slice(&id.to_be_bytes());
        let field = (offset / 8) as u16 | u16::from(more) << 13;
        header[6..8].copy_from_slice(&field.to_be_bytes());
    } else {
        let length = (8 + piece.len()) as u16;
        header[4..6].copy_from_slice(&length.to_be_bytes());
        header[6] = 44;
        header.extend([17, 0]);
        header.extend((offset as u16 | u16::from(more)).to_be_bytes());
        header.extend(u32::from(id).to_be_bytes());
    }
    [header, piece.to_vec()].concat()
}

/// A crafted datagram from a pod to the server's UDP port.
fn datagram(from: &Host, shop: &Shop, family: Family, data: u8) -> Vec<u8> {
    let source = SocketAddr::new(from.addresses().of(family), 40_000);
    udp_packet(source, shop.udp(family), &[data; DATA]).expect("one family")
}

/// Everything from a pod that reaches the server's interface, later fragments too.
fn tap(shop: &Shop, from: &Host) -> Result<Wiretap> {
    let addresses = from.addresses();
    shop.pod("server")
        .tap(move |seen: &Seen| addresses.contains(seen.src.ip()))
}

fn send(from: &Host, to: IpAddr, packets: &[&[u8]]) {
    for packet in packets {
        from.send_raw(packet, to).expect("sent");
    }
}

/// Whether a datagram with this data reaches the server's socket in time.
fn arrives(shop: &Shop, data: u8) -> bool {
    let deadline = Instant::now() + QUICK;
    loop {
        let arrivals = shop.pod("server").arrivals();
        if arrivals
            .iter()
            .any(|arrival| arrival.payload == [data; DATA])
        {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn crafted_fragments_pass_after_their_first_one_and_only_then() -> Result<()> {
    if skipped_without_root("crafted_fragments_pass") {
        return Ok(());
    }
    for link in Link::ALL {
        let shop = enforcing(link)?;
        let (good, bad) = (shop.pod("good"), shop.pod("bad"));
        for (number, family) in (0_u8..).zip(Family::BOTH) {
            let to = shop.server(family);
            let data = |kind: u8| number * 100 + kind;
            let context = format!("{link}, {family}");
            // The neighbours know each other from here on.
            assert!(good.ask_udp(to, UDP, PATIENT).is_ok(), "{context}");

            let whole = cut(&datagram(&good, &shop, family, data(1)), 1);
            send(&good, to, &[&whole[0], &whole[1], &whole[2]]);
            assert!(arrives(&shop, data(1)), "{context}: in order");

            let whole = cut(&datagram(&good, &shop, family, data(2)), 2);
            send(&good, to, &[&whole[0], &whole[2], &whole[1]]);
            assert!(arrives(&shop, data(2)), "{context}: the first one first");

            let tap_good = tap(&shop, &good)?;
            let whole = cut(&datagram(&good, &shop, family, data(3)), 3);
            send(&good, to, &[&whole[1], &whole[2]]);
            assert!(!arrives(&shop, data(3)), "{context}: no first one");
            assert_eq!(tap_good.seen(), [], "{context}: later fragments alone");
            drop(tap_good);

            let tap_bad = tap(&shop, &bad)?;
            let whole = cut(&datagram(&bad, &shop, family, data(4)), 4);
            send(&bad, to, &[&whole[0], &whole[1], &whole[2]]);
            assert!(!arrives(&shop, data(4)), "{context}: denied");
            let fragments = tap_bad.seen();
            let udp = fragments.iter().filter(|seen| is_ours(seen, to)).count();
            assert_eq!(udp, 0, "{context}: {fragments:?}");
        }
    }
    Ok(())
}

/// Whether a packet is of the kind that these tests send, not neighbour discovery.
fn is_ours(seen: &Seen, to: IpAddr) -> bool {
    seen.dst.ip() == to && (seen.dst.port() == UDP || seen.dst.port() == 0)
}

#[test]
fn fragments_that_overlap_the_first_or_are_tiny_do_not_reach_the_pod() -> Result<()> {
    if skipped_without_root("fragments_that_overlap") {
        return Ok(());
    }
    let shop = enforcing(Link::PointToPoint)?;
    let good = shop.pod("good");
    for family in Family::BOTH {
        let to = shop.server(family);
        let packet = datagram(&good, &shop, family, 9);
        let (header, body) = packet.split_at(if to.is_ipv4() { 20 } else { 40 });
        let piece = |id, offset: usize, more, length: usize| {
            fragment(header, id, offset, more, &body[offset..offset + length])
        };
        let tap = tap(&shop, &good)?;
        send(
            &good,
            to,
            &[&piece(1, 0, true, 400), &piece(1, 8, true, 392)],
        );
        send(&good, to, &[&piece(1, 392, false, 400)]);
        // TCP, of which a first fragment of eight bytes has the ports and no flags.
        let mut tiny = piece(2, 0, true, 8);
        tiny[if to.is_ipv4() { 9 } else { 40 }] = 6;
        send(&good, to, &[&tiny]);
        // What comes last says that everything before it was judged.
        assert!(good.ask_udp(to, UDP, PATIENT).is_ok(), "{family}");
        let seen = tap.seen();
        let ours: Vec<_> = seen.iter().filter(|seen| is_ours(seen, to)).collect();
        assert_eq!(
            ours.len(),
            2,
            "{family}: the first one and the last packet: {seen:?}"
        );
    }
    Ok(())
}

#[test]
fn extension_headers_are_passed_over_and_routes_are_not() -> Result<()> {
    if skipped_without_root("extension_headers_are_passed_over") {
        return Ok(());
    }
    let shop = enforcing(Link::PointToPoint)?;
    let (good, bad) = (shop.pod("good"), shop.pod("bad"));
    let to = shop.server(Family::V6);
    let behind = |from: &Host, kind: u8, extension: [u8; 8], data: u8| {
        let packet = datagram(from, &shop, Family::V6, data);
        let (header, body) = packet.split_at(40);
        let mut header = header.to_vec();
        let length = (8 + body.len()) as u16;
        header[4..6].copy_from_slice(&length.to_be_bytes());
        header[6] = kind;
        [&header[..], &extension, body].concat()
    };
    let padding = [17, 0, 1, 4, 0, 0, 0, 0];
    for (kind, data) in [(0, 1), (60, 2)] {
        send(&good, to, &[&behind(&good, kind, padding, data)]);
        assert!(arrives(&shop, data), "header {kind}");
        let tap = tap(&shop, &bad)?;
        send(&bad, to, &[&behind(&bad, kind, padding, data + 50)]);
        assert!(!arrives(&shop, data + 50), "header {kind} of the other");
        let seen = tap.seen();
        assert!(!seen.iter().any(|seen| is_ours(seen, to)), "{seen:?}");
    }
    let tap = tap(&shop, &good)?;
    // A routing header with a segment left, mobility, and a host identity.
    let left = [17, 0, 2, 1, 0, 0, 0, 0];
    for (kind, extension) in [(43, left), (135, padding), (139, padding)] {
        send(&good, to, &[&behind(&good, kind, extension, 90)]);
    }
    assert!(!arrives(&shop, 90));
    let seen = tap.seen();
    assert!(!seen.iter().any(|seen| is_ours(seen, to)), "{seen:?}");
    Ok(())
}
