//! Who takes part, and the settings that each may choose among.

use std::path::PathBuf;

/// Which of the other libraries' models take part.
#[derive(Debug, clap::Args)]
pub(super) struct Others {
    /// FuxiCTR's models.
    #[arg(long, value_delimiter = ',', default_value = "DeepFM,FwFM,DCNv2,FinalMLP", num_args = 1..)]
    #[arg(value_parser = FUXICTR)]
    fuxictr: Vec<String>,
    /// RecBole's models.
    #[arg(long, value_delimiter = ',', default_value = "DeepFM", num_args = 1.., value_parser = RECBOLE)]
    recbole: Vec<String>,
    /// Leave LightGBM out; it takes part where no field has more than 1,000 values.
    #[arg(long)]
    pub(super) no_lightgbm: bool,
}

/// Whose program trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Library {
    Ours,
    FuxiCtr,
    RecBole,
    LightGbm,
}

/// A model that has a line of the table.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    pub(super) library: Library,
    pub(super) title: String,
    /// At least one; validation rows choose.
    pub(super) variants: Vec<Variant>,
}

/// A model's settings.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Variant {
    /// Flags of a driver.
    Driver { model: String, l2: f64 },
    /// A file of flags of `xsfm-train train`.
    Config(PathBuf),
}

/// What the drivers know; `none` is for none of them.
const FUXICTR: [&str; 5] = ["DeepFM", "FwFM", "DCNv2", "FinalMLP", NONE];
const RECBOLE: [&str; 9] = ["DeepFM", "FM", "LR", "NFM", "AutoInt", "DCN", "xDeepFM", "WideDeep", NONE];
const NONE: &str = "none";

/// FuxiCTR adds `l2 / 2` times the squares of whole tables to a batch's mean loss, RecBole's optimiser `l2` times the
/// numbers to the gradient: the same slope, so that the same strengths are good.
const STRENGTHS: [f64; 8] = [0.0, 1e-5, 1e-3, 1e-2, 5e-2, 0.2, 0.5, 1.0];
const QUICK_STRENGTHS: [f64; 2] = [1e-2, 0.2];
const TREES: [&str; 6] = [
    "leaves-15-rate-0.03",
    "leaves-15-rate-0.1",
    "leaves-31-rate-0.03",
    "leaves-31-rate-0.1",
    "leaves-63-rate-0.03",
    "leaves-63-rate-0.1",
];
const QUICK_TREES: [&str; 1] = ["leaves-15-rate-0.1"];

impl Library {
    /// The driver in `benches/accuracy`; ours has none.
    pub(super) fn script(self) -> Option<&'static str> {
        match self {
            Library::Ours => None,
            Library::FuxiCtr => Some("fuxictr_driver.py"),
            Library::RecBole => Some("recbole_driver.py"),
            Library::LightGbm => Some("lightgbm_driver.py"),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Library::Ours => "xsfm-train",
            Library::FuxiCtr => "FuxiCTR",
            Library::RecBole => "RecBole",
            Library::LightGbm => "LightGBM",
        }
    }
}

impl Variant {
    /// As it is written in the table and in folders' names.
    pub(super) fn name(&self) -> String {
        match self {
            Variant::Driver { model, l2 } => format!("{model}-l2-{l2:e}"),
            Variant::Config(file) => file.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned()),
        }
    }
}

/// All that the flags ask for.
pub(super) fn all(others: &Others, quick: bool, config: PathBuf, with_trees: bool) -> Vec<Contender> {
    let strengths: &[f64] = if quick { &QUICK_STRENGTHS } else { &STRENGTHS };
    let few = ["DeepFM".to_owned()];
    let mut contenders = vec![Contender {
        library: Library::Ours,
        title: "xsfm-train".to_owned(),
        variants: vec![Variant::Config(config)],
    }];
    for (library, models) in [(Library::FuxiCtr, &others.fuxictr), (Library::RecBole, &others.recbole)] {
        let models = if quick { &few[..] } else { &models[..] };
        contenders.extend(models.iter().filter(|model| *model != NONE).map(|model| Contender {
            library,
            title: format!("{} {model}", library.name()),
            variants: strengths.iter().map(|&l2| Variant::Driver { model: model.clone(), l2 }).collect(),
        }));
    }
    if with_trees {
        let trees: &[&str] = if quick { &QUICK_TREES } else { &TREES };
        let variant = |model: &&str| Variant::Driver { model: (*model).to_owned(), l2: 0.0 };
        let (library, title) = (Library::LightGbm, Library::LightGbm.name().to_owned());
        contenders.push(Contender { library, title, variants: trees.iter().map(variant).collect() });
    }
    contenders
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::HashSet;

    use clap::Parser;
    use fs_err as fs;

    use super::*;
    use crate::workspace;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        others: Others,
    }

    fn asked(flags: &[&str]) -> Vec<Contender> {
        let line = Line::try_parse_from(["x"].iter().chain(flags)).unwrap();
        all(&line.others, false, PathBuf::from("ours.toml"), true)
    }

    #[test]
    fn everybody_has_variants_and_a_folder_for_each() {
        let contenders = asked(&[]);
        let titles: Vec<&str> = contenders.iter().map(|contender| contender.title.as_str()).collect();
        let fuxictr = ["FuxiCTR DeepFM", "FuxiCTR FwFM", "FuxiCTR DCNv2", "FuxiCTR FinalMLP"];
        assert_eq!(titles, [&["xsfm-train"][..], &fuxictr, &["RecBole DeepFM", "LightGBM"]].concat());
        for contender in &contenders {
            let names: HashSet<String> = contender.variants.iter().map(Variant::name).collect();
            assert!(names.len() == contender.variants.len() && !names.is_empty(), "{contender:?}");
        }
        let few = asked(&["--fuxictr", "none", "--recbole", "FM,LR"]);
        assert_eq!(few.iter().map(|c| c.title.as_str()).collect::<Vec<_>>()[1..3], ["RecBole FM", "RecBole LR"]);
        assert!(Line::try_parse_from(["x", "--fuxictr", "DeepFwFM"]).is_err(), "no driver knows it");
    }

    #[test]
    fn drivers_know_their_models() {
        for (library, models) in [(Library::FuxiCtr, &FUXICTR[..]), (Library::RecBole, &RECBOLE)] {
            let path = workspace::root().join("benches/accuracy").join(library.script().unwrap());
            let driver = fs::read_to_string(path).unwrap();
            let known = driver.lines().find(|line| line.starts_with("MODELS = ")).unwrap();
            for model in models.iter().filter(|model| **model != NONE) {
                assert!(known.contains(&format!("\"{model}\"")), "{model} in {known}");
            }
        }
    }
}
