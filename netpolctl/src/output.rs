//! Printing: the same answer as a table, JSON or YAML.

use std::io::Write;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod units;
pub(crate) mod wrap;

/// `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Fits the terminal.
    #[default]
    Table,
    /// Everything there is, one line a row.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// How much a text tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What fits the terminal.
    Table,
    /// Everything there is.
    Wide,
}

impl Format {
    /// How much a text of this format tells; none for the formats for machines.
    pub(crate) fn detail(self) -> Option<Detail> {
        match self {
            Self::Table => Some(Detail::Table),
            Self::Wide => Some(Detail::Wide),
            Self::Json | Self::Yaml => None,
        }
    }
}

/// Prints one answer: `text` makes what people read, `value` is what machines read.
pub(crate) fn print<T: Serialize + ?Sized>(
    format: Format,
    value: &T,
    text: impl FnOnce(Detail) -> String,
) -> Result<()> {
    let rendered = match format.detail() {
        Some(detail) => text(detail),
        None => document(format, value)?,
    };
    write(&rendered)
}

/// Prints one of several answers that come one by one: a line of JSON, or a YAML document.
pub(crate) fn print_next<T: Serialize + ?Sized>(
    format: Format,
    value: &T,
    text: impl FnOnce(Detail) -> String,
) -> Result<()> {
    let rendered = match format {
        Format::Table => text(Detail::Table),
        Format::Wide => text(Detail::Wide),
        Format::Json => serde_json::to_string(value)? + "\n",
        Format::Yaml => format!("---\n{}", document(format, value)?),
    };
    write(&rendered)
}

/// Says something beside the answer, where programs that read the answer do not stumble over it.
pub(crate) fn note(text: &str) {
    let dim = style::DIM;
    anstream::eprintln!("{dim}{text}{dim:#}");
}

/// Says what is wrong beside the answer.
pub(crate) fn warn(text: &str) {
    let style = style::WARN;
    anstream::eprintln!("{style}warning:{style:#} {text}");
}

fn document<T: Serialize + ?Sized>(format: Format, value: &T) -> Result<String> {
    Ok(match format {
        Format::Yaml => serde_norway::to_string(value)?,
        _ => serde_json::to_string_pretty(value)? + "\n",
    })
}

/// Writes to stdout; styles are taken out unless it is a terminal that shows them (`NO_COLOR` and
/// `CLICOLOR_FORCE` are heeded).
fn write(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}
