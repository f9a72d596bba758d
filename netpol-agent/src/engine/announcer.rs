//! The queue of notices: whoever fills it never waits.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::sync::mpsc;

use super::Notice;

/// Notices that wait to be written.
const WAITING: usize = 1024;

/// Where notices go in.
#[derive(Debug)]
pub(crate) struct Announcer {
    queue: mpsc::Sender<Notice>,
    lost: Arc<AtomicU64>,
}

/// Where they come out.
#[derive(Debug)]
pub(crate) struct Notices {
    queue: mpsc::Receiver<Notice>,
    lost: Arc<AtomicU64>,
}

/// A queue that is empty.
pub(crate) fn queue() -> (Announcer, Notices) {
    let (enter, queue) = mpsc::channel(WAITING);
    let lost = Arc::<AtomicU64>::default();
    let announcer = Announcer {
        queue: enter,
        lost: Arc::clone(&lost),
    };
    (announcer, Notices { queue, lost })
}

impl Announcer {
    /// Hands a notice on; with no room left it is lost, and counted.
    pub(crate) fn tell(&self, notice: Notice) {
        if self.queue.try_send(notice).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// How many were lost, on the way in or further on.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}

impl Notices {
    /// The next one; none once nobody is left to tell anything.
    pub(crate) async fn next(&mut self) -> Option<Notice> {
        self.queue.recv().await
    }

    /// Counts one that could not be written.
    pub(crate) fn lose(&self) {
        self.lost.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use netpol_policy::ObjectKey;

    use super::*;

    fn notice(number: usize) -> Notice {
        Notice::Judged {
            pod: ObjectKey::new("shop", number.to_string()),
            uid: String::new(),
        }
    }

    #[tokio::test]
    async fn a_full_queue_loses_and_counts_and_never_waits() {
        let (announcer, mut notices) = queue();
        for number in 0..WAITING + 3 {
            announcer.tell(notice(number));
        }
        assert_eq!(announcer.lost(), 3);
        assert_eq!(notices.next().await, Some(notice(0)));
        announcer.tell(notice(0));
        assert_eq!(announcer.lost(), 3, "there is room again");
    }
}
