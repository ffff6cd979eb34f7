//! Encoded rows: what is written is read back; malformed files are errors, never panics; memory is bounded.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use xsfm_interchange::rows::{
    BLOCK_ROWS, Beside, Bounds, Column, MAX_BAG, RowBlock, RowsError, RowsReader, RowsWriter, TsvReader, write_tsv_row,
};
use xsfm_runtime::{Row, Weight};

fn bounds(bags: &[bool], features: u32) -> Bounds {
    let column = |(f, &bag): (usize, &bool)| Column { name: format!("f{f}"), bag, weighted: false };
    Bounds {
        columns: bags.iter().enumerate().map(column).collect(),
        features: vec![features; bags.len()],
        vocabulary: None,
    }
}

/// Row `i` of a made-up file, and its label.
fn sample(i: u32, bags: &[bool]) -> (u8, RowBlock) {
    let mut block = RowBlock::new(bags.len(), bags.contains(&true));
    for (f, &bag) in (0_u32..).zip(bags) {
        let count = if bag { 1 + (i + f) % 5 } else { 1 };
        let indices: Vec<u32> = (0..count).map(|k| (i * 31 + f * 7 + k) % 100).collect();
        block.push_field(&indices);
    }
    (u8::from(i.is_multiple_of(3)), block)
}

fn write(path: &Path, rows: u32, bags: &[bool]) {
    let mut writer = RowsWriter::create(path, &bounds(bags, 100)).unwrap();
    for i in 0..rows {
        let (label, row) = sample(i, bags);
        writer.push(label, &row.row(0)).unwrap();
    }
    assert!(!path.exists(), "the file appears at the commit");
    writer.commit().unwrap();
}

fn folder_with(name: &str, rows: u32, bags: &[bool]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    write(&path, rows, bags);
    (folder, path)
}

fn cells(row: &Row<'_>) -> Vec<Vec<u32>> {
    (0..row.num_fields()).map(|f| row.field(f).unwrap().to_vec()).collect()
}

#[test]
fn what_is_written_is_read_back() {
    for bags in [&[false, true, false, true][..], &[false, false], &[true]] {
        let (_folder, path) = folder_with("rows.arrow", 1000, bags);
        let mut reader = RowsReader::open(&path).unwrap().expecting(bounds(bags, 100)).unwrap();
        assert_eq!((reader.num_rows(), reader.num_blocks()), (1000, 1));
        assert_eq!(reader.columns(), bounds(bags, 100).columns);
        let block = reader.read_block(0).unwrap();
        assert_eq!((block.len(), block.num_fields), (1000, bags.len()));
        for i in 0..1000 {
            let (label, row) = sample(i, bags);
            assert_eq!(block.label(i as usize), Some(label));
            assert_eq!(cells(&block.row(i as usize)), cells(&row.row(0)));
        }
    }
}

#[test]
fn blocks_are_bounded_and_in_any_order() {
    let bags = [false, true];
    let rows = 300_000;
    let (_folder, path) = folder_with("rows.arrow", rows, &bags);
    let mut reader = RowsReader::open(&path).unwrap();
    assert_eq!(reader.num_rows(), u64::from(rows));
    assert_eq!(reader.num_blocks(), (rows as usize).div_ceil(BLOCK_ROWS));
    for i in (0..reader.num_blocks()).rev() {
        let block = reader.read_block(i).unwrap();
        assert!(block.len() <= BLOCK_ROWS);
        assert!(block.indices.capacity() <= BLOCK_ROWS * 6, "{} indices held", block.indices.capacity());
        let first = (i * BLOCK_ROWS) as u64;
        assert_eq!(reader.block_rows(i), Some(first..first + block.len() as u64));
        let (_, first) = sample((i * BLOCK_ROWS) as u32, &bags);
        assert_eq!(cells(&block.row(0)), cells(&first.row(0)));
    }
}

#[test]
fn blocks_are_written_as_their_rows_are() {
    let folder = TempDir::new().unwrap();
    // So many fields that a block is closed by its indices; bags, which go another way.
    for (rows, bags) in [(150_000, vec![false, false]), (70_000, vec![false; 70]), (5000, vec![true, false, false])] {
        let file = |name| folder.path().join(format!("{name}-{}.arrow", bags.len()));
        let (by_row, by_block) = (file("rows"), file("blocks"));
        write(&by_row, rows, &bags);
        let mut writer = RowsWriter::create(&by_block, &bounds(&bags, 100)).unwrap();
        let mut written = 0;
        for size in [1, 1000, 66_000].into_iter().cycle() {
            let mut block = RowBlock::new(bags.len(), bags.contains(&true));
            let next = rows.min(written + size);
            for i in written..next {
                let (label, row) = sample(i, &bags);
                block.push_row(Some(label), &row.row(0));
            }
            writer.push_block(&block).unwrap();
            written = next;
            if written == rows {
                break;
            }
        }
        assert_eq!(writer.num_rows(), u64::from(rows));
        writer.commit().unwrap();
        assert_eq!(std::fs::read(&by_row).unwrap(), std::fs::read(&by_block).unwrap());
    }
    // A label that no row may have is named, with its row.
    let mut writer = RowsWriter::create(&folder.path().join("none.arrow"), &bounds(&[false], 100)).unwrap();
    let block = RowBlock { labels: vec![0, 2], weights: vec![], indices: vec![1, 2], offsets: vec![], num_fields: 1 };
    let error = writer.push_block(&block).unwrap_err().to_string();
    assert!(error.contains("row 1, field \"label\": label 2"), "{error}");
}

#[test]
fn long_bags_make_shorter_blocks() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rows.arrow");
    let bag: Vec<u32> = (0..MAX_BAG as u32).collect();
    let mut writer = RowsWriter::create(&path, &bounds(&[true], 2000)).unwrap();
    for _ in 0..10_000 {
        writer.push(1, &Row::with_bags(&bag, &[0, MAX_BAG as u32])).unwrap();
    }
    writer.commit().unwrap();
    let mut reader = RowsReader::open(&path).unwrap();
    assert_eq!(reader.num_rows(), 10_000);
    for block in reader.blocks() {
        assert!(block.unwrap().indices.len() <= 1 << 22);
    }
}

#[test]
fn no_rows_is_a_valid_file() {
    let (_folder, path) = folder_with("rows.arrow", 0, &[false]);
    let mut reader = RowsReader::open(&path).unwrap();
    assert_eq!((reader.num_rows(), reader.blocks().count()), (0, 0));
}

#[test]
fn an_abandoned_writer_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rows.arrow");
    let mut writer = RowsWriter::create(&path, &bounds(&[false], 9)).unwrap();
    writer.push(0, &Row::new(&[1])).unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_writer_refuses_what_no_row_may_have() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rows.arrow");
    assert!(RowsWriter::create(&path, &bounds(&[], 9)).is_err());
    let mut writer = RowsWriter::create(&path, &bounds(&[false, true], 9)).unwrap();
    let long = vec![1; MAX_BAG + 2];
    let rows: [(u8, Row<'_>, &str); 5] = [
        (2, Row::new(&[1, 2]), "label 2"),
        (0, Row::new(&[1]), "1 fields, 2 expected"),
        (0, Row::with_bags(&[1], &[0, 1, 1]), "empty bag"),
        (0, Row::with_bags(&long, &[0, 1, MAX_BAG as u32 + 2]), "1025"),
        (0, Row::with_bags(&[1, 2, 3], &[0, 2, 3]), "not a bag"),
    ];
    for (label, row, expected) in rows {
        let error = writer.push(label, &row).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("rows.arrow"), "{error}");
    }
    assert_eq!(writer.num_rows(), 0);
}

#[test]
fn other_fields_and_larger_indices_are_named() {
    let bags = [false, true];
    let (_folder, path) = folder_with("rows.arrow", 100, &bags);
    let error = |wanted: Bounds| RowsReader::open(&path).unwrap().expecting(wanted).unwrap_err().to_string();
    assert!(error(bounds(&[false], 100)).contains("2 fields, 1 expected"));
    assert!(error(bounds(&[false, false], 100)).contains("field \"f1\" is a bag"));
    let mut renamed = bounds(&bags, 100);
    renamed.columns[1].name = "genres".to_owned();
    let error = error(renamed);
    assert!(error.contains("\"f1\"") && error.contains("\"genres\"") && error.contains("rows.arrow"), "{error}");

    let mut small = bounds(&bags, 100);
    small.features[1] = 40;
    let mut reader = RowsReader::open(&path).unwrap().expecting(small).unwrap();
    let RowsError::Index { row, field, index, features, .. } = reader.read_block(0).unwrap_err() else { panic!() };
    // Row 1 has f1 = 38, 39, 40: the first index of the file that is too large.
    assert_eq!((row, field.as_str(), index, features), (1, "f1", 40, 40));
}

#[test]
fn missing_and_foreign_files_are_errors() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rows.arrow");
    assert!(RowsReader::open(&path).unwrap_err().to_string().contains("rows.arrow"));
    for bytes in [&b""[..], b"ARROW1", b"user\titem\n1\t2\n1\t2\n1\t2\n", &[0xff; 64]] {
        fs::write(&path, bytes).unwrap();
        let error = RowsReader::open(&path).unwrap_err().to_string();
        assert!(error.contains("rows.arrow") && error.contains("not a file of encoded rows"), "{error}");
    }
}

/// Reads everything; a file that passes has rows that can be used.
fn read_all(path: &Path) -> Result<u64, RowsError> {
    let mut reader = RowsReader::open(path)?;
    let mut rows = 0;
    for block in reader.blocks() {
        let block = block?;
        assert_eq!(block.labels.len(), block.len());
        for i in 0..block.len() {
            let row = block.row(i);
            for f in 0..block.num_fields {
                assert!((1..=MAX_BAG).contains(&row.field(f).unwrap().len()));
            }
        }
        rows += block.len() as u64;
    }
    assert_eq!(rows, reader.num_rows());
    Ok(rows)
}

#[test]
fn cut_files_are_errors() {
    let (_folder, path) = folder_with("rows.arrow", 20, &[false, true]);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(read_all(&path).unwrap(), 20);
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(read_all(&path).is_err(), "cut to {length} of {}", bytes.len());
    }
}

#[test]
fn changed_bytes_never_panic() {
    let (_folder, path) = folder_with("rows.arrow", 20, &[false, true]);
    let bytes = fs::read(&path).unwrap();
    let mut errors = 0;
    for i in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[i] ^= [0x01, 0x80, 0xff][i % 3];
        fs::write(&path, &changed).unwrap();
        errors += u32::from(read_all(&path).is_err());
    }
    assert!(errors > 100, "only {errors} changes were noticed");
}

fn read_tsv(text: &[u8], bags: &[bool]) -> Result<Vec<Vec<Vec<u32>>>, String> {
    let mut rows = Vec::new();
    for block in TsvReader::new(text, Path::new("rows.tsv"), bounds(bags, 100)) {
        let block = block.map_err(|e| e.to_string())?;
        assert_eq!(block.label(0), None);
        rows.extend((0..block.len()).map(|i| cells(&block.row(i))));
    }
    Ok(rows)
}

#[test]
fn text_is_read_back() {
    let bags = [false, true, false];
    let mut text = Vec::new();
    for i in 0..10_000 {
        write_tsv_row(&mut text, &sample(i, &bags).1.row(0)).unwrap();
    }
    let rows = read_tsv(&text, &bags).unwrap();
    assert_eq!(rows.len(), 10_000);
    for (i, row) in (0..).zip(&rows) {
        assert_eq!(row, &cells(&sample(i, &bags).1.row(0)));
    }
    assert_eq!(read_tsv(b"1\t2|3\r\n4\t5", &[false, true]).unwrap(), [[vec![1], vec![2, 3]], [vec![4], vec![5]]]);
    assert_eq!(read_tsv(b"1\t\n4\t\n", &[false, true]).unwrap(), [[vec![1], vec![0]], [vec![4], vec![0]]]);
    assert!(read_tsv(b"", &[false]).unwrap().is_empty());
}

#[test]
fn bad_text_names_line_and_field() {
    let long = format!("1\t{}\n", vec!["1"; MAX_BAG + 1].join("|"));
    let endless = vec![b'1'; 1 << 20];
    let cases: [(&[u8], &str); 9] = [
        (b"1\t2\n1\n", "rows.tsv:2: 1 fields, 2 expected"),
        (b"1\t2\n\n1\t2\n", "rows.tsv:2: 1 fields"),
        (b"1\tx\n", "rows.tsv:1: field \"f1\": \"x\" is not an index"),
        (b"\t1\n", "field \"f0\": \"\" is not an index"),
        (b"-1\t1\n", "field \"f0\": \"-1\""),
        (b"1|2\t1\n", "field \"f0\": 2 indices"),
        (b"1\t2|100\n", "index 100, but the field has 100 features"),
        (b"1\t2\n1\t\xff\n", "rows.tsv:2: not UTF-8"),
        (&endless, "rows.tsv:1: longer than"),
    ];
    for (text, expected) in cases.into_iter().chain([(long.as_bytes(), "1025 indices")]) {
        let error = read_tsv(text, &[false, true]).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

const WEIGHTED: Beside = Beside { labels: true, weights: true };

/// Rows of two fields, the second a bag where `bag` says so, each with a weight.
fn weighted(rows: u32, bags: &[bool]) -> RowBlock {
    let mut block = RowBlock::new(bags.len(), bags.contains(&true));
    for i in 0..rows {
        let (label, row) = sample(i, bags);
        block.push_row(Some(label), &row.row(0));
        block.weights.push((i % 7) as f32 / 4.0);
    }
    block
}

#[test]
fn weights_are_read_back_and_known_by_their_fingerprint() {
    let folder = TempDir::new().unwrap();
    for (name, bags) in [("plain.arrow", &[false, false][..]), ("bags.arrow", &[false, true])] {
        let plain = folder.path().join(name);
        let (block, path) = (weighted(150_000, bags), folder.path().join("rows.arrow"));
        let mut writer = RowsWriter::create_with(&path, &bounds(bags, 100), WEIGHTED).unwrap();
        writer.push_block(&block).unwrap();
        let fingerprint = writer.commit().unwrap();
        let mut reader = RowsReader::open(&path).unwrap().expecting(bounds(bags, 100)).unwrap();
        assert!(reader.beside() == WEIGHTED && reader.num_blocks() > 1);
        assert_eq!((reader.fingerprint(), reader.columns()), (Some(fingerprint), &bounds(bags, 100).columns[..]));
        let mean = block.weights.iter().map(|&w| f64::from(w)).sum::<f64>() / 150_000.0;
        assert!((reader.mean_weight().unwrap() - mean).abs() < 1e-12);
        let mut read = RowBlock::new(bags.len(), bags.contains(&true));
        for of_file in reader.blocks() {
            let of_file = of_file.unwrap();
            (0..of_file.len()).for_each(|i| read.push_row_of(&of_file, i));
        }
        assert!(read == block);

        // The same rows without weights, and with one that differs, are others.
        write(&plain, 150_000, bags);
        let mut plain = RowsReader::open(&plain).unwrap();
        assert!(!plain.beside().weights && plain.mean_weight().unwrap() == 1.0);
        let mut other = block.clone();
        other.weights[140_000] = 9.0;
        let mut writer = RowsWriter::create_with(&path, &bounds(bags, 100), WEIGHTED).unwrap();
        writer.push_block(&other).unwrap();
        let of_other = writer.commit().unwrap();
        assert!(plain.fingerprint() != Some(fingerprint) && of_other != fingerprint);
    }
}

#[test]
fn weights_that_no_row_may_have_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rows.arrow");
    let block = |bags: &[bool], change: &dyn Fn(&mut RowBlock)| {
        let mut block = weighted(9, bags);
        change(&mut block);
        block
    };
    for bags in [&[false, false][..], &[false, true]] {
        let mut writer = RowsWriter::create_with(&path, &bounds(bags, 100), WEIGHTED).unwrap();
        for weight in [-1.0, f32::NAN, f32::INFINITY] {
            let error = writer.push_block(&block(bags, &|block| block.weights[0] = weight)).unwrap_err().to_string();
            assert!(error.contains("sample_weight") && error.contains("not negative"), "{error}");
        }
        let error = writer.push_block(&block(bags, &|block| block.weights.clear())).unwrap_err().to_string();
        assert!(error.contains("the row has none, and its file has one"), "{error}");
        let mut writer = RowsWriter::create(&path, &bounds(bags, 100)).unwrap();
        let error = writer.push_block(&block(bags, &|_| ())).unwrap_err().to_string();
        assert!(error.contains("the row has one, and its file has none"), "{error}");
    }
    // A weight of a file that was damaged behind its writer's back.
    let bags = [false, false];
    let mut writer = RowsWriter::create_with(&path, &bounds(&bags, 100), WEIGHTED).unwrap();
    writer.push_block(&block(&bags, &|block| block.weights.fill(1234.5))).unwrap();
    writer.commit().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.windows(4).position(|four| four == 1234.5_f32.to_le_bytes()).unwrap();
    bytes[place + 4..place + 8].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let mut reader = RowsReader::open(&path).unwrap();
    for error in [reader.read_block(0).unwrap_err(), reader.mean_weight().unwrap_err()] {
        assert!(error.to_string().contains("row 1, field \"sample_weight\": weight NaN"), "{error}");
    }
    // Nothing to learn from.
    let mut writer = RowsWriter::create_with(&path, &bounds(&bags, 100), WEIGHTED).unwrap();
    writer.push_block(&block(&bags, &|block| block.weights.fill(0.0))).unwrap();
    writer.commit().unwrap();
    let error = RowsReader::open(&path).unwrap().mean_weight().unwrap_err().to_string();
    assert!(error.contains("all 9 rows have weight 0"), "{error}");
}

/// A field of one index, and one whose indices have weights.
fn bounds_of_weights() -> Bounds {
    let mut bounds = bounds(&[false, true], 100);
    bounds.columns[1].weighted = true;
    bounds
}

fn words(entries: &[(u32, f64)]) -> Vec<u32> {
    entries.iter().flat_map(|&(index, number)| [index, Weight::nearest(number).unwrap().word()]).collect()
}

#[test]
fn weights_of_indices_are_read_back_from_arrow_and_text() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("rows.arrow");
    let many: Vec<(u32, f64)> = (0..MAX_BAG as u32).map(|i| (i % 100, f64::from(i) / 128.0 - 4.0)).collect();
    let rows = [words(&[(7, 0.5), (99, -1.25)]), words(&[(0, 0.0)]), words(&many)];
    let block = |rows: &[Vec<u32>]| {
        let mut block = RowBlock::new(2, true);
        for words in rows {
            block.push_field(&[3]);
            block.push_field(words);
            block.labels.push(1);
        }
        block
    };
    let all = block(&rows);
    let written = |block: &RowBlock| {
        let mut writer = RowsWriter::create(&path, &bounds_of_weights()).unwrap();
        writer.push_block(block).unwrap();
        writer.commit().unwrap()
    };
    let fingerprint = written(&all);
    let mut reader = RowsReader::open(&path).unwrap().expecting(bounds_of_weights()).unwrap();
    assert_eq!(reader.columns(), bounds_of_weights().columns);
    assert_eq!(reader.read_block(0).unwrap(), all);
    let error = RowsReader::open(&path).unwrap().expecting(bounds(&[false, true], 100)).unwrap_err().to_string();
    assert!(error.contains("\"f1\" is a bag with weights, a bag expected"), "{error}");
    let mut small = bounds_of_weights();
    small.features[1] = 99;
    let error = RowsReader::open(&path).unwrap().expecting(small).unwrap().read_block(0).unwrap_err().to_string();
    assert!(error.contains("row 0") && error.contains("index 99"), "{error}");
    let other = [words(&[(7, 0.5), (99, -1.5)]), rows[1].clone(), rows[2].clone()];
    assert_ne!(written(&block(&other)), fingerprint, "the fingerprint counts weights");

    let mut text = Vec::new();
    (0..all.len()).for_each(|i| write_tsv_row(&mut text, &all.row(i)).unwrap());
    assert!(text.starts_with(b"3\t7:0.5|99:-1.25\n3\t0:0\n"), "{}", String::from_utf8_lossy(&text[..40]));
    let mut reader = TsvReader::new(&text[..], Path::new("t.tsv"), bounds_of_weights());
    let read = reader.next().unwrap().unwrap();
    assert_eq!((read.indices, read.offsets), (all.indices, all.offsets));
}

#[test]
fn words_that_are_no_indices_with_weights_are_refused() {
    let folder = TempDir::new().unwrap();
    let mut writer = RowsWriter::create(&folder.path().join("rows.arrow"), &bounds_of_weights()).unwrap();
    let one = Weight::ONE.word();
    let long = [0, one].repeat(MAX_BAG + 1);
    for (words, expected) in [
        (&[][..], "empty bag"),
        (&[5], "[5] in place of index 0 and its weight"),
        (&[5, one, 6], "[6] in place of index 1"),
        (&[5, 6], "[5, 6] in place of index 0"),
        (&[one, one], "in place of index 0"),
        (&long, "1025"),
    ] {
        let (indices, offsets) = ([&[3], words].concat(), [0, 1, 1 + words.len() as u32]);
        let row = Row::with_bags(&indices, &offsets);
        let error = writer.push(1, &row).unwrap_err();
        let RowsError::Value { row, field, what, .. } = &error else { panic!("{error}") };
        assert!((*row, field.as_str()) == (0, "f1") && what.contains(expected), "{words:?}: {error}");
    }
    for (line, expected) in [
        ("3\t5", "\"5\" has no weight"),
        ("3\t5:x", "\"x\" is not a weight"),
        ("3\t5:8", "weight 8, -7.9997"),
        ("3\t5:nan", "weight nan"),
        ("3\t100:1", "index 100"),
        ("3:1\t5:1", "\"3:1\" is not an index"),
        ("3\t:1", "is not an index"),
    ] {
        let mut reader = TsvReader::new(line.as_bytes(), Path::new("t.tsv"), bounds_of_weights());
        let error = reader.next().unwrap().unwrap_err().to_string();
        assert!(error.contains("t.tsv:1") && error.contains(expected), "{line:?}: {error}");
    }
}
