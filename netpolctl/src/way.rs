//! Which agents are asked: the one on this machine, or those of a cluster.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cluster::access::{self, Access};

/// Where an agent listens unless it is told otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "/run/netpol/agent.sock";
/// Names the socket when `--socket` does not.
const SOCKET_VARIABLE: &str = "NETPOL_SOCKET";

/// Options that say which agents are asked.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which agents")]
pub(crate) struct WayArguments {
    /// The agent on this machine, by its socket [env: NETPOL_SOCKET] [default:
    /// /run/netpol/agent.sock, if it is there and no cluster is named]
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        conflicts_with_all = ["kubeconfig", "context", "nodes", "agent_namespace"]
    )]
    pub(crate) socket: Option<PathBuf>,
    /// The agents of a cluster, by its kubeconfig [env: KUBECONFIG] [default: ~/.kube/config]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context, if not its current one
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Only this node's agent; may be given several times
    #[arg(long = "node", global = true, value_name = "NODE")]
    pub(crate) nodes: Vec<String>,
    /// Namespace of the agents [default: netpol-system]
    #[arg(long, global = true, value_name = "NS")]
    pub(crate) agent_namespace: Option<String>,
}

/// The agents that are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The one behind a socket of this machine.
    Socket(PathBuf),
    /// Those of a cluster: of these nodes, or of all when none is named.
    Cluster(Access, Vec<String>),
}

/// What the choice depends on, beside the arguments.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// NETPOL_SOCKET.
    socket: Option<PathBuf>,
    /// An agent listens at the default place, or did.
    has_default_socket: bool,
    /// There is a kubeconfig, or a service account.
    has_cluster: bool,
    /// Called as `kubectl netpol`.
    is_plugin: bool,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn here(is_plugin: bool) -> Self {
        let socket = std::env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty());
        Self {
            socket: socket.map(PathBuf::from),
            has_default_socket: Path::new(DEFAULT_SOCKET).exists(),
            has_cluster: access::has_kubeconfig()
                || (access::has_service_account() && !is_beside_agent()),
            is_plugin,
        }
    }
}

/// Whether an agent has its place here: in its own pod the socket is gone for a moment when it
/// starts anew, and its service account is not meant for us.
fn is_beside_agent() -> bool {
    Path::new(DEFAULT_SOCKET).parent().is_some_and(Path::exists)
}

impl Way {
    /// What is named counts; else the agent of this machine, if there is one; else the cluster.
    /// For `kubectl netpol` the cluster comes first.
    pub(crate) fn choose(arguments: &WayArguments, around: &Surroundings) -> Self {
        let cluster = || {
            let namespace = arguments.agent_namespace.as_deref();
            let access = Access {
                kubeconfig: arguments.kubeconfig.clone(),
                context: arguments.context.clone(),
                agent_namespace: namespace.unwrap_or("netpol-system").to_owned(),
            };
            Self::Cluster(access, arguments.nodes.clone())
        };
        let names_cluster = arguments.kubeconfig.is_some()
            || arguments.context.is_some()
            || arguments.agent_namespace.is_some()
            || !arguments.nodes.is_empty();
        if let Some(socket) = &arguments.socket {
            return Self::Socket(socket.clone());
        }
        if names_cluster {
            return cluster();
        }
        if let Some(socket) = &around.socket {
            return Self::Socket(socket.clone());
        }
        let local = around.has_default_socket || !around.has_cluster;
        if local && !around.is_plugin {
            return Self::Socket(DEFAULT_SOCKET.into());
        }
        cluster()
    }
}

impl Way {
    /// The nodes that were named; none stands for all.
    pub(crate) fn nodes(&self) -> &[String] {
        match self {
            Self::Socket(_) => &[],
            Self::Cluster(_, nodes) => nodes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_cluster(arguments: &WayArguments, around: &Surroundings) -> bool {
        matches!(Way::choose(arguments, around), Way::Cluster(..))
    }

    fn on_a_node() -> Surroundings {
        Surroundings {
            has_default_socket: true,
            has_cluster: true,
            ..Surroundings::default()
        }
    }

    fn at_a_desk() -> Surroundings {
        Surroundings {
            has_cluster: true,
            ..Surroundings::default()
        }
    }

    #[test]
    fn on_a_node_the_agent_there_is_asked_and_elsewhere_the_cluster() {
        let nothing = WayArguments::default();
        assert!(!is_cluster(&nothing, &on_a_node()));
        assert!(is_cluster(&nothing, &at_a_desk()));
    }

    #[test]
    fn without_either_the_socket_says_what_is_missing() {
        assert!(!is_cluster(
            &WayArguments::default(),
            &Surroundings::default()
        ));
    }

    #[test]
    fn what_is_named_counts_wherever_it_runs() {
        let context = WayArguments {
            context: Some("kind".to_owned()),
            ..WayArguments::default()
        };
        assert!(is_cluster(&context, &on_a_node()));
        let node = WayArguments {
            nodes: vec!["worker-1".to_owned()],
            ..WayArguments::default()
        };
        assert!(is_cluster(&node, &on_a_node()));
        let socket = WayArguments {
            socket: Some("agent.sock".into()),
            ..WayArguments::default()
        };
        assert!(!is_cluster(&socket, &at_a_desk()));
    }

    #[test]
    fn the_environment_names_a_socket_unless_an_option_names_a_cluster() {
        let around = Surroundings {
            socket: Some("agent.sock".into()),
            ..at_a_desk()
        };
        assert!(!is_cluster(&WayArguments::default(), &around));
        let kubeconfig = WayArguments {
            kubeconfig: Some("config".into()),
            ..WayArguments::default()
        };
        assert!(is_cluster(&kubeconfig, &around));
    }

    #[test]
    fn kubectl_netpol_means_the_cluster_on_a_node_too() {
        let plugin = Surroundings {
            is_plugin: true,
            ..on_a_node()
        };
        assert!(is_cluster(&WayArguments::default(), &plugin));
    }
}
