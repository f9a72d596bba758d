//! Runs Kubernetes' own end-to-end tests of NetworkPolicy against netpol.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::Context;
use clap::Parser;
use netpol_e2e::{
    cluster::{Cni, Lent, Options, ProxyMode},
    exit,
    install::{self, IMAGE_VARIABLE},
    lab::workspace,
    upstream::{self, FOCUS, Suite, Summary},
};

/// A cluster, netpol on it, and every test of NetworkPolicy that Kubernetes has, but for connections over SCTP.
///
/// Exit code 0 if every test passed, 1 if one did not or something failed.
#[derive(Debug, Parser)]
#[command(name = "upstream", version)]
struct Arguments {
    /// The suite's program, `e2e.test`
    #[arg(long)]
    suite: PathBuf,
    /// netpol's image, as an archive
    #[arg(long, env = IMAGE_VARIABLE, required_unless_present = "without_netpol")]
    image: Option<PathBuf>,
    /// Where logs and reports of the tests go
    #[arg(long)]
    reports: PathBuf,
    /// How pods and nodes are linked
    #[arg(long, value_enum, default_value_t)]
    cni: Cni,
    /// What kube-proxy writes Services into
    #[arg(long, value_enum, default_value_t)]
    proxy_mode: ProxyMode,
    /// Only tests whose name matches this regular expression
    #[arg(long, default_value = FOCUS)]
    focus: String,
    /// Only a fixed dozen
    #[arg(long)]
    few: bool,
    /// How many tests run side by side
    #[arg(long, default_value_t = 3)]
    jobs: usize,
    /// Install nothing, to see tests fail
    #[arg(long)]
    without_netpol: bool,
    /// Keep the result in docs/ and write docs/conformance.md anew
    #[arg(long, conflicts_with_all = ["few", "without_netpol"])]
    record: bool,
    /// As text or as JSON
    #[arg(short, long, default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

fn main() -> ExitCode {
    exit::code(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    eprintln!("bringing a cluster up ({})", arguments.cni);
    let cluster = Lent::up(Options {
        cni: arguments.cni,
        proxy: arguments.proxy_mode,
        ..Options::new("upstream")
    })?;
    if let Some(image) = arguments
        .image
        .as_ref()
        .filter(|_| !arguments.without_netpol)
    {
        eprintln!("installing netpol");
        cluster.load_image(image)?;
        install::install(&cluster)?;
    }
    let nodes = cluster.options().nodes;
    let suite = Suite::new(
        &arguments.suite,
        &cluster.kubeconfig(),
        nodes,
        &arguments.reports,
    )?;
    let tests = upstream::choose(&suite, &arguments.focus, arguments.few)?;
    let (total, jobs) = (tests.len(), arguments.jobs);
    eprintln!(
        "{total} tests, {jobs} side by side; logs in {}",
        arguments.reports.display()
    );
    let started = Instant::now();
    let mut done = 0;
    let results = upstream::run(&suite, tests, jobs, |result| {
        done += 1;
        eprintln!("[{done:2}/{total}] {result}");
    });
    let version = cluster.kubectl().json(&["version"])?;
    let version = version["serverVersion"]["gitVersion"].as_str();
    let version = version.context("the API server does not say its version")?;
    let summary = Summary {
        seconds: started.elapsed().as_secs_f64(),
        jobs,
        netpol: !arguments.without_netpol,
        ..Summary::new(cluster.options(), version.to_owned(), results)
    };
    if arguments.output == "json" {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        print!("{summary}");
    }
    if arguments.record {
        upstream::record(&workspace().join("docs"), &summary)?;
    }
    Ok(summary.is_success())
}
