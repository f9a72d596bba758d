//! The TC programs.
