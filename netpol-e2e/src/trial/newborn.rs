//! A pod's first instructions, as a program: what it does, and what it says of it.
//!
//! ```text
//! main --> datagram and SYN to each forbidden address --> connect to each allowed one --> linger
//!      '-- Report (JSON) into the termination message: `kubectl get pod` shows it
//! ```
//! The receivers count what arrives; the pod itself counts what came to it.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

/// Where a container leaves its last words.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// What a forbidden datagram carries.
pub const WORD: &str = "newborn";
/// Below TCP's first SYN retransmission at 1 s: what answers in time answered the first try.
const FIRST_TRY: Duration = Duration::from_millis(950);
/// How long a pod that goes on for ever waits between two rounds.
const ROUND: Duration = Duration::from_millis(20);

/// What a newborn is to do.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Errand {
    /// An address that must not be reached, by TCP and UDP; may be given more than once.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub forbidden: Vec<SocketAddr>,
    /// An address that must be reached, by TCP; may be given more than once.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub allowed: Vec<SocketAddr>,
    /// How long it stays after its first try.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 500)]
    pub linger: u64,
    /// Try again and again, until it is ended.
    #[arg(long)]
    pub forever: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// One for each allowed address: the milliseconds until it answered, or what came instead.
    pub allowed: Vec<Result<f64, String>>,
    /// Forbidden addresses that answered.
    pub broken_through: Vec<SocketAddr>,
    /// Datagrams that had come to its interface when it began, when nobody was there to hear them.
    pub before: u64,
    /// Datagrams that came in from then on. It sends none that may be answered, so each is one too many.
    pub heard: u64,
}

impl Errand {
    /// As arguments of the program.
    pub fn arguments(&self) -> Vec<String> {
        let with = |flag: &'static str, addresses: &[SocketAddr]| {
            let words = addresses
                .iter()
                .flat_map(move |to| [flag.to_owned(), to.to_string()]);
            words.collect::<Vec<_>>()
        };
        let mut words = with("--forbidden", &self.forbidden);
        words.extend(with("--allowed", &self.allowed));
        words.extend(["--linger".to_owned(), self.linger.to_string()]);
        if self.forever {
            words.push("--forever".to_owned());
        }
        words
    }

    /// Does it, and leaves the report where the kubelet finds it.
    ///
    /// # Errors
    ///
    /// When the report cannot be written.
    pub fn run(&self) -> std::io::Result<Report> {
        let before = datagrams_in();
        let mut report = self.try_all();
        if self.forever {
            loop {
                thread::sleep(ROUND);
                self.try_all();
            }
        }
        thread::sleep(Duration::from_millis(self.linger));
        report.before = before;
        report.heard = datagrams_in() - before;
        fs::write(TERMINATION_LOG, serde_json::to_vec(&report)?)?;
        Ok(report)
    }

    fn try_all(&self) -> Report {
        for &to in &self.forbidden {
            let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" });
            // A refusal shows as an error here or not at all; the receiver counts what came.
            let _ = socket.and_then(|socket| socket.send_to(WORD.as_bytes(), to));
        }
        thread::scope(|scope| {
            let forbidden = self.forbidden.iter();
            let forbidden: Vec<_> = forbidden
                .map(|&to| scope.spawn(move || connect(to).ok().map(|_| to)))
                .collect();
            let allowed = self.allowed.iter().map(|&to| connect(to)).collect();
            let came = forbidden.into_iter().filter_map(|it| it.join().ok()?);
            Report {
                allowed,
                broken_through: came.collect(),
                before: 0,
                heard: 0,
            }
        })
    }
}

/// Connects and waits for the server's first byte.
fn connect(to: SocketAddr) -> Result<f64, String> {
    let started = Instant::now();
    let asked = TcpStream::connect_timeout(&to, FIRST_TRY).and_then(|mut stream| {
        stream.set_read_timeout(Some(FIRST_TRY))?;
        stream.write_all(WORD.as_bytes())?;
        stream.read(&mut [0; 1])
    });
    match asked {
        Ok(0) => Err("closed without a word".to_owned()),
        Ok(_) => Ok(started.elapsed().as_secs_f64() * 1e3),
        Err(error) => Err(error.to_string()),
    }
}

/// All datagrams that ever came to this network namespace, whether somebody waited for them or not.
fn datagrams_in() -> u64 {
    let v4 = fs::read_to_string("/proc/self/net/snmp").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/self/net/snmp6").unwrap_or_default();
    v4_datagrams(&v4) + v6_datagrams(&v6)
}

/// `Udp: InDatagrams NoPorts ...` above the values.
fn v4_datagrams(snmp: &str) -> u64 {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return 0;
    };
    let counted = names.split(' ').zip(values.split(' '));
    let counted = counted.filter(|(name, _)| matches!(*name, "InDatagrams" | "NoPorts"));
    counted
        .filter_map(|(_, value)| value.parse::<u64>().ok())
        .sum()
}

/// A counter in each line.
fn v6_datagrams(snmp6: &str) -> u64 {
    let lines = snmp6.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let wanted = matches!(words.next(), Some("Udp6InDatagrams" | "Udp6NoPorts"));
        wanted.then(|| words.next()?.parse::<u64>().ok())?
    });
    lines.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_without_a_listener_count_too() {
        let snmp = "Tcp: InSegs\nTcp: 7\nUdp: InDatagrams NoPorts InErrors\nUdp: 3 4 9\n";
        assert_eq!(v4_datagrams(snmp), 7);
        let snmp6 = "Ip6InReceives    12\nUdp6InDatagrams   1\nUdp6NoPorts   5\n";
        assert_eq!(v6_datagrams(snmp6), 6);
        assert_eq!(v4_datagrams(""), 0);
    }

    #[test]
    fn an_errand_survives_its_command_line() {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            errand: Errand,
        }
        let errand = Errand {
            forbidden: vec!["[fd00::1]:1".parse().expect("an address")],
            allowed: vec!["10.0.0.1:2".parse().expect("an address")],
            linger: 3,
            forever: true,
        };
        let words = ["newborn".to_owned()].into_iter().chain(errand.arguments());
        let back = Line::parse_from(words).errand;
        assert_eq!(back.arguments(), errand.arguments());
    }
}
