//! A cluster, through its API server: its nodes, its agents' pods, its policies and pods.
//!
//! ```text
//! access   kubeconfig -> client
//! agents   which pod is a node's agent, and why a node has none
//! error    what was asked, and why it was refused
//! ```

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use self::access::Access;
use self::error::{Asked, ClusterError};

pub(crate) mod access;
pub(crate) mod agents;
pub(crate) mod error;

/// How long the API server may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// What the agents' pods are labelled with.
pub(crate) const AGENT_LABEL: &str = "app.kubernetes.io/name=netpol";

/// A cluster whose API server can be asked.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: Client,
    server: String,
    /// The namespace of the agents.
    agent_namespace: String,
    /// The namespace of the kubeconfig's context.
    namespace: String,
}

impl Cluster {
    /// Reads the kubeconfig; the API server is not asked yet.
    pub(crate) async fn open(access: &Access) -> Result<Self, ClusterError> {
        let config = access.config().await?;
        let server = config.cluster_url.to_string();
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(|e| access.unusable(&e))?;
        Ok(Self {
            client,
            server: server.trim_end_matches('/').to_owned(),
            agent_namespace: access.agent_namespace.clone(),
            namespace,
        })
    }

    /// A cluster that nobody asks anything.
    #[cfg(test)]
    pub(crate) fn stand_in() -> Self {
        let config = kube::Config::new("http://nowhere.invalid".parse().expect("a URL"));
        Self {
            client: Client::try_from(config).expect("a client"),
            server: String::new(),
            agent_namespace: "netpol-system".to_owned(),
            namespace: "default".to_owned(),
        }
    }

    /// Where the agents are.
    pub(crate) fn agent_namespace(&self) -> &str {
        &self.agent_namespace
    }

    /// Pods of the agents' namespace.
    pub(crate) fn agent_pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.agent_namespace)
    }

    /// Every pod that is an agent's.
    pub(crate) async fn agents(&self) -> Result<Vec<Pod>, ClusterError> {
        let labelled = ListParams::default().labels(AGENT_LABEL);
        let namespace = Some(self.agent_namespace.clone());
        self.list(self.agent_pods(), &labelled, "pods", namespace)
            .await
    }

    /// The namespace of the kubeconfig's context.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A policy as it is now.
    pub(crate) async fn policy(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<NetworkPolicy, ClusterError> {
        let policies: Api<NetworkPolicy> = Api::namespaced(self.client.clone(), namespace);
        let asked = Asked::new("get", "networkpolicies", Some(namespace.to_owned()));
        self.answer(asked, policies.get(name)).await
    }

    /// The policies of a namespace, or of all, as they are now.
    pub(crate) async fn policies(
        &self,
        namespace: Option<&str>,
    ) -> Result<Vec<NetworkPolicy>, ClusterError> {
        let all = ListParams::default();
        let namespace_name = namespace.map(str::to_owned);
        self.list(self.of(namespace), &all, "networkpolicies", namespace_name)
            .await
    }

    /// The pods of a namespace, or of all, that a label selector selects, as they are now.
    pub(crate) async fn pods(
        &self,
        namespace: Option<&str>,
        selector: &str,
    ) -> Result<Vec<Pod>, ClusterError> {
        let selected = ListParams::default().labels(selector);
        let namespace_name = namespace.map(str::to_owned);
        self.list(self.of(namespace), &selected, "pods", namespace_name)
            .await
    }

    fn of<K>(&self, namespace: Option<&str>) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// The names of all nodes.
    pub(crate) async fn nodes(&self) -> Result<Vec<String>, ClusterError> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let asked = Asked::new("list", "nodes", None);
        let all = ListParams::default();
        let listed = nodes.list_metadata(&all);
        let listed = self.answer(asked, listed).await?;
        Ok(listed.items.iter().map(ResourceExt::name_any).collect())
    }

    async fn list<K>(
        &self,
        api: Api<K>,
        parameters: &ListParams,
        resource: &'static str,
        namespace: Option<String>,
    ) -> Result<Vec<K>, ClusterError>
    where
        K: Resource + Clone + DeserializeOwned + Debug,
    {
        let asked = Asked::new("list", resource, namespace);
        Ok(self.answer(asked, api.list(parameters)).await?.items)
    }

    async fn answer<T>(
        &self,
        asked: Asked,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ClusterError> {
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(ClusterError::new(asked, error).at(&self.server)),
            Err(_) => Err(ClusterError::Silent {
                server: self.server.clone(),
                patience: PATIENCE,
            }),
        }
    }
}
