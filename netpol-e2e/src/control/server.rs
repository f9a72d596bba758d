//! As much of an API server as an agent asks: lists by watching, and watches.
//!
//! It answers from memory, so that what is measured is the agent and not the server. HTTP/1.1
//! without TLS, a thread a connection.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use serde_json::{Value, json};

use super::world::{self, Kind, Object};

/// Bytes of a list that are sent at a time.
const CHUNK: usize = 256 * 1024;

/// The server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    store: Arc<Mutex<Store>>,
    address: SocketAddr,
}

#[derive(Debug, Default)]
struct Store {
    version: u64,
    /// Of each collection, the objects by name, as they are sent.
    objects: BTreeMap<&'static str, BTreeMap<String, String>>,
    watchers: Vec<(&'static str, TcpStream)>,
}

/// Paths of collections, and of what kind their objects are.
const COLLECTIONS: [(&str, &str); 6] = [
    ("/api/v1/namespaces", "Namespace"),
    ("/api/v1/nodes", "Node"),
    ("/api/v1/pods", "Pod"),
    ("/api/v1/services", "Service"),
    ("/apis/discovery.k8s.io/v1/endpointslices", "EndpointSlice"),
    (
        "/apis/networking.k8s.io/v1/networkpolicies",
        "NetworkPolicy",
    ),
];

fn collection(kind: Kind) -> &'static str {
    match kind {
        Kind::Namespace => "/api/v1/namespaces",
        Kind::Node => "/api/v1/nodes",
        Kind::Pod => "/api/v1/pods",
        Kind::NetworkPolicy => "/apis/networking.k8s.io/v1/networkpolicies",
    }
}

impl Server {
    /// Serves on a listener until the process ends.
    pub(super) fn start(listener: TcpListener) -> io::Result<Self> {
        let server = Self {
            store: Arc::default(),
            address: listener.local_addr()?,
        };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                // A client that went away is nothing to tell of.
                thread::spawn(move || drop(server.serve(stream)));
            }
        });
        Ok(server)
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Holds an object, and tells those who watch: all of it is sent when this returns.
    pub(super) fn set(&self, object: &Object) {
        let mut store = self.store();
        let path = collection(object.kind);
        let text = versioned(&object.value, store.next_version());
        let name = world::name(&object.value);
        let objects = store.objects.entry(path).or_default();
        let word = match objects.insert(name, text.clone()) {
            None => "ADDED",
            Some(_) => "MODIFIED",
        };
        store.tell(path, word, &text);
    }

    /// Forgets an object, and tells those who watch.
    pub(super) fn remove(&self, object: &Object) {
        let mut store = self.store();
        let path = collection(object.kind);
        let objects = store.objects.entry(path).or_default();
        objects.remove(&world::name(&object.value));
        let text = versioned(&object.value, store.next_version());
        store.tell(path, "DELETED", &text);
    }

    /// Tells all that nothing happened, as servers do every minute or so.
    pub(super) fn bookmark(&self) {
        let mut store = self.store();
        let version = store.next_version();
        for (path, kind) in COLLECTIONS {
            store.tell(path, "BOOKMARK", &bookmark(kind, version, false));
        }
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(target) = request(&mut reader)? {
            let (path, query) = target.split_once('?').unwrap_or((&target, ""));
            let known = COLLECTIONS.iter().find(|(known, _)| *known == path);
            match known {
                Some((path, kind)) if query.contains("watch=true") => {
                    return self.watch(path, kind, stream);
                }
                Some((_, kind)) => {
                    let version = self.store().version.to_string();
                    let list = json!({
                        "kind": format!("{kind}List"),
                        "metadata": { "resourceVersion": version },
                        "items": [],
                    });
                    answer(&stream, "200 OK", &list.to_string())?;
                }
                None => answer(&stream, "404 Not Found", NOT_FOUND)?,
            }
        }
        Ok(())
    }

    /// Sends what there is, then leaves the connection to those who change things.
    fn watch(&self, path: &'static str, kind: &str, mut stream: TcpStream) -> io::Result<()> {
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )?;
        // Held until the watcher is one of those that are told: nothing is missed in between.
        let mut store = self.store();
        let mut text = String::new();
        for object in store
            .objects
            .get(path)
            .into_iter()
            .flat_map(BTreeMap::values)
        {
            text.push_str(&line("ADDED", object));
            if text.len() >= CHUNK {
                chunk(&mut stream, &text)?;
                text.clear();
            }
        }
        text.push_str(&line("BOOKMARK", &bookmark(kind, store.version, true)));
        chunk(&mut stream, &text)?;
        store.watchers.push((path, stream));
        Ok(())
    }
}

const NOT_FOUND: &str =
    r#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}"#;

impl Store {
    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    fn tell(&mut self, path: &str, word: &str, object: &str) {
        let text = line(word, object);
        // One that does not listen any more is another agent's, or a former one's.
        self.watchers
            .retain_mut(|(of, stream)| *of != path || chunk(stream, &text).is_ok());
    }
}

const METADATA: &str = "\"metadata\":{";

fn line(word: &str, object: &str) -> String {
    format!("{{\"type\":\"{word}\",\"object\":{object}}}\n")
}

fn versioned(object: &Value, version: u64) -> String {
    let mut text = object.to_string();
    // In front of the other fields, which come without one.
    if let Some(place) = text.find(METADATA) {
        text.insert_str(
            place + METADATA.len(),
            &format!("\"resourceVersion\":\"{version}\","),
        );
    }
    text
}

fn bookmark(kind: &str, version: u64, complete: bool) -> String {
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if complete {
        metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
    }
    json!({ "kind": kind, "metadata": metadata }).to_string()
}

fn chunk(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    // In one write: half a chunk would wait for the rest.
    stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

fn answer(mut stream: &TcpStream, status: &str, body: &str) -> io::Result<()> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json");
    let length = body.len();
    stream.write_all(format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes())
}

/// The target of the next request; none at the end.
fn request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(given) = header.strip_prefix("content-length:") {
            length = given.trim().parse().map_err(io::Error::other)?;
        }
    }
    io::copy(&mut reader.take(length), &mut io::sink())?;
    Ok(first.split_whitespace().nth(1).map(str::to_owned))
}
