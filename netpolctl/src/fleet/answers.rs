//! What agents have answered, and which have not.

use serde::Serialize;

use crate::exit::Exit;
use crate::output;

/// Something that one node's agent says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct OnNode<T> {
    /// The node; none for the agent of a socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    #[serde(flatten)]
    pub(crate) data: T,
}

impl<T> OnNode<T> {
    /// The node's name, for people.
    pub(crate) fn node_name(&self) -> &str {
        self.node.as_deref().unwrap_or("-")
    }
}

/// A node whose agent did not answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Unanswered {
    pub(crate) node: String,
    pub(crate) reason: String,
}

/// The answers to one question.
#[derive(Debug)]
pub(crate) struct Answers<T> {
    pub(crate) answered: Vec<OnNode<T>>,
    /// None: one agent by its socket was asked.
    unanswered: Option<Vec<Unanswered>>,
}

/// What machines read: the value itself of one agent, or the value and who did not answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Document<'a, V: ?Sized> {
    Local(&'a V),
    Cluster {
        items: &'a V,
        unanswered: &'a [Unanswered],
    },
}

impl<T> Answers<T> {
    pub(super) fn new(is_cluster: bool) -> Self {
        Self {
            answered: Vec::new(),
            unanswered: is_cluster.then(Vec::new),
        }
    }

    pub(super) fn add(&mut self, node: Option<String>, answer: Result<T, String>) {
        match answer {
            Ok(data) => self.answered.push(OnNode { node, data }),
            Err(reason) => {
                let node = node.unwrap_or_default();
                let unanswered = self.unanswered.get_or_insert_default();
                unanswered.push(Unanswered { node, reason });
            }
        }
    }

    pub(super) fn sort(&mut self) {
        self.answered.sort_by(|a, b| a.node.cmp(&b.node));
        self.unanswered.iter_mut().for_each(|nodes| nodes.sort());
    }

    /// Whether a cluster was asked, and rows need the node's name.
    pub(crate) fn is_cluster(&self) -> bool {
        self.unanswered.is_some()
    }

    /// `on this node`, or `on these nodes`.
    pub(crate) fn place(&self) -> &'static str {
        if self.is_cluster() {
            "on the nodes that answer"
        } else {
            "on this node"
        }
    }

    /// Those that did not answer.
    pub(crate) fn unanswered(&self) -> &[Unanswered] {
        self.unanswered.as_deref().unwrap_or_default()
    }

    /// `value` as machines read it.
    pub(crate) fn document<'a, V: ?Sized>(&'a self, value: &'a V) -> Document<'a, V> {
        match &self.unanswered {
            None => Document::Local(value),
            Some(unanswered) => Document::Cluster {
                items: value,
                unanswered,
            },
        }
    }

    /// Says on stderr who did not answer; that is a failure, whatever the others said.
    pub(crate) fn conclude(&self, exit: Exit) -> Exit {
        let unanswered = self.unanswered();
        for Unanswered { node, reason } in unanswered {
            output::warn(&format!("node {node} does not answer: {reason}"));
        }
        if unanswered.is_empty() {
            exit
        } else {
            Exit::Failure
        }
    }
}

impl<T> Answers<Vec<T>> {
    /// Every row of every node.
    pub(crate) fn take_rows(&mut self) -> Vec<OnNode<T>> {
        let answered = std::mem::take(&mut self.answered).into_iter();
        let rows = answered.flat_map(|OnNode { node, data }| {
            let rows = data.into_iter();
            rows.map(move |data| OnNode {
                node: node.clone(),
                data,
            })
        });
        rows.collect()
    }
}
