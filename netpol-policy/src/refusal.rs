//! How packets are refused: dropped in silence, or answered.

/// The annotation of a namespace that says how packets of its pods are refused which its policies
/// forbid: `drop` or `reject`.
pub const REFUSE_ANNOTATION: &str = "netpol.io/refuse";

/// What a namespace's annotation says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Nothing: as everywhere on the node.
    #[default]
    Unsaid,
    /// They are dropped.
    Drop,
    /// Who sent them is told: RST for TCP, port unreachable of ICMP for the rest.
    Reject,
    /// Something else, which cannot be followed: they are dropped.
    Unknown(String),
}

impl Refusal {
    /// What an annotation's value means.
    #[must_use]
    pub fn of(value: &str) -> Self {
        match value {
            "drop" => Self::Drop,
            "reject" => Self::Reject,
            other => Self::Unknown(other.to_owned()),
        }
    }

    /// Whether refused packets are answered, where the node as a whole does or does not.
    #[must_use]
    pub(crate) fn rejects(&self, everywhere: bool) -> bool {
        match self {
            Self::Unsaid => everywhere,
            Self::Reject => true,
            Self::Drop | Self::Unknown(_) => false,
        }
    }
}
