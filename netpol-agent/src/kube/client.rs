//! Reaching the API server: by a kubeconfig, or as a pod of the cluster.

use std::{path::Path, time::Duration};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::ApiServerError;

/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A client, and where the server is. Token and certificate files are read again while it runs.
pub(super) async fn connect(kubeconfig: Option<&Path>) -> Result<(Client, String), ApiServerError> {
    let mut config = match kubeconfig {
        Some(path) => of_file(path).await?,
        None => Config::incluster().map_err(|error| ApiServerError::NotInCluster {
            reason: error.to_string(),
        })?,
    };
    config.connect_timeout = Some(CONNECT);
    // Each watch has its own idea of when to try again.
    config.default_retry = false;
    let url = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|error| match kubeconfig {
        Some(path) => ApiServerError::Kubeconfig {
            path: path.to_owned(),
            reason: super::failure::sentence(&error),
        },
        None => ApiServerError::NotInCluster {
            reason: super::failure::sentence(&error),
        },
    })?;
    Ok((client, url))
}

async fn of_file(path: &Path) -> Result<Config, ApiServerError> {
    let bad = |error: &dyn std::error::Error| {
        let mut reason = error.to_string();
        if let Some(cause) = error.source().map(ToString::to_string)
            && !reason.contains(&cause)
        {
            reason = format!("{reason}: {cause}");
        }
        ApiServerError::Kubeconfig {
            path: path.to_owned(),
            reason,
        }
    };
    let file = Kubeconfig::read_from(path).map_err(|error| bad(&error))?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options).await;
    config.map_err(|error| bad(&error))
}
