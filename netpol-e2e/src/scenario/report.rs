//! A step as a table.

use comfy_table::{Attribute, Cell as TableCell, Color, ContentArrangement, Table, presets};

use super::{Expect, Observed, Step, StepResult};

const WIDTH: u16 = 100;

/// Who reaches whom, before and after, and whether that is right. Coloured on a terminal only.
pub fn table(step: &Step, result: &StepResult) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
    let [before, after] = &step.columns;
    table.set_header(
        [
            "FROM",
            "TO",
            "PORT",
            &before.to_uppercase(),
            &after.to_uppercase(),
            "",
        ]
        .map(|title| TableCell::new(title).add_attribute(Attribute::Bold)),
    );
    for row in &result.cells {
        let port = match row.cell.over {
            Some(family) => format!("{} {family}", row.cell.port),
            None => row.cell.port.to_string(),
        };
        let mark = if row.is_right() {
            TableCell::new("ok").fg(Color::Green)
        } else {
            TableCell::new("WRONG")
                .fg(Color::Red)
                .add_attribute(Attribute::Bold)
        };
        table.add_row([
            TableCell::new(&row.cell.from),
            TableCell::new(&row.cell.to),
            TableCell::new(port),
            observed(&row.before, row.cell.before),
            observed(&row.after, row.cell.after),
            mark,
        ]);
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

fn observed(observed: &Observed, expect: Expect) -> TableCell {
    let color = match expect {
        _ if !observed.meets(expect) => Color::Red,
        Expect::Reached => Color::Green,
        Expect::Refused => Color::Yellow,
    };
    TableCell::new(observed).fg(color)
}
