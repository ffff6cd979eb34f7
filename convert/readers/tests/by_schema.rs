//! New rows, opened and encoded as a schema says.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use xsfm_interchange::input::{Input, Table};
use xsfm_interchange::rows::RowBlock;
use xsfm_interchange::schema::{Field, FieldKind, Schema};
use xsfm_readers::by_schema;
use xsfm_readers::encoder::{RowEncoder, Told};
use xsfm_readers::error::DataError;
use xsfm_readers::pass::{All, Reading, Walk, pass};

const DESCRIPTION: &str = r#"
    time = "when"
    [label]
    column = "stars"
    at_least = 4
    [[fields]]
    name = "user"
    kind = "categorical"
    [[fields]]
    name = "tags"
    kind = "bag"
    separator = " "
"#;

fn schema(input: Option<Input>) -> Schema {
    let field = |name: &str, kind, tokens: &[&str]| {
        Field::new(name, kind, tokens.iter().map(|token| (*token).to_owned()).collect())
    };
    let fields =
        vec![field("user", FieldKind::Categorical, &["ann", "bob"]), field("tags", FieldKind::Bag, &["x", "y", "z"])];
    Schema { version: Schema::VERSION, label: "stars".to_owned(), input, fields }
}

fn table() -> Option<Input> {
    Some(Input::Table(Box::new(toml::from_str::<Table>(DESCRIPTION).unwrap())))
}

fn open(schema: &Schema, rows: &[PathBuf], labels: bool) -> Result<(RowBlock, Told, Walk), DataError> {
    let source = by_schema::open(Path::new("schema.json"), schema, rows, labels)?;
    let encoder = RowEncoder::new(schema, source.has_labels());
    let reading = Reading { strict: false, max_bad: 1.0, threads: 2 };
    let mut all = None;
    let walk = pass(
        &*source,
        reading,
        "reading",
        All,
        |rows| encoder.rows(rows),
        |block| {
            assert!(all.replace(block).is_none(), "one block");
            Ok::<(), DataError>(())
        },
    )?;
    let (block, told) = all.unwrap();
    Ok((block, told, walk))
}

#[test]
fn rows_become_the_indices_of_the_schema() {
    let folder = TempDir::new().unwrap();
    let rows = [folder.path().join("rows.csv")];
    // Neither the label's column nor the time's is there, and columns have another order.
    fs::write(&rows[0], "tags,user\nz x,bob\n,eve\ny new,ann\nonly one\n").unwrap();
    let (block, told, walk) = open(&schema(table()), &rows, false).unwrap();
    let row = |i: usize| (0..2).map(|f| block.row(i).field(f).unwrap().to_vec()).collect::<Vec<_>>();
    assert_eq!([row(0), row(1), row(2)], [[vec![2], vec![3, 1]], [vec![0], vec![0]], [vec![1], vec![2, 0]]]);
    assert!(block.labels.is_empty());
    assert_eq!((told.unseen, walk.rows, walk.malformed), (vec![1, 1], 4, 1));
    assert!(walk.examples[0].contains("rows.csv:5"), "{:?}", walk.examples);

    let error = open(&schema(table()), &rows, true).unwrap_err();
    assert!(error.to_string().contains("\"stars\""), "{error}");
    fs::write(&rows[0], "stars,tags,user\n5,x,ann\n1,x,ann\n").unwrap();
    assert_eq!(open(&schema(table()), &rows, true).unwrap().0.labels, [1, 0]);
}

#[test]
fn schemas_that_cannot_read_rows_are_named() {
    let folder = TempDir::new().unwrap();
    let rows = [folder.path().join("rows.csv")];
    fs::write(&rows[0], "stars,tags,user\n5,x,ann\n").unwrap();
    let fails = |schema: &Schema, rows: &[PathBuf], labels: bool| open(schema, rows, labels).unwrap_err();
    let says = |error: DataError, words: &str| assert!(error.to_string().contains(words), "{error}");
    says(fails(&schema(None), &rows, true), "schema.json: it does not say how raw rows are read");
    let mut other = schema(table());
    other.fields[1].name = "words".to_owned();
    says(fails(&other, &rows, true), "schema.json: field 1 is \"words\", bag, but the rows are read as \"tags\", bag");
    let recsys = schema(Some(Input::Recsys2020 { label: "shout".to_owned() }));
    says(fails(&recsys, &rows, true), "schema.json: label \"shout\"");
    let movielens = schema(Some(Input::Movielens));
    assert!(matches!(fails(&movielens, &rows, false), DataError::Labelled { rows: "MovieLens" }));
    says(fails(&movielens, &[rows[0].clone(), "b".into()], true), "one folder of MovieLens expected");
}
