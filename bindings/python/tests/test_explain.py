"""Shares of a score: they sum to it, and are none where a part is none."""

from __future__ import annotations

from pathlib import Path

import made
import numpy as np
import pytest

import xsfm

ROW = {"user": "chloé", "genres": ["comedy", "western"], "price": 7.75, "when": "2026-03-05T21:00:00"}


def shares(explained: xsfm.Explanation) -> list[float]:
    return [explained.bias, *explained.fields.values(), *explained.pairs.values(), explained.layers]


@pytest.mark.parametrize("name", ["raw-values", "movielens-student", "movielens-student-qr"])
def test_shares_sum_to_the_logit_exactly(fixtures: Path, name: str) -> None:
    model = xsfm.Model.load(fixtures / name / "model.xsfm")
    features = [field.features for field in model.fields]
    rows = np.random.default_rng(4).integers(0, features, (50, len(features)))
    for row, logit, probability in zip(rows, model.predict(rows, raw_score=True), model.predict(rows)):
        explained = model.explain(row)
        for order in [shares(explained), shares(explained)[::-1], sorted(shares(explained))]:
            assert sum(order) == float(logit) == explained.logit
        assert np.float32(explained.probability) == probability
        assert list(explained.fields) == [field.name for field in model.fields]


def test_shares_are_by_name(clicks: xsfm.Model) -> None:
    explained = clicks.explain(ROW)
    assert explained.logit == float(clicks.predict(ROW, raw_score=True)[0])
    assert ("user", "genres") in explained.pairs and len(explained.pairs) == 6
    assert "logit" in repr(explained) and " x " in repr(explained)
    other = clicks.explain({**ROW, "user": "ben"})
    assert other.pairs["genres", "price"] == pytest.approx(explained.pairs["genres", "price"], abs=2**-15)
    assert other.pairs["user", "genres"] != explained.pairs["user", "genres"]


@pytest.mark.parametrize("hidden", [0, 8])
def test_layers_are_what_is_left(tmp_path: Path, xsfm_program: Path, hidden: int) -> None:
    made.checkpoint(tmp_path / "run", [("a", 9, False), ("b", 5, False), ("c", 7, False)], seed=1, hidden=hidden)
    for mode in ["f32", "dynamic"]:
        made.run(xsfm_program, "pack", tmp_path / "run", "--mode", mode, "-o", tmp_path / "m.xsfm")
        model = xsfm.Model.load(tmp_path / "m.xsfm")
        rows = np.random.default_rng(2).integers(0, [9, 5, 7], (40, 3))
        layers = [model.explain(row).layers for row in rows]
        if hidden:
            assert np.std(layers) > 0.01
        else:
            assert np.abs(layers).max() <= (0 if mode == "dynamic" else 1e-6)
        for row, logit in zip(rows, model.predict(rows, raw_score=True)):
            assert np.float32(sum(shares(model.explain(row)))) == logit


def test_one_row_is_explained(clicks: xsfm.Model) -> None:
    with pytest.raises(xsfm.RowError, match="2 rows, one expected"):
        clicks.explain([ROW, ROW])
    with pytest.raises(xsfm.RowError, match='field "user": index 999'):
        clicks.explain(np.array([999, 0, 0, 0]))
    with pytest.raises(xsfm.RowError, match='missing columns: "price"'):
        clicks.explain({name: value for name, value in ROW.items() if name != "price"})
