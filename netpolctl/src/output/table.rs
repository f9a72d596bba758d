//! Tables in the manner of kubectl: no lines, capitals above, columns that wrap rather than run
//! over the edge of the terminal.

use comfy_table::{Cell as GridCell, CellAlignment, Color, ContentArrangement, presets};
use terminal_size::{Width, terminal_size_of};

use super::{Detail, wrap};

/// Columns of a terminal that is none: a file, a pipe.
const ASSUMED_WIDTH: usize = 120;
/// A table is not squeezed below this.
const LEAST_WIDTH: usize = 60;
/// A column of text is not squeezed below this, if all of them have room for it.
const LEAST_TEXT: usize = 12;
/// Spaces between columns.
const GAP: u16 = 3;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    /// A word that is never broken.
    Word(&'static str),
    /// A number, aligned to the right and never broken.
    Number(&'static str),
    /// Text that may go on in the next line.
    Text(&'static str),
}

/// A table in the making.
#[derive(Debug)]
pub(crate) struct Table {
    detail: Detail,
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

/// What a column shows of a row.
type CellOf<'a, T> = Box<dyn Fn(&T) -> Cell + 'a>;

/// A table by its columns: what each is called stands beside what it shows of a row.
pub(crate) struct Sheet<'a, T> {
    detail: Detail,
    columns: Vec<Column>,
    cells: Vec<CellOf<'a, T>>,
}

impl<'a, T> Sheet<'a, T> {
    /// Without columns.
    pub(crate) fn new(detail: Detail) -> Self {
        Self {
            detail,
            columns: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// One more column.
    pub(crate) fn column(self, column: Column, cell: impl Fn(&T) -> Cell + 'a) -> Self {
        self.column_if(true, column, cell)
    }

    /// One more column where everything is wanted.
    pub(crate) fn wide(self, column: Column, cell: impl Fn(&T) -> Cell + 'a) -> Self {
        let wanted = self.detail == Detail::Wide;
        self.column_if(wanted, column, cell)
    }

    /// One more column, on a condition.
    pub(crate) fn column_if(
        mut self,
        wanted: bool,
        column: Column,
        cell: impl Fn(&T) -> Cell + 'a,
    ) -> Self {
        if wanted {
            self.columns.push(column);
            self.cells.push(Box::new(cell));
        }
        self
    }

    /// The table of these rows; empty when there is none.
    pub(crate) fn of<'r>(&self, rows: impl IntoIterator<Item = &'r T>) -> String
    where
        T: 'r,
    {
        let mut table = Table::new(self.detail, &self.columns);
        for row in rows {
            table.row(self.cells.iter().map(|cell| cell(row)).collect());
        }
        table.finish()
    }
}

/// A cell.
#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    colour: Option<Color>,
}

impl Table {
    /// An empty table. A wide one is never wrapped.
    pub(crate) fn new(detail: Detail, columns: &[Column]) -> Self {
        Self {
            detail,
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// The table's text, each line ended; empty when there is no row.
    pub(crate) fn finish(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut grid = comfy_table::Table::new();
        grid.load_style(presets::NOTHING);
        grid.set_content_arrangement(ContentArrangement::Disabled);
        grid.enforce_styling();
        grid.style_text_only();
        grid.set_header(self.columns.iter().map(|c| c.title()));
        let widths = self.widths();
        for row in &self.rows {
            let cells = row.iter().zip(&widths);
            grid.add_row(cells.map(|(cell, width)| cell.fitted(*width)));
        }
        for (column, grid_column) in self.columns.iter().zip(grid.column_iter_mut()) {
            grid_column.set_padding((0, GAP));
            if matches!(column, Column::Number(_)) {
                grid_column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let lines = grid.lines();
        lines
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect()
    }

    /// How wide each column may be; none where that does not matter.
    fn widths(&self) -> Vec<Option<usize>> {
        if self.detail == Detail::Wide {
            return vec![None; self.columns.len()];
        }
        let natural: Vec<usize> = (0..self.columns.len()).map(|c| self.natural(c)).collect();
        let is_text = |c: &usize| matches!(self.columns[*c], Column::Text(_));
        let (texts, fixed): (Vec<usize>, Vec<usize>) =
            (0..self.columns.len()).partition(|c| is_text(c));
        let gaps = usize::from(GAP) * (self.columns.len() - 1);
        let fixed: usize = fixed.iter().map(|&c| natural[c]).sum();
        let room = width().saturating_sub(gaps + fixed);
        let wanted: Vec<usize> = texts.iter().map(|&c| natural[c]).collect();
        // Where not all of them have room for that, they are squeezed to their titles.
        let titles = texts.iter().map(|&c| self.columns[c].title().len());
        let fair = room / texts.len().max(1);
        let least = titles.max().unwrap_or(0).max(fair.min(LEAST_TEXT));
        let shares = wrap::share(&wanted, room, least);
        let mut widths = vec![None; self.columns.len()];
        for (column, share) in texts.into_iter().zip(shares) {
            widths[column] = Some(share);
        }
        widths
    }

    fn natural(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|r| r[column].text.chars().count());
        cells
            .max()
            .unwrap_or(0)
            .max(self.columns[column].title().len())
    }
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Self::Word(title) | Self::Number(title) | Self::Text(title) => title,
        }
    }
}

impl Cell {
    fn fitted(&self, width: Option<usize>) -> GridCell {
        let cell = GridCell::new(match width {
            Some(width) => wrap::wrap(&self.text, width).join("\n"),
            None => self.text.clone(),
        });
        match self.colour {
            Some(colour) => cell.fg(colour),
            None => cell,
        }
    }
}

/// A cell.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a cell is made of what is at hand: a name, a number, a fresh text"
)]
pub(crate) fn cell(content: impl ToString) -> Cell {
    Cell {
        text: content.to_string(),
        colour: None,
    }
}

/// A cell that says all is well.
pub(crate) fn good(content: impl ToString) -> Cell {
    coloured(content, Color::Green)
}

/// A cell that needs attention.
pub(crate) fn bad(content: impl ToString) -> Cell {
    coloured(content, Color::Red)
}

/// A cell that may need attention.
pub(crate) fn warn(content: impl ToString) -> Cell {
    coloured(content, Color::Yellow)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a cell is made of what is at hand: a name, a number, a fresh text"
)]
fn coloured(content: impl ToString, colour: Color) -> Cell {
    Cell {
        text: content.to_string(),
        colour: Some(colour),
    }
}

/// Columns of the terminal; `COLUMNS` overrules it.
pub(crate) fn width() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let width = said.or_else(|| {
        let (Width(width), _) = terminal_size_of(std::io::stdout())?;
        Some(usize::from(width))
    });
    width.unwrap_or(ASSUMED_WIDTH).max(LEAST_WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(detail: Detail) -> String {
        let mut table = Table::new(
            detail,
            &[
                Column::Word("NAME"),
                Column::Text("RULE"),
                Column::Number("PACKETS"),
            ],
        );
        let rule = "from app=gateway ".repeat(12);
        table.row(vec![cell("web"), cell(rule.trim()), cell(7)]);
        table.row(vec![cell("a-longer-name"), cell("anyone"), good(12345)]);
        table.finish()
    }

    #[test]
    fn text_wraps_at_the_edge_and_words_stay_whole() {
        let text = anstream::adapter::strip_str(&table(Detail::Table)).to_string();
        assert!(text.lines().all(|l| l.len() <= width()), "{text}");
        assert!(text.lines().count() > 3, "{text}");
        assert!(text.contains("a-longer-name"), "{text}");
        assert!(text.lines().all(|l| l == l.trim_end()), "{text}");
    }

    #[test]
    fn columns_of_text_are_squeezed_rather_than_run_over_the_edge() {
        let titles = ["NODE", "NAMESPACE", "POD", "INGRESS", "EGRESS", "WHY"];
        let columns: Vec<_> = titles.into_iter().map(Column::Text).collect();
        let mut table = Table::new(
            Detail::Table,
            &[&columns[..], &[Column::Word("STATE")]].concat(),
        );
        let mut row: Vec<_> = titles
            .iter()
            .map(|_| cell("some-rather-long-name"))
            .collect();
        row.push(cell("x".repeat(width() - 6 * 3 - 6 * 10)));
        table.row(row);
        let text = table.finish();
        assert!(text.lines().all(|l| l.chars().count() <= width()), "{text}");
    }

    #[test]
    fn a_wide_row_is_one_line() {
        assert_eq!(table(Detail::Wide).lines().count(), 3);
    }
}
