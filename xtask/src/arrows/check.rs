//! The check itself: declared uses against the table, in sentences that say what to do.

use std::fmt::Write;

use super::table::{FENCES, Fence, ROWS, Row, Uses, When};

const TABLE: &str = "xtask/src/arrows/table.rs";

/// A crate of the workspace, as cargo sees it.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) uses: Vec<Use>,
    pub(super) roots: Vec<RootFile>,
}

/// A declared dependency.
pub(super) struct Use {
    pub(super) name: String,
    pub(super) when: When,
}

/// The root file of a library or program.
pub(super) struct RootFile {
    pub(super) path: String,
    pub(super) text: String,
}

/// Every violation as a sentence; empty where all is as the table says.
pub(super) fn violations(members: &[Member]) -> Vec<String> {
    let mut found = Vec::new();
    for member in members {
        match ROWS.iter().find(|row| row.name == member.name) {
            Some(row) => check_member(member, row, members, &mut found),
            None => found.push(format!(
                "{} is in the workspace but not in the table; add a row to {TABLE} that says what it may use.",
                member.name
            )),
        }
    }
    found
}

fn check_member(member: &Member, row: &Row, members: &[Member], found: &mut Vec<String>) {
    for used in &member.uses {
        let internal = members.iter().any(|other| other.name == used.name);
        if internal && used.name != member.name && !is_allowed(row, used) {
            found.push(format!(
                "{} uses {}{}, an arrow that is not in the drawing; move the code to a crate both may use, or argue the arrow in docs/ARCHITECTURE.md and add it to {TABLE}.",
                member.name,
                used.name,
                place(used.when)
            ));
        }
        if let Some(fence) = broken_fence(&member.name, &used.name) {
            found.push(format!(
                "{} uses {}{}, which only {} may, because {}; move that code there.",
                member.name,
                used.name,
                place(used.when),
                fence.only_in.join(", "),
                fence.why
            ));
        }
    }
    if row.forbids_unsafe {
        let is_open = |root: &&RootFile| !root.text.lines().any(forbids_unsafe);
        found.extend(member.roots.iter().filter(is_open).map(|root| {
            format!(
                "{} does not forbid unsafe code in {}; add `#![forbid(unsafe_code)]` at the file's top.",
                member.name, root.path
            )
        }));
    }
}

fn is_allowed(row: &Row, used: &Use) -> bool {
    let more = match used.when {
        When::Always => &[],
        When::Build => row.build,
        When::Tests => row.tests,
    };
    let always = match row.uses {
        Uses::Anything => return true,
        Uses::Only(names) => names,
    };
    always.iter().chain(more).any(|name| *name == used.name)
}

fn broken_fence(member: &str, used: &str) -> Option<&'static Fence> {
    FENCES.iter().find(|fence| {
        let belongs = fence.family.iter().any(|pattern| matches(pattern, used));
        belongs && !fence.only_in.contains(&member)
    })
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

fn forbids_unsafe(line: &str) -> bool {
    line.trim() == "#![forbid(unsafe_code)]"
}

fn place(when: When) -> &'static str {
    match when {
        When::Always => "",
        When::Build => " in its build script",
        When::Tests => " in its tests",
    }
}

/// The arrows that are there, a line for each crate.
pub(super) fn drawing(members: &[Member]) -> String {
    let width = members.iter().map(|m| m.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for member in members {
        let internal = |used: &&Use| members.iter().any(|other| other.name == used.name);
        let mut arrows: Vec<String> = member
            .uses
            .iter()
            .filter(internal)
            .map(|used| format!("{}{}", used.name, mark(used.when)))
            .collect();
        arrows.sort();
        arrows.dedup();
        let arrows = if arrows.is_empty() {
            "-".to_owned()
        } else {
            arrows.join(", ")
        };
        let _ = writeln!(text, "{:width$} -> {arrows}", member.name);
    }
    text
}

fn mark(when: When) -> &'static str {
    match when {
        When::Always => "",
        When::Build => " (build script)",
        When::Tests => " (tests)",
    }
}

#[cfg(test)]
mod tests;
