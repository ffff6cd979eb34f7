//! The files under `experiments/`: every one is a row whose flags the trainer knows, and what a row needs is there.
#![cfg(feature = "torch")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use clap::Parser;
use xsfm_trainer::commands::{DistillArgs, TrainArgs};
use xsfm_trainer::experiment::plan::Plan;
use xsfm_trainer::experiment::row::{DEFAULTS, Experiments, Row};
use xsfm_trainer::settings::flags;

#[derive(Debug, Parser)]
struct Train {
    #[command(flatten)]
    _args: TrainArgs,
}

#[derive(Debug, Parser)]
struct Distill {
    #[command(flatten)]
    _args: DistillArgs,
}

fn parse(row: &Row) -> Result<(), clap::Error> {
    let mut line = vec!["x".to_owned()];
    line.extend(flags(&row.train).unwrap());
    line.extend(["--data=d", "--out=o", "--seed=1"].map(str::to_owned));
    if row.teacher.is_empty() {
        Train::try_parse_from(line).map(drop)
    } else {
        line.push("--teacher=t".to_owned());
        Distill::try_parse_from(line).map(drop)
    }
}

#[test]
fn every_file_is_a_row_that_can_be_made() {
    let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments");
    for (data_set, least) in [("movielens", 45), ("criteo", 60), ("recsys2020", 60), ("planted", 5)] {
        let files = std::fs::read_dir(experiments.join(data_set)).unwrap();
        let files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
        let rows: Vec<PathBuf> = files
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "toml") && !path.ends_with(DEFAULTS))
            .collect();
        assert!(rows.len() >= least, "{data_set} has {} rows", rows.len());
        let all = Experiments::load(&rows).unwrap();
        Plan::new(&all, &[]).unwrap();
        for row in all.rows.values().filter(|row| row.is_trained()) {
            parse(row).unwrap_or_else(|error| panic!("{data_set}/{}: {error}", row.name));
        }
    }
}
