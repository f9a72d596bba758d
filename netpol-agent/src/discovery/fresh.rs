//! Interfaces that are new, where no CNI plugin tells of them: closed before anybody knows whose
//! they are.

use std::collections::{BTreeSet, HashMap};

use tokio::sync::mpsc;

use super::facts::{Link, LinkKind};

/// Reports interfaces that were not there before.
#[derive(Debug)]
pub(crate) struct Fresh {
    /// How the names of those begin that are pods'.
    prefixes: Vec<String>,
    /// Those seen so far; none before the first look, which takes what is there for old.
    seen: Option<BTreeSet<u32>>,
    to: mpsc::Sender<u32>,
}

impl Fresh {
    /// Reports to a channel.
    pub(crate) fn new(prefixes: Vec<String>, to: mpsc::Sender<u32>) -> Self {
        Self {
            prefixes,
            seen: None,
            to,
        }
    }

    /// Takes all there are: an event may have been lost.
    pub(super) async fn look(&mut self, links: &HashMap<u32, Link>) {
        let pairs = links.iter().filter(|(_, link)| self.is_pair(link));
        let pairs: BTreeSet<u32> = pairs.map(|(ifindex, _)| *ifindex).collect();
        let fresh: Vec<u32> = match &self.seen {
            Some(seen) => pairs.difference(seen).copied().collect(),
            None => Vec::new(),
        };
        self.seen = Some(pairs);
        for ifindex in fresh {
            self.report(ifindex).await;
        }
    }

    /// Takes one that an event tells of.
    pub(super) async fn take(&mut self, ifindex: u32, link: &Link) {
        let is_pair = self.is_pair(link);
        if let Some(seen) = &mut self.seen
            && is_pair
            && seen.insert(ifindex)
        {
            self.report(ifindex).await;
        }
    }

    /// An end whose other end has left already: while both are here, either may be the pod's.
    fn is_pair(&self, link: &Link) -> bool {
        let mut prefixes = self.prefixes.iter();
        matches!(link.kind, LinkKind::Veth | LinkKind::Netkit)
            && link.peer_elsewhere
            && prefixes.any(|prefix| link.name.starts_with(prefix))
    }

    async fn report(&self, ifindex: u32) {
        // The engine ends only with the agent.
        let _ = self.to.send(ifindex).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, peer_elsewhere: bool) -> Link {
        Link {
            name: name.to_owned(),
            kind: LinkKind::Veth,
            controller: None,
            peer_elsewhere,
        }
    }

    #[tokio::test]
    async fn what_is_new_is_reported_once_and_what_was_there_is_not() {
        let (to, mut reports) = mpsc::channel(8);
        let mut fresh = Fresh::new(vec!["veth".to_owned(), "cali".to_owned()], to);
        fresh.take(1, &link("veth1", true)).await;
        fresh.look(&HashMap::from([(1, link("veth1", true))])).await;
        fresh.take(1, &link("veth1", true)).await;
        fresh.take(2, &link("veth2", false)).await;
        fresh.take(3, &link("eth3", true)).await;
        assert!(reports.try_recv().is_err(), "none of these is a new pod's");
        fresh.take(2, &link("veth2", true)).await;
        fresh.take(2, &link("veth2", true)).await;
        let now = [
            (1, link("veth1", true)),
            (2, link("veth2", true)),
            (4, link("cali4", true)),
        ];
        fresh.look(&HashMap::from(now)).await;
        assert_eq!(reports.try_recv(), Ok(2));
        assert_eq!(reports.try_recv(), Ok(4), "its event was lost");
        assert!(reports.try_recv().is_err());
    }
}
