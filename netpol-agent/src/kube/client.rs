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
    let bad = |error: &dyn std::error::Error| ApiServerError::Kubeconfig {
        path: path.to_owned(),
        reason: one_line(error),
    };
    let file = Kubeconfig::read_from(path).map_err(|error| bad(&error))?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options).await;
    config.map_err(|error| bad(&error))
}

/// An error and its cause, each without the excerpt of the file that a YAML error goes on with.
fn one_line(error: &dyn std::error::Error) -> String {
    let first = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let reason = first(error.to_string());
    match error.source().map(|cause| first(cause.to_string())) {
        Some(cause) if !reason.contains(&cause) => format!("{reason}: {cause}"),
        _ => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_kubeconfig_is_refused_in_one_line_that_says_where() {
        for broken in ["{clusters: 7}", "clusters: [", "clusters:\n- name: [x"] {
            let error = Kubeconfig::from_yaml(broken).expect_err("broken");
            let words = one_line(&error);
            assert_eq!(words.lines().count(), 1, "{words}");
            assert!(words.contains("line "), "{words}");
        }
    }
}
