//! `cargo xtask page`: a folder of static files in which a browser ranks films by the repository's student.
//!
//! Films and people are those of MovieLens-100K, which this machine has fetched: its licence lets nobody hand them on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use xsfm_interchange::output;

use super::npm;
use crate::demo::{self, Films};
use crate::setup::{movielens, web};
use crate::{command, workspace};

/// Flags of `cargo xtask page`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder, which is made anew.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Take a picture of it too, in Chromium.
    #[arg(long, value_name = "FILE.png")]
    picture: Option<PathBuf>,
}

/// Whose fields the page asks for; the others are a film's.
const CONTEXT: [&str; 4] = ["user", "age", "gender", "occupation"];
/// The user whose films are ranked: those that the user had not rated.
const USER: u32 = 1;
/// Accuracy and bytes of the best models that were found.
const FOUND: &str = "experiments/movielens/fit/fit.json";

/// What the page reads beside the model.
#[derive(Serialize)]
struct Data {
    people: Vec<Map<String, Value>>,
    /// Raw values, and in the same order their titles.
    films: Vec<Map<String, Value>>,
    titles: Vec<String>,
    frontier: Vec<Best>,
}

/// What `xsfm-train fit` found, as far as the page shows it.
#[derive(Deserialize)]
struct Found {
    frontier: Vec<Best>,
}

#[derive(Deserialize, Serialize)]
struct Best {
    settings: String,
    bytes: u64,
    valid_auc: f64,
}

/// `cargo xtask page`: prints where the page is.
pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = args.out.clone().unwrap_or_else(|| workspace::target().join("page"));
    build(&folder, &demo::programs()?)?;
    if let Some(picture) = &args.picture {
        let mut node = Command::new("node");
        node.arg(workspace::root().join(npm::PACKAGE).join("tests/picture.js")).arg(picture);
        in_chromium(&mut node, &folder)?;
        command::run_to_stderr(&mut node)?;
    }
    output::line(folder.join("index.html").display())?;
    output::say(format_args!(
        "Browsers load modules from a server alone, any that serves files: python3 -m http.server --directory {}",
        folder.display()
    ));
    Ok(())
}

/// Tells a script where the page of `folder` is, and what opens it.
pub(crate) fn in_chromium(node: &mut Command, folder: &Path) -> Result<()> {
    let (packages, chromium) = (web::packages()?, web::chromium()?);
    node.env("XSFM_PAGE", folder).env("XSFM_PACKAGES", packages).env("XSFM_CHROMIUM", chromium);
    Ok(())
}

/// Builds the page into `folder`.
pub(crate) fn build(folder: &Path, programs: &demo::Programs) -> Result<()> {
    let ratings = movielens::set_up()?;
    let scratch = tempfile::tempdir()?;
    let Films { model, rows, titles } = demo::films(programs, &ratings, scratch.path(), USER)?;
    if folder.exists() {
        ensure!(
            folder.join("index.html").exists() || fs::read_dir(folder)?.next().is_none(),
            "{} is there, and no page: give a folder that may be made anew",
            folder.display()
        );
        fs::remove_dir_all(folder)?;
    }
    npm::lay(&folder.join("xsdeepfwfm"))?;
    let source = workspace::root().join(npm::PACKAGE).join("page");
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    fs::copy(&model, folder.join("model.xsfm"))?;
    let (mut people, first) = (people(&ratings)?, USER.to_string());
    // The page begins with that one.
    people.sort_by_key(|person| person["user"] != first);
    let data = Data { people, films: films(&rows)?, titles: lines(&titles)?, frontier: frontier()? };
    ensure!(data.films.len() == data.titles.len(), "{} films, {} titles", data.films.len(), data.titles.len());
    Ok(fs::write(folder.join("demo.json"), serde_json::to_vec(&data)?)?)
}

fn lines(path: &Path) -> Result<Vec<String>> {
    Ok(fs::read_to_string(path)?.lines().map(str::to_owned).collect())
}

/// The rows without their context.
fn films(rows: &Path) -> Result<Vec<Map<String, Value>>> {
    let of_line = |line: &String| {
        let mut row: Map<String, Value> = serde_json::from_str(line)?;
        row.retain(|name, _| !CONTEXT.contains(&&**name));
        Ok(row)
    };
    lines(rows)?.iter().map(of_line).collect()
}

/// MovieLens' users.
fn people(ratings: &Path) -> Result<Vec<Map<String, Value>>> {
    let path = ratings.join("ml-100k.user");
    let lines = lines(&path)?;
    // user_id:token, age:token, gender:token, occupation:token, zip_code:token
    let of_line = |line: &String| -> Option<Map<String, Value>> {
        let mut cells = line.split('\t');
        CONTEXT.iter().map(|name| Some(((*name).to_owned(), cells.next()?.into()))).collect()
    };
    let people: Option<Vec<_>> = lines.iter().skip(1).map(of_line).collect();
    people.with_context(|| format!("{}: a line of fewer than {} columns", path.display(), CONTEXT.len()))
}

/// The best models of each size.
fn frontier() -> Result<Vec<Best>> {
    let path = workspace::root().join(FOUND);
    let found: Found = serde_json::from_slice(&fs::read(&path)?).with_context(|| path.display().to_string())?;
    Ok(found.frontier)
}
