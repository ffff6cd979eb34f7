"""Scores on a cluster's machines: batches of Arrow in and out. Nothing here knows Spark."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .._xsfm import Model, RowError

# The last model of this process: tasks that come here one after another load it once.
_model: Optional[tuple[bytes, Model]] = None


@dataclass
class Shared:
    """A packed model's bytes on their way to the machines: a broadcast of Spark, or as they are."""

    broadcast: Any
    data: Optional[bytes]

    def model(self) -> Model:
        global _model
        data = self.data if self.broadcast is None else self.broadcast.value
        digest = hashlib.blake2b(data).digest()
        if _model is None or _model[0] != digest:
            _model = (digest, Model.from_bytes(data))
        return _model[1]


@dataclass
class Given:
    """What rows are scored with."""

    shared: Shared
    # Those that the model takes.
    columns: list[str]
    are_indices: bool
    raw_score: bool
    # The score's.
    column: str


def each(given: Given, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows with their scores."""
    model = given.shared.model()
    done = 0
    for batch in batches:
        if given.are_indices:
            data = _indices(batch.column(given.columns[0]), len(model.fields), done)
        else:
            data = batch.select(given.columns)
        scores = model.predict(data, raw_score=given.raw_score) if batch.num_rows else np.zeros(0, np.float32)
        done += batch.num_rows
        yield batch.append_column(given.column, pa.array(scores))


def _indices(column: pa.Array, fields: int, done: int) -> np.ndarray:
    """Lists of one index of each field, `[rows, fields]`."""
    lengths = pc.fill_null(pc.list_value_length(column), -1)
    wrong = pc.index(pc.equal(lengths, fields), False).as_py()
    if wrong >= 0:
        found = column[wrong].as_py()
        found = "none" if found is None else str(len(found))
        raise RowError(f"row {done + wrong} of its partition: {found} indices, {fields} expected")
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, fields)


def best(
    given: Given, context: list[str], fields: list[str], k: int, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Of each run of rows with an equal context the best k."""
    model = given.shared.model()
    for rows in _runs(context, batches):
        # A frame too: typed values are taken as `predict` takes them.
        of_context = rows.slice(0, 1).select(fields) if fields else {}
        candidates = rows.select(given.columns)
        numbers, scores = model.rank(of_context, candidates, k, raw_score=given.raw_score)
        taken = rows.take(pa.array(numbers))
        ranks = pa.array(np.arange(len(numbers), dtype=np.int32))
        yield taken.append_column(given.column, pa.array(scores)).append_column("rank", ranks)


def _runs(context: list[str], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows with an equal context, which come one after another; a batch may end amid of them."""
    kept: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows == 0:
            continue
        starts = _starts(context, batch)
        for start, end in zip(starts, [*starts[1:], batch.num_rows]):
            run = batch.slice(start, end - start)
            if kept and (start > 0 or not _go_on(context, kept[-1], run)):
                yield _joined(kept)
                kept = []
            kept.append(run)
    if kept:
        yield _joined(kept)


def _go_on(context: list[str], before: pa.RecordBatch, here: pa.RecordBatch) -> bool:
    """Whether rows begin with the context that those before end with."""
    both = pa.concat_batches([before.slice(before.num_rows - 1), here.slice(0, 1)])
    return len(_starts(context, both)) == 1


def _joined(runs: list[pa.RecordBatch]) -> pa.RecordBatch:
    return runs[0] if len(runs) == 1 else pa.concat_batches(runs)


def _starts(context: list[str], batch: pa.RecordBatch) -> list[int]:
    """Where the context is another than in the row before."""
    changes = np.zeros(batch.num_rows, bool)
    changes[0] = True
    for name in context:
        column = batch.column(name)
        if pa.types.is_nested(column.type):
            values = column.to_pylist()
            changes[1:] |= [here != before for here, before in zip(values[1:], values)]
            continue
        here, before = column.slice(1), column.slice(0, batch.num_rows - 1)
        missing = pc.xor(pc.is_null(here), pc.is_null(before))
        changed = pc.or_(pc.fill_null(pc.not_equal(here, before), False), missing)
        if pa.types.is_floating(column.type):
            # One context, though it equals nothing.
            no_numbers = pc.fill_null(pc.and_(pc.is_nan(here), pc.is_nan(before)), False)
            changed = pc.and_not(changed, no_numbers)
        changes[1:] |= changed.to_numpy(zero_copy_only=False)
    return np.flatnonzero(changes).tolist()
