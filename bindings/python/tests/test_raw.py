"""Raw values: dicts and frames have the scores that `xsfm score --raw` prints, `==`."""

from __future__ import annotations

import csv
import datetime
from pathlib import Path

import made
import numpy as np
import pytest

import xsfm

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

ROW = {"user": "chloé", "genres": ["comedy", "western"], "price": 7.75, "when": "2026-03-05T21:00:00"}


def frames(rows: list[dict[str, object]]) -> dict[str, object]:
    """The same rows in every kind of frame."""
    table = pa.Table.from_pylist(rows)
    chunked = pa.concat_tables([table[:300], table[300:301], table[301:]])
    frame = pd.DataFrame(rows)
    return {
        "table": table,
        "chunked": chunked,
        "stream": pa.RecordBatchReader.from_batches(table.schema, iter(chunked.to_batches(max_chunksize=97))),
        "batch": table.combine_chunks().to_batches()[0],
        "pandas": frame,
        "pandas by another index": frame.set_index(pd.Index(range(5, 5 + len(frame)), name="place")[::-1]),
        "polars": pl.DataFrame(rows),
    }


def test_the_fixture_has_the_scores_of_the_program(clicks: xsfm.Model, fixtures: Path, xsfm_program: Path) -> None:
    path = fixtures / "raw-values"
    printed = made.scores(made.run(xsfm_program, "score", path / "model.xsfm", "--raw", path / "clicks.csv"))
    with open(path / "clicks.csv", encoding="utf-8") as file:
        texts = list(csv.DictReader(file))
    assert len(texts) == 240
    numbers = [{**row, "genres": row["genres"].split("|"), "price": float(row["price"] or "nan")} for row in texts]
    for row in numbers:
        row["price"] = None if np.isnan(row["price"]) else row["price"]
    for rows in [texts, numbers]:
        for data in [rows, tuple(rows), pa.Table.from_pylist(rows), pd.DataFrame(rows), pl.DataFrame(rows)]:
            assert np.array_equal(clicks.predict(data, raw_score=True), printed[0])
            assert np.array_equal(clicks.predict(data, n_jobs=2), printed[1])


@pytest.mark.parametrize("mode", ["int8", "f32"])
def test_every_kind_of_field_has_the_scores_of_the_program(everything: Path, xsfm_program: Path, mode: str) -> None:
    path = everything / f"{mode}.xsfm"
    rows = made.rows(700, 2)
    printed, _ = made.scores(made.run(xsfm_program, "score", path, "--raw", everything / "new.csv"))
    assert len(np.unique(printed)) > 500
    model = xsfm.Model.load(path)
    # Fractions have one text in a CSV, but not in Python: there the column is of texts, or of Arrow's numbers.
    texts = [{**row, "price": None if row["price"] is None else str(row["price"])} for row in rows]
    assert np.array_equal(model.predict(texts, raw_score=True), printed)
    for name, data in frames(texts).items():
        assert np.array_equal(model.predict(data, raw_score=True), printed), name
    joined = [{**row, "tags": "/".join(row["tags"])} for row in texts]
    assert np.array_equal(model.predict(pd.DataFrame(joined), raw_score=True), printed)
    with pytest.raises(xsfm.RowError, match="several texts") as told:
        model.predict([{**rows[0], "price": 0.25}])
    assert told.value.field == "price as a token"


def test_numbers_of_frames_are_those_of_parquet(everything: Path, xsfm_program: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    rows = made.rows(700, 2)
    table = pa.Table.from_pylist([{**row, "price": row["price"] and float(row["price"])} for row in rows])
    tables = {
        "float64": table,
        "float32": table.set_column(3, "price", table["price"].cast(pa.float32())),
        "integers": table.set_column(3, "price", pa.array([row["price"] and int(row["price"]) for row in rows])),
        "large": table.set_column(2, "tags", table["tags"].cast(pa.large_list(pa.large_string()))),
        "decimal": table.set_column(3, "price", table["price"].cast(pa.decimal128(12, 2))),
    }
    model = xsfm.Model.load(everything / "int8.xsfm")
    for name, table in tables.items():
        pq.write_table(table, tmp_path / "rows.parquet")
        printed = made.scores(made.run(xsfm_program, "score", everything / "int8.xsfm", "--raw", tmp_path / "rows.parquet"))
        assert np.array_equal(model.predict(table, raw_score=True), printed[0]), name
        assert np.array_equal(model.predict(pl.from_arrow(table), raw_score=True), printed[0]), name
        categories = table.set_column(0, "user", table["user"].dictionary_encode())
        assert np.array_equal(model.predict(categories, raw_score=True), printed[0]), name


def test_times_of_frames_count_what_their_type_says(tmp_path: Path, xsfm_program: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    clocks = """[label]
column = "click"

[[fields]]
name = "hour"
column = "when"
kind = "categorical"
time = "hour"

[[fields]]
name = "weekday"
column = "when"
kind = "categorical"
time = "weekday"
"""
    texts = sorted({row["when"] for row in made.rows(900, 7)})
    lines = [f"{place % 2},{when}" for place, when in enumerate(texts)]
    made.packed(tmp_path, xsfm_program, clocks, "click,when\n" + "\n".join(lines), ["f32"])
    model = xsfm.Model.load(tmp_path / "f32.xsfm")
    wanted = model.predict([{"when": when} for when in texts])
    assert len(np.unique(wanted)) > 100
    times = [datetime.datetime.fromisoformat(when) for when in texts]
    seconds = pa.array(times).cast(pa.timestamp("s"))
    for unit in ["s", "ms", "us", "ns"]:
        assert np.array_equal(model.predict(pa.table({"when": seconds.cast(pa.timestamp(unit))})), wanted), unit
        assert np.array_equal(model.predict(pd.DataFrame({"when": np.array(times, dtype=f"M8[{unit}]")})), wanted), unit
    assert np.array_equal(model.predict(pa.table({"when": seconds.cast(pa.int64())})), wanted)
    assert np.array_equal(model.predict([{"when": time} for time in times]), wanted)
    assert np.array_equal(model.predict([{"when": time.replace(tzinfo=datetime.timezone.utc)} for time in times]), wanted)
    days = pa.table({"when": seconds.cast(pa.date32())})
    pq.write_table(days, tmp_path / "days.parquet")
    printed = made.scores(made.run(xsfm_program, "score", tmp_path / "f32.xsfm", "--raw", tmp_path / "days.parquet"))
    assert np.array_equal(model.predict(days), printed[1])
    with pytest.raises(xsfm.RowError, match='row 1, field "hour": "noon" is neither seconds'):
        model.predict([{"when": "12"}, {"when": "noon"}])
    missing = model.predict(pa.table({"when": pa.array([None, texts[0]])}))
    assert missing[1] == wanted[0] and missing[0] == model.predict({"when": None})[0]


WEIGHTED = """[label]
column = "click"

[[fields]]
name = "tags"
kind = "bag"
combine = "weighted"

[[fields]]
name = "mean"
kind = "bag"
combine = "mean"

[[fields]]
name = "user"
kind = "categorical"

[[fields]]
name = "price"
kind = "numeric"
numbers = "value"

[[fields]]
name = "between prices"
column = "price"
kind = "numeric"
numbers = "interpolated"
quantiles = 5
"""


def test_weights_are_those_of_the_program(tmp_path: Path, xsfm_program: Path) -> None:
    rng = np.random.default_rng(3)
    rows = []
    for _ in range(400):
        tags = {f"t{int(tag)}": float(rng.integers(-4096, 4096)) / 1024 for tag in rng.integers(9, size=rng.integers(5))}
        price = [None, int(rng.integers(-9, 99)), round(float(rng.random()) * 90, 3)][int(rng.integers(3))]
        rows.append({"user": f"u{int(rng.integers(30))}", "tags": tags, "price": price})
    text = [{**row, "tags": "|".join(f"{tag}:{weight}" for tag, weight in row["tags"].items())} for row in rows]
    names = [{**row, "mean": "|".join(tags["tags"])} for row, tags in zip(text, rows)]
    prices = ["" if row["price"] is None else row["price"] for row in rows]
    lines = [
        f"{place % 2},{row['user']},{row['tags']},{row['mean']},{prices[place]}" for place, row in enumerate(names)
    ]
    made.packed(tmp_path, xsfm_program, WEIGHTED, "click,user,tags,mean,price\n" + "\n".join(lines) + "\n", ["int8", "f32"])
    dicts = [{**row, "mean": list(row["tags"])} for row in rows]
    for mode in ["int8", "f32"]:
        path = tmp_path / f"{mode}.xsfm"
        printed, _ = made.scores(made.run(xsfm_program, "score", path, "--raw", tmp_path / "rows.csv"))
        assert len(np.unique(printed)) > 300
        model = xsfm.Model.load(path)
        assert [field.weighted for field in model.fields] == [True, True, False, True, True]
        assert [field.kind for field in model.fields] == ["bag", "bag", "token", "number", "number"]
        for data in [names, dicts, pa.Table.from_pylist(names), pd.DataFrame(names)]:
            assert np.array_equal(model.predict(data, raw_score=True), printed)
        for tags in [{"t1": 8}, {"t1": float("nan")}, {"t1": "much"}, {"t1": [1]}, {0.5: 1}]:
            with pytest.raises(xsfm.RowError, match='row 1, field "tags"'):
                model.predict([dicts[0], {**dicts[0], "tags": tags}])
        with pytest.raises(xsfm.RowError, match='row 0, field "mean": a weight that it cannot have'):
            model.predict({**dicts[0], "mean": {"t1": 0.5}})
        with pytest.raises(xsfm.RowError, match='field "tags": each index needs its weight behind it'):
            model.predict(np.zeros((2, 5), dtype=np.int32))


def test_categories_of_pandas_are_their_texts(clicks: xsfm.Model) -> None:
    rows = [{**ROW, "user": user} for user in ["ada", "ben", "chloé", "nobody", None] * 40]
    frame = pd.DataFrame(rows)
    wanted = clicks.predict(rows)
    assert len(np.unique(wanted)) > 3
    assert np.array_equal(clicks.predict(frame), wanted)
    frame["user"] = frame["user"].astype("category")
    assert np.array_equal(clicks.predict(frame), wanted)


def test_values_of_python_are_taken_as_json_has_them(clicks: xsfm.Model) -> None:
    wanted = clicks.predict(ROW)
    same = [
        {"price": "7.75"},
        {"price": np.float64(7.75)},
        {"when": datetime.datetime(2026, 3, 5, 21)},
        {"when": pd.Timestamp("2026-03-05 21:00")},
        {"genres": "comedy|western"},
        {"genres": ("comedy", "western", "", None)},
        {"genres": np.array(["comedy", "western"])},
        {"user": np.str_("chloé")},
        {"click": 1},
    ]
    for values in same:
        assert np.array_equal(clicks.predict({**ROW, **values}), wanted), values
    integer = clicks.predict({**ROW, "price": 30})
    for price in [np.int16(30), 30.0, "30", np.float32(30)]:
        assert np.array_equal(clicks.predict({**ROW, "price": price}), integer), price
    missing = clicks.predict({**ROW, "price": None})
    assert np.array_equal(clicks.predict({**ROW, "price": ""}), missing)
    assert len({float(scores[0]) for scores in [wanted, integer, missing]}) == 3


def test_numbers_of_numpy_are_those_of_frames(clicks: xsfm.Model) -> None:
    prices = (np.arange(1, 2000) / 100).astype(np.float32)
    rows = [{**ROW, "price": price} for price in prices]
    frame = pd.DataFrame({**pd.DataFrame([ROW] * len(prices)), "price": prices})
    texts = [{**ROW, "price": str(price)} for price in prices]
    wanted = clicks.predict(texts)
    assert np.array_equal(clicks.predict(rows), wanted) and np.array_equal(clicks.predict(frame), wanted)
    # A token, whose text is that of the 32 bits.
    user = {**ROW, "user": np.float32(0.7)}
    assert np.array_equal(clicks.predict(user), clicks.predict({**ROW, "user": "0.7"}))


def test_missing_times_are_missing(clicks: xsfm.Model) -> None:
    assert np.array_equal(clicks.predict({**ROW, "price": pd.NaT}), clicks.predict({**ROW, "price": None}))
    with pytest.raises(xsfm.RowError, match="or None for a missing value"):
        clicks.predict({**ROW, "user": float("nan")})


def test_columns_are_named(clicks: xsfm.Model) -> None:
    without = {name: value for name, value in ROW.items() if name != "price"}
    for data, row in [([ROW, without], 1), (pa.Table.from_pylist([without]), None), (pd.DataFrame([without]), None)]:
        with pytest.raises(xsfm.RowError, match='missing columns: "price"$') as told:
            clicks.predict(data)
        assert (told.value.row, told.value.field) == (row, None)
    more = {**ROW, "prize": 1, "age": 2}
    for data in [more, pa.Table.from_pylist([more]), pl.DataFrame([more])]:
        with pytest.raises(xsfm.RowError, match='none of the model\'s: "age", "prize"$'):
            clicks.predict(data)
    with pytest.raises(xsfm.RowError, match='missing columns: "price"; .*"prize"'):
        clicks.predict({**without, "prize": 1})
    twice = pa.table([["a"], ["b"], [1], ["c"], ["d"]], names=["user", "user", "price", "genres", "when"])
    with pytest.raises(xsfm.RowError, match='two columns are named "user"'):
        clicks.predict(twice)


def test_values_that_cannot_be_are_named(clicks: xsfm.Model) -> None:
    endless: list[object] = []
    endless.append(endless)
    bad = [
        ("price", "dear"),
        ("price", float("nan")),
        ("price", float("inf")),
        ("user", 1.5),
        ("user", ["a", "b"]),
        ("user", object()),
        ("user", {"a": 1}),
        ("genres", [["comedy"]]),
        ("genres", [0.5]),
        ("genres", [endless]),
        ("genres", [object()]),
        ("genres", endless),
        ("user", np.zeros((2, 2))),
        ("when", "2026"),
        ("when", None),
    ]
    for name, value in bad:
        field = "hour" if name == "when" else name
        with pytest.raises(xsfm.RowError, match=f'row 1, field "{field}"') as told:
            clicks.predict([ROW, {**ROW, name: value}])
        assert (told.value.row, told.value.field) == (1, field)
    table = pa.Table.from_pylist([ROW] * 1500 + [{**ROW, "price": float("inf")}] + [ROW] * 10)
    for jobs in [1, 2]:
        with pytest.raises(xsfm.RowError, match='row 1500, field "price"'):
            clicks.predict(table.combine_chunks(), n_jobs=jobs)
        with pytest.raises(xsfm.RowError, match='row 1500, field "price"'):
            clicks.predict(pa.concat_tables([table[:1400], table[1400:]]), n_jobs=jobs)
    structs = pa.Table.from_pylist([{**ROW, "user": {"id": 1}}])
    with pytest.raises(xsfm.RowError, match='field "user": values of type'):
        clicks.predict(structs)
    with pytest.raises(TypeError):
        clicks.predict([1, 2])


def test_a_stream_is_scored_into_out(clicks: xsfm.Model) -> None:
    table = pa.Table.from_pylist([ROW] * 5)
    out = np.zeros(5, dtype=np.float32)
    assert clicks.predict(table, out=out) is out
    assert np.array_equal(out, clicks.predict([ROW] * 5))
    with pytest.raises(ValueError, match="out has 4 places, 5 rows"):
        clicks.predict(table, out=np.zeros(4, dtype=np.float32))
    assert clicks.predict(table[:0]).shape == (0,)
    assert clicks.predict([]).shape == (0,)


def test_a_file_without_vocabulary_takes_indices_alone(everything: Path, xsfm_program: Path, tmp_path: Path) -> None:
    made.run(xsfm_program, "pack", everything / "run", "--mode", "f32", "--without-vocabulary", "-o", tmp_path / "m.xsfm")
    model = xsfm.Model.load(tmp_path / "m.xsfm")
    with pytest.raises(xsfm.RowError, match="packed without its vocabulary"):
        model.predict(made.rows(1, 1))
    assert model.predict(np.zeros((2, 12), dtype=np.int32)).shape == (2,)
    assert {field.kind for field in model.fields} == {None}


def test_streams_that_are_no_tables_are_refused(clicks: xsfm.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    for data in [pl.Series("user", ["a"]), pa.chunked_array([["a"]]), pa.table({}), pd.DataFrame()]:
        with pytest.raises(ValueError):
            clicks.predict(data)

    def broken() -> object:
        yield pa.Table.from_pylist([ROW]).to_batches()[0]
        raise RuntimeError("the source is gone")

    schema = pa.Table.from_pylist([ROW]).schema
    with pytest.raises(xsfm.RowError, match="the source is gone"):
        clicks.predict(pa.RecordBatchReader.from_batches(schema, broken()))
    frame = pd.DataFrame([ROW])
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match="read by pyarrow"):
        clicks.predict(frame)
