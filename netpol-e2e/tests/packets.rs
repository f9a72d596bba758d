//! The packet table on the running kernel: the programs are loaded, their maps filled, and each
//! packet and each prefix of it goes through `BPF_PROG_TEST_RUN`. Counters, events and tracked
//! connections must be those that the code on the host comes to.
//!
//! Needs root, and nothing else: no network, no files, no pins.

// Before the modules that use it.
macro_rules! needs_root {
    () => {
        if let Some(why) = crate::unable() {
            println!("SKIPPED: {why}");
            return;
        }
    };
}

#[path = "packets/kernel.rs"]
mod kernel;
#[path = "packets/load.rs"]
mod load;
#[path = "packets/mutated.rs"]
mod mutated;

use aya::programs::{TestRun as _, TestRunOptions};
use netpol_common::counter::{ANSWERS_FAILED, ANSWERS_LIMITED, EVENTS_LIMITED, EVENTS_LOST};
use netpol_common::maps;
use netpol_datapath::cases::{self, Case, Host, Step, Subject as _};
use netpol_datapath::{Decision, build};

use kernel::Kernel;
use load::{Loaded, Sizes};

/// Why nothing can be tried here, if so.
fn unable() -> Option<&'static str> {
    // SAFETY: the call has no arguments and cannot fail.
    let user = unsafe { libc::geteuid() };
    (user != 0).then_some("loading programs needs root")
}

#[test]
fn the_kernel_judges_every_packet_of_the_table_as_the_host_does() {
    needs_root!();
    let mut kernel = Kernel::new(Loaded::new(&Sizes::default()));
    let mut failures = Vec::new();
    let (mut packets, mut without_socket) = (0, 0);
    let cases = cases::all();
    for case in &cases {
        // The kernel's test run gives every packet a socket.
        if case.needs_packet_without_socket() {
            without_socket += 1;
            continue;
        }
        packets += case
            .steps
            .iter()
            .filter(|s| matches!(s, Step::Packet(_)))
            .count();
        if let Err(words) = compare(case, &mut kernel) {
            failures.push(words);
        }
    }
    println!(
        "{} cases, {packets} packets, {} test runs; {without_socket} cases need a packet without \
         a socket, which a test run cannot make",
        cases.len() - without_socket,
        kernel.runs,
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs a case on the host and in the kernel.
fn compare(case: &Case, kernel: &mut Kernel) -> Result<(), String> {
    let words = |failure: cases::Failure| failure.to_string();
    let expected = cases::run(case, &mut Host::default()).map_err(words)?;
    let seen = cases::run(case, kernel).map_err(words)?;
    if expected == seen {
        return Ok(());
    }
    let step = expected.iter().zip(&seen).position(|(e, s)| e != s);
    Err(format!(
        "{}: step {step:?}: the host saw {expected:#?}, the kernel {seen:#?}",
        case.name
    ))
}

#[test]
fn events_are_limited_and_their_loss_is_counted() {
    needs_root!();
    const DENIALS: u64 = 200;
    const LIMIT: u64 = 20;
    let sizes = Sizes {
        events_per_second: LIMIT as u32,
        ..Sizes::default()
    };
    let (delivered, counts) = deny(&sizes, DENIALS);
    // One second may end, and another begin, on the way; and the work may move to another CPU.
    assert!((LIMIT..DENIALS).contains(&delivered), "{delivered} events");
    assert_eq!(counts, (DENIALS - delivered, 0), "limited and lost");

    let sizes = Sizes {
        ring: 4096,
        ..Sizes::default()
    };
    let (delivered, counts) = deny(&sizes, DENIALS);
    assert!(delivered < DENIALS, "{delivered} events in one page");
    assert_eq!(counts, (0, DENIALS - delivered), "limited and lost");
}

/// Denies so many packets before anyone reads the events. Gives the events delivered, and how
/// many were held back by the limit and lost for want of room.
fn deny(sizes: &Sizes, denials: u64) -> (u64, (u64, u64)) {
    let mut kernel = Kernel::new(Loaded::new(sizes));
    let all = cases::all();
    let case = all
        .iter()
        .find(|case| case.name.starts_with("a SYN that no rule allows"))
        .expect("the case of that name");
    let Some(Step::Packet(packet)) = case.steps.first() else {
        panic!("the case starts with a packet");
    };
    kernel.set_up(&case.setup);
    let before = (
        kernel.counter(EVENTS_LIMITED).packets,
        kernel.counter(EVENTS_LOST).packets,
    );
    for _ in 0..denials {
        let decision = kernel.judge(packet.direction, &packet.frame, false);
        assert_eq!(decision, Some(Decision::Drop));
    }
    let counts = (
        kernel.counter(EVENTS_LIMITED).packets - before.0,
        kernel.counter(EVENTS_LOST).packets - before.1,
    );
    (kernel.events().len() as u64, counts)
}

#[test]
fn answers_are_limited_and_what_goes_without_is_counted() {
    needs_root!();
    const REFUSED: u64 = 100;
    const LIMIT: u64 = 10;
    let sizes = Sizes {
        answers_per_second: LIMIT as u32,
        ..Sizes::default()
    };
    let mut kernel = Kernel::new(Loaded::new(&sizes));
    let all = cases::all();
    let case = all
        .iter()
        .find(|case| case.name.starts_with("what policy refuses is answered"))
        .expect("the case of that name");
    let Some(Step::Packet(packet)) = case.steps.first() else {
        panic!("the case starts with a packet");
    };
    kernel.set_up(&case.setup);
    let mut answered = 0;
    for _ in 0..REFUSED {
        let decision = kernel.judge(packet.direction, &packet.frame, false);
        match decision {
            Some(Decision::Reject) => answered += 1,
            other => assert_eq!(other, Some(Decision::Drop)),
        }
    }
    // One second may end, and another begin, on the way.
    assert!((LIMIT..REFUSED).contains(&answered), "{answered} answers");
    let limited = kernel.counter(ANSWERS_LIMITED).packets;
    assert_eq!(limited, REFUSED - answered);
    assert_eq!(kernel.counter(ANSWERS_FAILED).packets, 0);
}

#[test]
fn the_clock_program_returns_a_clock() {
    needs_root!();
    let loaded = Loaded::new(&Sizes::default());
    let frame = build::arp();
    let read = || {
        let options = TestRunOptions {
            data_in: Some(&frame),
            ..TestRunOptions::new()
        };
        let run = loaded.program(maps::CLOCK).test_run(options);
        run.expect("run the clock program").return_value
    };
    let first = read();
    let later = std::iter::repeat_with(read).find(|now| *now != first);
    let passed = later.map(|now| now.wrapping_sub(first));
    assert!(passed.is_some_and(|ticks| ticks < 1000), "{passed:?}");
}

#[test]
fn headers_outside_the_linear_part_are_pulled_in() {
    needs_root!();
    let mut kernel = Kernel::new(Loaded::new(&Sizes::default()));
    let all = cases::all();
    let tracked = all
        .iter()
        .filter(|case| case.name.contains("is tracked under its rule"));
    let mut packets = 0;
    for case in tracked {
        kernel.set_up(&case.setup);
        for step in &case.steps {
            let Step::Packet(packet) = step else { continue };
            // So long that the rest has to be in pages.
            let mut frame = packet.frame.clone();
            frame.resize(2000, 0);
            match kernel.judge_in_pages(packet.direction, &frame) {
                Ok(decision) => assert_eq!(decision, packet.expected.decision, "{}", case.name),
                Err(error) => {
                    println!("SKIPPED: this kernel's test run makes no such packets: {error}");
                    return;
                }
            }
            packets += 1;
        }
    }
    println!("{packets} packets");
}

#[test]
fn the_kernel_judges_mangled_packets_as_the_host_does() {
    needs_root!();
    const MANGLED: u32 = 20;
    let mut kernel = Kernel::new(Loaded::new(&Sizes::default()));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for case in cases::all() {
        let mut host = Host::default();
        host.set_up(&case.setup);
        kernel.set_up(&case.setup);
        for step in &case.steps {
            let Step::Packet(packet) = step else { continue };
            for _ in 0..MANGLED {
                let frame = random.mangle(&packet.frame);
                let seen = kernel.judge(packet.direction, &frame, true);
                // A test run gives every packet a socket.
                let expected = seen.and_then(|_| host.judge(packet.direction, &frame, true));
                assert_eq!(seen, expected, "{}: {frame:02x?}", case.name);
            }
        }
        assert_eq!(kernel.connections(), host.connections(), "{}", case.name);
    }
    println!("{} packets", kernel.runs);
}

/// Numbers that are the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit
    }

    /// A frame with up to three bytes of its headers changed, the Ethernet addresses excepted.
    fn mangle(&mut self, frame: &[u8]) -> Vec<u8> {
        let mut frame = frame.to_vec();
        let headers = frame.len().min(80) - 12;
        for _ in 0..self.below(4) {
            let offset = 12 + self.below(headers);
            // Small numbers mean more in headers than large ones.
            frame[offset] = match self.below(4) {
                0 => self.below(256) as u8,
                1 => frame[offset] ^ (1 << self.below(8)),
                2 => frame[offset].wrapping_add(1),
                _ => self.below(64) as u8,
            };
        }
        frame
    }
}
