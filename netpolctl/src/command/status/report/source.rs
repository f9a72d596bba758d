//! Where the objects come from, and whether they still come.

use netpol_api::{ApiServerStatus, Status, WatchState};

use crate::output::style::{BAD, paint};
use crate::output::table::{Column, Table, cell, good, warn};
use crate::output::{Detail, time, units};

/// A line about the source.
pub(super) fn facts(status: &Status) -> String {
    if let Some(manifests) = &status.manifests {
        let files = units::count(manifests.files, "file", "files");
        let objects = units::count(manifests.objects, "object", "objects");
        let directory = &manifests.directory;
        return format!("Manifests   {directory}: {files}, {objects} in force\n");
    }
    status
        .api_server
        .as_ref()
        .map(api_server)
        .unwrap_or_default()
}

fn api_server(server: &ApiServerStatus) -> String {
    let objects = server.watches.iter().map(|watch| watch.objects).sum();
    let objects = units::count(objects, "object", "objects");
    let url = &server.url;
    match server.interrupted_since {
        None => format!("API server  {url}: {objects}, in sync\n"),
        Some(since) => format!(
            "API server  {url}: {objects}, {} since {}; what is in force stays\n",
            paint(BAD, "interrupted"),
            time::stamp(since)
        ),
    }
}

/// The watches that need attention; all of them when everything is wanted.
pub(super) fn watches(status: &Status, detail: Detail) -> String {
    let columns = [
        Column::Text("KIND"),
        Column::Number("OBJECTS"),
        Column::Word("STATE"),
        Column::Text("SINCE"),
        Column::Number("RELISTS"),
        Column::Text("WHY"),
    ];
    let mut table = Table::new(detail, &columns);
    let server = status.api_server.iter();
    for watch in server.flat_map(|server| &server.watches) {
        let (state, reason) = match &watch.state {
            WatchState::Watching if detail == Detail::Table => continue,
            WatchState::Watching => (good("watching"), "-"),
            WatchState::Listing => (warn("listing"), "-"),
            WatchState::Interrupted { reason } => (warn("interrupted"), reason.as_str()),
        };
        table.row(vec![
            cell(&watch.kind),
            cell(watch.objects),
            state,
            cell(time::stamp(watch.since)),
            cell(watch.relists),
            cell(reason),
        ]);
    }
    table.finish()
}
