//! Tests against real kernels.
