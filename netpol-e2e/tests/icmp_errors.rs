//! ICMP errors through isolated pods: what a router or a host says of a connection arrives, and
//! what it says of any other does not.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use netpol_datapath::build;
use netpol_e2e::{
    lab::{
        Addresses, Family, Host, LabError, Link, Outcome, PATIENT, QUICK, Result,
        skipped_without_root,
    },
    shop::{self, Shop, TCP, UDP},
};

/// What the narrow hop carries. Not below what IPv6 asks of a link.
const NARROW: usize = 1300;
/// A port that policies allow, and nobody serves.
const CLOSED: u16 = 5399;
/// Much more than a path of any width holds.
const BULK: usize = 1 << 20;
/// What is on its way at once: the lab's servers give up on who does not read, and their buffers are small
/// at first.
const CHUNK: usize = 1 << 13;
/// A path that is not discovered never carries a full packet: TCP only sends it again, later and
/// later.
const STALLED: Duration = Duration::from_secs(10);

/// The host behind the narrow hop, and the router before it.
const FAR: Addresses = Addresses {
    v4: std::net::Ipv4Addr::new(198, 51, 100, 9),
    v6: std::net::Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 9),
};
const ROUTER: Addresses = Addresses {
    v4: std::net::Ipv4Addr::new(198, 51, 100, 1),
    v6: std::net::Ipv6Addr::new(0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 1),
};

/// Isolates the server in both directions; the host behind the narrow hop is allowed in both, at
/// some ports. No rule is without ports, so none speaks of ICMP.
fn far_alone() -> String {
    let blocks = "{ipBlock: {cidr: 198.51.100.0/24}}, {ipBlock: {cidr: \"2001:db8:51::/64\"}}";
    let ports = format!(
        "{{protocol: TCP, port: {TCP}}}, {{protocol: UDP, port: {UDP}}}, \
         {{protocol: UDP, port: {CLOSED}}}"
    );
    format!(
        "\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{namespace: shop, name: far-alone}}
spec:
  podSelector: {{matchLabels: {{app: server}}}}
  policyTypes: [Ingress, Egress]
  ingress: [{{from: [{blocks}], ports: [{ports}]}}]
  egress: [{{to: [{blocks}], ports: [{ports}]}}]
"
    )
}

fn shell(host: &Host, script: &str) -> Result<()> {
    host.run("sh", &["-ec", script]).map(drop)
}

/// A shop whose server hears and asks the far host alone, with a narrow hop between the two.
fn isolated_behind_a_narrow_hop(link: Link) -> Result<(Shop, Host)> {
    let mut shop = Shop::enforcing(link, "")?;
    let far = narrow_hop(&mut shop)?;
    shop.apply(&far_alone())?;
    Ok((shop, far))
}

/// Puts a host behind `outside`, which becomes a router to it over a narrow link.
fn narrow_hop(shop: &mut Shop) -> Result<Host> {
    let far = shop.lab.add_outside("far")?;
    let outside = shop.lab.outside();
    let name = far.netns().name();
    shell(
        &outside,
        &format!(
            "echo 1 > /proc/sys/net/ipv4/ip_forward
             echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
             ip link add low mtu {NARROW} type veth peer name low mtu {NARROW} netns {name}
             ip address add {}/24 dev low
             ip address add {}/64 dev low nodad
             ip link set low up",
            ROUTER.v4, ROUTER.v6,
        ),
    )?;
    let mut script = format!(
        "ip address add {}/24 dev low
         ip address add {}/64 dev low nodad
         ip link set low up\n",
        FAR.v4, FAR.v6,
    );
    // The far host says that it takes whole packets, as one behind the hop would.
    let pods = ["server", "good"].map(|name| shop.pod(name).addresses());
    for addresses in pods.into_iter().chain([shop.lab.node().addresses()]) {
        script += &format!(
            "ip route add {}/32 via {} dev low advmss 1460
             ip route add {}/128 via {} dev low src {} advmss 1440\n",
            addresses.v4, ROUTER.v4, addresses.v6, ROUTER.v6, FAR.v6,
        );
    }
    shell(&far, &script)?;
    let next = outside.addresses();
    shell(
        shop.lab.node(),
        &format!(
            "ip route add 198.51.100.0/24 via {} dev {interface}
             ip route add 2001:db8:51::/64 via {} dev {interface}",
            next.v4,
            next.v6,
            interface = outside.interface(),
        ),
    )?;
    far.serve_tcp(TCP)?;
    far.serve_udp(UDP)?;
    for address in FAR.both() {
        wait_until(|| shop.pod("good").ping(address, QUICK).is_reached());
    }
    Ok(far)
}

/// Waits for what a network that has just been built takes a moment for.
fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + STALLED;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time");
    }
}

/// Sends much to a server and reads all of it back.
fn bulk(from: &Host, to: SocketAddr) -> io::Result<()> {
    let mut stream = from.netns().inside(|| TcpStream::connect(to))??;
    stream.set_read_timeout(Some(STALLED))?;
    stream.set_write_timeout(Some(STALLED))?;
    // The server's first words are a line.
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte)?;
    }
    let mut back = vec![0; CHUNK];
    for round in 0..BULK / CHUNK {
        let chunk = vec![round as u8; CHUNK];
        stream.write_all(&chunk)?;
        stream.read_exact(&mut back)?;
        assert!(back == chunk, "what was sent has come back");
    }
    Ok(())
}

/// What a host knows of the path to an address.
fn path(host: &Host, to: IpAddr) -> Result<String> {
    let output = host.run("ip", &["-o", "route", "get", &to.to_string()])?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_narrow_path_is_discovered_by_an_isolated_pod() -> Result<()> {
    if skipped_without_root("a_narrow_path") {
        return Ok(());
    }
    for link in Link::ALL {
        let (shop, far) = isolated_behind_a_narrow_hop(link)?;
        let pod = shop.pod("server");
        for family in Family::BOTH {
            let context = format!("{link}, {family}");
            // The far host opens the connection; the pod's answers are too large.
            bulk(&far, shop.tcp(family)).expect(&context);
            let known = path(&pod, FAR.of(family))?;
            assert!(
                known.contains(&format!("mtu {NARROW}")),
                "{context}: {known}"
            );
            shell(&pod, "ip route flush cache; ip -6 route flush cache")?;
            // The pod opens it.
            bulk(&pod, SocketAddr::new(FAR.of(family), TCP)).expect(&context);
            let known = path(&pod, FAR.of(family))?;
            assert!(
                known.contains(&format!("mtu {NARROW}")),
                "{context}: {known}"
            );
        }
    }
    Ok(())
}

/// A datagram socket that never fragments.
fn whole_datagrams(host: &Host, to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = host.udp_to(to)?;
    socket.set_read_timeout(Some(PATIENT))?;
    let (level, option) = match to {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER),
    };
    let always = libc::IP_PMTUDISC_DO;
    // SAFETY: the descriptor is open, and the pointer is to an `int` of that size.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const always).cast(),
            size_of_val(&always) as libc::socklen_t,
        )
    };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

#[test]
fn datagrams_that_are_too_large_are_refused_to_their_sender() -> Result<()> {
    if skipped_without_root("datagrams_that_are_too_large") {
        return Ok(());
    }
    let (shop, _) = isolated_behind_a_narrow_hop(Link::PointToPoint)?;
    for family in Family::BOTH {
        let socket = whole_datagrams(&shop.pod("server"), SocketAddr::new(FAR.of(family), UDP))
            .expect("a socket");
        let too_large = [7; NARROW];
        let told = || {
            let sent = socket.send(&too_large);
            matches!(sent, Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE))
        };
        assert!(!told(), "{family}: nobody has said so yet");
        wait_until(told);
        let headers = if family == Family::V4 { 28 } else { 48 };
        // Every one that was too large is told of, one after the other.
        wait_until(|| socket.send(&too_large[headers..]).is_ok());
        // The server answers with a line and the datagram, which is too large again: in fragments,
        // or not at all. That it has come is what counts.
        let far = shop.lab.host("far")?;
        wait_until(|| {
            let arrivals = far.arrivals();
            arrivals
                .iter()
                .any(|a| Family::of(a.peer.ip()) == family && a.payload.len() == NARROW - headers)
        });
    }
    Ok(())
}

#[test]
fn a_closed_port_is_told_from_a_lost_packet() -> Result<()> {
    if skipped_without_root("a_closed_port_is_told") {
        return Ok(());
    }
    for link in Link::ALL {
        let (shop, far) = isolated_behind_a_narrow_hop(link)?;
        let pod = shop.pod("server");
        for family in Family::BOTH {
            let context = format!("{link}, {family}");
            let to_far = pod.ask_udp(FAR.of(family), CLOSED, PATIENT);
            assert_eq!(to_far, Err(Outcome::Refused), "{context}");
            // The isolated pod says so itself.
            let to_pod = far.ask_udp(shop.server(family), CLOSED, PATIENT);
            assert_eq!(to_pod, Err(Outcome::Refused), "{context}");
            // And says nothing to whom it does not hear.
            let unheard = shop.pod("good").ask_udp(shop.server(family), CLOSED, QUICK);
            assert_eq!(unheard, Err(Outcome::TimedOut), "{context}");
        }
    }
    Ok(())
}

#[test]
fn a_closed_port_behind_a_masquerading_node_is_told() -> Result<()> {
    if skipped_without_root("a_closed_port_behind") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, "")?;
    narrow_hop(&mut shop)?;
    let rules = "
        table inet lab {
            chain postrouting {
                type nat hook postrouting priority srcnat;
                oifname \"up*\" masquerade fully-random
            }
        }";
    let file = shop.lab.manifests().dir().with_file_name("masquerade.nft");
    std::fs::write(&file, rules).map_err(|source| LabError::Io {
        action: format!("write {}", file.display()),
        source,
    })?;
    shop.lab
        .node()
        .run("nft", &["-f", &file.to_string_lossy()])?;
    shop.apply(&far_alone())?;
    let pod = shop.pod("server");
    for family in Family::BOTH {
        let seen_as = pod
            .ask_udp(FAR.of(family), UDP, PATIENT)
            .expect("an answer");
        assert!(!pod.addresses().contains(seen_as.seen_as.ip()), "{family}");
        let refused = pod.ask_udp(FAR.of(family), CLOSED, PATIENT);
        assert_eq!(refused, Err(Outcome::Refused), "{family}");
        bulk(&pod, SocketAddr::new(FAR.of(family), TCP)).expect("all of it");
    }
    Ok(())
}

/// An error from `from` to `to`, about a datagram that went between two sockets.
fn error(from: IpAddr, to: IpAddr, about: (SocketAddr, SocketAddr)) -> Vec<u8> {
    const ETHERNET: usize = 14;
    let (source, destination) = about;
    let quote = build::packet(source.ip(), destination.ip()).udp(source.port(), destination.port());
    let kind = if to.is_ipv4() { 3 } else { 1 };
    let frame = build::packet(from, to).icmp_error(kind, 1, &quote[ETHERNET..]);
    frame[ETHERNET..].to_vec()
}

#[test]
fn an_error_about_nobodys_connection_reaches_nobody() -> Result<()> {
    if skipped_without_root("an_error_about_nobodys_connection") {
        return Ok(());
    }
    let mut shop = Shop::enforcing(Link::PointToPoint, "")?;
    let policies = [
        shop::admit(&["good"]),
        shop::egress("good"),
        shop::deny("good", "Ingress"),
        shop::deny("bad", "Egress"),
    ];
    shop.apply(&policies.concat())?;
    let (good, bad, outside) = (shop.pod("good"), shop.pod("bad"), shop.lab.outside());
    for family in Family::BOTH {
        let socket = good.udp_to(shop.udp(family)).expect("a socket");
        socket.set_read_timeout(Some(PATIENT)).expect("a time-out");
        socket.send(b"who").expect("sent");
        socket.recv(&mut [0; 512]).expect("an answer");
        let local = socket.local_addr().expect("an address");
        let other = SocketAddr::new(local.ip(), local.port() ^ 1);
        let to = good.addresses().of(family);
        let arrived = |from: &Host, error: &[u8]| -> Result<usize> {
            let source = from.addresses().of(family);
            let tap = good.tap(move |seen| seen.src.ip() == source && seen.src.port() == 0)?;
            from.send_raw(error, to).expect("sent");
            Ok(tap.seen().len())
        };
        let router = outside.addresses().of(family);
        let about = |local| (local, shop.udp(family));
        assert_eq!(
            arrived(&outside, &error(router, to, about(local)))?,
            1,
            "{family}"
        );
        assert_eq!(
            arrived(&outside, &error(router, to, about(other)))?,
            0,
            "{family}"
        );
        // A pod that may send nothing sends no errors either, though it guesses the connection.
        let bad_address = bad.addresses().of(family);
        for about in [
            about(local),
            (local, SocketAddr::new(bad_address, UDP)),
            (SocketAddr::new(to, UDP), SocketAddr::new(bad_address, UDP)),
        ] {
            assert_eq!(
                arrived(&bad, &error(bad_address, to, about))?,
                0,
                "{family}"
            );
        }
    }
    Ok(())
}
