//! The chart: a bar for each kind of packet to the pod by IPv4, with its target and its floor as
//! lines across it.

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::Results;
use crate::report::{Line, Verdict};

const WIDTH: i32 = 860;
const ROW: i32 = 26;
/// Room for the names on the left, for the title above and for the axis below.
const NAMES: i32 = 220;
const ABOVE: i32 = 64;
const BELOW: i32 = 40;
/// Nanoseconds at the left end and at marks of the axis, which is logarithmic.
const LEAST: f64 = 2.0;
const MARKS: [u32; 9] = [2, 5, 10, 20, 50, 100, 200, 500, 1000];
const MOST: f64 = 2_000.0;

const MET: RGBColor = RGBColor(46, 125, 50);
const MISSED: RGBColor = RGBColor(198, 90, 30);
const BELOW_FLOOR: RGBColor = RGBColor(176, 150, 60);
const GRID: RGBColor = RGBColor(215, 215, 215);
const FLOOR: RGBColor = RGBColor(140, 140, 140);
const TEXT: RGBColor = RGBColor(40, 40, 40);

/// The chart.
pub(super) fn svg(results: &Results) -> anyhow::Result<String> {
    let lines: Vec<&Line> = results
        .lines
        .iter()
        .filter(|line| line.name.ends_with(", to the pod, IPv4"))
        .collect();
    let height = ABOVE + ROW * lines.len() as i32 + BELOW;
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH as u32, height as u32));
        let root = root.into_drawing_area();
        draw(&root, results, &lines, height).map_err(|error| anyhow!("draw the chart: {error}"))?;
        root.present()
            .map_err(|error| anyhow!("draw the chart: {error}"))?;
    }
    Ok(text + "\n")
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(root: &Area<'_>, results: &Results, lines: &[&Line], height: i32) -> Drawn {
    let words = |size: i32| ("sans-serif", size).into_font().color(&TEXT);
    root.fill(&WHITE)?;
    root.draw_text(
        "Nanoseconds a packet, to the pod, IPv4 (logarithmic). Black: the target. Grey: the floor.",
        &words(16),
        (10, 12),
    )?;
    root.draw_text(&results.machine.sentence(), &words(12), (10, 36))?;
    for mark in MARKS {
        let x = x(f64::from(mark));
        let ends = vec![(x, ABOVE - 4), (x, height - BELOW + 4)];
        root.draw(&PathElement::new(ends, GRID.stroke_width(1)))?;
        root.draw_text(&mark.to_string(), &words(12), (x - 8, height - BELOW + 10))?;
    }
    for (row, line) in lines.iter().enumerate() {
        let top = ABOVE + ROW * row as i32;
        let measured = line.measured.nanoseconds.median;
        let color = match line.verdict {
            Verdict::Met | Verdict::None => MET,
            Verdict::Missed => MISSED,
            Verdict::Below => BELOW_FLOOR,
        };
        let corners = [(NAMES, top + 4), (x(measured), top + ROW - 4)];
        root.draw(&Rectangle::new(corners, color.filled()))?;
        let floor = x(line.measured.floor.median);
        let across = vec![(floor, top + 3), (floor, top + ROW - 3)];
        root.draw(&PathElement::new(across, FLOOR.stroke_width(3)))?;
        let target = x(line.limit);
        let across = vec![(target, top + 1), (target, top + ROW - 1)];
        root.draw(&PathElement::new(across, BLACK.stroke_width(3)))?;
        root.draw_text(&line.what, &words(13), (10, top + 6))?;
        let behind = x(measured).max(target).max(floor) + 6;
        root.draw_text(&format!("{measured:.0}"), &words(12), (behind, top + 7))?;
    }
    Ok(())
}

/// Where so many nanoseconds are, from the left.
fn x(nanoseconds: f64) -> i32 {
    let share = (nanoseconds.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    NAMES + (share * f64::from(WIDTH - NAMES - 40)) as i32
}
