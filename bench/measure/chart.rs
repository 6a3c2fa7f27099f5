//! Bar charts as SVG, readable on light and dark pages.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

/// Bars in groups: one group per label, and in it one bar per peer.
pub struct Bars<'a> {
    pub title: &'a str,
    pub unit: &'a str,
    pub groups: Vec<(String, Vec<(String, f64)>)>,
    pub logarithmic: bool,
}

const COLORS: [RGBColor; 5] = [
    RGBColor(37, 99, 235),
    RGBColor(234, 88, 12),
    RGBColor(101, 163, 13),
    RGBColor(147, 51, 234),
    RGBColor(100, 116, 139),
];
const SIZE: (u32, u32) = (760, 380);

impl Bars<'_> {
    pub fn draw(&self, file: &Path) -> Result<(), Box<dyn Error>> {
        let area = SVGBackend::new(file, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let highest = self.groups.iter().flat_map(|(_, bars)| bars).map(|(_, value)| *value).fold(1.0, f64::max);
        let width = self.groups.len() as f64;
        let bottom = if self.logarithmic { 5.0 } else { 0.0 };
        let top = if self.logarithmic { highest.log10() + 0.4 } else { highest * 1.12 };
        let mut chart = ChartBuilder::on(&area)
            .margin(14)
            .caption(self.title, ("sans-serif", 18))
            .x_label_area_size(34)
            .y_label_area_size(78)
            .build_cartesian_2d(0.0..width, bottom..top)?;
        let format = |value: &f64| short(if self.logarithmic { 10_f64.powf(*value) } else { *value });
        chart.configure_mesh().disable_x_mesh().x_labels(0).y_desc(self.unit).y_label_formatter(&format).draw()?;
        chart.draw_series(self.bars(bottom))?;
        self.labels(&area)?;
        area.present()?;
        Ok(())
    }

    fn peers(&self) -> Vec<&str> {
        let mut peers = Vec::new();
        for (peer, _) in self.groups.iter().flat_map(|(_, bars)| bars) {
            if !peers.contains(&peer.as_str()) {
                peers.push(peer);
            }
        }
        peers
    }

    fn bars(&self, bottom: f64) -> Vec<Rectangle<(f64, f64)>> {
        let peers = self.peers();
        let slot = 0.84 / peers.len().max(1) as f64;
        let mut all = Vec::new();
        for (at, (_, bars)) in self.groups.iter().enumerate() {
            for (peer, value) in bars {
                let which = peers.iter().position(|known| known == peer).unwrap_or(0);
                let left = at as f64 + 0.08 + slot * which as f64;
                let color = COLORS[which % COLORS.len()].filled();
                let height = if self.logarithmic { value.log10() } else { *value };
                all.push(Rectangle::new([(left, bottom), (left + slot * 0.9, height)], color));
            }
        }
        all
    }

    /// Names of groups below, of peers above. plotters has no axis of names that starts between two ticks.
    fn labels(&self, area: &DrawingArea<SVGBackend, plotters::coord::Shift>) -> Result<(), Box<dyn Error>> {
        let style = ("sans-serif", 14).into_font().color(&BLACK);
        let (left, right) = (92.0, SIZE.0 as f64 - 14.0);
        for (at, (name, _)) in self.groups.iter().enumerate() {
            let middle = left + (right - left) * (at as f64 + 0.5) / self.groups.len() as f64;
            let x = middle - name.chars().count() as f64 * 3.6;
            area.draw(&Text::new(name.clone(), (x as i32, SIZE.1 as i32 - 38), style.clone()))?;
        }
        let mut x = left as i32;
        for (which, peer) in self.peers().into_iter().enumerate() {
            area.draw(&Rectangle::new([(x, 42), (x + 12, 54)], COLORS[which % COLORS.len()].filled()))?;
            area.draw(&Text::new(peer.to_owned(), (x + 17, 41), style.clone()))?;
            x += 34 + peer.chars().count() as i32 * 8;
        }
        Ok(())
    }
}

/// 1,200 as 1.2 k.
fn short(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.1} G", v / 1e9),
        v if v >= 1e6 => format!("{:.1} M", v / 1e6),
        v if v >= 1e3 => format!("{:.1} k", v / 1e3),
        v => format!("{v:.0}"),
    }
}
