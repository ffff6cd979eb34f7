"""Loading, pickling, and what a model tells of itself."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import sys
from pathlib import Path

import made
import numpy as np
import pytest

import xsfm

ROW = {"user": "chloé", "genres": ["comedy", "western"], "price": 7.75, "when": "2026-03-05T21:00:00"}


def test_files_and_bytes_are_the_same_model(clicks: xsfm.Model, fixtures: Path) -> None:
    data = (fixtures / "raw-values" / "model.xsfm").read_bytes()
    assert clicks.to_bytes() == data
    # At any address, and with a byte before them.
    copied = xsfm.Model.from_bytes((b"x" + data)[1:])
    assert np.array_equal(copied.predict(ROW), clicks.predict(ROW))


def test_files_that_are_no_models_are_refused(tmp_path: Path, fixtures: Path) -> None:
    data = (fixtures / "raw-values" / "model.xsfm").read_bytes()
    with pytest.raises(FileNotFoundError) as told:
        xsfm.Model.load(tmp_path / "none.xsfm")
    assert told.value.filename == str(tmp_path / "none.xsfm")
    (tmp_path / "cut.xsfm").write_bytes(data[:-1])
    with pytest.raises(xsfm.ModelError, match="cut.xsfm"):
        xsfm.Model.load(tmp_path / "cut.xsfm")
    damaged = bytearray(data)
    damaged[-1] ^= 1
    for bytes_ in [b"", b"text", data[:100], bytes(damaged)]:
        with pytest.raises(xsfm.ModelError) as told:
            xsfm.Model.from_bytes(bytes_)
        assert isinstance(told.value, (ValueError, xsfm.XsfmError))
    with pytest.raises(TypeError):
        xsfm.Model()


def test_a_model_pickles_as_its_bytes(clicks: xsfm.Model) -> None:
    for protocol in range(3, pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps(clicks, protocol)
        assert len(pickled) < len(clicks.to_bytes()) + 200
        assert np.array_equal(pickle.loads(pickled).predict(ROW), clicks.predict(ROW))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(xsfm.Model.predict, (clicks, ROW)), clicks.predict(ROW))


def test_errors_pickle_with_their_places(clicks: xsfm.Model) -> None:
    with pytest.raises(xsfm.RowError) as told:
        clicks.predict([ROW, {**ROW, "price": "dear"}])
    copied = pickle.loads(pickle.dumps(told.value))
    assert (str(copied), copied.row, copied.field) == (str(told.value), 1, "price")


def test_fields_are_told(clicks: xsfm.Model, fixtures: Path) -> None:
    told = [(field.name, field.column, field.kind, field.bag) for field in clicks.fields]
    assert told == [
        ("user", "user", "token", False),
        ("genres", "genres", "bag", True),
        ("price", "price", "number", False),
        ("hour", "when", "token", False),
    ]
    assert repr(clicks.fields[0]) == 'Field(name="user", column="user", kind="token", features=7)'
    assert all(field.vocabulary_bytes >= 64 for field in clicks.fields)
    bare = xsfm.Model.load(fixtures / "movielens-student-qr" / "model.xsfm")
    if all(field.kind is None for field in bare.fields):
        assert all(field.column is None and field.vocabulary_bytes == 0 for field in bare.fields)


def test_info_is_what_inspect_prints(clicks: xsfm.Model, fixtures: Path, xsfm_program: Path) -> None:
    printed = json.loads(made.run(xsfm_program, "inspect", fixtures / "raw-values" / "model.xsfm", "--json"))
    assert clicks.info == printed
    assert clicks.memory["file"] == printed["file_bytes"] == len(clicks.to_bytes())
    assert clicks.memory["prepared"] == printed["prepared_bytes"]
    assert clicks.memory["scratch"] >= printed["ram_bytes"]


def test_a_model_is_shown(clicks: xsfm.Model, tmp_path: Path) -> None:
    assert "4 fields" in repr(clicks) and "model.xsfm" in repr(clicks)
    html = clicks._repr_html_()
    for shown in ["<table>", "genres", f"{len(clicks.to_bytes())} bytes", "vocabulary"]:
        assert shown in html
    (tmp_path / "<b>.xsfm").write_bytes(clicks.to_bytes())
    assert "&lt;b&gt;.xsfm" in xsfm.Model.load(tmp_path / "<b>.xsfm")._repr_html_()


def test_a_model_is_immutable(clicks: xsfm.Model) -> None:
    with pytest.raises(AttributeError):
        clicks.fields = ()
    with pytest.raises(AttributeError):
        clicks.other = 1


def test_numpy_alone_is_imported() -> None:
    code = "import sys, xsfm; print([m for m in ('pandas', 'pyarrow', 'polars', 'sklearn') if m in sys.modules])"
    assert made.run(sys.executable, "-c", code).strip() == "[]"
