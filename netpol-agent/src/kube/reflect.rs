//! One kind of objects, listed and then followed, over and over.
//!
//! ```text
//! no version known --> list, by a watch that sends what is there, or else by pages
//! version known -----> watch from there --> ends, or is too old: see above
//! ```
//! Whatever fails is tried again, after a pause that grows; nothing that was said is taken back
//! until a new list is whole.

use std::{collections::HashSet, pin::Pin, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::{AsyncBufRead, AsyncBufReadExt};
use kube::{
    Client,
    api::{ListParams, Request, WatchParams},
};
use netpol_policy::{InvalidObject, Kind, Object, ObjectKey};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    decode::{self, Event, Item},
    failure::Failure,
    resources::Resource,
};

/// Objects in a page.
const PAGE: u32 = 500;
/// How long the server may let a request run before it answers, or before the next object of a
/// list.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a watch may be silent: the server sends a bookmark every minute or so.
const SILENCE: Duration = Duration::from_secs(150);
/// How long the server is asked to keep a watch open: a little different for each, lest all nodes
/// come again at once.
const WATCH_SECONDS: std::ops::Range<u32> = 300..600;
/// The pause before the next attempt: first and at most, each with up to as much again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));
/// A line longer than this gives its memory back.
const USUAL_LINE: usize = 64 * 1024;

/// What is heard of a kind.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) kind: Kind,
    pub(super) news: News,
}

#[derive(Debug)]
pub(super) enum News {
    /// All objects are being listed; `anew` when it is not the first time.
    Listing { anew: bool },
    /// The object is there, and is this.
    Set(Object),
    /// The object is there, and cannot be read.
    Invalid(Option<ObjectKey>, InvalidObject),
    /// The object is gone.
    Gone(ObjectKey),
    /// These are all there are.
    Listed(HashSet<ObjectKey>),
    /// Changes arrive as they happen.
    Watching,
    /// Nothing arrives for now.
    Interrupted(Failure),
}

/// The reader of one kind.
pub(super) struct Reflector {
    client: Client,
    resource: &'static Resource,
    words: mpsc::Sender<Word>,
    /// What has been seen; none before the first list, and once the server has forgotten it.
    version: Option<String>,
    listed: bool,
    /// Whether the server lists by watching.
    streaming: bool,
    pause: ExponentialBackoff,
}

type Lines = Pin<Box<dyn AsyncBufRead + Send>>;

/// Nobody listens any more.
struct Deaf;

enum End {
    Deaf,
    Failure(Failure),
}

impl From<Deaf> for End {
    fn from(_: Deaf) -> Self {
        Self::Deaf
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Reflector {
    pub(super) fn new(
        client: Client,
        resource: &'static Resource,
        words: mpsc::Sender<Word>,
    ) -> Self {
        Self {
            client,
            resource,
            words,
            version: None,
            listed: false,
            streaming: true,
            pause: pauses(),
        }
    }

    /// Reads until shutdown.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            Deaf = self.follow() => {}
        }
    }

    async fn follow(&mut self) -> Deaf {
        loop {
            let failure = match self.round().await {
                Ok(()) => continue,
                Err(End::Deaf) => return Deaf,
                Err(End::Failure(failure)) => failure,
            };
            let resource = self.resource.plural;
            tracing::debug!(resource, reason = failure.words(), "watch interrupted");
            match failure {
                Failure::NoStreaming => {
                    self.streaming = false;
                    continue;
                }
                Failure::Expired => self.version = None,
                Failure::Refused(_) | Failure::Away(_) => {}
            }
            if let Err(deaf) = self.say(News::Interrupted(failure)).await {
                return deaf;
            }
            sleep(self.pause.next().unwrap_or(PAUSE.1)).await;
        }
    }

    /// Up to the orderly end of a watch.
    async fn round(&mut self) -> Result<(), End> {
        if self.version.is_some() {
            let params = self.watch_params(false);
            let version = self.version.clone().unwrap_or_default();
            let lines = self.open_watch(&params, &version).await?;
            self.say(News::Watching).await?;
            return self.watch(lines).await;
        }
        let anew = self.listed;
        self.say(News::Listing { anew }).await?;
        if self.streaming {
            self.list_by_watching().await
        } else {
            self.list_pages().await
        }
    }

    /// Asks for all objects and for what happens after, in one. Without a version, the server
    /// answers with what is there now, not with what it remembers of it.
    async fn list_by_watching(&mut self) -> Result<(), End> {
        if !self.listed {
            // The right to list is not asked for below, and needed should the server stop to list
            // by watching: better known now.
            self.page(None, 1).await?;
        }
        let params = self.watch_params(true);
        let mut lines = self.open_watch(&params, "").await?;
        let mut keys = HashSet::new();
        let mut line = Vec::new();
        loop {
            let read = timeout(PATIENCE, read_line(&mut lines, &mut line)).await;
            if read.is_err() {
                self.streaming = false;
            }
            let read = read.map_err(|_| away("stopped in the middle of a list"))?;
            if !read? {
                return Err(away("hung up in the middle of a list").into());
            }
            match self.event(&line)? {
                Event::Set(item) => {
                    keys.extend(item.key.clone());
                    self.say_item(item).await?;
                }
                Event::Gone(item) => {
                    // Does not happen while listing, by the API's word.
                    if let Some(key) = &item.key {
                        keys.remove(key);
                    }
                    self.say_gone(item).await?;
                }
                Event::Bookmark { version, complete } => {
                    if complete {
                        self.version = version;
                        self.say_listed(keys).await?;
                        self.say(News::Watching).await?;
                        drop(line);
                        return self.watch(lines).await;
                    }
                }
                Event::Error { code, .. } if does_not_stream(code) => {
                    return Err(Failure::NoStreaming.into());
                }
                Event::Error { code, message } => {
                    return Err(Failure::of_code(code, &message, "watch", self.resource).into());
                }
            }
        }
    }

    /// Asks for all objects, a page at a time. The watch follows in the next round.
    async fn list_pages(&mut self) -> Result<(), End> {
        let mut keys = HashSet::new();
        let mut next = None;
        loop {
            let page = self.page(next.take(), PAGE).await?;
            for item in page.items {
                keys.extend(item.key.clone());
                self.say_item(item).await?;
            }
            next = page.next;
            if next.is_none() {
                let version = page.version;
                self.version = Some(version.ok_or_else(|| away("sent a list without a version"))?);
                return Ok(self.say_listed(keys).await?);
            }
        }
    }

    /// Asks for a part of the list.
    pub(super) async fn page(
        &self,
        next: Option<String>,
        limit: u32,
    ) -> Result<decode::Page, Failure> {
        let params = ListParams {
            field_selector: self.resource.fields.map(str::to_owned),
            limit: Some(limit),
            continue_token: next,
            ..ListParams::default()
        };
        let request = Request::new(self.resource.path()).list(&params);
        let request = request.map_err(|error| Failure::Away(error.to_string()))?;
        let stream = timeout(PATIENCE, self.client.request_stream(request)).await;
        let stream = stream.map_err(|_| away("does not answer in time"))?;
        let stream = stream.map_err(|error| Failure::of(&error, "list", self.resource))?;
        let body = read_all(Box::pin(stream)).await?;
        decode::page(&body, self.resource)
            .map_err(|error| away(&format!("sent a list that is none: {error}")))
    }

    async fn open_watch(&self, params: &WatchParams, version: &str) -> Result<Lines, Failure> {
        let request = Request::new(self.resource.path()).watch(params, version);
        let request = request.map_err(|error| Failure::Away(error.to_string()))?;
        let stream = timeout(PATIENCE, self.client.request_stream(request)).await;
        let stream = stream.map_err(|_| away("does not answer in time"))?;
        match stream {
            Ok(stream) => Ok(Box::pin(stream)),
            Err(kube::Error::Api(status))
                if params.send_initial_events && does_not_stream(u64::from(status.code)) =>
            {
                Err(Failure::NoStreaming)
            }
            Err(error) => Err(Failure::of(&error, "watch", self.resource)),
        }
    }

    /// Follows what happens until the server ends the watch.
    async fn watch(&mut self, mut lines: Lines) -> Result<(), End> {
        let mut line = Vec::new();
        let mut heard = false;
        loop {
            let read = timeout(SILENCE, read_line(&mut lines, &mut line)).await;
            let read = read.map_err(|_| away("has not sent a word for too long"))?;
            if !read? {
                // Every watch ends once; one that ends at once is a failure.
                let ends_at_once = away("ends the watch as soon as it began");
                return if heard {
                    Ok(())
                } else {
                    Err(ends_at_once.into())
                };
            }
            let event = self.event(&line)?;
            if !heard {
                heard = true;
                self.pause = pauses();
            }
            match event {
                Event::Set(item) => {
                    self.version = item.version.clone().or(self.version.take());
                    self.say_item(item).await?;
                }
                Event::Gone(item) => {
                    self.version = item.version.clone().or(self.version.take());
                    self.say_gone(item).await?;
                }
                Event::Bookmark { version, .. } => {
                    self.version = version.or(self.version.take());
                }
                Event::Error { code, message } => {
                    return Err(Failure::of_code(code, &message, "watch", self.resource).into());
                }
            }
        }
    }

    fn event(&self, line: &[u8]) -> Result<Event, Failure> {
        decode::event(line, self.resource)
            .map_err(|error| away(&format!("sent a line that is no event: {error}")))
    }

    fn watch_params(&self, send_initial_events: bool) -> WatchParams {
        WatchParams {
            field_selector: self.resource.fields.map(str::to_owned),
            timeout: Some(fastrand::u32(WATCH_SECONDS)),
            bookmarks: true,
            send_initial_events,
            ..WatchParams::default()
        }
    }

    async fn say_item(&self, item: Item) -> Result<(), Deaf> {
        self.say(match item.object {
            Ok(object) => News::Set(object),
            Err(invalid) => News::Invalid(item.key, invalid),
        })
        .await
    }

    async fn say_gone(&self, item: Item) -> Result<(), Deaf> {
        match item.key {
            Some(key) => self.say(News::Gone(key)).await,
            None => Ok(()),
        }
    }

    async fn say_listed(&mut self, keys: HashSet<ObjectKey>) -> Result<(), Deaf> {
        self.listed = true;
        self.say(News::Listed(keys)).await
    }

    async fn say(&self, news: News) -> Result<(), Deaf> {
        let kind = self.resource.kind;
        let word = Word { kind, news };
        self.words.send(word).await.map_err(|_| Deaf)
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(PAUSE.0)
        .with_max_delay(PAUSE.1)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Whether an answer to a list by watching means that the server has no such thing: "forbidden for
/// watch unless the WatchList feature gate is enabled" (422, and 400 of those that do not know the
/// option), "the required storage feature RequestWatchProgress is disabled" (500, with an old etcd).
fn does_not_stream(code: u64) -> bool {
    matches!(code, 400 | 422 | 500 | 501)
}

fn away(what: &str) -> Failure {
    Failure::Away(format!("the API server {what}"))
}

/// Reads to the end, however long that takes while something comes.
async fn read_all(mut stream: Lines) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    loop {
        let read = timeout(PATIENCE, stream.fill_buf()).await;
        let read = read.map_err(|_| away("stopped in the middle of a list"))?;
        let read = read.map_err(|error| away(&format!("broke off a list: {error}")))?;
        let length = read.len();
        if length == 0 {
            return Ok(body);
        }
        body.extend_from_slice(read);
        stream.consume_unpin(length);
    }
}

/// Reads the next line; false at the end.
async fn read_line(lines: &mut Lines, line: &mut Vec<u8>) -> Result<bool, Failure> {
    line.clear();
    line.shrink_to(USUAL_LINE);
    let read = lines.read_until(b'\n', line).await;
    let read = read.map_err(|error| away(&format!("broke off the watch: {error}")))?;
    // A line without its end is one that was cut off.
    Ok(read > 0 && line.ends_with(b"\n"))
}

#[cfg(test)]
mod tests;
