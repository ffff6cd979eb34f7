//! Parquet: packed by brotli, decimals, files in parts.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::Folder;

/// Columns of a file: its types, and values in 64 bits, which decimals hold unscaled.
type Column<'a> = (&'a str, Vec<i64>);

fn write(path: &Path, compression: Compression, columns: &[Column<'_>]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let types = columns.iter().map(|(column, _)| format!("required {column};")).collect::<String>();
    let schema = Arc::new(parse_message_type(&format!("message rows {{ {types} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (kind, values) in columns {
        let mut column = group.next_column().unwrap().unwrap();
        match kind.split([' ', '(']).next().unwrap() {
            "int32" => {
                let values: Vec<i32> = values.iter().map(|&v| v as i32).collect();
                column.typed::<Int32Type>().write_batch(&values, None, None).unwrap();
            }
            "int64" => drop(column.typed::<Int64Type>().write_batch(values, None, None).unwrap()),
            "fixed_len_byte_array" => {
                let bytes = |v: &i64| FixedLenByteArray::from(ByteArray::from(i128::from(*v).to_be_bytes().to_vec()));
                let values: Vec<FixedLenByteArray> = values.iter().map(bytes).collect();
                column.typed::<FixedLenByteArrayType>().write_batch(&values, None, None).unwrap();
            }
            _ => {
                let values: Vec<ByteArray> = values.iter().map(|v| ByteArray::from(format!("u{v}").as_str())).collect();
                column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
            }
        }
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

fn folder(fields: &str) -> Folder {
    let folder = Folder::new();
    folder.write("schema.toml", format!("[label]\ncolumn = \"label\"\n{fields}"));
    folder
}

const USER: &str = "[[fields]]\nname = \"user\"\nkind = \"categorical\"\n";

fn users(from: i64, rows: i64) -> [Column<'static>; 2] {
    [
        ("binary user (UTF8)", (from..from + rows).map(|i| i * 7 % 23).collect()),
        ("int32 label", (from..from + rows).map(|i| i % 2).collect()),
    ]
}

#[test]
fn brotli_is_unpacked() {
    let folder = folder(USER);
    let mut outputs = Vec::new();
    for (name, compression) in [
        ("plain", Compression::UNCOMPRESSED),
        ("brotli", Compression::BROTLI(Default::default())),
        ("zstd", Compression::ZSTD(Default::default())),
    ] {
        write(&folder.path("rows.parquet"), compression, &users(0, 500));
        let said = folder.prepare(&format!("parquet --input rows.parquet --schema schema.toml --out {name}"));
        assert_eq!((said.rows(), said.malformed()), (500, 0), "{name}");
        outputs.push(folder.outputs(name));
    }
    assert!(outputs.iter().all(|output| *output == outputs[0]));
}

#[test]
fn decimals_are_their_exact_text() {
    let names = ["narrow", "wide", "fixed", "whole"];
    let fields: String =
        names.iter().map(|name| format!("[[fields]]\nname = \"{name}\"\nkind = \"categorical\"\n")).collect();
    let folder = folder(&fields);
    let values = vec![1250, -5, 0, 7, 123_456, -1250];
    let columns = [
        ("int32 narrow (DECIMAL(9,2))", values.clone()),
        ("int64 wide (DECIMAL(18,4))", values.clone()),
        ("fixed_len_byte_array(16) fixed (DECIMAL(38,2))", values.clone()),
        ("int64 whole (DECIMAL(18,0))", values.clone()),
        ("int32 label (DECIMAL(3,1))", vec![0, 10, 0, 10, 0, 10]),
    ];
    write(&folder.path("rows.parquet"), Compression::SNAPPY, &columns);
    let said = folder.prepare("parquet --input rows.parquet --schema schema.toml --out out --shares 100:0:0");
    assert_eq!((said.rows(), said.malformed()), (6, 0), "{:?}", said.examples());
    assert_eq!(said.report["train"]["positives"].as_u64(), Some(3));
    let schema: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path("out/schema.json")).unwrap()).unwrap();
    let expected = [
        ["-0.05", "-12.50", "0.00", "0.07", "12.50", "1234.56"],
        ["-0.0005", "-0.1250", "0.0000", "0.0007", "0.1250", "12.3456"],
        ["-0.05", "-12.50", "0.00", "0.07", "12.50", "1234.56"],
        ["-1250", "-5", "0", "123456", "1250", "7"],
    ];
    for (field, expected) in expected.into_iter().enumerate() {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(schema["fields"][field]["vocabulary"], serde_json::json!(expected), "{}", names[field]);
    }
}

/// A time's type says what it counts; numbers and texts are those of a CSV.
#[test]
fn hours_and_weekdays_are_those_of_the_columns_type() {
    let names = ["day", "milli", "micro", "nano", "second"];
    let fields: String = names
        .iter()
        .flat_map(|name| ["hour", "weekday"].map(|clock| (name, clock)))
        .map(|(name, clock)| {
            format!(
                "[[fields]]\nname = \"{name} {clock}\"\ncolumn = \"{name}\"\nkind = \"categorical\"\n\
                 time = \"{clock}\"\n"
            )
        })
        .collect();
    let folder = folder(&fields);
    // A Thursday in March 2026 at 21:59:58, and a Wednesday before 1970 at 23:59:59.
    let seconds = [1_772_747_998, -1];
    let of = |units: i64| seconds.map(|second| second * units + units - 1).to_vec();
    let columns = [
        ("int32 day (DATE)", vec![20_517, -1]),
        ("int64 milli (TIMESTAMP_MILLIS)", of(1_000)),
        ("int64 micro (TIMESTAMP(MICROS,true))", of(1_000_000)),
        ("int64 nano (TIMESTAMP(NANOS,false))", of(1_000_000_000)),
        ("int64 second", of(1)),
        ("int32 label", vec![0, 1]),
    ];
    write(&folder.path("rows.parquet"), Compression::SNAPPY, &columns);
    let said = folder.prepare("parquet --input rows.parquet --schema schema.toml --out out --shares 100:0:0");
    assert_eq!((said.rows(), said.malformed()), (2, 0), "{:?}", said.examples());
    let schema: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path("out/schema.json")).unwrap()).unwrap();
    for (n, name) in names.iter().enumerate() {
        let hours = if n == 0 { vec!["0"] } else { vec!["21", "23"] };
        assert_eq!(schema["fields"][2 * n]["vocabulary"], serde_json::json!(hours), "{name}");
        assert_eq!(schema["fields"][2 * n + 1]["vocabulary"], serde_json::json!(["2", "3"]), "{name}");
    }
    // Numbers that count milliseconds cannot be told from seconds but by their size.
    let columns = [columns[0].clone(), columns[1].clone(), columns[2].clone(), columns[3].clone()];
    let others = [("int64 second", of(1_000)), ("int32 label", vec![0, 1])];
    write(&folder.path("rows.parquet"), Compression::SNAPPY, &[columns.as_slice(), &others].concat());
    let said = folder.fails("parquet --input rows.parquet --schema schema.toml");
    assert!(said.contains("\"second hour\"") && said.contains("1772747998999"), "{said}");
}

#[test]
fn parts_are_read_in_the_order_of_their_names() {
    let folder = folder(USER);
    write(&folder.path("all.parquet"), Compression::SNAPPY, &users(0, 600));
    folder.prepare("parquet --input all.parquet --schema schema.toml --out all --split chronological");
    for i in 0..12 {
        let mut columns = users(i * 50, 50).to_vec();
        // Columns may stand elsewhere, and beside others.
        if i == 5 {
            columns.reverse();
            columns.push(("int64 unused", vec![0; 50]));
        }
        write(&folder.path(&format!("parts/part-{i}.parquet")), Compression::SNAPPY, &columns);
    }
    folder.write("parts/_SUCCESS", "");
    folder.write("parts/.part-0.parquet.crc", "crc");
    for input in ["parts", "parts/*.parquet"] {
        for threads in [1, 3] {
            folder.prepare(&format!(
                "parquet --input {input} --schema schema.toml --out out --split chronological --threads {threads}"
            ));
            assert_eq!(folder.outputs("out"), folder.outputs("all"), "{input}");
        }
    }
    // A malformed row is named by its file and its place there.
    write(
        &folder.path("parts/part-3.parquet"),
        Compression::SNAPPY,
        &[users(150, 50)[0].clone(), ("int32 label", (0..50).map(|i| if i == 8 { 7 } else { i % 2 }).collect())],
    );
    let said = folder.prepare("parquet --input parts --schema schema.toml --out out");
    assert!(said.examples()[0].starts_with("parts/part-3.parquet:9: field \"label\": \"7\""), "{:?}", said.examples());
    // Other columns, other types, another format.
    let fails = |columns: &[Column<'_>], expected: &str| {
        write(&folder.path("parts/part-7.parquet"), Compression::SNAPPY, columns);
        let error = folder.fails("parquet --input parts --schema schema.toml");
        assert!(error.contains(expected), "{error}");
    };
    let label = ("int32 label", vec![0, 1]);
    fails(
        &[("binary reader (UTF8)", vec![1, 2]), label.clone()],
        "parts/part-7.parquet: there is no column \"user\"; there is \"reader\", \"label\"",
    );
    fails(
        &[("int64 user", vec![1, 2]), label.clone()],
        "parts/part-7.parquet: column \"user\" has another type here than in parts/part-0.parquet",
    );
    fails(
        &[("binary user (UTF8)", vec![1, 2]), ("int32 label (DECIMAL(3,1))", vec![0, 10])],
        "column \"label\" has another type",
    );
    folder.write("parts/part-7.parquet", "user,label\nu1,0\n");
    assert!(
        folder
            .fails("parquet --input parts --schema schema.toml")
            .contains("parts/part-7.parquet: not a Parquet file: this looks like text")
    );
}
