//! Brings a real cluster up on this computer, and down again.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use netpol_e2e::cluster::{Cluster, Cni, Options, ProxyMode, Status};

/// A real Kubernetes cluster on this computer, each node in namespaces of its own.
///
/// Exit code 0 if it was done, 1 if something failed or, for `status`, something is down.
#[derive(Debug, Parser)]
#[command(name = "cluster", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring it up and wait until its nodes are ready
    Up(Up),
    /// Give every node an image
    Load {
        /// The image, as an archive
        archive: PathBuf,
        #[command(flatten)]
        name: Name,
    },
    /// Take it down and remove every trace, also after a crash
    Down {
        #[command(flatten)]
        name: Name,
        /// All clusters there are
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Say what runs; of all clusters if none is named
    Status {
        /// Its name
        #[arg(long)]
        name: Option<String>,
        /// As text or as JSON
        #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
        output: String,
    },
}

#[derive(Debug, Args)]
struct Name {
    /// Its name
    #[arg(long, default_value = "netpol")]
    name: String,
}

#[derive(Debug, Args)]
struct Up {
    #[command(flatten)]
    name: Name,
    /// How many nodes
    #[arg(long, default_value_t = 2)]
    nodes: u8,
    /// How pods and nodes are linked
    #[arg(long, value_enum, default_value_t)]
    cni: Cni,
    /// What kube-proxy writes Services into
    #[arg(long, value_enum, default_value_t)]
    proxy_mode: ProxyMode,
    /// etcd and the API server alone
    #[arg(long)]
    light: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let base = Options::new("").base;
    match command {
        Command::Up(up) => raise(up),
        Command::Load { archive, name } => {
            let cluster = Cluster::open(&base, &name.name)?;
            cluster.load_image(archive)?;
            let nodes = cluster.options().nodes;
            println!("{} is on {nodes} nodes", archive.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Down { name, all } => {
            let names = if *all {
                Cluster::all(&base)
            } else {
                vec![name.name.clone()]
            };
            for name in names {
                Cluster::down(&base, &name)?;
                println!("cluster {name} is gone");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Status { name, output } => status(&base, name.as_deref(), output),
    }
}

fn raise(up: &Up) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let cluster = Cluster::up(Options {
        nodes: up.nodes,
        cni: up.cni,
        proxy: up.proxy_mode,
        ..if up.light {
            Options::light(&up.name.name)
        } else {
            Options::new(&up.name.name)
        }
    })?;
    print!("{}", cluster.status());
    let kubectl = cluster.kubectl().program();
    println!(
        "up after {:.0} s. Use it:\n  export KUBECONFIG={}\n  export PATH={}:$PATH\n  kubectl get pods -A",
        started.elapsed().as_secs_f64(),
        cluster.kubeconfig().display(),
        kubectl.parent().unwrap_or(kubectl).display()
    );
    Ok(ExitCode::SUCCESS)
}

fn status(base: &Path, name: Option<&str>, output: &str) -> anyhow::Result<ExitCode> {
    let names = name.map_or_else(|| Cluster::all(base), |name| vec![name.to_owned()]);
    let open = |name: &String| Ok(Cluster::open(base, name)?.status());
    let all: Vec<Status> = names.iter().map(open).collect::<anyhow::Result<_>>()?;
    if output == "json" {
        let text = serde_json::to_string_pretty(&all).context("write JSON")?;
        println!("{text}");
    } else if all.is_empty() {
        println!("there is no cluster");
    } else {
        for status in &all {
            print!("{status}");
        }
    }
    let whole = all.iter().all(Status::is_whole);
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
