"""What `xsfm.spark` does on each machine, without a cluster: `cargo xtask test spark` has one."""

from __future__ import annotations

import datetime
import math
from pathlib import Path

import numpy as np
import pytest

import xsfm

pa = pytest.importorskip("pyarrow")

from xsfm.spark import _scoring  # noqa: E402


def test_runs_are_rows_with_one_context() -> None:
    contexts = [math.nan, math.nan, math.nan, 0.5, None, None, 0.5, 0.5]
    rows = pa.record_batch({"x": pa.array(contexts, pa.float64()), "n": range(8)})
    for cut in range(9):
        batches = [rows.slice(0, cut), rows.slice(cut)]
        runs = [run.column("n").to_pylist() for run in _scoring._runs(["x"], batches)]
        assert runs == [[0, 1, 2], [3], [4, 5], [6, 7]], cut
    assert [run.num_rows for run in _scoring._runs([], [rows.slice(0, 3), rows.slice(3)])] == [8]


def test_typed_contexts_are_scored_as_whole_rows(clicks: xsfm.Model, fixtures: Path) -> None:
    genres = ["comedy", "western", "drama|comedy", ""] * 2
    rows = pa.record_batch({
        "user": ["chloé"] * 4 + ["ben"] * 4,
        "genres": genres,
        "price": pa.array([7.1] * 4 + [0.7] * 4, pa.float32()),
        "when": pa.array([datetime.datetime(2026, 3, 5, 21)] * 8, pa.timestamp("us")),
    })
    data = (fixtures / "raw-values" / "model.xsfm").read_bytes()
    names = ["user", "price", "when"]
    given = _scoring.Given(_scoring.Shared(None, data), ["genres"], False, True, "score")
    wanted = clicks.predict(rows, raw_score=True)
    assert len(np.unique(wanted)) > 4
    found = list(_scoring.best(given, names, names, 2, [rows.slice(0, 3), rows.slice(3)]))
    assert [batch.num_rows for batch in found] == [2, 2]
    for first, batch in zip([0, 4], found):
        best = first + np.argsort(-wanted[first : first + 4], kind="stable")[:2]
        assert batch.column("genres").to_pylist() == [genres[n] for n in best]
        assert np.array_equal(batch.column("score").to_numpy(), wanted[best])
        assert batch.column("rank").to_pylist() == [0, 1]
