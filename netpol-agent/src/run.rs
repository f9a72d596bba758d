//! `netpol-agent run`: what is made in which order, and how it ends.
//!
//! ```text
//! locks -> programs and maps loaded -> maps read back -> manifests read -> pods looked for
//!       -> maps brought in line -> programs attached or replaced -> ready
//! ```
//! Until the maps are in line, what a former agent left judges every packet.

use std::sync::Arc;

use anyhow::Context;
use netpol_api::Hook;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{Doors, Socket},
    bpf::{
        debug_log,
        hook::Hooks,
        load::{self, Loaded, PinDirs},
        syscall,
        table::Table,
        tables::ConntrackTables,
    },
    cleanup,
    cli::{HookChoice, RunArgs},
    conntrack::Sweeper,
    discovery::Discovery,
    engine::{Engine, Inputs, Parts},
    flows,
    manifests::Manifests,
    preflight,
};

/// Messages of one kind under way. Senders wait: each carries all there is to say since the last.
const QUEUE: usize = 8;
/// Questions of clients under way.
const QUESTIONS: usize = 64;

/// Enforces until SIGTERM or SIGINT.
pub(crate) async fn run(args: &RunArgs) -> anyhow::Result<()> {
    preflight::root()?;
    let locks = preflight::claim(&args.places)?;
    let shutdown = stop_on_signals()?;
    let hook = hook(args.hook)?;
    let dirs = PinDirs::under(&args.places.bpffs);
    let Loaded {
        programs,
        tables,
        events,
        clock,
        debug_log,
        notes,
    } = tokio::task::block_in_place(|| {
        load::load(&dirs, &args.sizes.maps(), args.events_per_second)
    })?;
    for note in &notes {
        tracing::warn!("{note}");
    }
    let (connection, netlink, _) = rtnetlink::new_connection().context("open a netlink socket")?;
    let netlink_connection = tokio::spawn(connection);
    let copies = cleanup::copies(&args.places.socket);
    let (manifests, first) = Manifests::open(&args.manifests, &copies).await?;
    let clock = Arc::new(clock);
    let sweeper = Sweeper {
        tables: ConntrackTables::open(&dirs.maps)?,
        endpoints: Table::open(&dirs.maps, netpol_common::maps::ENDPOINT)?,
        clock: Arc::clone(&clock),
    };
    let (mut engine, outlets) = Engine::new(Parts {
        node: args.node.clone(),
        tables,
        conntrack: ConntrackTables::open(&dirs.maps)?,
        hooks: Hooks::new(hook, dirs.clone(), programs, netlink.clone()),
        clock,
        notes,
        manifests: first,
    })?;
    engine.recall_interfaces().await?;
    let mut discovery = Discovery::connect()?;
    let findings = discovery.look(&engine.local_pods()).await?;
    engine.take_findings(findings).await;
    engine.settle().await;
    engine.remove_leftovers().await;
    remove_other_versions(args, &dirs, &netlink).await?;
    let socket = Socket::bind(&args.places.socket)
        .with_context(|| format!("listen on {}", args.places.socket.display()))?;
    tracing::info!(node = args.node, ?hook, socket = %args.places.socket.display(), "ready");

    let (to_engine, questions) = mpsc::channel(QUESTIONS);
    let (updates, manifest_updates) = mpsc::channel(QUEUE);
    let (to_findings, from_discovery) = mpsc::channel(QUEUE);
    let (to_events, from_ring) = mpsc::channel(QUEUE);
    let (read_now, reads) = mpsc::channel(QUEUE);
    let (look_now, looks) = mpsc::channel(QUEUE);
    let doors = Doors {
        engine: to_engine,
        manifests: read_now,
        discovery: look_now,
        revision: outlets.revision,
    };
    let inputs = Inputs {
        manifests: manifest_updates,
        findings: from_discovery,
        events: from_ring,
        questions,
    };
    let token = || shutdown.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(engine.run(inputs, token()));
    tasks.spawn(manifests.run(reads, updates, token()));
    tasks.spawn(discovery.run(outlets.pods, looks, to_findings, token()));
    tasks.spawn(sweeper.run(token()));
    tasks.spawn(socket.serve(doors, token()));
    let mut readers = JoinSet::new();
    readers.spawn(flows::read_events(events, to_events, token()));
    if let Some(log) = debug_log {
        readers.spawn(debug_log::read(log, token()));
    }
    let result = join(tasks, &shutdown).await;
    for ended in readers.join_all().await {
        ended.context("read the programs' events")?;
    }
    netlink_connection.abort();
    drop(locks);
    tracing::info!("stopped; what was in force stays in force");
    result
}

/// Waits for the first task to end, tells the others, and waits for them. A task that ends before
/// shutdown has failed.
async fn join(mut tasks: JoinSet<()>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        if !shutdown.is_cancelled() {
            shutdown.cancel();
            result = Err(anyhow::anyhow!("a task ended unexpectedly"));
        }
        if let Err(error) = ended {
            result = Err(error).context("a task failed");
        }
    }
    result
}

fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let token = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = token.cancelled() => {}
        }
        token.cancel();
    });
    Ok(shutdown)
}

fn hook(choice: HookChoice) -> anyhow::Result<Hook> {
    match choice {
        HookChoice::Auto if syscall::has_tcx() => Ok(Hook::Tcx),
        HookChoice::Auto | HookChoice::Clsact => Ok(Hook::Clsact),
        HookChoice::Tcx if syscall::has_tcx() => Ok(Hook::Tcx),
        HookChoice::Tcx => {
            anyhow::bail!("this kernel has no TCX (Linux 6.6 and later do): use --hook clsact")
        }
    }
}

/// What an agent with another layout of the maps left judges until here, together with ours.
async fn remove_other_versions(
    args: &RunArgs,
    dirs: &PinDirs,
    netlink: &rtnetlink::Handle,
) -> anyhow::Result<()> {
    for root in cleanup::versions(&args.places.bpffs)? {
        if root != dirs.root {
            tracing::info!(root = %root.display(), "removing another version's pins");
            cleanup::remove_version(&PinDirs::at(root), netlink).await?;
        }
    }
    Ok(())
}
