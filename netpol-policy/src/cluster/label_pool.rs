//! Equal labels are kept once: the pods of a workload have the same.

use std::collections::HashSet;

use crate::labels::Labels;

/// Labels in use.
#[derive(Debug, Default)]
pub(super) struct LabelPool {
    labels: HashSet<Labels>,
    /// Size at which those that are out of use are looked for.
    sweep_at: usize,
}

impl LabelPool {
    /// The labels, in memory that all who have them share.
    pub(super) fn share(&mut self, labels: &Labels) -> Labels {
        if let Some(known) = self.labels.get(labels) {
            return known.clone();
        }
        if self.labels.len() >= self.sweep_at {
            self.labels.retain(|labels| labels.sharers() > 1);
            self.sweep_at = (self.labels.len() * 2).max(64);
        }
        self.labels.insert(labels.clone());
        labels.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_use_is_forgotten() {
        let mut pool = LabelPool::default();
        let kept = pool.share(&Labels::from([("app", "web")]));
        for number in 0..1000 {
            pool.share(&Labels::from([("job", number.to_string())]));
        }
        assert!(pool.labels.len() <= 128, "{}", pool.labels.len());
        assert_eq!(pool.share(&Labels::from([("app", "web")])), kept);
        assert_eq!(kept.sharers(), 2);
    }
}
