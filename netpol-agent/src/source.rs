//! Where the objects come from: a directory of manifests, or an API server.

use netpol_api::{ApiServerStatus, InvalidObject, ManifestStatus};
use netpol_policy::Change;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    cleanup,
    cli::RunArgs,
    engine::Announcer,
    kube::{ApiServer, ApiServerError},
    manifests::{ManifestError, Manifests},
};

/// What a source says since its last word.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) changes: Vec<Change>,
    pub(crate) report: Report,
}

/// What there is to say of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) origin: Origin,
    pub(crate) invalid: Vec<InvalidObject>,
    /// Sentences about what there is and is not taken.
    pub(crate) unread: Vec<String>,
}

/// Which source it is, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Manifests(ManifestStatus),
    ApiServer(ApiServerStatus),
}

/// A wish to have all that the source holds taken; answered once it is with the engine.
pub(crate) type ReadNow = oneshot::Sender<()>;

/// Why there is no source to follow.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error(transparent)]
    Manifests(#[from] ManifestError),
    #[error(transparent)]
    ApiServer(#[from] ApiServerError),
}

/// A source of objects.
pub(crate) enum Source {
    Manifests(Box<Manifests>),
    ApiServer(Box<ApiServer>),
}

impl Source {
    /// Opens what the command line names, with its first word.
    pub(crate) async fn open(args: &RunArgs) -> Result<(Self, Update), SourceError> {
        let Some(manifests) = &args.manifests else {
            let kubeconfig = args.kubeconfig.as_deref();
            let (server, first) = ApiServer::open(kubeconfig, &args.node).await?;
            return Ok((Self::ApiServer(Box::new(server)), first));
        };
        let copies = cleanup::copies(&args.places.socket);
        let (manifests, first) = Manifests::open(manifests, &copies).await?;
        Ok((Self::Manifests(Box::new(manifests)), first))
    }

    /// A task that tells the owners of objects what the engine finds, and the way to tell it; none
    /// where there is no API server.
    pub(crate) fn announcer(
        &self,
    ) -> Option<(Announcer, impl Future<Output = ()> + Send + 'static)> {
        match self {
            Self::Manifests(_) => None,
            Self::ApiServer(server) => Some(server.announcer()),
        }
    }

    /// The next word of those that make the first state whole; none once it is. Before that, what
    /// is in force stands.
    pub(crate) async fn complete(&mut self) -> Result<Option<Update>, SourceError> {
        match self {
            Self::Manifests(_) => Ok(None),
            Self::ApiServer(server) => Ok(server.complete().await?),
        }
    }

    /// Follows it until shutdown.
    pub(crate) async fn run(
        self,
        wishes: mpsc::Receiver<ReadNow>,
        updates: mpsc::Sender<Update>,
        shutdown: CancellationToken,
    ) {
        match self {
            Self::Manifests(manifests) => manifests.run(wishes, updates, shutdown).await,
            Self::ApiServer(server) => server.run(wishes, updates, shutdown).await,
        }
    }
}
