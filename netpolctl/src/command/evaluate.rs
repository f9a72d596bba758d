//! `netpolctl evaluate`

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;
use clap::Args;
use netpol_api::Verdict;

use self::objects::Objects;
use self::question::Families;
use crate::exit::{Exit, UsageError};
use crate::filter::NameArgument;
use crate::offline::batch;
use crate::offline::traffic::Traffic;
use crate::output::{self, Format};

mod objects;
mod question;
mod report;
mod text;

pub(crate) const EXAMPLES: &str = "\
Examples:
  # may build-code open a connection to the cache? if not, what came nearest?
  netpolctl evaluate -f manifests/ --from default/build-code \\
      --to secure-middleware/cache-store --port 6379

  # over UDP; from an address outside; a ping
  netpolctl evaluate -f manifests/ --from shop/web --to kube-system/dns --port 53/UDP
  netpolctl evaluate -f manifests/ --from 203.0.113.7 --to shop/web --port 443
  netpolctl evaluate -f manifests/ --from shop/web --to shop/db

  # through a Service: what it says of each backend
  netpolctl evaluate -f manifests/ --from shop/web --to service/kube-system/kube-dns --port 53/UDP

  # what a cluster holds now
  kubectl get netpol,pods,ns,nodes,svc,endpointslices -A -o json | netpolctl evaluate -f - --from ... --to ...

  # many clusters and probes, for machines: JSON lines in, JSON lines out
  netpolctl evaluate --batch < requests.jsonl

Needs no agent and no root: the manifests are compiled as the agent would compile them, and the
packets are judged by the code that runs in the kernel. The reply must pass as well. The addresses of
the node that a pod runs on (spec.nodeName, and the Node's status) reach the pod, as the kubelet does.

A connection to a Service (its ClusterIP, external address or node port) is allowed when it may
leave the source and one of the backends lets it in. Without EndpointSlices the backends are the
ready pods that the Service selects.

When a pod on the command line has no address yet, pods without status are given addresses of
198.18.0.0/15 and 2001:2::/48, so that manifests can be evaluated before they are applied. An
ipBlock meant for the pod network does not match those. They are judged over IPv4 unless -6 is said;
pods with addresses of both families are judged over both.

Batch requests, one a line:
  {\"id\": 1, \"cluster\": \"c1\", \"objects\": [...], \"probes\": [
      {\"from\": \"10.0.0.1\", \"to\": \"10.0.0.2\", \"protocol\": \"TCP\", \"port\": 80}, ...]}
A cluster named before is brought to the new objects by the changes between them.

Exit codes: 0 allowed, 3 denied, 1 error, 2 the command line cannot be understood. With --batch, 0
once the input has ended.";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Manifests: files, directories (their .yaml, .yml and .json), or - for stdin
    #[arg(short, long, value_name = "PATH", num_args = 1.., required_unless_present = "batch",
          conflicts_with = "batch")]
    filename: Vec<PathBuf>,
    /// Look into directories below directories as well
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Who opens the connection: a pod or an address
    #[arg(
        long,
        value_name = "NS/POD|ADDRESS",
        required_unless_present = "batch",
        conflicts_with = "batch"
    )]
    from: Option<Party>,
    /// To whom: a pod, a Service or an address, a Service's included
    #[arg(
        long,
        value_name = "NS/POD|service/[NS/]NAME|ADDRESS",
        required_unless_present = "batch",
        conflicts_with = "batch"
    )]
    to: Option<Party>,
    /// The port it goes to, and its protocol (TCP unless said); absent for a ping
    #[arg(long, value_name = "PORT[/PROTOCOL]", conflicts_with = "batch")]
    port: Option<PortArgument>,
    /// TCP, UDP, SCTP, ICMP, or the number of an IP protocol without ports
    #[arg(long, value_name = "PROTOCOL", conflicts_with = "batch")]
    protocol: Option<String>,
    /// Only over IPv4
    #[arg(short = '4', long, conflicts_with_all = ["batch", "ipv6"])]
    ipv4: bool,
    /// Only over IPv6
    #[arg(short = '6', long, conflicts_with = "batch")]
    ipv6: bool,
    /// Namespace of pods that are named without one
    #[arg(short, long, value_name = "NS", default_value = "default")]
    namespace: String,
    /// JSON lines on stdin, JSON lines on stdout
    #[arg(long)]
    batch: bool,
}

pub(crate) fn run(format: Format, arguments: &Arguments) -> Result<Exit> {
    if arguments.batch {
        batch::run(io::stdin().lock(), io::stdout().lock())?;
        return Ok(Exit::Success);
    }
    let traffic = traffic(arguments)?;
    let (Some(from), Some(to)) = (&arguments.from, &arguments.to) else {
        return Err(UsageError("--from and --to say between whom".to_owned()).into());
    };
    let mut objects = Objects::read(&arguments.filename, arguments.recursive)?;
    let [from, to] = [from, to].map(|party| party.named_in(&arguments.namespace));
    objects.address_pods(&[&from, &to]);
    let mut cluster = objects.cluster()?;
    let families = match (arguments.ipv4, arguments.ipv6) {
        (true, _) => Families::V4,
        (_, true) => Families::V6,
        (false, false) => Families::Both,
    };
    let probes = question::probes(&cluster, &objects, [&from, &to], traffic, families)?;
    let report = report::report(&mut cluster, &objects, &from, &to, &probes)?;
    output::print(format, &report, |detail| text::text(&report, detail))?;
    Ok(match report.verdict {
        Verdict::Allow => Exit::Success,
        Verdict::Deny | Verdict::Reject => Exit::Denied,
    })
}

/// What is asked about: `--port 53/UDP`, `--port 53 --protocol UDP`, `--port ICMP`, or neither.
fn traffic(arguments: &Arguments) -> Result<Traffic, UsageError> {
    let (number, of_port) = match &arguments.port {
        None => (None, None),
        Some(port) => (port.number, port.protocol.as_deref()),
    };
    let protocol = match (of_port, arguments.protocol.as_deref()) {
        (Some(one), Some(other)) if !one.eq_ignore_ascii_case(other) => {
            let error = format!("--port says {one}, --protocol says {other}");
            return Err(UsageError(error));
        }
        (Some(protocol), _) | (None, Some(protocol)) => protocol,
        (None, None) if number.is_some() => "TCP",
        (None, None) => "ICMP",
    };
    Traffic::new(protocol, number).map_err(|e| UsageError(format!("--{e}")))
}

/// One side of a connection, as it stands on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    /// An address.
    Address(IpAddr),
    /// A pod.
    Pod(NameArgument),
    /// A Service.
    Service(NameArgument),
}

impl FromStr for Party {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let expected = |_| "expected NAMESPACE/POD, service/NAME or an address".to_owned();
        let service = ["service/", "svc/"]
            .iter()
            .find_map(|kind| text.strip_prefix(kind));
        if let Some(name) = service {
            return name.parse().map(Self::Service).map_err(expected);
        }
        text.parse().map(Self::Pod).map_err(expected)
    }
}

impl Party {
    fn named_in(&self, namespace: &str) -> question::Party {
        match self {
            Self::Address(address) => question::Party::Address(*address),
            Self::Pod(name) => question::Party::Pod(name.in_namespace(namespace)),
            Self::Service(name) => question::Party::Service(name.in_namespace(namespace)),
        }
    }
}

/// `6379`, `53/UDP`, or the name of a protocol without ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortArgument {
    number: Option<u16>,
    protocol: Option<String>,
}

impl FromStr for PortArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (port, protocol) = match text.split_once('/') {
            Some((port, protocol)) => (port, Some(protocol.to_owned())),
            None => (text, None),
        };
        if protocol.is_none() && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Ok(Self {
                number: None,
                protocol: Some(text.to_owned()),
            });
        }
        let number = port.parse();
        Ok(Self {
            number: Some(number.map_err(|_| "expected a port such as 6379 or 53/UDP")?),
            protocol,
        })
    }
}
