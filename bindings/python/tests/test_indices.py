"""Rows of indices: shapes, kinds of integers, threads, errors, and the scores of the program."""

from __future__ import annotations

import threading
from pathlib import Path

import made
import numpy as np
import pytest

import xsfm


def indices(model: xsfm.Model, rows: int, seed: int = 0) -> np.ndarray:
    features = [field.features for field in model.fields]
    return np.random.default_rng(seed).integers(0, features, (rows, len(features)))


@pytest.fixture
def model(fixtures: Path) -> xsfm.Model:
    return xsfm.Model.load(fixtures / "movielens-student" / "model.xsfm")


def test_scores_are_those_of_the_program(model: xsfm.Model, fixtures: Path, tmp_path: Path, xsfm_program: Path) -> None:
    rows = indices(model, 3000)
    np.savetxt(tmp_path / "rows.tsv", rows, fmt="%d", delimiter="\t")
    path = fixtures / "movielens-student" / "model.xsfm"
    logits, probabilities = made.scores(made.run(xsfm_program, "score", path, "--indices", tmp_path / "rows.tsv"))
    assert len(np.unique(logits)) > 1000
    for jobs in [1, 2, 5, 10**6, -1]:
        assert np.array_equal(model.predict(rows, n_jobs=jobs), probabilities)
        assert np.array_equal(model.predict(rows, raw_score=True, n_jobs=jobs), logits)


def test_integers_of_any_kind_and_order_are_the_same(model: xsfm.Model) -> None:
    rows = indices(model, 1100) % 100
    wanted = model.predict(rows)
    assert wanted.dtype == np.float32 and wanted.shape == (1100,)
    for kind in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]:
        assert np.array_equal(model.predict(rows.astype(kind)), wanted), kind
    assert np.array_equal(model.predict(np.asfortranarray(rows)), wanted)
    assert np.array_equal(model.predict(rows[::-1]), wanted[::-1])
    assert np.array_equal(model.predict(np.concatenate([rows, rows], axis=1)[:, : rows.shape[1]]), wanted)
    assert np.array_equal(model.predict(rows[7]), wanted[7:8])
    assert model.predict(rows[:0]).shape == (0,)


def test_out_is_written_and_returned(model: xsfm.Model) -> None:
    rows = indices(model, 20)
    out = np.full(20, 2.0, dtype=np.float32)
    assert model.predict(rows, out=out) is out
    assert np.array_equal(out, model.predict(rows))
    with pytest.raises(ValueError, match="out has 19 places, 20 rows"):
        model.predict(rows, out=np.zeros(19, dtype=np.float32))
    with pytest.raises(TypeError):
        model.predict(rows, out=np.zeros(20))
    frozen = np.zeros(20, dtype=np.float32)
    frozen.flags.writeable = False
    with pytest.raises(Exception, match="writeable"):
        model.predict(rows, out=frozen)


def test_errors_name_row_and_field(model: xsfm.Model) -> None:
    rows = indices(model, 2000)
    name, features = model.fields[1].name, model.fields[1].features
    for bad in [-1, features, 2**40]:
        rows[1703, 1] = bad
        for jobs in [1, 2]:
            with pytest.raises(xsfm.RowError, match=f'row 1703, field "{name}": index {bad}') as told:
                model.predict(rows, n_jobs=jobs)
            assert (told.value.row, told.value.field) == (1703, name)
            assert isinstance(told.value, ValueError)
    for shape in [(5, 6), (8,), (2, 3, 7)]:
        with pytest.raises(xsfm.RowError, match="shape") as told:
            model.predict(np.zeros(shape, dtype=np.int64))
        assert (told.value.row, told.value.field) == (None, None)
    for data in [rows.astype(float), rows > 0, "rows", 7, None]:
        with pytest.raises(TypeError, match="expected"):
            model.predict(data)
    for jobs in [0, -2]:
        with pytest.raises(ValueError, match="n_jobs"):
            model.predict(rows, n_jobs=jobs)


def test_threads_share_a_model_and_run_together(model: xsfm.Model) -> None:
    rows = indices(model, 200_000)
    wanted = model.predict(rows)
    found, others = [None] * 4, []

    def score(place: int) -> None:
        found[place] = model.predict(rows)

    threads = [threading.Thread(target=score, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    # Only while the threads let it does this one run.
    while any(thread.is_alive() for thread in threads):
        others.append(1)
    for thread in threads:
        thread.join()
    assert all(np.array_equal(scores, wanted) for scores in found)
    assert len(others) > 100
