"""Logits of a teacher: what the package writes teaches, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

import made
import numpy as np
import pytest

import xsfm

ENDINGS = ["npz", "safetensors", "parquet", "csv", "tsv"]


@pytest.fixture(scope="module")
def distill(everything: Path) -> Callable[..., bytes]:
    """Distils from files of logits, and gives the weights."""
    train = made.program("XSFM_TRAIN")
    if "Architecture" not in os.popen(f"{train} train --help 2>&1").read():
        pytest.skip(f"NOT TESTED: {train} was built without libtorch")

    def run(out: Path, *files: Path) -> bytes:
        words = [word for file in files for word in ("--teacher-logits", file)]
        settings = "--embed-dim 2 --hidden 4 --epochs 2 --batch-size 128 --threads 1".split()
        made.run(train, "distill", "--data", everything / "data", "--out", out, *settings, *words)
        return (out / "weights.safetensors").read_bytes()

    return run


@pytest.fixture(scope="module")
def rows(everything: Path) -> int:
    """How many training rows there are."""
    output = everything / "train.tsv"
    made.run(made.program("XSFM_TRAIN"), "rows", "--data", everything / "data" / "train.arrow", "--output", output)
    return len(output.read_text().splitlines())


def test_every_kind_of_file_teaches_the_same(distill: Callable[..., bytes], rows: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=rows)
    order = rng.permutation(rows)
    xsfm.write_logits(tmp_path / "plain.npy", logits.reshape(-1, 1))
    wanted = distill(tmp_path / "of-plain", tmp_path / "plain.npy")
    for ending in ENDINGS:
        xsfm.write_logits(tmp_path / f"a.{ending}", logits.astype(np.float32))
        xsfm.write_logits(tmp_path / f"b.{ending}", logits[order], ids=order)
        assert (tmp_path / f"a.{ending}").read_bytes() != (tmp_path / f"b.{ending}").read_bytes()
    # One as it is, and the others as means of equal ones: the mean of equal numbers is each of them.
    assert distill(tmp_path / "of-b", tmp_path / "b.npz") == wanted
    assert distill(tmp_path / "of-as", *(tmp_path / f"a.{ending}" for ending in ENDINGS[:4])) == wanted
    assert distill(tmp_path / "of-bs", *(tmp_path / f"b.{ending}" for ending in ENDINGS[1:])) == wanted
    xsfm.write_logits(tmp_path / "other.csv", -logits)
    assert distill(tmp_path / "of-other", tmp_path / "other.csv") != wanted
    assert sorted(path.suffix for path in tmp_path.iterdir() if path.is_file() and path.suffix == ".tmp") == []


def test_files_are_what_others_read(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    logits, ids = np.array([0.1, -2.5, 1e-7], dtype=np.float32), [2, 0, 1]
    for ending in ENDINGS:
        xsfm.write_logits(tmp_path / f"a.{ending}", logits, ids=ids)
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table["row"].to_pylist() == ids and np.array_equal(table["logit"].to_numpy(), logits)
    assert table.schema.field("logit").type == "float" and table.schema.field("row").type == "int64"
    with np.load(tmp_path / "a.npz") as found:
        assert np.array_equal(found["logits"], logits) and found["row"].tolist() == ids
    tensors = made.read_tensors(tmp_path / "a.safetensors")
    assert np.array_equal(tensors["logits"], logits) and tensors["row"].tolist() == ids
    assert (tmp_path / "a.csv").read_text() == "row,logit\n2,0.1\n0,-2.5\n1,1e-07\n"
    assert (tmp_path / "a.tsv").read_text() == "row\tlogit\n2\t0.1\n0\t-2.5\n1\t1e-07\n"
    xsfm.write_logits(tmp_path / "new" / "a.CSV", [1, -2])
    assert (tmp_path / "new" / "a.CSV").read_text() == "logit\n1.0\n-2.0\n"


def test_logits_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for name, logits, ids, message in [
        ("a.pickle", [1, 2], None, r"a\.pickle: ends in '\.pickle'"),
        ("a.npy", [1, 2], [0, 1], "no place for ids"),
        ("a.csv", [[1, 2]], None, r"shape \(1, 2\), \(rows,\) or \(rows, 1\)"),
        ("a.csv", ["1", "2"], None, "real numbers expected"),
        ("a.csv", [], None, "no logits"),
        ("a.csv", [1, np.nan], None, "row 1: the logit is nan"),
        ("a.csv", [1, -1e39], None, "row 1: the logit is -1e[+]39, not a finite number of 32 bits"),
        ("a.csv", [1, 2], [0], r"ids of shape \(1,\), but 2 logits"),
        ("a.csv", [1, 2], [0.0, 1.0], "ids of type float64, integers"),
        ("a.csv", [1, 2], [0, 2], "entry 1 is of row 2, but 2 logits are of rows 0 to 1"),
        ("a.csv", [1, 2], [-1, 0], "entry 0 is of row -1"),
        ("a.csv", [1, 2, 3], [0, 2, 0], "row 0 has two logits, in entries 0 and 2"),
    ]:
        with pytest.raises(xsfm.XsfmError, match=message):
            xsfm.write_logits(tmp_path / name, logits, ids=ids)
    assert not any(tmp_path.iterdir())
    with pytest.warns(UserWarning, match="are they probabilities"):
        xsfm.write_logits(tmp_path / "a.csv", [0.2, 0.9])
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        xsfm.write_logits(tmp_path / "file" / "a.csv", [1, 2])


def test_the_program_tells_numbers_that_disagree(distill: Callable[..., bytes], rows: int, everything: Path, tmp_path: Path) -> None:
    xsfm.write_logits(tmp_path / "short.npz", np.arange(rows - 1))
    with pytest.raises(AssertionError, match=f"short.npz.*{rows - 1} logits, but there are {rows} training rows"):
        distill(tmp_path / "out", tmp_path / "short.npz")
