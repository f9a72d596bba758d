//! Attaching by filters of the clsact qdisc (kernels before 6.6).
//!
//! A filter is ours by its priority, handle and name together. It is replaced in place: the kernel
//! swaps the program under the same handle, and a packet meets the old one or the new one.

use std::{fs, io, os::fd::AsRawFd, path::Path};

use futures_util::TryStreamExt;
use rtnetlink::{
    Handle,
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    },
    packet_route::{
        RouteNetlinkMessage,
        tc::{
            TcAttribute, TcBpfFlags, TcFilterBpf, TcFilterBpfOption, TcHandle, TcHeader, TcMessage,
            TcOption,
        },
    },
};

use super::{
    error::HookError,
    hook::{Done, Side},
    load::Program,
};

/// Before all others.
const PRIORITY: u16 = 1;
/// `np`.
const HANDLE: u32 = 0x6e70;
/// `ETH_P_ALL` in network byte order, as the kernel wants it.
const ALL_PROTOCOLS: u16 = 0x0003_u16.to_be();
/// What the kernel calls this qdisc.
const CLSACT: &str = "clsact";

/// A filter of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter {
    priority: u16,
    handle: u32,
    name: String,
    program: u32,
}

impl Filter {
    fn has_our_place(&self) -> bool {
        (self.priority, self.handle) == (PRIORITY, HANDLE)
    }

    fn is_ours(&self) -> bool {
        self.has_our_place() && self.name.starts_with("netpol/")
    }
}

/// Makes sure that the program runs first on one side of an interface.
pub(crate) async fn ensure(
    netlink: &Handle,
    qdiscs: &Path,
    ifindex: u32,
    side: Side,
    program: &Program,
) -> Result<Done, HookError> {
    ensure_qdisc(netlink, qdiscs, ifindex).await?;
    let there = filters(netlink, ifindex, side).await?;
    let there = there.into_iter().find(Filter::has_our_place);
    match &there {
        Some(filter) if !filter.is_ours() => {
            return Err(HookError::Taken {
                priority: filter.priority,
                handle: filter.handle,
                name: filter.name.clone(),
            });
        }
        Some(filter) if filter.program == program.id => return Ok(Done::Nothing),
        _ => {}
    }
    let mut message = message(ifindex, parent(side));
    message.attributes = vec![
        TcAttribute::Kind(TcFilterBpf::KIND.to_owned()),
        TcAttribute::Options(vec![
            TcOption::Bpf(TcFilterBpfOption::ProgFd(program.fd.as_raw_fd() as u32)),
            TcOption::Bpf(TcFilterBpfOption::ProgName(format!(
                "netpol/{}",
                program.name
            ))),
            TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
        ]),
    ];
    let request = RouteNetlinkMessage::NewTrafficFilter(message);
    send(netlink, request, NLM_F_CREATE, "attach a filter").await?;
    Ok(if there.is_some() {
        Done::Replaced
    } else {
        Done::Attached
    })
}

/// The names of BPF filters on one side of an interface that are not ours.
pub(crate) async fn foreign(
    netlink: &Handle,
    ifindex: u32,
    side: Side,
) -> Result<Vec<String>, HookError> {
    let there = filters(netlink, ifindex, side).await?.into_iter();
    Ok(there
        .filter(|filter| !filter.is_ours() && !filter.name.is_empty())
        .map(|filter| filter.name)
        .collect())
}

/// Removes our filter from one side of an interface.
pub(crate) async fn remove(netlink: &Handle, ifindex: u32, side: Side) -> Result<bool, HookError> {
    let there = filters(netlink, ifindex, side).await?;
    if !there.iter().any(Filter::is_ours) {
        return Ok(false);
    }
    let request = RouteNetlinkMessage::DelTrafficFilter(message(ifindex, parent(side)));
    send(netlink, request, 0, "remove a filter").await?;
    Ok(true)
}

/// Removes the qdisc, if the agent made it and nobody else has a filter there.
pub(crate) async fn remove_qdisc(
    netlink: &Handle,
    qdiscs: &Path,
    ifindex: u32,
) -> Result<bool, HookError> {
    let mark = qdiscs.join(ifindex.to_string());
    if !mark.is_dir() {
        return Ok(false);
    }
    let mut used = false;
    for side in Side::BOTH {
        used |= !filters(netlink, ifindex, side).await?.is_empty();
    }
    let made_here = has_qdisc(netlink, ifindex).await? && !used;
    if made_here {
        let mut message = TcMessage::default();
        message.header.index = ifindex as i32;
        message.header.handle = CLSACT_HANDLE;
        message.header.parent = TcHandle::CLSACT;
        message.attributes = vec![TcAttribute::Kind(CLSACT.to_owned())];
        let request = RouteNetlinkMessage::DelQueueDiscipline(message);
        send(netlink, request, 0, "remove the clsact qdisc").await?;
    }
    forget_qdisc(qdiscs, ifindex)?;
    Ok(made_here)
}

/// Forgets that the agent made a qdisc: its interface is gone.
pub(crate) fn forget_qdisc(qdiscs: &Path, ifindex: u32) -> Result<(), HookError> {
    let mark = qdiscs.join(ifindex.to_string());
    match fs::remove_dir(&mark) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(HookError::Link {
            action: "remove",
            path: mark,
            source,
        }),
        _ => Ok(()),
    }
}

/// The interfaces on which filters of ours are, of all in this network namespace.
pub(crate) async fn interfaces(netlink: &Handle) -> Result<Vec<u32>, HookError> {
    let action = "list qdiscs";
    let mut qdiscs = netlink.qdisc().get().execute();
    let mut candidates = Vec::new();
    while let Some(message) = qdiscs.try_next().await.map_err(netlink_failed(action))? {
        if is_clsact(&message) {
            candidates.push(message.header.index as u32);
        }
    }
    let mut found = Vec::new();
    for ifindex in candidates {
        for side in Side::BOTH {
            if filters(netlink, ifindex, side)
                .await?
                .iter()
                .any(Filter::is_ours)
            {
                found.push(ifindex);
                break;
            }
        }
    }
    Ok(found)
}

async fn ensure_qdisc(netlink: &Handle, qdiscs: &Path, ifindex: u32) -> Result<(), HookError> {
    if has_qdisc(netlink, ifindex).await? {
        return Ok(());
    }
    // The mark comes first: a qdisc of ours without it would stay for ever, one too many of them
    // is removed only with a qdisc that holds nobody's filters.
    let mark = qdiscs.join(ifindex.to_string());
    match fs::create_dir(&mark) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            return Err(HookError::Link {
                action: "create",
                path: mark,
                source,
            });
        }
        _ => {}
    }
    let mut message = TcMessage::default();
    message.header.index = ifindex as i32;
    message.header.handle = CLSACT_HANDLE;
    message.header.parent = TcHandle::CLSACT;
    message.attributes = vec![TcAttribute::Kind(CLSACT.to_owned())];
    let request = RouteNetlinkMessage::NewQueueDiscipline(message);
    send(
        netlink,
        request,
        NLM_F_CREATE | NLM_F_EXCL,
        "add the clsact qdisc",
    )
    .await
}

/// The qdisc's handle, `ffff:0`.
const CLSACT_HANDLE: TcHandle = TcHandle {
    major: 0xffff,
    minor: 0,
};

async fn has_qdisc(netlink: &Handle, ifindex: u32) -> Result<bool, HookError> {
    let action = "list qdiscs";
    let mut qdiscs = netlink.qdisc().get().index(ifindex as i32).execute();
    let mut found = false;
    while let Some(message) = qdiscs.try_next().await.map_err(netlink_failed(action))? {
        found |= message.header.index as u32 == ifindex && is_clsact(&message);
    }
    Ok(found)
}

fn is_clsact(message: &TcMessage) -> bool {
    let kind = TcAttribute::Kind(CLSACT.to_owned());
    message.attributes.contains(&kind)
}

/// The filters of one side. None where there is no qdisc.
async fn filters(netlink: &Handle, ifindex: u32, side: Side) -> Result<Vec<Filter>, HookError> {
    let request = netlink.traffic_filter(ifindex as i32).get();
    let request = match side {
        Side::Ingress => request.ingress(),
        Side::Egress => request.egress(),
    };
    let mut answers = request.execute();
    let mut found = Vec::new();
    loop {
        match answers.try_next().await {
            Ok(Some(message)) => found.extend(filter_of(&message)),
            Ok(None) => return Ok(found),
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(netlink_failed("list filters")(error)),
        }
    }
}

/// A filter of any kind; only BPF filters have a name and a program.
fn filter_of(message: &TcMessage) -> Option<Filter> {
    // A chain announces itself without a handle before its filters.
    let handle = u32::from(message.header.handle);
    if handle == 0 {
        return None;
    }
    let mut filter = Filter {
        priority: (message.header.info >> 16) as u16,
        handle,
        name: String::new(),
        program: 0,
    };
    for attribute in &message.attributes {
        let TcAttribute::Options(options) = attribute else {
            continue;
        };
        for option in options {
            match option {
                TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => filter.name.clone_from(name),
                TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => filter.program = *id,
                _ => {}
            }
        }
    }
    Some(filter)
}

fn message(ifindex: u32, parent: TcHandle) -> TcMessage {
    let mut message = TcMessage::default();
    message.header = TcHeader {
        index: ifindex as i32,
        handle: TcHandle::from(HANDLE),
        parent,
        info: u32::from(PRIORITY) << 16 | u32::from(ALL_PROTOCOLS),
        ..TcHeader::default()
    };
    message.attributes = vec![TcAttribute::Kind(TcFilterBpf::KIND.to_owned())];
    message
}

const fn parent(side: Side) -> TcHandle {
    TcHandle {
        major: 0xffff,
        minor: match side {
            Side::Ingress => TcHandle::MIN_INGRESS,
            Side::Egress => TcHandle::MIN_EGRESS,
        },
    }
}

async fn send(
    netlink: &Handle,
    message: RouteNetlinkMessage,
    flags: u16,
    action: &'static str,
) -> Result<(), HookError> {
    let mut request = NetlinkMessage::from(message);
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut handle = netlink.clone();
    let mut answers = handle.request(request).map_err(netlink_failed(action))?;
    use futures_util::StreamExt;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(error) = answer.payload {
            return Err(netlink_failed(action)(rtnetlink::Error::NetlinkError(
                error,
            )));
        }
    }
    Ok(())
}

/// Whether the kernel says that there is no such qdisc.
fn is_absent(error: &rtnetlink::Error) -> bool {
    let rtnetlink::Error::NetlinkError(message) = error else {
        return false;
    };
    matches!(-message.raw_code(), libc::EINVAL | libc::ENOENT)
}

fn netlink_failed(action: &'static str) -> impl Fn(rtnetlink::Error) -> HookError {
    move |source| HookError::Netlink { action, source }
}
