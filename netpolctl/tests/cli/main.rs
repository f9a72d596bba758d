//! Drives the built `netpolctl`: online commands against a fake agent that serves recorded
//! replies, `evaluate` on manifests and on requests.

mod agent_errors;
mod batch;
mod cluster_errors;
mod evaluate;
mod fake_agent;
mod generator;
mod golden;
mod online;
mod program;
mod proof;
mod recorded;
mod scenarios;
mod services;
mod waiting;
