//! A pod with raw sockets tries to get out, and to get in where it may not: nothing gets through.
//!
//! Each packet is sent three times: by the hostile pod while no agent runs, when it arrives; by the
//! hostile pod under a policy, when it must not; and then by a pod that may send, when it arrives
//! again. So neither the network nor the way of looking is what stops it.

#[path = "hostile/attacks.rs"]
mod attacks;
#[path = "hostile/tap.rs"]
mod tap;

use std::net::IpAddr;

use netpol_datapath::build;
use netpol_e2e::{
    lab::{Addresses, Family, Host, Link, Result, skipped_without_root},
    shop::{self, Shop},
};

use attacks::{Attack, Between, SERVED};
use tap::{Tap, send_frame};

/// `bad` may send datagrams to `good`, at one port, and nothing else; the server takes everything
/// from `good`, and nothing from anyone else. `free` is under no policy.
const POLICIES: &str = "\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: bad-out}
spec:
  podSelector: {matchLabels: {app: bad}}
  policyTypes: [Egress]
  egress:
    - to: [{podSelector: {matchLabels: {app: good}}}]
      ports: [{protocol: UDP, port: 7000}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: shop, name: server-in}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: good}}}]
";
/// The port that `bad` may send to.
const ALLOWED: u16 = 7000;

/// A shop without an agent as yet, on a node that stops nothing by itself.
fn open_shop(link: Link) -> Result<Shop> {
    let mut shop = Shop::new(link)?;
    shop.lab.add_pods(vec![shop::pod("free")])?;
    // Source routes and forged sources are for netpol to stop, not for the node.
    let script = "for all in /proc/sys/net/ipv4/conf/*; do
            echo 1 > $all/accept_source_route
            echo 0 > $all/rp_filter
        done";
    shop.lab.node().run("sh", &["-ec", script])?;
    Ok(shop)
}

fn enforce(shop: &mut Shop) -> Result<()> {
    shop.lab.manifests().write(shop::POLICIES, POLICIES)?;
    shop.agent.start()
}

/// Over each link and in each family: first without an agent, then under the policies.
fn before_and_under_policy(each: impl Fn(&Shop, Link, Family, bool)) -> Result<()> {
    for link in Link::ALL {
        let mut shop = open_shop(link)?;
        for enforced in [false, true] {
            if enforced {
                enforce(&mut shop)?;
            }
            for family in Family::BOTH {
                each(&shop, link, family, enforced);
            }
        }
    }
    Ok(())
}

fn send(from: &Host, to: IpAddr, packets: &[Vec<u8>]) {
    for packet in packets {
        from.send_raw(packet, to).expect("sent");
    }
}

/// All that a pod tries by its own address. `everywhere`: where it is the sender who is isolated,
/// one that may send is not, and what nobody's isolated pod may be sent arrives as well.
fn all(from: Addresses, to: IpAddr, others: [IpAddr; 2], run: u8, everywhere: bool) -> Vec<Attack> {
    let mut between = Between::new(from.of(Family::of(to)), to, run);
    let mut attacks = between.plain();
    attacks.extend(between.forged_answers());
    attacks.extend(between.fragments());
    attacks.extend(between.followed());
    if everywhere {
        attacks.extend(between.not_followed());
        attacks.extend(between.quotes(others));
    }
    attacks
}

fn names(attacks: &[Attack], which: Vec<usize>) -> Vec<&str> {
    let names = which.into_iter().map(|number| &*attacks[number].name);
    names.collect()
}

/// Sends all of them, and then one that may pass; gives those that have come.
fn came<'a>(
    attacks: &'a [Attack],
    from: &Host,
    good: &Host,
    target: &Host,
    to: IpAddr,
) -> Vec<&'a str> {
    let mut tap = Tap::on(target).expect("a tap");
    for attack in attacks {
        send(from, to, &attack.packets);
    }
    let last = Between::new(good.addresses().of(Family::of(to)), to, b'z').last();
    send(good, to, &last.packets);
    let marks: Vec<_> = attacks.iter().map(|attack| &attack.mark[..]).collect();
    let came = tap.came_before(&last.mark, &marks);
    names(attacks, came)
}

/// Which of them do not arrive from one who may send them.
fn missing<'a>(attacks: &'a [Attack], from: &Host, target: &Host, to: IpAddr) -> Vec<&'a str> {
    let mut tap = Tap::on(target).expect("a tap");
    for attack in attacks {
        send(from, to, attack.honest.as_ref().unwrap_or(&attack.packets));
    }
    let missing = |attack: &&Attack| !tap.sees(&attack.mark);
    attacks
        .iter()
        .filter(missing)
        .map(|attack| &*attack.name)
        .collect()
}

#[test]
fn nothing_gets_out_of_a_pod_that_may_send_nowhere_and_nothing_into_one_that_takes_nothing()
-> Result<()> {
    if skipped_without_root("nothing_gets_out") {
        return Ok(());
    }
    before_and_under_policy(|shop, link, family, enforced| {
        let [server, good, bad, free] =
            ["server", "good", "bad", "free"].map(|name| shop.pod(name));
        let outside = shop.lab.outside();
        let others = [outside.addresses().of(family), good.addresses().of(family)];
        for (from, target, everywhere) in [(&bad, &outside, true), (&free, &server, false)] {
            let to = target.addresses().of(family);
            let context = format!("{link}, {family}, {} to {}", from.name(), target.name());
            let hostile = all(from.addresses(), to, others, b'a', everywhere);
            let arrived = came(&hostile, from, &good, target, to);
            if enforced {
                assert_eq!(arrived, [""; 0], "{context}");
            } else {
                assert_eq!(arrived.len(), hostile.len(), "{context}: {arrived:?}");
            }
            let honest = all(good.addresses(), to, others, b'b', everywhere);
            let missing = missing(&honest, &good, target, to);
            assert_eq!(missing, [""; 0], "{context}: of one who may");
        }
    })
}

#[test]
fn nobody_sends_under_another_address() -> Result<()> {
    if skipped_without_root("nobody_sends_under_another_address") {
        return Ok(());
    }
    before_and_under_policy(|shop, link, family, enforced| {
        let [server, good, bad, free] =
            ["server", "good", "bad", "free"].map(|name| shop.pod(name));
        let outside = shop.lab.outside();
        let stranger: IpAddr = match family {
            Family::V4 => [203, 0, 113, 7].into(),
            Family::V6 => [0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 7].into(),
        };
        // (The node's own address it does not take from outside, with netpol or without.)
        // A pod under a policy, and one under none.
        for from in [&bad, &free] {
            let to = outside.addresses().of(family);
            let addresses = [
                server.addresses().of(family),
                good.addresses().of(family),
                stranger,
            ];
            let hostile: Vec<_> = (b'a'..)
                .zip(addresses)
                .flat_map(|(run, source)| Between::new(source, to, run).plain())
                .collect();
            let context = format!("{link}, {family}, {}", from.name());
            let arrived = came(&hostile, from, &good, &outside, to);
            let expected = if enforced { 0 } else { hostile.len() };
            assert_eq!(arrived.len(), expected, "{context}: {arrived:?}");
        }
        // Under its own, the one that is under no policy sends what it likes.
        let to = outside.addresses().of(family);
        let own = Between::new(free.addresses().of(family), to, b'd').plain();
        assert_eq!(
            missing(&own, &free, &outside, to),
            [""; 0],
            "{link}, {family}"
        );
        // What it is allowed to send, under the address of one who may receive it.
        let to = server.addresses().of(family);
        let as_good = Between::new(good.addresses().of(family), to, b'e').plain();
        let arrived = came(&as_good, &free, &good, &server, to);
        assert_eq!(
            arrived.is_empty(),
            enforced,
            "{link}, {family}: {arrived:?}"
        );
    })
}

/// A datagram with a mark, and the mark.
fn datagram(from: IpAddr, to: IpAddr, ports: (u16, u16), number: u8) -> (Vec<u8>, Vec<u8>) {
    let mark = [&b"one-datagram-"[..], &[number]].concat();
    let frame = build::packet(from, to).payload(&mark).udp(ports.0, ports.1);
    (frame[14..].to_vec(), mark)
}

#[test]
fn a_pod_answers_whom_it_knows_at_the_ports_they_know_and_nobody_else() -> Result<()> {
    if skipped_without_root("a_pod_answers_whom_it_knows") {
        return Ok(());
    }
    for link in Link::ALL {
        let mut shop = open_shop(link)?;
        enforce(&mut shop)?;
        let [good, bad] = ["good", "bad"].map(|name| shop.pod(name));
        let outside = shop.lab.outside();
        for family in Family::BOTH {
            let [peer, own, other] =
                [&outside, &bad, &good].map(|host| host.addresses().of(family));
            let context = format!("{link}, {family}");
            // Nobody isolates `bad` for what comes to it: it may answer.
            let mut at_bad = Tap::on(&bad).expect("a tap");
            let (asked, mark) = datagram(peer, own, (6000, 7001), 1);
            send(&outside, own, &[asked]);
            assert!(at_bad.sees(&mark), "{context}: the question");
            let mut tap = Tap::on(&outside).expect("a tap");
            let mut marks = Vec::new();
            for (number, source, ports) in [
                (2, own, (7001, 6001)),
                (3, own, (7002, 6000)),
                (4, other, (7001, 6000)),
                (5, own, (6000, 7001)),
            ] {
                let (packet, mark) = datagram(source, peer, ports, number);
                send(&bad, peer, &[packet]);
                marks.push(mark);
            }
            let (answer, last) = datagram(own, peer, (7001, 6000), 6);
            send(&bad, peer, &[answer]);
            let marks: Vec<_> = marks.iter().map(Vec::as_slice).collect();
            assert_eq!(tap.came_before(&last, &marks), [0; 0], "{context}");
        }
    }
    Ok(())
}

#[test]
fn what_was_judged_is_not_written_over_by_later_fragments() -> Result<()> {
    if skipped_without_root("what_was_judged_is_not_written_over") {
        return Ok(());
    }
    before_and_under_policy(|shop, link, family, enforced| {
        let [good, bad] = ["good", "bad"].map(|name| shop.pod(name));
        let [from, to] = [&bad, &good].map(|host| host.addresses().of(family));
        let part = |id: u32, offset: u16, more: bool| {
            build::packet(from, to)
                .identification(id)
                .fragment(offset, more)
        };
        // The first fragment, to the port that is allowed, has 24 bytes.
        let first = |id| part(id, 0, true).payload(&[0x22; 16]).udp(40_000, ALLOWED);
        let rest = |id, offset, mark: &[u8]| part(id, offset, false).protocol(17, mark);
        let mut tap = Tap::on(&good).expect("a tap");
        let marks = [
            b"over-the-ports-1",
            b"over-the-data-22",
            b"another-packet-3",
        ];
        let other_port = part(31, 0, true).payload(marks[0]).udp(40_000, SERVED);
        let id = if enforced { 100 } else { 0 };
        for frame in [
            first(id + 31),
            other_port,
            first(id + 32),
            rest(id + 32, 1, marks[1]),
            rest(id + 33, 3, marks[2]),
        ] {
            send(&bad, to, &[frame[14..].to_vec()]);
        }
        let last = b"what-comes-after";
        for frame in [first(id + 34), rest(id + 34, 3, last)] {
            send(&bad, to, &[frame[14..].to_vec()]);
        }
        let came = tap.came_before(last, &marks.map(|mark| &mark[..]));
        let expected: &[usize] = if enforced { &[] } else { &[0, 1, 2] };
        assert_eq!(came, expected, "{link}, {family}");
    })
}

/// A frame to everyone on the link.
fn to_everyone(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].fill(0xff);
    frame
}

#[test]
fn a_tag_hides_nothing_and_what_a_pod_claims_on_its_link_stays_there() -> Result<()> {
    if skipped_without_root("a_tag_hides_nothing") {
        return Ok(());
    }
    let mut shop = open_shop(Link::Bridge)?;
    enforce(&mut shop)?;
    let [server, good, bad, free] = ["server", "good", "bad", "free"].map(|name| shop.pod(name));
    for family in Family::BOTH {
        let to = good.addresses().of(family);
        let tagged = |from: &Host, mark: &[u8]| {
            let source = from.addresses().of(family);
            let inner = build::packet(source, to).payload(mark).udp(40_000, ALLOWED);
            let tag = [&7_u16.to_be_bytes()[..], &inner[12..]].concat();
            to_everyone(build::ethernet(0x8100, &tag))
        };
        let mut tap = Tap::on(&good).expect("a tap");
        let marks = [b"tagged-of-the-isolated", b"tagged-of-the-free-one"];
        send_frame(&bad, &tagged(&bad, marks[0])).expect("sent");
        send_frame(&free, &tagged(&free, marks[1])).expect("sent");
        assert_eq!(tap.came_before(marks[1], &[marks[0]]), [0; 0], "{family}");
    }
    // By ARP, `bad` may say that the server's address is its own: on its link nobody checks.
    let claimed = server.addresses().v4.octets();
    let mut claim = vec![0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0xba, 0xd1];
    claim.extend(claimed);
    claim.extend([0xff; 6]);
    claim.extend(claimed);
    let mut tap = Tap::on(&good).expect("a tap");
    send_frame(&bad, &to_everyone(build::ethernet(0x0806, &claim))).expect("sent");
    assert!(tap.sees(&claim), "ARP is not judged");
    Ok(())
}
