//! One file holds one subcommand.

pub(crate) mod check;
pub(crate) mod path;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use std::io::{self, IsTerminal as _};

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// A table of text in the first column, and numbers in so many that follow.
fn table(header: &[&str], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if !io::stdout().is_terminal() {
        table.force_no_tty();
    }
    table.set_header(header);
    for column in 1..=numbers {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
