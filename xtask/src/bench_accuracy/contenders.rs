//! Who takes part, and the settings that each may choose among.

use std::path::PathBuf;

use super::Args;

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

/// FuxiCTR adds `l2 / 2` times the squares of whole tables to a batch's mean loss, RecBole's optimiser `l2` times the numbers to the gradient: the
/// same slope, so that the same strengths are good.
const STRENGTHS: [f64; 6] = [0.0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3];
const QUICK_STRENGTHS: [f64; 2] = [1e-5, 1e-4];
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
pub(super) fn all(args: &Args, config: PathBuf, with_trees: bool) -> Vec<Contender> {
    let strengths: &[f64] = if args.quick { &QUICK_STRENGTHS } else { &STRENGTHS };
    let quick = ["DeepFM".to_owned()];
    let mut contenders = vec![Contender {
        library: Library::Ours,
        title: "xsfm-train".to_owned(),
        variants: vec![Variant::Config(config)],
    }];
    for (library, models) in [(Library::FuxiCtr, &args.fuxictr), (Library::RecBole, &args.recbole)] {
        let models = if args.quick { &quick[..] } else { &models[..] };
        contenders.extend(models.iter().filter(|model| *model != "none").map(|model| Contender {
            library,
            title: format!("{} {model}", library.name()),
            variants: strengths.iter().map(|&l2| Variant::Driver { model: model.clone(), l2 }).collect(),
        }));
    }
    if with_trees {
        let trees: &[&str] = if args.quick { &QUICK_TREES } else { &TREES };
        let variant = |model: &&str| Variant::Driver { model: (*model).to_owned(), l2: 0.0 };
        let (library, title) = (Library::LightGbm, Library::LightGbm.name().to_owned());
        contenders.push(Contender { library, title, variants: trees.iter().map(variant).collect() });
    }
    contenders
}
