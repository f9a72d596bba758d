//! Which cluster: `--kubeconfig` and `--context`, then KUBECONFIG, then ~/.kube/config, then the
//! service account of the pod that this runs in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::error::ClusterError;

/// How long a connection to the API server may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// Which cluster, and where its agents are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) context: Option<String>,
    pub(crate) agent_namespace: String,
}

impl Access {
    /// Reads the configuration.
    pub(super) async fn config(&self) -> Result<Config, ClusterError> {
        let mut config = match self.read()? {
            Some(kubeconfig) => {
                let options = KubeConfigOptions {
                    context: self.context.clone(),
                    ..KubeConfigOptions::default()
                };
                let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
                config.map_err(|e| self.unusable(&e))?
            }
            None => Config::incluster().map_err(|_| ClusterError::NoKubeconfig)?,
        };
        config.connect_timeout = Some(CONNECTING);
        Ok(config)
    }

    fn read(&self) -> Result<Option<Kubeconfig>, ClusterError> {
        let file = |path: &Path| {
            Kubeconfig::read_from(path).map(Some).map_err(|e| match e {
                KubeconfigError::ReadConfig(reason, path) => ClusterError::Unreadable {
                    path,
                    reason: reason.to_string(),
                },
                error => self.unusable(&error),
            })
        };
        if let Some(path) = &self.kubeconfig {
            return file(path);
        }
        match Kubeconfig::from_env() {
            Ok(Some(merged)) => return Ok(Some(merged)),
            Ok(None) => {}
            Err(KubeconfigError::ReadConfig(reason, path)) => {
                return Err(ClusterError::Unreadable {
                    path,
                    reason: reason.to_string(),
                });
            }
            Err(error) => return Err(self.unusable(&error)),
        }
        match default_file().filter(|path| path.exists()) {
            Some(path) => file(&path),
            None => Ok(None),
        }
    }

    /// The error of a configuration that was read and makes no sense.
    pub(super) fn unusable(&self, error: &dyn std::error::Error) -> ClusterError {
        ClusterError::Unusable {
            source_name: self.source_name(),
            reason: error.to_string(),
        }
    }

    /// Where the configuration comes from, for people.
    fn source_name(&self) -> String {
        if let Some(path) = &self.kubeconfig {
            return path.display().to_string();
        }
        match std::env::var("KUBECONFIG") {
            Ok(named) if !named.is_empty() => format!("{named} (KUBECONFIG)"),
            _ => "~/.kube/config".to_owned(),
        }
    }
}

/// Whether there is a kubeconfig when none is named.
pub(crate) fn has_kubeconfig() -> bool {
    let named = std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty());
    named || default_file().is_some_and(|path| path.exists())
}

/// Whether this runs in a pod.
pub(crate) fn has_service_account() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

fn default_file() -> Option<PathBuf> {
    let home = std::env::home_dir()?;
    Some(home.join(".kube").join("config"))
}
