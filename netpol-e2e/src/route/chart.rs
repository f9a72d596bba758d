//! The chart: a bar for each contestant, packets on the left and connections on the right, as shares of
//! what passes without enforcement.

use anyhow::{Result, anyhow};
use plotters::{coord::Shift, prelude::*};

use super::{
    Contestant,
    report::{Line, Report},
};

const WIDTH: i32 = 860;
const ROW: i32 = 30;
/// Room for the names on the left, for the title above and below.
const NAMES: i32 = 150;
const ABOVE: i32 = 78;
const BELOW: i32 = 16;
/// Length of a bar that is the whole, and what a figure takes behind it.
const WHOLE: i32 = 270;
const FIGURE: i32 = 80;

const NETPOL: RGBColor = RGBColor(46, 125, 50);
const OTHERS: RGBColor = RGBColor(140, 140, 140);
const TEXT: RGBColor = RGBColor(40, 40, 40);

/// The chart, with a line that says where its figures are from.
///
/// # Errors
///
/// When it cannot be drawn.
pub fn svg(report: &Report, machine: &str) -> Result<String> {
    let height = ABOVE + ROW * report.lines.len() as i32 + BELOW;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH as u32, height as u32));
        let root = root.into_drawing_area();
        let drawn = draw(&root, report, machine).and_then(|()| Ok(root.present()?));
        drawn.map_err(|error| anyhow!("draw the chart: {error}"))?;
    }
    Ok(text + "\n")
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(root: &Area<'_>, report: &Report, machine: &str) -> Drawn {
    root.fill(&WHITE)?;
    let title =
        "Through a router, as a share of what passes without enforcement (longer is better)";
    root.draw_text(title, &words(16), (10, 12))?;
    root.draw_text(machine, &words(12), (10, 36))?;
    let [packets, connections] = [NAMES, NAMES + WHOLE + FIGURE];
    root.draw_text("packets a second", &words(13), (packets, ABOVE - 20))?;
    root.draw_text(
        "connections a second",
        &words(13),
        (connections, ABOVE - 20),
    )?;
    for (row, line) in report.lines.iter().enumerate() {
        let top = ABOVE + ROW * row as i32;
        root.draw_text(&line.contestant.to_string(), &words(13), (10, top + 8))?;
        bar(
            root,
            (packets, top),
            line,
            line.packet_ratio,
            line.packets.median,
        )?;
        let rate = line.connections.median;
        bar(root, (connections, top), line, line.connection_ratio, rate)?;
    }
    Ok(())
}

fn bar(root: &Area<'_>, (left, top): (i32, i32), line: &Line, share: f64, rate: f64) -> Drawn {
    let color = if line.contestant == Contestant::Netpol {
        NETPOL
    } else {
        OTHERS
    };
    // A little more than the whole may come of noise.
    let end = left + (share.clamp(0.0, 1.05) * f64::from(WHOLE)) as i32;
    let corners = [(left, top + 5), (end, top + ROW - 5)];
    root.draw(&Rectangle::new(corners, color.filled()))?;
    let figure = format!("{share:.2} ({:.0}k)", rate / 1e3);
    root.draw_text(&figure, &words(12), (end + 6, top + 9))?;
    Ok(())
}

fn words(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&TEXT)
}
