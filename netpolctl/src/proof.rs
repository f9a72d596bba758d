//! Whether policies are in force: what should be, by the API server, against what each node's
//! agent has found in its kernel.
//!
//! ```text
//! argument   networkpolicy/NAME, --all          which policies
//! wanted     API server -> versions, pods       what should be in force where
//! standing   wanted + agents' reports           what is, and what is missing
//! ```

pub(crate) mod argument;
pub(crate) mod standing;
pub(crate) mod wanted;
