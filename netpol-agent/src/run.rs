//! `netpol-agent run`: what is made in which order, and how it ends.
//!
//! ```text
//! locks -> programs and maps loaded -> maps read back -> objects read -> pods looked for
//!       -> maps brought in line -> programs attached or replaced -> ready
//! ```
//! Until the maps are in line, what a former agent left judges every packet.

use std::{io, sync::Arc};

use anyhow::Context;
use aya::maps::{MapData, RingBuf};
use netpol_api::{CniInstallation, Hook};
use netpol_common::maps;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{Doors, Socket},
    bpf::{
        debug_log::{self, DebugLog},
        hook::Hooks,
        load::{self, Limits, PinDirs},
        netns::{self, Owner},
        shares::Shares,
        syscall,
        table::Table,
        tables::ConntrackTables,
    },
    cleanup,
    cli::{CleanupArgs, HookChoice, RunArgs},
    cni::{
        self,
        install::{self, Installer},
        sandboxes::Store,
    },
    conntrack::Sweeper,
    discovery::{self, Discovery, fresh::Fresh},
    engine::{Engine, Inputs, Outlets, Parts},
    flows, memory, preflight,
    source::Source,
    taint,
    uninstall::{self, Guarded},
};

/// Messages of one kind under way. Senders wait: each carries all there is to say since the last.
const QUEUE: usize = 8;
/// Questions of clients under way.
const QUESTIONS: usize = 64;

/// Enforces until SIGTERM or SIGINT.
pub(crate) async fn run(args: &RunArgs) -> anyhow::Result<()> {
    preflight::require(args)?;
    let locks = preflight::claim(&args.places)?;
    let shutdown = stop_on_signals()?;
    let mut guard = Guarded::start(args)?;
    let result = tokio::select! {
        result = enforce(args, &shutdown) => result,
        refused = guard.refused() => Err(refused.into()),
    };
    drop(locks);
    if result.is_ok() && guard.says_uninstall().await {
        tracing::info!("uninstalled: removing programs, maps and files");
        return cleanup::cleanup(&CleanupArgs::of(args)).await;
    }
    tracing::info!("stopped; what was in force stays in force");
    result
}

/// Takes over, and works until shutdown. Stopped on the way there, it leaves what a crash would: the next
/// agent takes over from that.
async fn enforce(args: &RunArgs, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let agent = tokio::select! {
        agent = Agent::take_over(args) => agent?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let path = args.places.socket.display();
    let socket = Socket::bind(&args.places.socket).with_context(|| format!("listen on {path}"))?;
    tracing::info!(node = args.node, socket = %path, "ready");
    agent.work(args, socket, shutdown).await
}

/// Everything that runs, ready to.
struct Agent {
    engine: Engine,
    outlets: Outlets,
    source: Source,
    discovery: Discovery,
    fresh: mpsc::Receiver<u32>,
    sweeper: Sweeper,
    events: RingBuf<MapData>,
    debug_log: Option<DebugLog>,
    netlink: JoinHandle<()>,
    installer: Option<(Installer, watch::Sender<CniInstallation>)>,
    /// Tells the owners of objects; whether it works is nothing to what is enforced.
    announcing: Option<JoinHandle<()>>,
}

impl Agent {
    /// Brings what is in force in line with what the objects say.
    async fn take_over(args: &RunArgs) -> anyhow::Result<Self> {
        let hook = hook(args.hook)?;
        let dirs = PinDirs::under(&args.places.bpffs);
        let (connection, netlink, _) =
            rtnetlink::new_connection().context("open a netlink socket")?;
        let connection = tokio::spawn(connection);
        if netns::owner(&dirs)? == Owner::Gone {
            tracing::info!(root = %dirs.root.display(), "removing pins of a namespace that is gone");
            cleanup::remove_stale(&dirs, &netlink).await?;
        }
        let limits = Limits {
            events_per_second: args.events_per_second,
            answers_per_second: args.answers_per_second,
            new_per_endpoint: args.sizes.new_per_endpoint(),
        };
        let loaded = tokio::task::block_in_place(|| load::load(&dirs, &args.sizes.maps(), limits))?;
        for note in &loaded.notes {
            tracing::warn!("{note}");
        }
        let (mut source, first) = Source::open(args).await?;
        let (announcer, announcing) = source.announcer().unzip();
        let clock = Arc::new(loaded.clock);
        let sweeper = Sweeper::new(
            ConntrackTables::open(&dirs.maps)?,
            Table::open(&dirs.maps, maps::ENDPOINT)?,
            Shares::open(&dirs.maps)?,
            Arc::clone(&clock),
        );
        let sandboxes = cni::sandboxes::directory(&args.places.socket);
        let sandboxes = Store::open(sandboxes.clone())
            .with_context(|| format!("make {}", sandboxes.display()))?;
        let (installed, installation) = watch::channel(CniInstallation::default());
        let installer = args.cni.installer(&args.places.socket)?;
        if let Some(directories) = args.cni.directories() {
            preflight::note_cni(&args.places.bpffs, &directories)?;
        }
        let (mut engine, outlets) = Engine::new(Parts {
            node: args.node.clone(),
            masquerade_all: args.masquerade_all,
            reject: args.reject,
            tables: loaded.tables,
            conntrack: ConntrackTables::open(&dirs.maps)?,
            sweeps: sweeper.reports(),
            hooks: Hooks::new(hook, dirs.clone(), loaded.programs, netlink.clone()),
            clock,
            notes: loaded.notes,
            first,
            sandboxes,
            close_new: !args.cni.close_new_interfaces.is_empty(),
            installation: installer.is_some().then_some(installation),
            announcer,
        })?;
        while let Some(update) = source.complete().await? {
            engine.take_objects(update);
        }
        let links = discovery::netlink::links(&netlink).await?;
        engine
            .recall_sandboxes(&links)
            .context("read what the CNI plugin told")?;
        engine.recall_interfaces().await?;
        let mut discovery = Discovery::connect()?;
        let (to_close, fresh) = mpsc::channel(QUESTIONS);
        let prefixes = args.cni.close_new_interfaces.clone();
        if !prefixes.is_empty() {
            discovery.report_new(Fresh::new(prefixes, to_close));
        }
        let findings = discovery.look(&engine.local_pods()).await?;
        engine.take_findings(findings).await;
        engine.settle().await;
        memory::give_back();
        engine.remove_leftovers().await;
        remove_other_versions(args, &dirs, &netlink).await?;
        Ok(Self {
            engine,
            outlets,
            source,
            discovery,
            fresh,
            sweeper,
            events: loaded.events,
            debug_log: loaded.debug_log,
            netlink: connection,
            installer: installer.map(|installer| (installer, installed)),
            announcing: announcing.map(tokio::spawn),
        })
    }

    /// Runs all tasks until shutdown, and waits for their end.
    async fn work(
        self,
        args: &RunArgs,
        socket: Socket,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let (to_engine, questions) = mpsc::channel(QUESTIONS);
        let (to_source, reads) = mpsc::channel(QUEUE);
        let (to_discovery, looks) = mpsc::channel(QUEUE);
        let (updates, objects) = mpsc::channel(QUEUE);
        let (found, findings) = mpsc::channel(QUEUE);
        let (heard, events) = mpsc::channel(QUEUE);
        let doors = Doors {
            engine: to_engine,
            source: to_source,
            discovery: to_discovery,
            revision: self.outlets.revision,
        };
        let inputs = Inputs {
            objects,
            findings,
            fresh: self.fresh,
            events,
            questions,
        };
        let taint = remove_taint(args, &doors)?;
        let token = || shutdown.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(self.engine.run(inputs, token()));
        tasks.spawn(self.source.run(reads, updates, token()));
        tasks.spawn(self.discovery.run(self.outlets.pods, looks, found, token()));
        tasks.spawn(self.sweeper.run(token()));
        tasks.spawn(socket.serve(doors, token()));
        tasks.spawn(must_not_fail(
            "flows",
            flows::read_events(self.events, heard, token()),
        ));
        // Not before ADDs are served: they would wait in vain.
        if let Some((installer, said)) = self.installer {
            tasks.spawn(install::follow(installer, said, token()));
        }
        if let Some(log) = self.debug_log {
            tasks.spawn(must_not_fail("debug lines", debug_log::read(log, token())));
        }
        let result = join(tasks, shutdown).await;
        self.netlink.abort();
        taint.inspect(JoinHandle::abort);
        self.announcing.inspect(JoinHandle::abort);
        result
    }
}

/// Starts removing the node's taint, if that is asked for.
fn remove_taint(args: &RunArgs, doors: &Doors) -> anyhow::Result<Option<JoinHandle<()>>> {
    let Some(key) = args.remove_taint.clone() else {
        return Ok(None);
    };
    let (node, doors) = (args.node.clone(), doors.clone());
    let work = taint::remove_once_enforcing(uninstall::client()?, node, key, doors);
    Ok(Some(tokio::spawn(work)))
}

/// A task whose failure ends the agent: its end does.
async fn must_not_fail(what: &'static str, task: impl Future<Output = io::Result<()>>) {
    if let Err(error) = task.await {
        tracing::error!(what, %error, "cannot read from the kernel");
    }
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
