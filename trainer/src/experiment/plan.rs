//! What has to be done, in an order in which everything finds what it needs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::row::Experiments;

/// One row with one seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit {
    /// The row's name.
    pub row: String,
    /// The seed.
    pub seed: u64,
}

/// Every unit with those that it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they were asked for, needed ones before those that need them.
    pub units: Vec<Unit>,
    /// What a unit needs.
    pub needs: BTreeMap<Unit, Vec<Unit>>,
}

impl Plan {
    /// All that the rows asked for take.
    ///
    /// # Errors
    /// A row that is not there, or needs itself.
    pub fn new(experiments: &Experiments, seeds: &[u64]) -> Result<Self> {
        let mut plan = Plan::default();
        for name in &experiments.asked {
            let row = experiments.rows.get(name).with_context(|| format!("no row `{name}`"))?;
            for &seed in if seeds.is_empty() { &row.seeds } else { seeds } {
                plan.add(experiments, Unit { row: name.clone(), seed }, &mut BTreeSet::new())?;
            }
        }
        Ok(plan)
    }

    fn add(&mut self, experiments: &Experiments, unit: Unit, path: &mut BTreeSet<Unit>) -> Result<()> {
        if self.needs.contains_key(&unit) {
            return Ok(());
        }
        if !path.insert(unit.clone()) {
            bail!("row `{}` needs itself", unit.row);
        }
        let row = experiments.rows.get(&unit.row).with_context(|| format!("no row `{}`", unit.row))?;
        let needs: Vec<Unit> = row.needs(unit.seed)?.into_iter().map(|(row, seed)| Unit { row, seed }).collect();
        for needed in &needs {
            self.add(experiments, needed.clone(), path)?;
        }
        path.remove(&unit);
        self.units.push(unit.clone());
        self.needs.insert(unit, needs);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;

    fn experiments(rows: &[(&str, &str)]) -> Experiments {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("defaults.toml"), "dataset = \"D\"\nseeds = [1]\n").unwrap();
        for (name, text) in rows {
            fs::write(folder.path().join(format!("{name}.toml")), format!("title = \"x\"\n{text}")).unwrap();
        }
        Experiments::load(&[folder.path().join(format!("{}.toml", rows[0].0))]).unwrap()
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let all = experiments(&[
            ("packed", "model = \"student\"\n"),
            ("student", "teacher = [\"teacher:1-2\", \"teacher\"]\nfrom = \"start\"\n"),
            ("teacher", ""),
            ("start", "teacher = [\"teacher:2\"]\n"),
        ]);
        let plan = Plan::new(&all, &[]).unwrap();
        let order: Vec<_> = plan.units.iter().map(|u| format!("{} {}", u.row, u.seed)).collect();
        assert_eq!(order, ["teacher 1", "teacher 2", "start 1", "student 1", "packed 1"]);
        assert_eq!(plan.needs[&plan.units[4]], [Unit { row: "student".to_owned(), seed: 1 }]);
    }

    #[test]
    fn a_circle_is_an_error() {
        let all = experiments(&[("a", "from = \"b\"\n"), ("b", "from = \"a\"\n")]);
        assert!(Plan::new(&all, &[]).unwrap_err().to_string().contains("needs itself"));
    }
}
