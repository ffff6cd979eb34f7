"""Ranking: the order and the bits of scoring each whole row."""

from __future__ import annotations

import datetime
import threading
from pathlib import Path

import made
import numpy as np
import pytest

import xsfm

ITEMS = [{"genres": genres, "price": price} for genres in ["comedy", "western", "drama|comedy", ""] for price in range(40)]
USER = {"user": "chloé", "when": "2026-03-05T21:00:00"}


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Equal ones in their order."""
    return np.argsort(-scores, kind="stable")[:k]


def test_raw_candidates_are_ranked_as_their_whole_rows(clicks: xsfm.Model) -> None:
    scores = clicks.predict([{**USER, **item} for item in ITEMS])
    logits = clicks.predict([{**USER, **item} for item in ITEMS], raw_score=True)
    assert len(np.unique(scores)) > 20
    for k in [1, 7, 160, 1000]:
        wanted = best(scores, k)
        numbers, found = clicks.rank(USER, ITEMS, k)
        assert numbers.dtype == np.int64 and found.dtype == np.float32
        assert np.array_equal(numbers, wanted) and np.array_equal(found, scores[wanted])
    assert np.array_equal(clicks.rank(USER, ITEMS, 9, raw_score=True)[1], logits[best(scores, 9)])
    assert clicks.rank(USER, ITEMS)[0].shape == (10,)
    frame = pytest.importorskip("polars").DataFrame(ITEMS)
    assert np.array_equal(clicks.rank(USER, frame, 9)[0], best(scores, 9))
    assert clicks.rank(USER, frame[:0], 9)[0].shape == (0,)


def test_a_context_may_be_a_frame(clicks: xsfm.Model, fixtures: Path) -> None:
    pa, pd = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    time = datetime.datetime(2026, 3, 5, 21)
    typed = pa.table({"user": ["chloé"], "when": pa.array([time], pa.timestamp("us"))})
    wanted = clicks.rank(USER, ITEMS, 7)
    other = clicks.rank({**USER, "user": "ben"}, ITEMS, 7)
    assert not np.array_equal(wanted[1], other[1])
    text = pa.Table.from_pylist([USER])
    for context in [text, text.to_batches()[0], pd.DataFrame([USER]), [USER]]:
        for candidates in [ITEMS, clicks.catalogue(ITEMS)]:
            for one, same in zip(clicks.rank(context, candidates, 7), wanted):
                assert np.array_equal(one, same)
    # A column of times is what it is where whole rows are scored.
    rows = pa.Table.from_pylist([{**USER, **item} for item in ITEMS])
    rows = rows.set_column(rows.column_names.index("when"), "when", pa.array([time] * len(ITEMS), pa.timestamp("us")))
    scores = clicks.predict(rows)
    numbers, found = clicks.rank(typed, ITEMS, 7)
    assert np.array_equal(numbers, best(scores, 7)) and np.array_equal(found, scores[numbers])
    for rows in [typed.slice(1), pa.concat_tables([typed, typed])]:
        with pytest.raises(xsfm.RowError, match=f"a context of {rows.num_rows} rows, one expected"):
            clicks.rank(rows, ITEMS)
    indices = np.zeros((3, 2), np.int64)
    with pytest.raises(TypeError, match="a dict of indices expected"):
        clicks.rank(typed, clicks.catalogue(indices, context_fields={"user", "hour"}))


def test_a_catalogue_is_kept(clicks: xsfm.Model) -> None:
    catalogue = clicks.catalogue(ITEMS)
    assert len(catalogue) == len(ITEMS) and catalogue.context_fields == ["user", "hour"]
    assert "160 candidates" in repr(catalogue)
    users = ["ada", "ben", "chloé", "nobody"] * 4
    wanted = {user: clicks.rank({**USER, "user": user}, ITEMS, 5) for user in users}
    assert len({tuple(numbers) for numbers, _ in wanted.values()}) > 1
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def rank(place: int, user: str) -> None:
        found[place] = clicks.rank({**USER, "user": user}, catalogue, 5)

    threads = [threading.Thread(target=rank, args=(place, user)) for place, user in enumerate(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, user in enumerate(users):
        for one, other in zip(found[place], wanted[user]):
            assert np.array_equal(one, other)
    with pytest.raises(TypeError, match="another model"):
        xsfm.Model.from_bytes(clicks.to_bytes()).rank(USER, catalogue)


def test_indices_are_ranked(fixtures: Path) -> None:
    model = xsfm.Model.load(fixtures / "movielens-student" / "model.xsfm")
    features = {field.name: field.features for field in model.fields}
    names = list(features)
    context = {name: 1 for name in names[:1] + names[2:5]}
    others = [name for name in names if name not in context]
    rng = np.random.default_rng(1)
    candidates = np.stack([rng.integers(0, features[name], 300) for name in others], axis=1)
    rows = np.ones((300, len(names)), dtype=np.int64)
    rows[:, [names.index(name) for name in others]] = candidates
    scores = model.predict(rows)
    wanted = best(scores, 12)
    for data in [candidates, model.catalogue(candidates, context_fields=set(context))]:
        numbers, found = model.rank(context, data, 12)
        assert np.array_equal(numbers, wanted) and np.array_equal(found, scores[wanted])
    bag = next(field.name for field in model.fields if field.bag)
    assert bag in others
    numbers, _ = model.rank({bag: [1, 2, 3]}, np.delete(rows, names.index(bag), axis=1), 12)
    assert len(numbers) == 12


def test_errors_name_the_candidate(clicks: xsfm.Model, fixtures: Path) -> None:
    with pytest.raises(xsfm.RowError, match='row 1, field "price"'):
        clicks.rank(USER, [ITEMS[0], {**ITEMS[1], "price": "dear"}])
    with pytest.raises(xsfm.RowError, match='missing columns: "when"'):
        clicks.rank({"user": "ada"}, ITEMS)
    with pytest.raises(xsfm.RowError, match='none of the model\'s: "price"'):
        clicks.rank({**USER, "price": 1}, ITEMS)
    with pytest.raises(xsfm.RowError, match='none of the model\'s: "prize"'):
        clicks.rank(USER, [{**ITEMS[0], "prize": 1}])
    with pytest.raises(xsfm.RowError, match="without a column"):
        clicks.rank(USER, [{"prize": 1}])
    model = xsfm.Model.load(fixtures / "movielens-student" / "model.xsfm")
    names = [field.name for field in model.fields]
    candidates = np.ones((5, len(names) - 1), dtype=np.int32)
    candidates[3, 0] = 10**6
    with pytest.raises(xsfm.RowError, match=f'row 3, field "{names[1]}": index 1000000') as told:
        model.rank({names[0]: 1}, candidates)
    assert (told.value.row, told.value.field) == (3, names[1])
    with pytest.raises(xsfm.RowError, match=f'field "{names[0]}": index 1000000'):
        model.rank({names[0]: 10**6}, candidates[:2])
    with pytest.raises(xsfm.RowError, match='"nobody", which is no field'):
        model.rank({"nobody": 1}, candidates[:2])


@pytest.mark.parametrize("mode", ["int8", "f32"])
def test_ranks_are_those_of_the_program(everything: Path, xsfm_program: Path, mode: str, tmp_path: Path) -> None:
    import json

    rows = made.rows(300, 5)
    when = rows[0]["when"]
    items = [{"tags": row["tags"], "user": row["user"], "price": row["price"] and int(row["price"])} for row in rows]
    lines = [json.dumps({**item, "when": when, "stars": 1, "cost": 1.0}) for item in items]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    path = everything / f"{mode}.xsfm"
    words = ["--raw", tmp_path / "rows.jsonl", "--context", "hour,day,hour of time,weekday", "--top", "20", "--json"]
    ranked = json.loads(made.run(xsfm_program, "rank", path, *words))
    numbers, scores = xsfm.Model.load(path).rank({"when": when}, items, 20)
    assert [entry["row"] - 1 for entry in ranked] == numbers.tolist()
    assert np.array_equal(np.array([entry["probability"] for entry in ranked], dtype=np.float32), scores)
