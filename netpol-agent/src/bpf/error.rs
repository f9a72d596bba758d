//! What goes wrong between the agent and the kernel's BPF side.

use std::{io, path::PathBuf};

use aya::{EbpfError, maps::MapError, programs::ProgramError};

/// Why the programs or maps are not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("cannot load the BPF object: {0}")]
    Object(#[from] EbpfError),
    #[error("cannot load the program {name}: {source}")]
    Program {
        name: &'static str,
        source: ProgramError,
    },
    #[error("the BPF object has no program {0}")]
    NoProgram(&'static str),
    #[error("cannot use the map {name}: {source}")]
    Map {
        name: &'static str,
        source: MapError,
    },
    #[error("cannot {action} {}: {source}", path.display())]
    Pin {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "{} holds entries of another layout than this agent's: another program's pin, or one of a \
         development version; `netpol-agent cleanup` removes it",
        path.display()
    )]
    Layout { path: PathBuf },
    #[error(
        "the pins in {} belong to another network namespace, whose interfaces they are attached \
         to; give this agent another --bpffs, or run `netpol-agent cleanup` there",
        path.display()
    )]
    OtherNamespace { path: PathBuf },
    #[error("cannot read the kernel's clock: {0}")]
    Clock(String),
}

/// Why an operation on a map did not work.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} in the map {map}: {source}")]
pub(crate) struct TableError {
    pub(crate) map: &'static str,
    pub(crate) operation: String,
    pub(crate) source: io::Error,
}

/// Why a program is not attached to, or detached from, an interface.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    #[error("cannot {action} {}: {source}", path.display())]
    Link {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("cannot attach by TCX: {0}")]
    Tcx(io::Error),
    #[error("cannot {action}: {source}")]
    Netlink {
        action: &'static str,
        source: rtnetlink::Error,
    },
    #[error(
        "filter {handle:#x} of priority {priority} is `{name}`, which is not netpol's; remove it or \
         use --hook tcx"
    )]
    Taken {
        priority: u16,
        handle: u32,
        name: String,
    },
}

impl HookError {
    /// Whether the interface is gone, so that there is nothing to attach to.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Link { source, .. } | Self::Tcx(source) => {
                source.raw_os_error() == Some(libc::ENODEV)
            }
            Self::Netlink {
                source: rtnetlink::Error::NetlinkError(message),
                ..
            } => message.raw_code() == -libc::ENODEV,
            Self::Netlink { .. } | Self::Taken { .. } => false,
        }
    }
}
