//! What was measured: tab-separated lines of section, workload, clients, peer, unit and value.

use std::error::Error;
use std::fs;
use std::path::Path;

/// One value of one run.
struct Line {
    section: String,
    workload: String,
    clients: u32,
    peer: String,
    unit: String,
    value: f64,
}

/// All runs.
pub struct Results(Vec<Line>);

impl Results {
    pub fn read(file: &Path) -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(file)?;
        let lines = text.lines().map(|line| parse(line).ok_or_else(|| format!("{}: {line:?}", file.display())));
        Ok(Results(lines.collect::<Result<_, _>>()?))
    }

    /// The median over the runs; `None` when there was none.
    pub fn median(&self, section: &str, workload: &str, clients: u32, peer: &str, unit: &str) -> Option<f64> {
        let same = |line: &&Line| {
            (line.section.as_str(), line.workload.as_str(), line.clients, line.peer.as_str(), line.unit.as_str())
                == (section, workload, clients, peer, unit)
        };
        median(self.0.iter().filter(same).map(|line| line.value).collect())
    }

    /// Workloads of a section with their numbers of clients, in the order in which they ran.
    pub fn workloads(&self, section: &str) -> Vec<(String, u32)> {
        distinct(self.section(section).map(|line| (line.workload.clone(), line.clients)))
    }

    /// Peers of a workload, in the order in which they ran.
    pub fn peers(&self, section: &str, workload: &str, clients: u32) -> Vec<String> {
        let lines = self.section(section).filter(|line| line.workload == workload && line.clients == clients);
        distinct(lines.map(|line| line.peer.clone()))
    }

    /// What is written in the place of a unit: facts of the machine and of the run.
    pub fn facts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.section("machine").filter(move |line| line.workload == name).map(|line| line.unit.as_str())
    }

    fn section(&self, section: &str) -> impl Iterator<Item = &Line> {
        self.0.iter().filter(move |line| line.section == section)
    }
}

fn parse(line: &str) -> Option<Line> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [section, workload, clients, peer, unit, value] = fields[..] else { return None };
    Some(Line {
        section: section.to_owned(),
        workload: workload.to_owned(),
        clients: clients.parse().ok()?,
        peer: peer.to_owned(),
        unit: unit.to_owned(),
        value: value.parse().ok()?,
    })
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut all = Vec::new();
    for item in items {
        if !all.contains(&item) {
            all.push(item);
        }
    }
    all
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (n, middle) = (values.len(), values.len() / 2);
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn lines_have_six_fields() {
        assert!(parse("small\tedited\t8\tfloor\tper second\t12.5").is_some());
        assert!(parse("small\tedited\t8\tfloor\t12.5").is_none());
    }
}
