//! The one place that says which crate may use which.

/// When a dependency is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// In the crate itself.
    Always,
    /// In its build script.
    Build,
    /// In its tests and examples.
    Tests,
}

/// What one crate of the workspace may use.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Crates of the workspace it may use anywhere.
    pub(super) uses: Uses,
    /// Crates of the workspace its tests may use as well.
    pub(super) tests: &'static [&'static str],
    /// Crates of the workspace its build script may use.
    pub(super) build: &'static [&'static str],
    /// Whether its root files must say `#![forbid(unsafe_code)]`.
    pub(super) forbids_unsafe: bool,
}

/// The crates of the workspace at the other end of the arrows.
pub(super) enum Uses {
    Only(&'static [&'static str]),
    Anything,
}

/// An external crate (with what belongs to it) that is kept in a few crates.
pub(super) struct Fence {
    /// Names of the family; one that ends in `*` stands for all that start so.
    pub(super) family: &'static [&'static str],
    pub(super) only_in: &'static [&'static str],
    pub(super) why: &'static str,
}

const fn row(name: &'static str, uses: &'static [&'static str]) -> Row {
    Row {
        name,
        uses: Uses::Only(uses),
        tests: &[],
        build: &[],
        forbids_unsafe: false,
    }
}

pub(super) const ROWS: &[Row] = &[
    row("netpol-common", &[]),
    Row {
        forbids_unsafe: true,
        ..row("netpol-api", &[])
    },
    Row {
        forbids_unsafe: true,
        ..row("netpol-datapath", &["netpol-common"])
    },
    // libFuzzer's programs define a symbol that it calls, so not every root forbids unsafe code.
    row("netpol-fuzz", &["netpol-datapath", "netpol-common"]),
    row("netpol-ebpf", &["netpol-datapath", "netpol-common"]),
    Row {
        forbids_unsafe: true,
        // Tests judge compiled maps by the code that does it in the kernel.
        tests: &["netpol-datapath"],
        ..row("netpol-policy", &["netpol-common"])
    },
    Row {
        // The agent carries the programs: its build script builds them.
        build: &["netpol-ebpf"],
        ..row(
            "netpol-agent",
            &["netpol-api", "netpol-policy", "netpol-common"],
        )
    },
    Row {
        forbids_unsafe: true,
        ..row(
            "netpolctl",
            &[
                "netpol-api",
                "netpol-policy",
                "netpol-datapath",
                "netpol-common",
            ],
        )
    },
    Row {
        forbids_unsafe: true,
        ..row("netpol-cni", &["netpol-api"])
    },
    Row {
        forbids_unsafe: true,
        ..row(
            "netpol-bench",
            // The agent carries the programs that are counted.
            &["netpol-agent", "netpol-datapath", "netpol-common"],
        )
    },
    Row {
        uses: Uses::Anything,
        ..row("netpol-e2e", &[])
    },
    row("xtask", &[]),
];

pub(super) const FENCES: &[Fence] = &[
    Fence {
        family: &["kube", "kube-*"],
        only_in: &["netpol-agent", "netpolctl", "netpol-e2e"],
        why: "the API server is spoken to at the edges, and policy stays pure",
    },
    Fence {
        family: &["aya", "aya-obj", "aya-log", "aya-build"],
        only_in: &["netpol-agent", "netpol-bench", "netpol-e2e"],
        why: "the agent is the only one that loads programs and writes maps",
    },
    Fence {
        family: &["aya-ebpf*", "aya-log-ebpf*"],
        only_in: &["netpol-ebpf"],
        why: "everything else of the packet path runs, and is tested, on the host",
    },
    Fence {
        family: &["tokio", "tokio-*"],
        only_in: &["netpol-agent", "netpolctl", "netpol-e2e"],
        why: "I/O lives in the programs, the libraries are plain functions",
    },
];
