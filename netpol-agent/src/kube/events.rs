//! Events: what `kubectl describe` and `kubectl events` tell of policies and pods.
//!
//! ```text
//! engine --never waits--> queue --> Writer: one after the other, not too fast --> API server
//! ```
//! What is enforced does not depend on them. One that cannot be written is counted.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use k8s_openapi::{api::events::v1::Event, jiff::Timestamp};
use kube::{Api, Client, Error, api::PostParams};
use tokio::time::{sleep, timeout};

use super::failure;
use crate::engine::{Notice, Notices};

mod content;

/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is there: this agent wrote it, or that of another node did.
    There,
    /// Nobody is left to read it: its namespace is gone, or going.
    Moot,
    /// The server will not have it.
    Refused(String),
    /// The server does not answer, or is busy.
    Away(String),
}

impl Outcome {
    fn of(result: Result<Event, Error>) -> Self {
        let Err(error) = result else {
            return Self::There;
        };
        let Error::Api(status) = &error else {
            return Self::Away(failure::sentence(&error));
        };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let is_ending = causes
            .into_iter()
            .any(|c| c.reason == "NamespaceTerminating");
        let message = &status.message;
        match status.code {
            409 => Self::There,
            404 => Self::Moot,
            403 if is_ending => Self::Moot,
            401 | 403 => Self::Refused(format!(
                "the agent may not create events.events.k8s.io ({message}): grant its ClusterRole \
                 `create` on them, as the install manifests do"
            )),
            code @ (400..=428 | 430..=499) => {
                Self::Refused(format!("the API server answers {code} ({message})"))
            }
            code => Self::Away(format!("the API server answers {code} ({message})")),
        }
    }
}

/// Where Events are written.
trait Sink {
    fn create(&mut self, event: &Event) -> impl Future<Output = Outcome> + Send;
}

/// The API server.
struct ApiServerSink(Client);

impl Sink for ApiServerSink {
    async fn create(&mut self, event: &Event) -> Outcome {
        let namespace = event.metadata.namespace.as_deref().unwrap_or("default");
        let events: Api<Event> = Api::namespaced(self.0.clone(), namespace);
        let parameters = PostParams::default();
        match timeout(PATIENCE, events.create(&parameters, event)).await {
            Ok(result) => Outcome::of(result),
            Err(_) => Outcome::Away(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }
}

/// How fast it is written.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The pause after each Event: however fast objects change, the API server is not flooded.
    between: Duration,
    /// The pauses between attempts while the server is away.
    again: ExponentialBuilder,
}

impl Pace {
    /// Ten a second at most; a server that is away is waited for for a minute or two.
    fn usual() -> Self {
        let again = ExponentialBuilder::default()
            .with_min_delay(Duration::from_secs(1))
            .with_max_delay(Duration::from_secs(30))
            .with_max_times(6)
            .with_jitter();
        Self {
            between: Duration::from_millis(100),
            again,
        }
    }
}

/// Writes Events until nobody is left who has something to tell.
pub(crate) async fn write(client: Client, node: String, notices: Notices) {
    let writer = Writer {
        notices,
        sink: ApiServerSink(client),
        node,
        pace: Pace::usual(),
        failing: false,
    };
    writer.run().await;
}

struct Writer<S> {
    notices: Notices,
    sink: S,
    node: String,
    pace: Pace,
    /// The last one could not be written: that was said.
    failing: bool,
}

impl<S: Sink> Writer<S> {
    async fn run(mut self) {
        while let Some(notice) = self.notices.next().await {
            self.tell(&notice).await;
            sleep(self.pace.between).await;
        }
    }

    async fn tell(&mut self, notice: &Notice) {
        let event = content::event(notice, &self.node, Timestamp::now());
        match self.attempt(&event).await {
            Ok(()) => self.failing = false,
            Err(reason) => {
                self.notices.lose();
                if !self.failing {
                    tracing::warn!(reason, "Events are not written: what is enforced stands");
                }
                self.failing = true;
            }
        }
    }

    /// Writes one, and again while the server is away; fails with the reason.
    async fn attempt(&mut self, event: &Event) -> Result<(), String> {
        let mut pauses = self.pace.again.build();
        loop {
            match self.sink.create(event).await {
                Outcome::There | Outcome::Moot => return Ok(()),
                Outcome::Refused(reason) => return Err(reason),
                Outcome::Away(reason) => match pauses.next() {
                    Some(pause) => sleep(pause).await,
                    None => return Err(reason),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
