//! Attaching by TCX links (Linux 6.6 and later), pinned so that they outlive the agent.

use std::{
    fs, io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use super::{
    error::HookError,
    hook::{Done, Side},
    load::Program,
    syscall::{self, TcxLink, TcxSide},
};

/// Makes sure that the program runs first on one side of an interface.
pub(crate) fn ensure(
    links: &Path,
    ifindex: u32,
    side: Side,
    program: &Program,
) -> Result<Done, HookError> {
    let path = pin_path(links, ifindex, side);
    let mut repaired = false;
    match open(&path)? {
        Some((_, link)) if link.ifindex == ifindex && link.program == program.id => {
            return Ok(Done::Nothing);
        }
        Some((fd, link)) if link.ifindex == ifindex => {
            syscall::link_update(fd.as_fd(), program.fd.as_fd())
                .map_err(|source| failed("update", &path, source))?;
            return Ok(Done::Replaced);
        }
        // The interface is gone, or another one has its index now; or somebody detached the link.
        Some(_) => {
            fs::remove_file(&path).map_err(|source| failed("unpin", &path, source))?;
            repaired = true;
        }
        None => {}
    }
    let link =
        syscall::tcx_attach(program.fd.as_fd(), ifindex, tcx_side(side)).map_err(HookError::Tcx)?;
    syscall::object_pin(link.as_fd(), &path).map_err(|source| failed("pin", &path, source))?;
    Ok(if repaired {
        Done::Repaired
    } else {
        Done::Attached
    })
}

/// Detaches one side of an interface, as far as a pin names it.
pub(crate) fn remove(links: &Path, ifindex: u32, side: Side) -> Result<bool, HookError> {
    let path = pin_path(links, ifindex, side);
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(failed("unpin", &path, source)),
    }
}

/// The interfaces that pins name, each once.
pub(crate) fn interfaces(links: &Path) -> Result<Vec<u32>, HookError> {
    let entries = match fs::read_dir(links) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed("read", links, source)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| failed("read", links, source))?;
        let name = entry.file_name();
        found.extend(name.to_str().and_then(interface_of_pin));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The interfaces that pinned links are attached to still, in whatever network namespace.
pub(crate) fn attached(links: &Path) -> Result<Vec<u32>, HookError> {
    let mut interfaces = interfaces(links)?;
    interfaces.retain(|ifindex| {
        let pins = Side::BOTH.map(|side| pin_path(links, *ifindex, side));
        pins.iter()
            .any(|path| matches!(open(path), Ok(Some((_, link))) if link.ifindex == *ifindex))
    });
    Ok(interfaces)
}

/// The numbers of programs on one side of an interface that no pin of ours names.
pub(crate) fn foreign(links: &Path, ifindex: u32, side: Side) -> io::Result<Vec<u32>> {
    let mut there = syscall::probe::tcx_programs(ifindex, tcx_side(side))?;
    if let Ok(Some((_, link))) = open(&pin_path(links, ifindex, side)) {
        there.retain(|program| *program != link.program);
    }
    Ok(there)
}

fn open(path: &Path) -> Result<Option<(std::os::fd::OwnedFd, TcxLink)>, HookError> {
    let fd = match syscall::object_get(path) {
        Ok(fd) => fd,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("open", path, source)),
    };
    let link = syscall::tcx_link(fd.as_fd()).map_err(|source| failed("read", path, source))?;
    Ok(Some((fd, link)))
}

fn pin_path(links: &Path, ifindex: u32, side: Side) -> PathBuf {
    links.join(format!("{ifindex}-{}", side.word()))
}

fn interface_of_pin(name: &str) -> Option<u32> {
    let (ifindex, side) = name.split_once('-')?;
    Side::BOTH.iter().find(|known| known.word() == side)?;
    ifindex.parse().ok()
}

const fn tcx_side(side: Side) -> TcxSide {
    match side {
        Side::Ingress => TcxSide::Ingress,
        Side::Egress => TcxSide::Egress,
    }
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> HookError {
    HookError::Link {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_names_its_interface_and_nothing_else_is_a_pin() {
        let path = pin_path(Path::new("/links"), 17, Side::Egress);
        assert_eq!(path, Path::new("/links/17-egress"));
        assert_eq!(interface_of_pin("17-egress"), Some(17));
        assert_eq!(interface_of_pin("17-ingress"), Some(17));
        for other in ["17", "17-", "eth0-ingress", "17-ingress.old", "-ingress"] {
            assert_eq!(interface_of_pin(other), None, "{other}");
        }
    }
}
