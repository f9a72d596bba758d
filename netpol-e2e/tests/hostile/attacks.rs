//! What a pod sends that has raw sockets and means no good.

use std::net::IpAddr;

use netpol_datapath::build::{self, Builder, chunk, tcp};

/// Bytes of the Ethernet header that the builder writes: sockets send what comes behind it.
const ETHERNET: usize = 14;

/// Ports that a policy may name, and those of clients.
pub(crate) const SERVED: u16 = 5353;
const CLIENT: u16 = 40_000;

/// Packets of one kind, and bytes that are in the last one of them alone.
pub(crate) struct Attack {
    pub(crate) name: String,
    pub(crate) packets: Vec<Vec<u8>>,
    /// What is sent in their place by one who may send, where nobody may send these.
    pub(crate) honest: Option<Vec<Vec<u8>>>,
    pub(crate) mark: Vec<u8>,
}

/// From one address to another, with marks that no other attack has.
pub(crate) struct Between {
    from: IpAddr,
    to: IpAddr,
    run: u8,
    count: u8,
}

impl Between {
    pub(crate) const fn new(from: IpAddr, to: IpAddr, run: u8) -> Self {
        Self {
            from,
            to,
            run,
            count: 0,
        }
    }

    fn mark(&mut self) -> Vec<u8> {
        self.count += 1;
        [b"hostile-packet", &[b'0' + self.run, self.count][..]].concat()
    }

    fn packet(&self) -> Builder {
        build::packet(self.from, self.to)
    }

    fn one(&mut self, name: &str, make: impl FnOnce(Builder) -> Vec<u8>) -> Attack {
        let mark = self.mark();
        let frame = make(self.packet().payload(&mark));
        Attack {
            name: name.to_owned(),
            packets: vec![frame[ETHERNET..].to_vec()],
            honest: None,
            mark,
        }
    }

    /// What anybody would try first.
    pub(crate) fn plain(&mut self) -> Vec<Attack> {
        vec![
            self.one("UDP", |packet| packet.udp(CLIENT, SERVED)),
            self.one("a SYN", |packet| packet.tcp(CLIENT, 80, tcp::SYN)),
            self.one("a ping", |packet| packet.echo_request(1)),
            self.one("GRE", |packet| packet.protocol(47, &[0; 4])),
        ]
    }

    /// Answers to what nobody asked, as if the other side had begun; and then what they are to
    /// open the way for.
    pub(crate) fn forged_answers(&mut self) -> Vec<Attack> {
        let flags = [
            ("a SYN ACK", tcp::SYN | tcp::ACK),
            ("an ACK", tcp::ACK),
            ("data", tcp::PSH | tcp::ACK),
            ("a RST", tcp::RST),
            ("a FIN", tcp::FIN | tcp::ACK),
        ];
        let mut attacks = Vec::new();
        for (name, flags) in flags {
            attacks.push(self.one(name, |packet| packet.tcp(80, CLIENT, flags)));
        }
        attacks.push(self.one("the SYN after them", |packet| {
            packet.tcp(80, CLIENT, tcp::SYN)
        }));
        attacks.push(self.one("an answer by UDP", |packet| packet.udp(53, CLIENT)));
        attacks.push(self.one("an answer to no ping", |packet| packet.echo_reply(7)));
        attacks.push(self.one("an INIT ACK", |packet| {
            packet.sctp_chunk(80, CLIENT, 1, chunk::INIT_ACK)
        }));
        attacks
    }

    /// Fragments of a packet that policy would forbid.
    pub(crate) fn fragments(&mut self) -> Vec<Attack> {
        let first = |between: &Self, id: u32| {
            let builder = between.packet().identification(id).fragment(0, true);
            builder.payload(&[0x11; 8]).udp(CLIENT, SERVED)[ETHERNET..].to_vec()
        };
        let later = |between: &Self, id: u32, mark: &[u8]| {
            let builder = between.packet().identification(id).fragment(2, false);
            builder.protocol(17, mark)[ETHERNET..].to_vec()
        };
        let mut attacks = Vec::new();
        let mark = self.mark();
        attacks.push(Attack {
            name: "fragments in order".to_owned(),
            packets: vec![first(self, 11), later(self, 11, &mark)],
            honest: None,
            mark,
        });
        let mark = self.mark();
        attacks.push(Attack {
            name: "a later fragment without its first one".to_owned(),
            packets: vec![later(self, 12, &mark)],
            honest: Some(vec![first(self, 13), later(self, 13, &mark)]),
            mark,
        });
        // Eight bytes of TCP: ports, and a number that is the mark.
        let mark = [
            &CLIENT.to_be_bytes()[..],
            &80_u16.to_be_bytes(),
            b"tin",
            &[self.run],
        ]
        .concat();
        let with = |id, header: &[u8]| {
            let builder = self.packet().identification(id).fragment(0, true);
            builder.protocol(6, header)[ETHERNET..].to_vec()
        };
        let mut whole = mark.clone();
        whole.extend([
            0,
            0,
            0,
            0,
            5 << 4,
            tcp::SYN,
            0xff,
            0xff,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ]);
        attacks.push(Attack {
            name: "a first fragment without the flags".to_owned(),
            packets: vec![with(14, &mark)],
            honest: Some(vec![with(15, &whole)]),
            mark,
        });
        attacks
    }

    /// IPv6 extension headers that are followed, so that what is behind them is judged.
    pub(crate) fn followed(&mut self) -> Vec<Attack> {
        const PADDING: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];
        if self.from.is_ipv4() {
            return vec![self.one("options", |packet| packet.options(10).udp(CLIENT, SERVED))];
        }
        let chains: [(&str, &[u8]); 4] = [
            ("hop-by-hop options", &[0]),
            ("destination options", &[60]),
            ("both", &[0, 60]),
            ("six headers", &[0, 60, 60, 60, 60, 60]),
        ];
        let mut attacks: Vec<_> = chains
            .into_iter()
            .map(|(name, chain)| {
                self.one(name, |packet| {
                    let with = |packet: Builder, kind: &u8| packet.extension(*kind, &PADDING);
                    chain.iter().fold(packet, with).udp(CLIENT, SERVED)
                })
            })
            .collect();
        attacks.push(self.one("a fragment header of a whole packet", |packet| {
            packet.fragment(0, false).udp(CLIENT, SERVED)
        }));
        attacks
    }

    /// What leads elsewhere, or hides what is behind it. Nobody's passes where a policy isolates.
    pub(crate) fn not_followed(&mut self) -> Vec<Attack> {
        const PADDING: [u8; 7] = [0, 1, 4, 0, 0, 0, 0];
        if let IpAddr::V4(to) = self.to {
            // Type, length, pointer, and the way, which has been gone.
            let route = |kind: u8| [&[kind, 7, 8][..], &to.octets()].concat();
            return [
                (131, "a loose source route"),
                (137, "a strict source route"),
            ]
            .into_iter()
            .map(|(kind, name)| {
                self.one(name, |packet| {
                    packet.option(&route(kind)).udp(CLIENT, SERVED)
                })
            })
            .collect();
        }
        let mut route = vec![2, 0, 1, 0, 0, 0, 0];
        route.extend([0; 16]);
        let mut type_2 = route.clone();
        type_2[1] = 2;
        vec![
            self.one("a routing header of type 0", |packet| {
                packet.extension(43, &route).udp(CLIENT, SERVED)
            }),
            self.one("a routing header with a segment left", |packet| {
                packet.extension(43, &type_2).udp(CLIENT, SERVED)
            }),
            self.one("seven headers", |packet| {
                let with = |packet: Builder, _| packet.extension(60, &PADDING);
                (0..7).fold(packet, with).udp(CLIENT, SERVED)
            }),
            self.one("a mobility header", |packet| {
                packet.extension(135, &PADDING).udp(CLIENT, SERVED)
            }),
        ]
    }

    /// ICMP errors about packets that the two never exchanged.
    pub(crate) fn quotes(&mut self, others: [IpAddr; 2]) -> Vec<Attack> {
        let (from, to) = (self.from, self.to);
        let about = |source: IpAddr, destination: IpAddr| {
            let quote = build::packet(source, destination).tcp(80, CLIENT, tcp::ACK);
            quote[ETHERNET..].to_vec()
        };
        let kind = if from.is_ipv4() { 3 } else { 1 };
        let quotes = [
            ("an error about nothing of its own", about(to, from)),
            (
                "an error about a connection of others",
                about(others[0], others[1]),
            ),
            (
                "an error about the other side's connection",
                about(to, others[1]),
            ),
            ("an error with rubbish", vec![0x5a; 48]),
        ];
        let mut attacks = Vec::new();
        for (name, quote) in quotes {
            let mark = self.mark();
            let quote = [quote, mark.clone()].concat();
            let frame = self.packet().icmp_error(kind, 1, &quote);
            attacks.push(Attack {
                name: name.to_owned(),
                packets: vec![frame[ETHERNET..].to_vec()],
                honest: None,
                mark,
            });
        }
        attacks
    }

    /// The last word: what tells that all before it was dealt with.
    pub(crate) fn last(&mut self) -> Attack {
        self.one("the last one", |packet| packet.udp(CLIENT, SERVED))
    }
}
