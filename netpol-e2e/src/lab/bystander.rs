//! A TC program of somebody else: it counts packets and passes them on, or sends them elsewhere.
//!
//! Loaded through bpf(2) itself, without a loader library: what the agent's library does to other
//! programs is what is tested here. It works on every kernel the project does.

mod program;
mod syscall;

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use self::syscall::{
    LinkCreate, MapCreate, MapElement, ObjectInfo, ObjectPin, ProgramInfo, ProgramLoad,
    ProgramQuery, bpf, bpf_fd, bpf_mut, command, ifindex,
};
use super::{
    error::{Doing, Result},
    host::Host,
};

/// Which way a packet goes through an interface of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookSide {
    /// From the pod into the node.
    Ingress,
    /// From the node to the pod.
    Egress,
}

impl HookSide {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// `BPF_TCX_INGRESS`, `BPF_TCX_EGRESS`.
    fn attach_type(self) -> u32 {
        match self {
            Self::Ingress => 46,
            Self::Egress => 47,
        }
    }

    /// As `tc` names it.
    fn word(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// Someone else's program, on one side of one interface. Detached (if by TCX) when dropped.
#[derive(Debug)]
pub struct Bystander {
    counter: OwnedFd,
    program: OwnedFd,
    /// The TCX link.
    _link: Option<OwnedFd>,
}

impl Bystander {
    /// Attaches by TCX, at the end of what is there now.
    ///
    /// # Errors
    ///
    /// When the kernel has no TCX (before 6.6), or has no such interface.
    pub fn attach_tcx(node: &Host, interface: &str, side: HookSide) -> Result<Self> {
        let attach = || {
            let ifindex = ifindex(interface)?;
            let (counter, program) = load(program::count)?;
            let request = LinkCreate {
                prog_fd: program.as_raw_fd().cast_unsigned(),
                ifindex,
                attach_type: side.attach_type(),
                ..LinkCreate::default()
            };
            let link = bpf_fd(command::LINK_CREATE, &request)?;
            Ok(Self {
                counter,
                program,
                _link: Some(link),
            })
        };
        node.netns()
            .inside(attach)
            .and_then(|attached: io::Result<Self>| attached)
            .doing(|| format!("attach a program to {interface} by TCX"))
    }

    /// Attaches as a filter of the clsact qdisc, which is added if it is not there. `bpffs` holds a
    /// pin for a moment.
    ///
    /// # Errors
    ///
    /// When `tc` fails.
    pub fn attach_clsact(
        node: &Host,
        interface: &str,
        side: HookSide,
        priority: u16,
        bpffs: &Path,
    ) -> Result<Self> {
        let loaded = load(program::count).doing(|| "load a program".to_owned())?;
        Self::attach_filter(node, interface, side, priority, bpffs, loaded)
    }

    /// Attaches, as a filter of the clsact qdisc where packets come into the node from `from`, a program that sends
    /// TCP packets straight to their receiver through `to`: past the node's routes and filters, as load balancers do.
    /// Only these packets are counted.
    ///
    /// # Errors
    ///
    /// When there is no such interface, or `tc` fails.
    pub fn redirect_tcp(node: &Host, from: &str, to: &str, bpffs: &Path) -> Result<Self> {
        let loaded = node
            .netns()
            .inside(|| ifindex(to))
            .and_then(|to: io::Result<u32>| to)
            .and_then(|to| load(|counter| program::redirect_tcp(counter, to)))
            .doing(|| format!("load a program that redirects to {to}"))?;
        Self::attach_filter(node, from, HookSide::Ingress, 10, bpffs, loaded)
    }

    fn attach_filter(
        node: &Host,
        interface: &str,
        side: HookSide,
        priority: u16,
        bpffs: &Path,
        (counter, program): (OwnedFd, OwnedFd),
    ) -> Result<Self> {
        let pin = bpffs.join(format!("bystander-{}", fastrand::u32(..)));
        pin_at(&program, &pin).doing(|| format!("pin {}", pin.display()))?;
        let path = pin.to_string_lossy();
        // It may be there already; if not, the next command says so.
        let _ = node.run("tc", &["qdisc", "add", "dev", interface, "clsact"]);
        let priority = priority.to_string();
        let words = [
            "filter",
            "add",
            "dev",
            interface,
            side.word(),
            "prio",
            &priority,
            "handle",
            "1",
            "bpf",
            "da",
            "object-pinned",
            &path,
        ];
        let added = node.run("tc", &words);
        fs::remove_file(&pin).doing(|| format!("remove {}", pin.display()))?;
        added?;
        Ok(Self {
            counter,
            program,
            _link: None,
        })
    }

    /// Packets it has seen.
    ///
    /// # Errors
    ///
    /// Those of bpf(2).
    pub fn packets(&self) -> Result<u64> {
        let (key, mut value) = (0_u32, 0_u64);
        let request = MapElement {
            map_fd: self.counter.as_raw_fd().cast_unsigned(),
            key: &raw const key as u64,
            value: &raw mut value as u64,
            ..MapElement::default()
        };
        bpf(command::MAP_LOOKUP_ELEM, &request).doing(|| "read a counter".to_owned())?;
        Ok(value)
    }

    /// The kernel's id of the program.
    ///
    /// # Errors
    ///
    /// Those of bpf(2).
    pub fn id(&self) -> Result<u32> {
        let mut info = ProgramInfo::default();
        let request = ObjectInfo {
            fd: self.program.as_raw_fd().cast_unsigned(),
            length: size_of::<ProgramInfo>() as u32,
            info: &raw mut info as u64,
        };
        bpf(command::OBJ_GET_INFO_BY_FD, &request).doing(|| "ask for a program's id".to_owned())?;
        Ok(info.id)
    }
}

/// Ids of the programs attached by TCX to one side of an interface, in the order in which they run.
///
/// # Errors
///
/// When the kernel has no TCX, or has no such interface.
pub fn tcx_programs(node: &Host, interface: &str, side: HookSide) -> Result<Vec<u32>> {
    let query = || {
        let mut ids = [0_u32; 64];
        let mut request = ProgramQuery {
            ifindex: ifindex(interface)?,
            attach_type: side.attach_type(),
            prog_ids: &raw mut ids as u64,
            prog_cnt: ids.len() as u32,
            ..ProgramQuery::default()
        };
        bpf_mut(command::PROG_QUERY, &mut request)?;
        Ok(ids[..request.prog_cnt as usize].to_vec())
    };
    node.netns()
        .inside(query)
        .and_then(|ids: io::Result<Vec<u32>>| ids)
        .doing(|| format!("list the TCX programs of {interface}"))
}

/// Pins a file a test owns into a bpffs, as another program's user would.
///
/// # Errors
///
/// Those of bpf(2).
pub fn pin_foreign_program(bpffs: &Path, name: &str) -> Result<PathBuf> {
    let path = bpffs.join(name);
    load(program::count)
        .and_then(|(_, program)| pin_at(&program, &path))
        .doing(|| format!("pin {}", path.display()))?;
    Ok(path)
}

/// A map of one counter, and a program that counts in it.
fn load<I: AsRef<[u64]>>(instructions: impl FnOnce(i32) -> I) -> io::Result<(OwnedFd, OwnedFd)> {
    const ARRAY: u32 = 2;
    const SCHED_CLS: u32 = 3;
    // Kernels before 5.11 count maps and programs against this, the agent's too: they are of the same user. Where it
    // cannot be raised and matters, the next call fails.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let counter = bpf_fd(
        command::MAP_CREATE,
        &MapCreate {
            map_type: ARRAY,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
        },
    )?;
    let instructions = instructions(counter.as_raw_fd());
    let instructions = instructions.as_ref();
    let request = ProgramLoad {
        prog_type: SCHED_CLS,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        prog_name: *b"bystander\0\0\0\0\0\0\0",
        ..ProgramLoad::default()
    };
    let program = bpf_fd(command::PROG_LOAD, &request)?;
    Ok((counter, program))
}

fn pin_at(program: &OwnedFd, path: &Path) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    let request = ObjectPin {
        path: path.as_ptr() as u64,
        fd: program.as_raw_fd().cast_unsigned(),
        flags: 0,
    };
    bpf(command::OBJ_PIN, &request).map(drop)
}
